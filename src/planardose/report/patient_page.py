"""The patient's page: everything it shows, formatted. Numbers come finished from the steps before."""

import json
from dataclasses import dataclass, field

import pandas as pd
from markupsafe import Markup

from planardose.library import load_nuclide
from planardose.report import limits as words
from planardose.report.basis import Basis, basis_context
from planardose.report.charts import curve_rows
from planardose.report.first_screen import first_notes, key_doses, status_pills
from planardose.report.foci import foci_context, foci_note
from planardose.report.gate_table import gate_context
from planardose.report.remarks import Remarks, split
from planardose.report.render import render
from planardose.report.spect_section import SpectSection, spect_context
from planardose.report.text import (
    EMPTY,
    HARD,
    hours,
    interval,
    method_name,
    missing,
    number,
    organ_name,
    organ_order,
    per_gbq,
    percent,
    with_u,
)


@dataclass(frozen=True)
class TimePointInput:
    """One acquisition as the page shows it; `facts` are (label, text) pairs. A SPECT has no planar pictures."""

    name: str
    cycle: int
    hours: float
    facts: tuple[tuple[str, str], ...]
    gate: dict = field(repr=False)
    views_uri: str | None = field(repr=False)
    registration_uri: str | None = field(repr=False)


@dataclass(frozen=True)
class PatientInput:
    """All that the page needs.

    Parameters
    ----------
    summary : dict
        Content of summary.json.
    points : tuple of TimePointInput
        In time order.
    activities : DataFrame
        organ, method, cycle, timepoint, hours, activity_mbq, activity_mbq_u, volume_ml, spect (whether a SPECT's).
    kinetics, doses : DataFrame
        The dose step's tables; the page's own marks stand among the doses' flags.
    facts : tuple of (label, text)
        Of the treatment, for the first screen.
    pictures : dict
        Data URIs: ``outlines``, ``activity``, ``dose``, and ``training`` or None.
    flag_texts : dict
        Words for these flags and marks.
    retained : dict
        Time point -> share of the administered activity found, decay-corrected to injection.
    kinetics_note : str
        What the curve fits add to the limits, or empty.
    basis : Basis
        What the doses rest on.
    made : str
        Date and time of the report.
    foci : DataFrame
        Of all time points: the columns of `recon.foci_table`, and timepoint.
    spects : tuple of SpectSection
    """

    summary: dict
    points: tuple[TimePointInput, ...]
    activities: pd.DataFrame
    kinetics: pd.DataFrame
    doses: pd.DataFrame
    facts: tuple[tuple[str, str], ...]
    pictures: dict
    flag_texts: dict
    retained: dict
    kinetics_note: str
    basis: Basis
    made: str
    foci: pd.DataFrame
    spects: tuple[SpectSection, ...] = ()


def patient_html(page: PatientInput) -> str:
    """The page as HTML text."""
    s, remarks = page.summary, Remarks.of(_used(page), page.flag_texts)
    context = {
        "patient": s["patient"],
        "made": page.made,
        "method": method_name(s["method"]),
        "cycles": len(s["cycles"]),
        "pills": status_pills(s),
        "notes": first_notes(s, page.retained, foci_note(page.foci)),
        "facts": page.facts,
        **key_doses(s, _used(page), remarks),
        **basis_context(page.basis),
        "outlines_picture": page.pictures["outlines"],
        "activity_picture": page.pictures["activity"],
        "dose_picture": page.pictures["dose"],
        "training": page.pictures["training"],
        **_dose_rows(page, remarks),
        **_methods(page),
        "curves": _curves(page),
        **_activities(page),
        "points": [{"name": p.name, "hours": hours(p.hours)} for p in page.points],
        **foci_context(page.foci, [p.name for p in page.points]),
        "acquisition": _acquisition(page),
        "by_hand": _by_hand(s),
        "views": [{"name": p.name, "hours": hours(p.hours), "src": p.views_uri} for p in page.points if p.views_uri],
        "registrations": [
            {"name": p.name, "hours": hours(p.hours), "src": p.registration_uri}
            for p in page.points
            if p.registration_uri
        ],
        **gate_context({p.name: p.gate for p in page.points}, s),
        "spects": [spect_context(x, s["method"]) for x in page.spects],
        "limits": words.limits(s, page.kinetics_note),
        "provenance": _provenance(s),
        "config": json.dumps(s["config"], indent=1, sort_keys=True).replace('"', ""),
    }
    return render("patient.html.j2", context)


def _used(page: PatientInput) -> pd.DataFrame:
    """Doses by the method that is reported."""
    return page.doses[page.doses.method == page.summary["method"]]


def _dose_rows(page: PatientInput, remarks: Remarks) -> dict:
    """Rows of the dose table, and all remarks."""
    method, used = page.summary["method"], _used(page)
    fits = page.kinetics[page.kinetics.method == method].set_index(["organ", "cycle"])
    rows = []
    for d in sorted(used.itertuples(), key=lambda r: (organ_order(r.organ), r.cycle)):
        f = fits.loc[(d.organ, d.cycle)]
        rows.append(
            {
                "organ": organ_name(d.organ),
                "remarks": remarks.beside(split(d.flags)),
                "cycle": d.cycle,
                "mass": number(d.mass_g),
                "t_eff": _half_life(f),
                "tia": with_u(f.tia_mbq_h, f.tia_mbq_h_u),
                "before": percent(f.before_fraction).replace(" ", HARD),
                "beyond": percent(f.extrapolated_fraction).replace(" ", HARD),
                "dose": with_u(d.dose_gy, d.dose_gy_u),
                "interval": interval(d.dose_gy_low, d.dose_gy_high, d.dose_gy_u),
                "photons": percent(d.photon_gy / d.dose_gy) if d.photon_gy else EMPTY,
                "per_gbq": per_gbq(d.dose_gy, d.dose_gy_u, d.dose_gy_per_gbq),
                "faint": d.organ == "remainder",
            }
        )
    return {"doses": rows, "per_gbq_note": words.PER_GBQ, "remarks": remarks.meanings(set(remarks.letters))}


def _half_life(fit) -> str:
    """Effective half-life of a row of the kinetics table, h; at a limit it has no uncertainty and says so."""
    at_limit = {"physical_limit", "shortest_limit"} & split(fit["flags"])
    return f"{number(fit.t_eff_h, 4)} (limit)" if at_limit else with_u(fit.t_eff_h, fit.t_eff_h_u)


def _methods(page: PatientInput) -> dict:
    first = page.doses[page.doses.cycle == page.doses.cycle.min()]
    methods = list(dict.fromkeys(first.method))
    by_key = {(d.organ, d.method): with_u(d.dose_gy, d.dose_gy_u) for d in first.itertuples()}
    rows = [
        {"organ": organ_name(o), "cells": [by_key.get((o, m), EMPTY) for m in methods]}
        for o in sorted(set(first.organ), key=organ_order)
    ]
    used = page.summary["method"]
    return {"methods": [{"name": method_name(m), "used": m == used} for m in methods], "by_method": rows}


def _curves(page: PatientInput) -> list[Markup]:
    shown = page.activities[page.activities.organ != "outside_ct"]
    order = {o: n for n, o in enumerate(sorted(set(shown.organ), key=organ_order))}
    ordered = shown.assign(rank=shown.organ.map(order)).sort_values(["rank", "hours"], kind="stable")
    return [Markup(x) for x in curve_rows(ordered, page.kinetics, page.summary["method"], "curves-chart")]


def _activities(page: PatientInput) -> dict:
    a, method, names = page.activities, page.summary["method"], [p.name for p in page.points]
    masses = {d.organ: d.mass_g for d in page.doses.itertuples()}
    volumes = {r.organ: r.volume_ml for r in a.itertuples()}
    text = {(r.organ, r.method, r.timepoint): with_u(r.activity_mbq, r.activity_mbq_u) for r in a.itertuples()}
    organs = sorted(set(a.organ), key=organ_order)

    def rows(m):
        return [
            {
                "organ": organ_name(o),
                "volume": number(volumes[o]),
                "mass": number(masses.get(o)),
                "cells": [text.get((o, m, n), EMPTY) for n in names],
            }
            for o in organs
        ]

    sums = a[a.method == method].groupby("timepoint").activity_mbq.sum()
    others = [m for m in dict.fromkeys(a.method) if m != method]
    return {
        "activities": rows(method),
        "activity_sums": [number(sums.get(n)) if n in page.retained else EMPTY for n in names],
        "retained": [percent(page.retained.get(n)) for n in names],
        "activity_blocks": [{"name": method_name(m), "rows": rows(m)} for m in others],
    }


def _acquisition(page: PatientInput) -> list[tuple[str, list[str]]]:
    """Facts per time point; one cell where all are alike."""
    labels = dict.fromkeys(label for p in page.points for label, _ in p.facts)
    rows = [(label, [dict(p.facts).get(label, EMPTY) for p in page.points]) for label in labels]
    return [(label, cells[:1] if len(set(cells)) == 1 else cells) for label, cells in rows]


def _by_hand(s: dict) -> list[str]:
    words = {
        "flip_posterior": "posterior view mirrored: {}",
        "upside_down": "images turned by 180 degrees: {}",
        "head_order": "order of the heads: {}",
        "shift_mm": "registration set by hand, image centre at (x, z) = {} mm",
        "rotation_deg": "rotation set by hand: {} degrees",
        "accept_gate": "failed gate accepted: “{}”",
        "same_patient": "images accepted as this patient's: “{}”",
        "accept_segmentation": "label map accepted as this CT's: “{}”",
        "seconds_per_row": "seconds of each row in the sweep's field given by hand: {}",
        "windows_kev": "energy windows given by hand: {} keV",
    }
    return [
        f"{t}: " + words.get(k, k + ": {}").format(", ".join(map(str, v)) if isinstance(v, (list, tuple)) else v)
        for t, hand in s["by_hand"].items()
        for k, v in hand.items()
    ]


def _provenance(s: dict) -> list[tuple[str, str]]:
    entries = [
        ("planardose", s["planardose"]),
        ("seed", s["seed"]),
        ("network", s.get("network")),
        (f"decay of {s['nuclide']}", load_nuclide(s["nuclide"]).source),
        *[(f"sha256 of {k}", v) for k, v in sorted(s["hashes"].items())],
        *sorted(s["software"].items()),
    ]
    return [(k, str(v)) for k, v in entries if not missing(v)]
