"""How many planar images of another patient the registration refuses by the body alone, how many right ones, and the
misfits that the limits of the registration were set by.

    planardose make-demo demo7 --seed 7; planardose make-demo demo21 --seed 21
    python benchmarks/wrong_pairs/measure.py demo7 demo21

Every sweep of every patient is laid on every patient's CT, as if no header named anybody; right pairs also displaced by
15 mm in x and z and turned by 2 degrees on top of their own pose (the registration is allowed 3).
Takes some 8 s a pair on one core: half an hour for two cohorts of three.
"""

import argparse
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy.ndimage import affine_transform

from planardose.cohort import Row
from planardose.config import Config
from planardose.errors import InputError
from planardose.heads import face_positions_mm
from planardose.io.planar_file import load_pair
from planardose.library import load_camera, load_nuclide
from planardose.patient_model import PatientModel
from planardose.recon.likeness import fitted_size
from planardose.recon.matcher import Images
from planardose.recon.projector import Projector
from planardose.recon.register import register
from planardose.run import Run
from planardose.sheet import load_cohort
from planardose.steps.import_ct import import_ct
from planardose.steps.import_planar import import_planar
from planardose.steps.registration_checks import check_outline, check_size
from planardose.steps.segment import segment

SHIFT_MM, TURN_DEG, CUT = 15.0, 2.0, 12  # CUT: pixel rows at each end that the displaced image does not fill
SIGNS = ((1, 1, 1), (-1, -1, -1), (-1, 1, -1), (1, -1, 1))


def prepared(demo: Path) -> Run:
    """A run with models and imported planar images of every patient."""
    run = Run(Config(), load_cohort(demo / "cohort.tsv"), demo / "wrong_pairs")
    for patient in run.cohort.patients:
        if not run.path("model", patient=patient).exists():
            import_ct(run, patient)
            segment(run, patient)
            for row in run.cohort.rows_of(patient):
                import_planar(run, patient, row.timepoint)
    return run


def displaced(images: Images, x_mm: float, z_mm: float, turn_deg: float) -> Images:
    """The images shifted and turned about their middle, in patient coordinates."""
    angle, size = np.deg2rad(turn_deg), np.array(images.pixel_mm[::-1])
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    matrix = turn * size / size[:, None]
    middle = (np.array(images.counts.shape[1:]) - 1) / 2
    offset = middle - matrix @ middle - matrix @ (np.array([x_mm, z_mm]) / size)
    moved = [np.maximum(affine_transform(view, matrix, offset, order=1), 0.0) for view in images.counts]
    return Images(np.stack(moved)[:, :, CUT:-CUT], images.pixel_mm)


@dataclass(frozen=True)
class Verdict:
    """What refuses a pair (empty: nothing), and what was judged."""

    refused: str
    misfit: float
    across: float
    along: float


def verdict(model: PatientModel, total: np.ndarray, images: Images) -> Verdict:
    """The registration's judgement of a pair."""
    limits = Config().registration
    found = register(model, total, images, limits.max_shift_mm, limits.max_rotation_deg)
    size, refused = fitted_size(model, total, images, found.pose), []
    for name, check in (
        ("outline", lambda: check_outline(found.outline, "pair")),
        ("size", lambda: check_size(size, "pair")),
    ):
        try:
            check()
        except InputError:
            refused.append(name)
    return Verdict("+".join(refused), found.misfit_after, size.across, size.along)


def images_of(run: Run, row: Row) -> tuple[Images, tuple[float, float] | None]:
    pair = load_pair(run.path("planar", patient=row.patient, timepoint=row.timepoint))
    peak = load_nuclide(row.nuclide).peak_index(pair.windows)
    return Images(pair.ras()[:, peak], pair.pixel_mm), pair.detector_distance_mm


def main(demos: list[Path]) -> None:
    runs = [prepared(d) for d in demos]
    tally: dict[str, list[Verdict]] = {}
    for ct_run in runs:
        for patient in ct_run.cohort.patients:
            model = PatientModel.load(ct_run.path("model", patient=patient))
            for run, row in ((r, row) for r in runs for row in r.cohort.rows):
                images, distance = images_of(run, row)
                faces = face_positions_mm(model, distance)
                projector = Projector(model, load_camera(row.camera), load_nuclide(row.nuclide), faces)
                total = projector.organ_responses(model.fractions).total
                right = run is ct_run and row.patient == patient
                kind = "right" if right else "wrong, same cohort" if run is ct_run else "wrong, other cohort"
                cases = [(kind, images)]
                if right:
                    moves = [(a * SHIFT_MM, b * SHIFT_MM, c * TURN_DEG) for a, b, c in SIGNS]
                    cases += [("right, displaced", displaced(images, *move)) for move in moves]
                for name, shown in cases:
                    v = verdict(model, total, shown)
                    tally.setdefault(name, []).append(v)
                    where = f"{ct_run.results.parent.name}/{patient} {run.results.parent.name}/{row.where}"
                    judged = f"misfit {v.misfit:.3f}, size {v.across:.3f} {v.along:.3f}"
                    print(f"{where}: {name}, {judged}, {v.refused or 'accepted'}", flush=True)
    for name, found in tally.items():
        misfits = [v.misfit for v in found]
        print(f"{name}: {sum(bool(v.refused) for v in found)} of {len(found)} refused, "
              f"misfit {min(misfits):.3f} to {max(misfits):.3f}")  # fmt: skip


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("demos", type=Path, nargs="+", metavar="DEMO", help="folder of a make-demo cohort")
    main(parser.parse_args().demos)
