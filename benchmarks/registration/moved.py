"""Sweeps of a synthetic cohort simulated again with organs that moved by a known amount after the CT.

The liver, spleen, stomach, pancreas and gallbladder follow the diaphragm, the kidneys by 0.65 of it (0.6 to 0.7: Song
et al., J Magn Reson Imaging 2011;33:143), each with a scatter of its own; the bladder moves by itself.
"""

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from benchmarks.registration.cohort import Case, case_of

from planardose.anatomy.phantom import Phantom
from planardose.cohort import Row
from planardose.commands.make_demo import Settings
from planardose.demo import images
from planardose.demo.patient import DemoPatient, Truth, draw_patient, truth_of
from planardose.io.planar_file import save_pair
from planardose.organs import name_of_label
from planardose.planar import PlanarPair
from planardose.run import Run
from planardose.seeds import rng_for

DIAPHRAGM_MM, OWN_MM, ACROSS_MM, BLADDER_MM = 6.0, 1.5, 1.5, 4.0  # standard deviations
FOLLOWING = {"liver": 1.0, "spleen": 1.0, "stomach": 1.0, "pancreas": 1.0, "gallbladder": 1.0,
             "kidney_right": 0.65, "kidney_left": 0.65}  # fmt: skip


@dataclass(frozen=True)
class Displaced:
    """A solid of the anatomy moved by `by` mm of the design."""

    shape: object
    by: np.ndarray

    def bounds(self) -> tuple[np.ndarray, np.ndarray]:
        low, high = self.shape.bounds()
        return low + self.by, high + self.by

    def inside(self, p: np.ndarray) -> np.ndarray:
        return self.shape.inside(p - self.by)


def drawn_moves(seed: int, row: Row) -> dict[str, tuple[float, float]]:
    """Organ -> (x, z) mm."""
    rng = rng_for(seed, "benchmark moved organs", f"{row.patient} {row.timepoint}")
    diaphragm = DIAPHRAGM_MM * rng.standard_normal()
    moves = {
        name: (ACROSS_MM * rng.standard_normal(), share * diaphragm + OWN_MM * rng.standard_normal())
        for name, share in FOLLOWING.items()
    }
    moves["urinary_bladder"] = (ACROSS_MM * rng.standard_normal(), BLADDER_MM * rng.standard_normal())
    return {name: (round(float(x), 2), round(float(z), 2)) for name, (x, z) in moves.items()}


def moved(phantom: Phantom, moves: dict[str, tuple[float, float]]) -> Phantom:
    """The anatomy with organs displaced; a kidney takes the fat of its sinus with it, the liver its lesions."""
    parts, last = [], None
    in_liver = {x.label for x in phantom.lesions if x.site == "liver"}
    for part in phantom.parts:
        name = "liver" if part.label in in_liver else name_of_label().get(part.label)
        if part.label == 0 and last in ("kidney_right", "kidney_left"):
            name = last
        by = moves.get(name)
        if by is not None:
            part = replace(part, shape=Displaced(part.shape, np.array([by[0], 0.0, by[1]]) / phantom.scale))
        parts.append(part)
        last = name if part.label else None
    return replace(phantom, parts=tuple(parts))


def _pair(truth: Truth, patient: DemoPatient, row: Row, seed: int) -> PlanarPair:
    """The sweep that make-demo simulates, of another anatomy: same camera, pose, counts."""
    body = truth.anatomy.sampled.body
    axis = float(patient.grid.axis_mm(1)[np.flatnonzero(body.any(axis=(0, 2)))[[0, -1]]].mean())
    totals = dict(zip(truth.anatomy.classes, truth.volume_ml.tolist(), strict=True))
    acquisition = next(a for a in patient.acquisitions if a.name == row.timepoint)
    fine = Settings()
    return images.planar_pair(
        patient, totals, axis, acquisition, images.true_camera(seed), seed, fine.sim_mm, fine.histories
    )


def moved_case(run: Run, cohort: Path, seed: int, row: Row) -> tuple[Case, dict[str, tuple[float, float]]]:
    """The case with moved organs (its sweep is simulated unless `run` has it already), and the moves."""
    moves, path = drawn_moves(seed, row), run.path("planar", patient=row.patient, timepoint=row.timepoint)
    if not path.exists():
        truth = truth_of(draw_patient(seed, int(row.patient[1:])))
        patient = replace(truth.patient, phantom=moved(truth.patient.phantom, moves))
        save_pair(path, _pair(truth, patient, row, seed))
    return case_of(run, cohort, seed, row), moves
