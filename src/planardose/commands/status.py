"""How far a run is: `planardose status`."""

import fcntl
import json
from collections import Counter
from pathlib import Path

from planardose.commands.columns import columns
from planardose.jobs import jobs_of
from planardose.paths import LOCK
from planardose.run import Run

HEADER = ("patient", "done", "state", "")


def status(run: Run) -> list[str]:
    """A line for each patient: jobs whose output is there, state, next job, fault or report; and totals.

    States are those of ``cohort.csv`` (``ok``, ``fallback``, ``failed``), ``waiting`` where jobs are left, and
    ``started`` where some are done.
    """
    found = [_line(run, patient) for patient in run.cohort.patients]
    states = Counter(state for _, _, state, _ in found)
    total = f"patients: {len(found)} ({', '.join(f'{state} {n}' for state, n in states.items())})"
    page = run.path("cohort_report")
    told = "the cohort's page is cohort.html in the results" if page.exists() else "no page of the cohort yet"
    working = ["a run is working in the results folder now"] if _held(run.results / LOCK) else []
    return [*columns([HEADER, *found]), "", total, *working, told]


def _line(run: Run, patient: str) -> tuple[str, ...]:
    jobs = jobs_of(run.config, run.cohort, patient)
    left = [job for job in jobs if not job.output(run.results).exists()]
    done = f"{len(jobs) - len(left)} of {len(jobs)}"
    notes = sorted((run.results / patient / "errors").glob("*.json"))
    if notes:
        return patient, done, "failed", _message(notes[0])
    if left:
        return patient, done, "started" if len(left) < len(jobs) else "waiting", f"next: {left[0]}"
    return patient, done, _finished(run, patient), f"{patient}/report.html in the results"


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
