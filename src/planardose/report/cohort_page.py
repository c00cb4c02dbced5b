"""The cohort's page: all patients at a glance."""

from dataclasses import dataclass

import pandas as pd
from markupsafe import Markup

from planardose.physics.calibration import uncalibrated_relative_u
from planardose.report.charts import cohort_chart
from planardose.report.render import render
from planardose.report.text import EMPTY, GATE_PILLS, method_name, number, percent, with_u

COLUMNS = {
    "kidney": "Kidneys",
    "parotid": "Parotids",
    "submandibular": "Submandibular",
    "liver": "Liver",
    "lesion": "Lesions",
}
KIND_OF_STATUS = {"ok": "good", "fallback": "warn", "failed": "bad"}


@dataclass(frozen=True)
class PatientLine:
    """One patient: status, one line of explanation, and the summary where the chain reached it."""

    patient: str
    status: str
    message: str
    summary: dict | None


def cohort_html(lines: list[PatientLine], table: pd.DataFrame, made: str) -> str:
    """The page as HTML text; `table` holds the rows of cohort.csv, `made` is the page's date and time."""
    columns = {k: v for k, v in COLUMNS.items() if any(_highest(x, k) for x in lines)}
    counts = {s: (kind, sum(x.status == s for x in lines)) for s, kind in KIND_OF_STATUS.items()}
    for gate in ("accepted", "failed"):
        kind, text = GATE_PILLS[gate]
        counts[text] = kind, sum(x.summary["gate"] == gate for x in lines if x.summary)
    dosed = table[(table.dose_gy_per_gbq > 0) & (table.gate != "failed")] if len(table) else table
    context = {
        "count": len(lines),
        "columns": list(columns.values()),
        "rows": [_row(x, list(columns)) for x in lines],
        "made": made,
        "pills": [{"kind": kind, "text": f"{n} {text}"} for text, (kind, n) in counts.items() if n],
        "notes": _notes(lines),
        "dose_model": " or ".join(sorted({x.summary["dose_model"] for x in lines if x.summary})),
        "chart": Markup(cohort_chart(dosed, "cohort-chart")) if len(dosed) else "",
    }
    return render("cohort.html.j2", context)


def _notes(lines: list[PatientLine]) -> list[dict]:
    with_map = [x for x in lines if x.summary]
    bad = [x.patient for x in with_map if x.summary["gate"] == "failed"]
    uncalibrated = [x.patient for x in with_map if not x.summary["calibrated"]]
    failed = [x.patient for x in lines if x.status == "failed"]
    notes = []
    if failed:
        notes.append(("bad", Markup("Failed, no doses: {}.").format(_links(failed))))
    if bad:
        told = Markup("Gate failed, no doses to use before the reason is found: {}.")
        notes.append(("bad", told.format(_links(bad))))
    if uncalibrated:
        which = "all dosed patients" if len(uncalibrated) == len(with_map) else _links(uncalibrated)
        u = percent(uncalibrated_relative_u())
        notes.append(("warn", Markup("Not calibrated on this camera: {}. {} shared uncertainty.").format(which, u)))
    return [{"kind": k, "text": t} for k, t in notes]


def _links(patients: list[str]) -> Markup:
    """Their names, each leading to its row: not to be looked for among 200."""
    return Markup(", ").join(Markup('<a href="#row-{0}">{0}</a>').format(p) for p in patients)


def _highest(line: PatientLine, start: str) -> dict | None:
    organs = [o for o in line.summary["organs"] if o["organ"].startswith(start)] if line.summary else []
    return max(organs, key=lambda o: o["dose_gy"], default=None)


def _row(line: PatientLine, columns: list[str]) -> dict:
    row = {
        "patient": line.patient,
        "pills": [{"kind": KIND_OF_STATUS[line.status], "text": line.status}],
        "unusable": False,
        "message": line.message,
        "link": f"{line.patient}/report.html" if line.summary else "",
        "message_only": line.summary is None,
    }
    if line.summary is None:
        return row
    found = [_highest(line, c) for c in columns]
    cells = [with_u(o["dose_gy"], o["dose_gy_u"]) if o else EMPTY for o in found]
    cycles = line.summary["cycles"].values()
    several = f" in {len(cycles)} cycles" if len(cycles) > 1 else ""
    if line.summary["gate"] != "passed":
        kind, text = GATE_PILLS[line.summary["gate"]]
        row["pills"].append({"kind": kind, "text": text})
    return row | {
        "unusable": line.summary["gate"] == "failed",
        "tracer": line.summary["tracer"],
        "gbq": number(sum(c["administered_mbq"] for c in cycles) / 1000) + several,
        "method": method_name(line.summary["method"]),
        "cells": cells,
    }
