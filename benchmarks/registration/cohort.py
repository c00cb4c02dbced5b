"""A synthetic cohort for the registration: settings of its sweeps, and where its patients really lay."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from planardose.anatomy.phantom import PIVOT_MM, Pose
from planardose.cohort import Row
from planardose.commands.make_demo import Settings
from planardose.config import Config
from planardose.demo.images import sweep_grid
from planardose.demo.patient import DemoPatient, draw_patient
from planardose.frames import PlanarPose
from planardose.library import load_camera
from planardose.organs import OUTSIDE_CT, REMAINDER
from planardose.patient_model import PatientModel
from planardose.recon.projector import Projector
from planardose.recon.setting import Setting, load_setting
from planardose.run import Run
from planardose.sheet import load_cohort
from planardose.steps.import_ct import import_ct
from planardose.steps.import_planar import import_planar
from planardose.steps.segment import segment


@dataclass(frozen=True)
class Case:
    """One sweep: its setting, the truth that was drawn, and the true activity (MBq) of each organ by name."""

    row: Row
    setting: Setting
    patient: DemoPatient
    pose: Pose
    truth: dict[str, float]


def sweeps_of(run: Run, sweeps: int | None, patients: int | None) -> list[Row]:
    """Of the first `patients` patients `sweeps` time points each (None: all), beginning with another one each time."""
    chosen = []
    for n, patient in enumerate(run.cohort.patients[:patients]):
        rows = run.cohort.rows_of(patient)
        chosen += [rows[(n + m) % len(rows)] for m in range(min(sweeps or len(rows), len(rows)))]
    return chosen


def prepared(cohort: Path, work: Path) -> Run:
    """The run of a cohort, its outputs in `work`."""
    return Run(Config(), load_cohort(cohort / "cohort.tsv"), work)


def case_of(run: Run, cohort: Path, seed: int, row: Row) -> Case:
    """Import what is not there yet, and draw the truth again."""
    if not run.path("model", patient=row.patient).exists():
        import_ct(run, row.patient)
        segment(run, row.patient)
    if not run.path("planar", patient=row.patient, timepoint=row.timepoint).exists():
        import_planar(run, row.patient, row.timepoint)
    patient = draw_patient(seed, int(row.patient[1:]))
    pose = next(a.pose for a in patient.acquisitions if a.name == row.timepoint)
    table = pd.read_csv(cohort / "truth" / row.patient / "organs.csv").set_index("organ")
    truth = table[f"activity_mbq_{row.timepoint}"].to_dict()
    return Case(row, load_setting(run, row.patient, row.timepoint, Projector), patient, pose, truth)


def centres_mm(model: PatientModel) -> dict[str, np.ndarray]:
    """RAS centre (3,) of every organ of the CT but the remainder."""
    axes = [model.grid.axis_mm(a) for a in range(3)]
    out = {}
    for name, f in zip(model.organs, model.fractions.astype(np.float64), strict=True):
        if name not in (REMAINDER, OUTSIDE_CT) and f.sum() > 0:
            sums = [f.sum(axis=tuple(b for b in range(3) if b != a)) for a in range(3)]
            out[name] = np.array([float(axis @ s / s.sum()) for axis, s in zip(axes, sums, strict=True)])
    return out


def seen_at_mm(case: Case, points: np.ndarray) -> np.ndarray:
    """(N, 2) where (u, v) in the sweep's image, mm from its centre, the camera sees points (N, 3) of the CT."""
    room = (points - PIVOT_MM) @ case.pose.matrix().T + PIVOT_MM + np.array(case.pose.shift_mm)
    grid = sweep_grid(case.patient, load_camera(case.row.camera), Settings().sim_mm)
    low, high = case.patient.grid.bounds_mm()
    return room[:, [0, 2]] - [float(np.mean(grid.axis_mm(0))), 0.5 * float(low[2] + high[2])]


def aligned(seen: np.ndarray, points: np.ndarray) -> PlanarPose:
    """The rigid in-plane pose that lays what was seen (N, 2) best on the CT's points (N, 2): the true one."""
    a, b = seen - seen.mean(axis=0), points - points.mean(axis=0)
    angle = np.arctan2((a[:, 0] * b[:, 1] - a[:, 1] * b[:, 0]).sum(), (a * b).sum())
    turned = np.array(PlanarPose(0.0, 0.0, float(np.rad2deg(angle))).to_ras(*seen.mean(axis=0)))
    x, z = points.mean(axis=0) - turned
    return PlanarPose(float(x), float(z), float(np.rad2deg(angle)))


def residuals_mm(pose: PlanarPose, seen: np.ndarray, points: np.ndarray) -> np.ndarray:
    """(N, 2) where a pose puts what was seen, less where it is in the CT: x, z."""
    return np.stack(pose.to_ras(seen[:, 0], seen[:, 1]), axis=1) - points
