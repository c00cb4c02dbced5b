"""Organ activities and gates of a patient's time points, grouped by injection: read by kinetics and report."""

import itertools
from dataclasses import dataclass
from datetime import datetime

import numpy as np
import pandas as pd

from planardose.cohort import Row
from planardose.dose.time_activity import TimeActivity
from planardose.errors import InputError
from planardose.io.planar_file import load_pair
from planardose.io.result_table import read_rows
from planardose.recon.qplanar import LEAST_IN_SIGHT
from planardose.run import Run
from planardose.units import hours_between

OWN = "activity_mbq_u_own"  # which an older version's tables lack


@dataclass(frozen=True)
class CyclePoints:
    """The time points of one cycle, in time order: names, hours after injection, organ tables.

    `split_by_mbq_ml` holds per time point the concentrations by which shared voxels were split, `share_in_images`
    organ -> share of its counts that planar images show, where that is not all of it, `unmeasured` the organs of which
    the time point tells nothing: planar images that show too little of them, a SPECT that does not hold them whole;
    `from_spect` (n,) bool tells the time points whose activity is a SPECT's.
    """

    cycle: int
    administered_mbq: float
    names: tuple[str, ...]
    hours: np.ndarray
    tables: tuple[pd.DataFrame, ...]
    split_by_mbq_ml: tuple[dict[str, float], ...]
    share_in_images: tuple[dict[str, float], ...]
    unmeasured: tuple[frozenset[str], ...]
    from_spect: tuple[bool, ...]

    def measured(self, organ: str) -> np.ndarray:
        """(n,) bool: time points that tell the organ's activity."""
        return np.array([organ not in missing for missing in self.unmeasured])

    def series(self, organ: str, method: str) -> TimeActivity | None:
        """Time-activity of an organ by a method where it was measured; None where it never was, or a table lacks it."""
        rows = [t[(t.organ == organ) & (t.method == method)] for t in self.tables]
        there = self.measured(organ)
        if any(len(r) != 1 for r in rows) or not there.any():
            return None
        rows = list(itertools.compress(rows, there))
        columns = ("activity_mbq", "activity_mbq_u", OWN)
        mbq, u, own = (np.array([r[c].iloc[0] for r in rows], dtype=np.float64) for c in columns)
        camera = np.array(self.from_spect, dtype=int)[there]
        return TimeActivity(self.hours[there], mbq, u, np.sqrt(np.maximum(u**2 - own**2, 0.0)), camera)


def made_by(row: Row) -> str:
    """Command that gives a time point its activity."""
    return "spect-activity" if row.from_spect else "reconstruct"


def unmeasured(row: Row, told: dict) -> frozenset[str]:
    """Organs of which a time point tells nothing, by what its organ table's sidecar tells."""
    if row.from_spect:
        return frozenset(told["share_in_field"])
    return frozenset(o for o, share in told["share_in_images"].items() if share <= LEAST_IN_SIGHT)


def read_gates(run: Run, patient: str) -> dict[str, dict]:
    """Time point -> verdict of its re-projection gate."""
    return {
        r.timepoint: run.content("gate", made_by(r), patient=patient, timepoint=r.timepoint)
        for r in run.cohort.rows_of(patient)
    }


def read_cycles(run: Run, patient: str) -> list[CyclePoints]:
    """The patient's time points grouped by injection, each in time order."""
    rows = run.cohort.rows_of(patient)
    return [_read_cycle(run, patient, n) for n in sorted({run.cohort.cycle_of(r) for r in rows})]


def mid_time(run: Run, row: Row) -> datetime:
    """To which a time point's activities refer."""
    keys = {"patient": row.patient, "timepoint": row.timepoint}
    if row.from_spect:
        return datetime.fromisoformat(run.told("organs", made_by(row), **keys)["at"])
    return load_pair(run.need("planar", "import-planar", **keys)).mid_time


def _read_cycle(run: Run, patient: str, cycle: int) -> CyclePoints:
    rows = [r for r in run.cohort.rows_of(patient) if run.cohort.cycle_of(r) == cycle]
    points = []
    for row in rows:
        keys = {"patient": patient, "timepoint": row.timepoint}
        table = read_rows(run, "organs", made_by(row), (OWN,), **keys)
        hours = hours_between(row.injected_at, mid_time(run, row))
        if hours <= 0:
            raise InputError(
                f"{row.where} acquired_at",
                f"acquired {-hours:.2f} h before the injection",
                "a time after injected_at",
                "correct injected_at or acquired_at in the sheet",
            )
        told = run.told("organs", made_by(row), **keys)
        shares = {} if row.from_spect else told["share_in_images"]
        told_of = (told["split_by_mbq_ml"], shares, unmeasured(row, told), row.from_spect)
        points.append((hours, row.timepoint, table, *told_of))
    if len({frozenset(zip(t.organ, t.method, strict=True)) for _, _, t, *_ in points}) > 1:
        where = f"{patient} cycle {cycle} organs"
        raise InputError(where, "time points with other rows than the others", "the same organs and methods at all",
                         "run 'planardose reconstruct' again for all time points of the patient")  # fmt: skip
    points.sort(key=lambda p: p[0])
    hours, names, tables, *more = zip(*points, strict=True)
    if len(set(hours)) < len(hours):
        raise InputError(
            f"{patient} cycle {cycle}",
            "two time points were acquired at the same time",
            "different times",
            "remove the duplicate row or correct acquired_at",
        )
    return CyclePoints(cycle, rows[0].administered_mbq, names, np.array(hours), tables, *more)
