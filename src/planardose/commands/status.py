"""How far a run is: `planardose status`."""

import fcntl
import json
from collections import Counter
from pathlib import Path

from planardose.commands.columns import columns
from planardose.jobs import Job, jobs_of
from planardose.marks import Marks
from planardose.paths import LOCK, TEMPLATES
from planardose.run import Run
from planardose.sidecar import read_sidecar

AGAIN = "run again; if that finds nothing to do, since it was repeated by hand, with '--forcerun {}'"
HEADER = ("patient", "done", "state", "")


def status(run: Run) -> list[str]:
    """A line for each patient: jobs whose output is there, state, next job, fault or report; and totals.

    States are those of ``cohort.csv`` (``ok``, ``fallback``, ``failed``), ``waiting`` where jobs are left, ``started``
    where some are done, and ``outdated`` where the results are of another sheet, other settings or another version.
    """
    if not run.results.is_dir():
        return ["no results folder: nothing has run yet, or --results names another"]
    marks = Marks(run.config, run.cohort)
    found = [_line(run, marks, patient) for patient in run.cohort.patients]
    states = Counter(state for _, _, state, _ in found)
    total = f"patients: {len(found)} ({', '.join(f'{state} {n}' for state, n in states.items())})"
    page = run.path("cohort_report")
    told = "the cohort's page is cohort.html in the results" if page.exists() else "no page of the cohort yet"
    working = ["a run is working in the results folder now"] if _held(run.results / LOCK) else []
    return [*columns([HEADER, *found]), "", total, *_others(run), *working, told]


def _line(run: Run, marks: Marks, patient: str) -> tuple[str, ...]:
    jobs = jobs_of(run.config, run.cohort, patient)
    left = [job for job in jobs if not job.output(run.results).exists()]
    done = f"{len(jobs) - len(left)} of {len(jobs)}"
    notes = sorted((run.results / patient / "errors").glob("*.json"))
    if notes:
        return patient, done, "failed", _message(notes[0])
    if left:
        return patient, done, "started" if len(left) < len(jobs) else "waiting", f"next: {left[0]}"
    old = next(filter(None, (_outdated(run, marks, job) for job in jobs)), None)
    if old:
        return patient, done, "outdated", old
    return patient, done, _finished(run, patient), f"{patient}/report.html in the results"


def _outdated(run: Run, marks: Marks, job: Job) -> str:
    """Why an output is not this sheet's and config's, or what it was made from is no more; empty where it is theirs.

    What a run would find out by itself besides: whether the sheet's files have changed.
    """
    told = read_sidecar(job.output(run.results))
    if not marks.hold(told, job.step, job.patient, job.timepoint):
        return f"{job} is of another sheet, other settings or another version: {AGAIN.format(job.step)}"
    used = [e for e in told.get("inputs", ()) if "output" in e]
    made_anew = (e for e in used if read_sidecar(run.results / e["output"]).get("sha256") != e["sha256"])
    return next((f"{job} was made from another {e['output']}: run again" for e in made_anew), "")


def _others(run: Run) -> list[str]:
    """A line that names results of patients and time points that the sheet does not have, of an earlier one say."""
    there = run.results.glob(TEMPLATES["organs"].format(patient="*", timepoint="*"))
    known = {row.where for row in run.cohort.rows}
    others = sorted({f"{f.parts[-3]} {f.name.partition('_')[0]}" for f in there} - known)
    return [f"also there, but not in the sheet: {', '.join(others)}"] if others else []


def _message(note: Path) -> str:
    try:
        return str(json.loads(note.read_text())["message"])
    except (OSError, ValueError, KeyError, TypeError):
        return "a fault whose note cannot be read: run it again"


def _finished(run: Run, patient: str) -> str:
    """As in ``cohort.csv``: ``fallback`` where the gate refused the method that was asked for."""
    try:
        return str(json.loads(run.path("summary", patient=patient).read_text())["status"])
    except (OSError, ValueError, KeyError, TypeError):
        return "done"


def _held(path: Path) -> bool:
    """Whether a run is known to hold the results folder (`workflow.Plan.lock`)."""
    try:
        with path.open() as file:  # NFS refuses an exclusive lock on a file that is open for reading
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:  # not there, or a file system without locks
        return False
    return False
