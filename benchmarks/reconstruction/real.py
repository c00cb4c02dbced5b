"""The real torso CT of ``../shared/data/ct_torso`` as one more anatomy: real organs, drawn uptake, hidden lesions.

Of the mismatches it has all but `matter`, `arms` and `breathing`, which need a phantom.
"""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
import pandas as pd
from benchmarks.real_ct.make_cohort import INJECTED_AT, INJECTED_MBQ, Patient
from benchmarks.reconstruction.anatomies import CYCLE_DAYS, CYCLE_SPREAD, PER_CYCLE, Case
from benchmarks.reconstruction.camera import seen_by_camera
from benchmarks.reconstruction.cohort import ALL_LESIONS, Fineness, claim, write_lesions, write_rows, write_segmentation
from benchmarks.reconstruction.mismatch import outside_prior
from benchmarks.reconstruction.scene import Scene

from planardose.anatomy.build import build_model
from planardose.anatomy.labels import read_segmentation
from planardose.demo.images import MATRIX, SPEED_MM_S, dead_time, windows, with_errors
from planardose.demo.patient import CAMERA
from planardose.frames import PlanarPose
from planardose.heads import body_extent_ap_mm
from planardose.image import Volume
from planardose.io.ct import clip_hu, read_ct
from planardose.io.files import atomic
from planardose.io.nifti import write_volume
from planardose.io.planar_file import write_user_pair
from planardose.library import load_camera
from planardose.organs import OUTSIDE_CT, REMAINDER, lesion_name
from planardose.patient_model import PatientModel
from planardose.planar import PlanarPair
from planardose.seeds import rng_for
from planardose.sim.acquire import acquire
from planardose.units import MM3_PER_ML

DATA = Path(__file__).parents[3] / "shared" / "data" / "ct_torso"
NUMBER = 999  # of the anatomy: behind all phantoms
FINE_MM = 4.0
TISSUE_HU = -500.0  # above it a CT number is of the body's tissue, which the offset shifts


@dataclass(frozen=True)
class RealCase(Case):
    """The real CT; `number` is `NUMBER`."""

    @property
    def name(self) -> str:
        return "R01"

    @property
    def unusual(self) -> bool:
        return False

    def timepoint(self, sample: int) -> str:
        return f"s{sample + 1:02d}-t{self.hours(sample):.0f}"

    def pose(self, sample: int) -> PlanarPose:
        """Where the image lies in the CT's coronal plane."""
        grid, shift = self.ct().grid, self.shot(sample).pose
        centre = grid.ras_from_voxel @ np.append((np.array(grid.shape) - 1) / 2, 1.0)
        x, z = float(centre[0] + shift.shift_mm[0]), float(centre[2] + shift.shift_mm[2])
        return PlanarPose(x, z, shift.rotation_deg[1])

    def on_ct(self, timepoint: str, u_mm: np.ndarray, v_mm: np.ndarray) -> np.ndarray:
        return np.stack(self.pose(int(timepoint[1:3]) - 1).to_ras(u_mm, v_mm), axis=1)

    @staticmethod
    def ct() -> Volume:
        return clip_hu(read_ct(DATA / "ct.nii.gz", "ct"))[0]


def write_real_case(out: Path, case: RealCase, fineness: Fineness | None = None, device: str = "cpu") -> None:
    """As `cohort.write_case`, from the real CT."""
    fineness = fineness or Fineness()
    claim(out, case, fineness)
    ct, folder, truth = case.ct(), out / "inputs" / case.name, out / "truth" / case.name
    labels = read_segmentation(DATA / "labels_totalsegmentator_v2.nii.gz", ct.grid, "labels")
    model = build_model(ct, labels, FINE_MM, case.name)
    rng = rng_for(case.root, "reconstruction benchmark segmentation", case.name)
    told = with_errors(labels.data, ct.data > TISSUE_HU, ct.grid.spacing_mm, rng)
    write_segmentation(folder, told if case.site().segmentation else labels.data, ct.grid)
    write_volume(folder / "ct.nii.gz", ct, np.int16)
    # the imaged tissue differs from the CT's by the offset
    body = np.where(ct.data > TISSUE_HU, case.site().ct_offset_hu, 0.0)
    imaged = build_model(replace(ct, data=np.rint(ct.data + body).astype(ct.data.dtype)), labels, FINE_MM, case.name)
    patient = Patient(model, case.root)
    _write_truth(patient, labels, truth)
    write_lesions(folder / ALL_LESIONS, patient.labels_with_lesions(labels).data, ct.grid)
    curves, rows = patient.curves, []
    if case.site().uptake:
        organs = [o for o in model.organs if o not in (REMAINDER, OUTSIDE_CT)]
        curves = outside_prior(curves, organs, case.root, case.name)
    for sample in range(case.samples):
        cycle, timepoint = sample // PER_CYCLE, case.timepoint(sample)
        rows.append((timepoint, INJECTED_MBQ, INJECTED_AT + timedelta(days=CYCLE_DAYS * cycle)))
        path = folder / f"{timepoint}.npz"
        if path.exists() and path.with_suffix(".json").exists():
            continue
        change = rng_for(case.root, "reconstruction benchmark cycle", case.name, cycle)
        factors = {o: float(np.exp(CYCLE_SPREAD * change.standard_normal())) if cycle else 1.0 for o in curves}
        patient.curves = {o: (factors[o] * a, rates) for o, (a, rates) in curves.items()}
        mbq = patient.at(case.hours(sample))
        _write_activity(patient, mbq, labels, truth / f"{timepoint}_activity.nii.gz")
        there = Scene(imaged.partial_density, mbq, imaged.body, model.grid)
        write_user_pair(path, _sweep(case, sample, there, model, rows[-1][2], fineness, device))
    write_rows(folder, case.name, rows, lesions=False)


def _sweep(
    case: RealCase, sample: int, there: Scene, model: PatientModel, at: datetime, fineness: Fineness, device: str
) -> PlanarPair:
    back, front = body_extent_ap_mm(model)
    seen = seen_by_camera(case, sample, there, 0.5 * (front + back), fineness.histories, device)
    rng = rng_for(case.root, "reconstruction benchmark noise", case.name, sample)
    camera = load_camera(CAMERA)
    exposure_s, duration_s = camera.field_mm[0] / SPEED_MM_S, MATRIX[0] * camera.pixel_mm / SPEED_MM_S
    pixel = (camera.pixel_mm, camera.pixel_mm)
    rate, loss = seen.views.rate * case.site().sensitivity, dead_time(camera, camera.field_mm[0])
    counts = acquire(rate, seen.grid, pixel, MATRIX, case.pose(sample), exposure_s, rng, loss)
    start = at + timedelta(hours=case.hours(sample), seconds=-duration_s / 2)
    start = start.replace(microsecond=0)
    return PlanarPair(counts.astype(np.float32), windows(), pixel, exposure_s, start, duration_s, seen.told_mm)


def _write_activity(patient: Patient, mbq: np.ndarray, labels: Volume, path: Path) -> None:
    inside = patient.model.ct_slices
    fractions = patient.model.fractions[..., inside]
    share = fractions / np.maximum(fractions.sum(axis=0), 1e-6)
    write_volume(path, patient.on_labels(mbq[:, :, inside], share, patient.labels_with_lesions(labels)))


def _write_truth(patient: Patient, labels: Volume, folder: Path) -> None:
    """``labels.nii.gz`` with the hidden lesions, and ``organs.csv`` with class, known, volume."""
    write_volume(folder / "labels.nii.gz", patient.labels_with_lesions(labels), np.int16)
    volumes = patient.model.volumes_ml()
    rows = [(o, True, v) for o, v in zip(patient.model.organs, volumes, strict=True) if o != OUTSIDE_CT]
    for number, sphere in enumerate(patient.spheres, start=1):
        rows.append((lesion_name(number), False, 4 / 3 * np.pi * sphere.radius_mm**3 / MM3_PER_ML))
    with atomic(folder / "organs.csv") as temporary:
        table = pd.DataFrame(rows, columns=["organ", "known", "volume_ml"])
        table.to_csv(temporary, index=False, float_format="%.8g", lineterminator="\n")
