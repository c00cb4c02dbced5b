"""Step report-cohort: every patient of the sheet in one table and one page, failed ones with their reason."""

import json
from datetime import datetime

import pandas as pd

from planardose.errors import InputError
from planardose.io.files import atomic, write_text
from planardose.io.result_table import read_rows
from planardose.jobs import jobs_of
from planardose.paths import STEP_VERSIONS
from planardose.report.cohort_page import PatientLine, cohort_html
from planardose.run import Run

COLUMNS = [
    "patient",
    "cycle",
    "organ",
    "method",
    "dose_gy",
    "dose_gy_u",
    "dose_gy_per_gbq",
    "gate",
    "status",
    "message",
]
DAMAGED = "its results cannot be read: delete what is damaged, and run again"
UNFINISHED = "did not finish: no output of {}; see its log, and Snakemake's if it was refused, or out of memory or time"


def report_cohort(run: Run) -> None:
    """Write `cohort_table` and `cohort_report`; a patient that failed has one row with the reason."""
    lines, parts = zip(*(_read(run, patient) for patient in run.cohort.patients), strict=True)
    table = pd.concat([p for p in parts if len(p)], ignore_index=True)
    output = run.path("cohort_table")
    with atomic(output) as temporary:
        table.to_csv(temporary, index=False, float_format="%.8g")
    doses = [run.path("organ_doses", patient=x.patient) for x in lines if x.summary]
    run.sidecar(output, "report_cohort", "organ doses of all patients, by the method used", "Gy", doses)
    page = run.path("cohort_report")
    write_text(page, _page(list(lines), table))
    run.sidecar(page, "report_cohort", "the cohort's page", "", [output])


def _read(run: Run, patient: str) -> tuple[PatientLine, pd.DataFrame]:
    """Line and rows of a patient; files that cannot be read are the patient's fault, not the cohort's."""
    try:
        line = _line(run, patient)
        rows = _rows(run, line)
        if mixed := _mixed(run, line):
            line = PatientLine(patient, "failed", mixed, None)
            rows = _rows(run, line)
        _page([line], rows[:0])  # alone, so that what the page does not find in a summary shows here; charts take long
    except (InputError, OSError, ValueError, LookupError, TypeError, AttributeError):  # cut off, or of another program
        line = PatientLine(patient, "failed", DAMAGED, None)
        rows = _rows(run, line)
    return line, rows


def _page(lines: list[PatientLine], table: pd.DataFrame) -> str:
    return cohort_html(lines, table[table.status != "failed"], f"{datetime.now().astimezone():%Y-%m-%d %H:%M %Z}")


def _line(run: Run, patient: str) -> PatientLine:
    errors = _errors(run, patient)
    if errors:
        more = f" (and {len(errors) - 1} more)" if len(errors) > 1 else ""
        return PatientLine(patient, "failed", errors[0] + more, None)
    finished = all(run.path(k, patient=patient).exists() for k in ("summary", "report", "organ_doses"))
    if not finished:
        jobs = jobs_of(run.config, run.cohort, patient)
        missing = next((str(job) for job in jobs if not job.output(run.results).exists()), "report")
        return PatientLine(patient, "failed", UNFINISHED.format(missing), None)
    summary = json.loads(run.path("summary", patient=patient).read_text())
    return PatientLine(patient, summary["status"], summary["message"], summary)


def _mixed(run: Run, line: PatientLine) -> str:
    """The fault where the report is not of the doses that are there, after a step repeated by hand; else empty."""
    if line.summary is None:
        return ""
    try:
        doses = run.path("organ_doses", patient=line.patient)
        run.told("summary", "report", patient=line.patient).check_made_from([doses], run.results)
    except InputError as fault:
        return str(fault)
    return ""


def _errors(run: Run, patient: str) -> list[str]:
    """Messages that failed steps left, in the order of the chain."""
    order = list(STEP_VERSIONS)
    found = [json.loads(f.read_text()) for f in sorted((run.results / patient / "errors").glob("*.json"))]
    found.sort(key=lambda e: order.index(e["step"]) if e["step"] in order else len(order))
    return [e["message"] for e in found]


def _rows(run: Run, line: PatientLine) -> pd.DataFrame:
    """Rows of one patient: the doses of the method used, per cycle and organ."""
    if line.summary is None:
        return pd.DataFrame(
            [{"patient": line.patient, "status": line.status, "message": line.message}], columns=COLUMNS
        )
    doses = read_rows(run, "organ_doses", "absorbed-dose", patient=line.patient)
    used = doses[doses.method == line.summary["method"]]
    added = {"patient": line.patient, "gate": line.summary["gate"], "status": line.status, "message": line.message}
    return used.assign(**added)[COLUMNS]
