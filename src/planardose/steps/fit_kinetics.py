"""Step fit-kinetics: time-activity curves per organ, method and cycle, and the voxel map of their integral."""

import itertools
import json
import math
from dataclasses import dataclass

import numpy as np
import pandas as pd

from planardose.dose.kinetics import Curve, TimeActivity, fit_curve, integral_weights
from planardose.dose.method_choice import common_method
from planardose.dose.tia_map import integrate_maps
from planardose.errors import InputError
from planardose.image import Volume
from planardose.io.files import atomic
from planardose.io.nifti import read_volume, write_volume
from planardose.io.planar_file import load_pair
from planardose.library import load_nuclide
from planardose.organs import REMAINDER
from planardose.patient_model import PatientModel
from planardose.run import Run
from planardose.units import BQ_PER_MBQ, hours_between

COLUMNS = (
    "organ",
    "method",
    "cycle",
    "model",
    "a0_mbq",
    "t_eff_h",
    "t_eff_h_u",
    "tia_mbq_h",
    "tia_mbq_h_u",
    "extrapolated_fraction",
    "before_fraction",
    "points",
    "chi2",
    "flags",
)


OWN = "activity_mbq_u_own"


@dataclass(frozen=True)
class CyclePoints:
    """The time points of one cycle, in time order: names, hours after injection, organ tables.

    `split_by_mbq_ml` holds per time point the concentrations by which shared voxels were split.
    """

    cycle: int
    administered_mbq: float
    names: tuple[str, ...]
    hours: np.ndarray
    tables: tuple[pd.DataFrame, ...]
    split_by_mbq_ml: tuple[dict[str, float], ...]

    def series(self, organ: str, method: str) -> TimeActivity | None:
        """Time-activity of an organ by a method; None where a time point lacks it."""
        rows = [t[(t.organ == organ) & (t.method == method)] for t in self.tables]
        if any(len(r) != 1 for r in rows):
            return None
        mbq, u = (np.array([r[c].iloc[0] for r in rows], dtype=np.float64) for c in ("activity_mbq", "activity_mbq_u"))
        own = np.array([r[OWN].iloc[0] for r in rows], dtype=np.float64) if self.separated else u
        return TimeActivity(self.hours, mbq, u, np.sqrt(np.maximum(u**2 - own**2, 0.0)))

    @property
    def separated(self) -> bool:
        """The organ tables tell the uncertainty of each time point alone from what all share."""
        return all(OWN in t for t in self.tables)


def fit_kinetics(run: Run, patient: str) -> None:
    """Fit every organ of every method and cycle; integrate the maps of the patient's common method.

    Reads each time point's organ table, gate and maps; writes `kinetics` and `tia` (MBq h/mL, CT part of the grid).
    """
    gates = read_gates(run, patient)
    method, _ = common_method(gates, patient)
    half_life_h = load_nuclide(run.cohort.rows_of(patient)[0].nuclide).half_life_h
    cycles = read_cycles(run, patient)
    curves = {c.cycle: _fit_cycle(c, half_life_h) for c in cycles}
    _write_table(run, patient, cycles, curves)
    model = PatientModel.load(run.need("model", "segment", patient=patient))
    total = sum(
        (_integrate(run, patient, model, c, curves[c.cycle], method) for c in cycles), np.zeros(model.ct_grid.shape)
    )
    output = run.path("tia", patient=patient)
    write_volume(output, Volume(total, model.ct_grid, "time-integrated activity", "MBq.h/mL"))
    maps = [run.path("map", patient=patient, timepoint=n, method=method) for c in cycles for n in c.names]
    run.sidecar(
        output,
        "fit_kinetics",
        "time-integrated activity concentration, all cycles",
        "MBq.h/mL",
        [run.path("model", patient=patient), *maps],
        method=method,
    )


def read_gates(run: Run, patient: str) -> dict[str, dict]:
    """Time point -> verdict of its re-projection gate."""
    rows = run.cohort.rows_of(patient)
    return {
        r.timepoint: json.loads(run.need("gate", "reconstruct", patient=patient, timepoint=r.timepoint).read_text())
        for r in rows
    }


def read_cycles(run: Run, patient: str) -> list[CyclePoints]:
    """The patient's time points grouped by injection, each in time order."""
    rows = run.cohort.rows_of(patient)
    return [_read_cycle(run, patient, n) for n in sorted({run.cohort.cycle_of(r) for r in rows})]


def _read_cycle(run: Run, patient: str, cycle: int) -> CyclePoints:
    rows = [r for r in run.cohort.rows_of(patient) if run.cohort.cycle_of(r) == cycle]
    points = []
    for row in rows:
        table = run.need("organs", "reconstruct", patient=patient, timepoint=row.timepoint)
        pair = load_pair(run.need("planar", "import-planar", patient=patient, timepoint=row.timepoint))
        hours = hours_between(row.injected_at, pair.mid_time)
        if hours <= 0:
            raise InputError(
                f"{row.where} acquired_at",
                f"acquired {-hours:.2f} h before the injection",
                "a time after injected_at",
                "correct injected_at or acquired_at in the sheet",
            )
        meta = json.loads(table.with_name(table.name + ".json").read_text())
        points.append((hours, row.timepoint, pd.read_csv(table), meta["split_by_mbq_ml"]))
    points.sort(key=lambda p: p[0])
    hours, names, tables, split = zip(*points, strict=True)
    if len(set(hours)) < len(hours):
        raise InputError(
            f"{patient} cycle {cycle}",
            "two time points were acquired at the same time",
            "different times",
            "remove the duplicate row or correct acquired_at",
        )
    return CyclePoints(cycle, rows[0].administered_mbq, names, np.array(hours), tables, split)


def _fit_cycle(points: CyclePoints, half_life_h: float) -> dict[tuple[str, str], Curve]:
    """(organ, method) -> curve, in the order of the first time point's table."""
    keys = points.tables[0][["organ", "method"]].itertuples(index=False, name=None)
    series = {key: points.series(*key) for key in keys}
    return {key: fit_curve(s, half_life_h, points.administered_mbq) for key, s in series.items() if s is not None}


def _integrate(
    run: Run, patient: str, model: PatientModel, points: CyclePoints, curves: dict, method: str
) -> np.ndarray:
    """(I, J, K) MBq h/mL of one cycle on the CT part of the grid."""
    maps = []
    for name in points.names:
        path = run.need("map", "reconstruct", patient=patient, timepoint=name, method=method)
        volume = read_volume(path, "activity concentration", "Bq/mL", f"{patient} {name} {method} map")
        if not volume.grid.same_as(model.ct_grid):
            raise InputError(
                f"{patient} {name} {method} map",
                f"grid {volume.grid.shape} differs from the model's",
                f"{model.ct_grid.shape}",
                "run 'planardose reconstruct' again",
            )
        maps.append(volume.data / BQ_PER_MBQ)
    weights = np.zeros((len(model.organs), len(points.names)))
    for n, organ in enumerate(model.organs):
        if (organ, method) in curves:
            weights[n] = integral_weights(points.series(organ, method), curves[organ, method])
    split = np.array([[s.get(o, 0.0) for o in model.organs] for s in points.split_by_mbq_ml])
    fractions = model.fractions[..., model.ct_slices]
    return integrate_maps(np.stack(maps), fractions, split, weights, model.organs.index(REMAINDER))


def _write_table(run: Run, patient: str, cycles: list[CyclePoints], curves: dict[int, dict]) -> None:
    records = [
        {
            "organ": organ,
            "method": method,
            "cycle": cycle,
            "model": c.model,
            **{k: getattr(c, k) for k in COLUMNS[4:-1]},
            "flags": ";".join(c.flags),
        }
        for cycle, found in curves.items()
        for (organ, method), c in found.items()
    ]
    output = run.path("kinetics", patient=patient)
    with atomic(output) as temporary:
        pd.DataFrame(records, columns=list(COLUMNS)).to_csv(temporary, index=False, float_format="%.8g")
    inputs = [run.path("organs", patient=patient, timepoint=n) for c in cycles for n in c.names]
    run.sidecar(
        output,
        "fit_kinetics",
        "time-activity curves per organ",
        "",
        inputs,
        hours_after_injection={n: float(f"{h:.8g}") for c in cycles for n, h in zip(c.names, c.hours, strict=True)},
        calibration="calibration and model: shared by all time points, do not average down"
        if all(c.separated for c in cycles)
        else "not separated: time points treated as independent, uncertainty of the integral is too small",
        residue_bound=_residue_bounds(run, patient),
    )


def _residue_bounds(run: Run, patient: str) -> dict[int, float]:
    """Cycle -> largest share of the previous injection that can be left (physical decay only); it is not subtracted."""
    rows = run.cohort.rows_of(patient)
    times = sorted({r.injected_at for r in rows})
    half_life_h = load_nuclide(rows[0].nuclide).half_life_h
    return {n + 2: math.exp2(-hours_between(a, b) / half_life_h) for n, (a, b) in enumerate(itertools.pairwise(times))}
