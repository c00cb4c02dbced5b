"""What the patient's page tells of what the doses rest on: read from sidecars and tables of the steps before."""

import math

import numpy as np
import pandas as pd

from planardose.cohort import Row
from planardose.dose.shape import Shape
from planardose.dose.uncertainty import mass_relative_u
from planardose.dose.uncertainty_parts import uncertainty_parts
from planardose.image import Volume
from planardose.library import load_nuclide
from planardose.organs import REMAINDER
from planardose.physics.dead_time import ASSUMED_US, lost_share
from planardose.physics.sweep import highest_in_field
from planardose.recon.acquired import primary_rows_cps, rows_in_field
from planardose.recon.qplanar import LEAST_IN_SIGHT
from planardose.report.basis import PARTS, Basis
from planardose.report.row_marks import organs_cut
from planardose.report.text import HARD, is_key, number, organ_name, organ_order, percent
from planardose.run import Run
from planardose.steps.cycle_points import CyclePoints, made_by
from planardose.steps.planar_points import PlanarPoint
from planardose.units import rounded


def basis_of(
    run: Run, patient: str, planar: tuple[PlanarPoint, ...], cycles: list[CyclePoints], kinetics: pd.DataFrame,
    doses: pd.DataFrame, labels: Volume,
) -> Basis:  # fmt: skip
    """The section's content; `kinetics` and `doses` are the rows of the reported method."""
    notes, cut = _import_notes(run, patient, planar), organs_cut(labels) - {REMAINDER}
    nuclide = load_nuclide(run.cohort.rows_of(patient)[0].nuclide)
    facts = [
        ("Outlines", _outlines(run.told("labels", "segment", patient=patient))),
        ("Cut by the CT's end", _listed(sorted(cut, key=organ_order)) or "no organ"),
        ("Masses", "volume inside the outline, density by the CT number"),
        *_in_images(cycles),
        ("Scatter", _scatter(planar)),
        ("Dead time", _dead_time(planar)),
        ("Energy of a decay", f"{nuclide.electron_kev:g} keV as electrons, {nuclide.photon_kev:g} keV as photons"),
        ("Activity at injection", _at_injection(cycles, kinetics)),
        ("Integral of all organs", _integral(cycles, kinetics, nuclide.half_life_h)),
        *([] if notes else [("Notes of the import", "none")]),
    ]
    parts = _parts(run, patient, cycles[0], kinetics, doses, labels)
    return Basis(tuple(facts), notes, parts, bool(doses.dose_gy_u.notna().any()))


def dead_time_not_corrected(planar: tuple[PlanarPoint, ...]) -> dict | None:
    """Highest rate of a head among the time points without a known dead time; None where all have one.

    `rate_cps` at `timepoint`, of the photopeak less its scatter as recorded, and the share `lost` of it to a dead time
    of `assumed_us`, which is one of primary photons.
    """
    rates = {
        p.name: highest_in_field(primary_rows_cps(p.pair, p.pair.counts, p.nuclide), rows_in_field(p.pair, p.camera))
        for p in planar
        if not p.has_dead_time
    }
    if not rates:
        return None
    timepoint = max(rates, key=rates.get)
    lost = lost_share(rates[timepoint], ASSUMED_US)
    told = {"rate_cps": rounded(rates[timepoint]), "lost": rounded(lost), "assumed_us": ASSUMED_US}
    return {"timepoint": timepoint} | told


def _outlines(told: dict) -> str:
    """Where labels and lesions come from, by the sidecar of the labels."""
    given = {x["column"]: x["sha256"] for x in told["inputs"] if "column" in x}
    if told["backend"] == "labels":
        text = f"{told.get('given_as', 'label map')} of the sheet ({given['segmentation'][:8]}…)"
    else:
        coarse = ", its 6 mm model" if told["fastest"] else ""
        text = f"TotalSegmentator {told['totalsegmentator']} ({', '.join(told['tasks'])}{coarse})"
    return f"{text}; lesions {'of the sheet' if 'lesions' in given else 'not outlined'}"


def _listed(organs: list[str]) -> str:
    return "; ".join(organ_name(o).lower() for o in organs)


def _in_images(cycles: list[CyclePoints]) -> list[tuple[str, str]]:
    """Which organs the images of some time points do not show whole, and how much of them; nothing where all are."""
    names = [n for c in cycles for n in c.names]
    shares = [s for c in cycles for s in c.share_in_images]
    hidden, cut = [], []
    for organ in sorted(set().union(*shares), key=organ_order):
        found = {n: s[organ] for n, s in zip(names, shares, strict=True) if organ in s}
        unseen = [n for n, share in found.items() if share <= LEAST_IN_SIGHT]
        part = {n: share for n, share in found.items() if n not in unseen}
        text = organ_name(organ).lower()
        if unseen:
            hidden.append(text + _at(unseen, names))
        if part:
            least, most = (percent(f(part.values())) for f in (min, max))
            cut.append(f"{text} {least if least == most else f'{least} to {most}'}{_at(list(part), names)}")
    rows = ("Not in the images", hidden), ("Part in the images", cut)
    return [(label, "; ".join(texts)) for label, texts in rows if texts]


def _scatter(planar: tuple[PlanarPoint, ...]) -> str:
    without = [p.name for p in planar if p.scatter_windows == "none"]
    if not without:
        return "modelled, checked by windows beside the photopeak"
    return f"modelled; no window beside the photopeak{_at(without, [p.name for p in planar])} checks it"


def _dead_time(planar: tuple[PlanarPoint, ...]) -> str:
    found = {p.name: p.lost_by_dead_time for p in planar}
    if None in found.values():
        return f"not corrected{_at([t for t, lost in found.items() if lost is None], list(found))}"
    most = max(found, key=lambda t: found[t])
    text = f"corrected, at most {percent(found[most], 1)} of the counts{_at([most], list(found))}"
    other = {p.camera.tau_from(p.photopeak, p.nuclide) for p in planar} - {""}
    return "; ".join([text, *(f"by a dead time {told}" for told in sorted(other))])


def _at(some: list[str], names: list[str]) -> str:
    """`` at t4`` for some of the time points, nothing for all."""
    return "" if len(some) == len(names) else f" at {', '.join(some)}"


def _at_injection(cycles: list[CyclePoints], kinetics: pd.DataFrame) -> str:
    """By the curves of all rows, the part beyond the CT with them."""
    found = {c.cycle: kinetics[kinetics.cycle == c.cycle][["a0_mbq", "early_mbq"]].sum(axis=None) for c in cycles}
    shares = {c.cycle: percent(found[c.cycle] / c.administered_mbq) for c in cycles}
    told = {n: f"{number(mbq)}{HARD}MBq ({shares[n]})" for n, mbq in found.items()}
    return f"{_by_cycle(told)} of the administered, by all curves"


def _integral(cycles: list[CyclePoints], kinetics: pd.DataFrame, half_life_h: float) -> str:
    """Of all rows, against the administered activity that stays in the body."""
    most = {c.cycle: c.administered_mbq * half_life_h / math.log(2) for c in cycles}
    shares = {n: percent(kinetics[kinetics.cycle == n].tia_mbq_h.sum() / most[n]) for n in most}
    return f"{_by_cycle(shares)} of what physical decay alone would give"


def _by_cycle(told: dict[int, str]) -> str:
    """Texts of the cycles, with their numbers where there are several."""
    return ", ".join(f"cycle {n}: {text}" if len(told) > 1 else text for n, text in told.items())


def _import_notes(run: Run, patient: str, planar: tuple[PlanarPoint, ...]) -> tuple[str, ...]:
    """Notes in the sidecars of CT, labels and images, those of several time points once."""
    clipped, found = run.told("ct", "import-ct", patient=patient)["clipped"], {}
    for point in planar:
        for note in point.told["notes"]:
            found.setdefault(note, []).append(point.name)
    above = f"CT: {clipped['voxels_above']} voxels above {clipped['hu_range'][1]} HU, as metal gives, are set to that"
    of_ct = [above] if clipped["voxels_above"] else []
    of_labels = run.told("labels", "segment", patient=patient)["notes"]
    return (*of_ct, *of_labels, *(f"{', '.join(at)}: {x}" for x, at in found.items()))


def _calibration_u(run: Run, row: Row) -> float:
    """Relative standard uncertainty of the calibration of a time point's camera."""
    told = run.told("organs", made_by(row), patient=row.patient, timepoint=row.timepoint)
    return told["spect_calibration_relative_u" if row.from_spect else "calibration_relative_u"]


def _parts(
    run: Run, patient: str, points: CyclePoints, kinetics: pd.DataFrame, doses: pd.DataFrame, labels: Volume
) -> pd.DataFrame:
    """Relative uncertainties of the key organs' doses in a cycle, by what they are made of."""
    calibration = np.array([_calibration_u(run, run.cohort.row(patient, n)) for n in points.names])
    fits = kinetics[kinetics.cycle == points.cycle].set_index("organ")
    records = []
    for d in sorted(doses[doses.cycle == points.cycle].itertuples(), key=lambda d: organ_order(d.organ)):
        fit = fits.loc[d.organ]
        if not is_key(d.organ) or not fit.tia_mbq_h:
            continue
        integral_u, data = fit.tia_mbq_h_u / fit.tia_mbq_h, points.series(d.organ, d.method)
        of = uncertainty_parts(data, Shape.of_row(fit), integral_u, calibration[points.measured(d.organ)])
        if of is not None:
            mass = mass_relative_u(d.organ, d.volume_ml, labels.grid, run.config.dose.lesion_edge_fwhm_mm)
            records.append((d.organ, of.calibration, of.anatomy, of.curve, mass, d.dose_gy_u / d.dose_gy))
    return pd.DataFrame(records, columns=["organ", *PARTS])
