"""Write the cases of the benchmark as a cohort that any clinic could have, with the truth beside it.

    python -m benchmarks.reconstruction.cohort OUT --split validation --anatomies 6 --samples 2 --variant mismatched

OUT gets ``cohort.tsv``, ``inputs/`` (NIfTI CT, segmentation, known lesions; NPZ + JSON planar sweeps) and ``truth/``.
The planar images come from the Monte Carlo on voxels of half the chain's size or finer, never from the analytic
projector. Everything is a function of (split, seed, number of the anatomy, variant): a killed run goes on, more
anatomies or samples may be added later.
"""

import argparse
import csv
import io
import json
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path

import numpy as np
import pandas as pd
from benchmarks.prior.image import Look, prior_image
from benchmarks.reconstruction.anatomies import FIRST_SEED, PER_CYCLE, SIM_MM, Case
from benchmarks.reconstruction.camera import Seen, middle_mm, seen_by_camera
from benchmarks.reconstruction.mismatch import VARIANTS
from benchmarks.reconstruction.scene import scene, scene_grid
from scipy import ndimage

from planardose.demo.images import CT_NOISE_HU, perturbed_labels, swept
from planardose.demo.patient import CAMERA, CT_SPACING_MM, NUCLIDE, TRACER, Truth, concentrations_kbq_ml, truth_of
from planardose.errors import InputError
from planardose.image import Grid, Volume
from planardose.io.files import atomic, write_text
from planardose.io.nifti import write_volume
from planardose.io.planar_file import write_user_pair
from planardose.library import load_camera, load_nuclide
from planardose.organs import LESION_BASE, is_lesion, name_of_label
from planardose.physics.sensitivity import air_sensitivity_cps_per_mbq
from planardose.physics.warp_runtime import warp_device
from planardose.planar import PlanarPair
from planardose.seeds import rng_for, seed_for
from planardose.units import BQ_PER_MBQ

ALL_LESIONS = "lesions_all.nii.gz"  # hidden ones too: for the group that is told of them
PRIORS = {  # file of a prior image -> how far it is off (mm, direction at random) and how it looks
    "prior.nii.gz": (2.5, Look()),
    "prior_off.nii.gz": (10.0, Look()),
    "prior_poor.nii.gz": (2.5, Look(noise=2.0, true=False)),
}
DEVICES = ("auto", "cpu", "cuda")
GENERATOR = 2  # bumped when a case's files change
COLUMNS = (
    "patient", "timepoint", "ct", "planar", "nuclide", "tracer", "camera", "injected_mbq", "injected_at",
    "segmentation", "lesions", "calibration_cps_per_mbq",
)  # fmt: skip


@dataclass(frozen=True)
class Fineness:
    """Of CT and simulation, and photons followed for the scatter of a sweep."""

    ct_mm: tuple[float, float, float] = CT_SPACING_MM
    sim_mm: float = SIM_MM
    histories: float = 5e5


def write_case(out: Path, case: Case, fineness: Fineness | None = None, device: str = "cpu") -> None:
    """Write truth, CT, segmentation, lesions and sweeps of a case; sweeps that are there are kept.

    Parameters
    ----------
    out : Path
        The cohort's folder. One folder holds one variant of one split and seed.
    device : str
        Warp device of the Monte Carlo.

    Raises
    ------
    InputError
        If the folder holds cases of another variant, split, seed, fineness or version of the generator.
    """
    fineness = fineness or Fineness()
    claim(out, case, fineness)
    truths = [truth_of(cycle) for cycle in case.cycles(fineness.ct_mm)]
    _write_truth(truths, out / "truth" / case.name)
    folder = out / "inputs" / case.name
    _write_ct(truths[0], case, folder)
    _write_labels(truths[0], case, folder)
    _write_priors(truths[0], case, folder)
    sample = 0
    for truth in truths:
        for acquisition in truth.patient.acquisitions:
            path = folder / f"{acquisition.name}.npz"
            if not (path.exists() and path.with_suffix(".json").exists()):
                write_user_pair(path, planar_pair(case, truth, sample, fineness, device))
            sample += 1
    made = [(a.name, t.patient.injected_mbq, t.patient.injected_at) for t in truths for a in t.patient.acquisitions]
    write_rows(folder, case.name, made)


def claim(out: Path, case: Case, fineness: Fineness) -> None:
    """Note in the folder what its cases are made with; refuse one that was made otherwise."""
    made = {"generator": GENERATOR, "split": case.split, "seed": case.seed, "variant": case.variant}
    text = json.dumps(made | {k: list(v) if isinstance(v, tuple) else v for k, v in vars(fineness).items()})
    note = out / "made_with.json"
    if not note.exists():
        write_text(note, text + "\n")
    elif json.loads(note.read_text()) != json.loads(text):
        raise InputError("benchmark cohort", f"was made with {note.read_text().strip()}", text, "choose another folder")


def write_sheet(out: Path, cases: list[Case], name: str = "cohort.tsv") -> Path:
    """The sheet of cases that are written."""
    text = io.StringIO()
    writer = csv.writer(text, delimiter="\t", lineterminator="\n")
    writer.writerow(COLUMNS)
    for case in cases:
        lines = (out / "inputs" / case.name / "rows.tsv").read_text().splitlines()
        writer.writerows(line.split("\t") for line in lines)
    write_text(out / name, text.getvalue())
    return out / name


def write_rows(folder: Path, name: str, rows: list[tuple[str, float, datetime]], lesions: bool = True) -> None:
    """``rows.tsv`` of (time point, MBq, injection); the calibration is the catalogue camera's, not the true one's."""
    nuclide, inputs = load_nuclide(NUCLIDE), f"inputs/{name}"
    calibration = air_sensitivity_cps_per_mbq(load_camera(CAMERA), nuclide, nuclide.photopeak)
    lines = [
        [
            name, timepoint, f"{inputs}/ct.nii.gz", f"{inputs}/{timepoint}.npz", NUCLIDE, TRACER, CAMERA, f"{mbq:g}",
            at.isoformat(), f"{inputs}/segmentation.nii.gz", f"{inputs}/lesions.nii.gz" if lesions else "",
            f"{calibration:.6g}",
        ]
        for timepoint, mbq, at in rows
    ]  # fmt: skip
    write_text(folder / "rows.tsv", "\n".join("\t".join(line) for line in lines) + "\n")


def seen(case: Case, truth: Truth, sample: int, fineness: Fineness, device: str = "cpu") -> Seen:
    """Monte Carlo views of acquisition `sample`, which is one of `truth`'s cycle."""
    patient, site = truth.patient, case.site()
    bare = case.phantom()
    imaged = case.phantom(arms=True) if site.arms else bare
    grid = scene_grid(patient, imaged, load_camera(CAMERA).pixel_mm, fineness.sim_mm)
    volumes = dict(zip(truth.anatomy.classes, truth.volume_ml.tolist(), strict=True))
    there = scene(patient, volumes, (bare, imaged), site, patient.acquisitions[sample % PER_CYCLE], grid)
    axis = middle_mm(patient.grid.axis_mm(1), truth.anatomy.sampled.body)
    return seen_by_camera(case, sample, there, axis, fineness.histories, device)


def planar_pair(case: Case, truth: Truth, sample: int, fineness: Fineness, device: str = "cpu") -> PlanarPair:
    """One sweep with dead time and Poisson noise, seeded alike in all variants."""
    found, acquisition = seen(case, truth, sample, fineness, device), truth.patient.acquisitions[sample % PER_CYCLE]
    rng, site = rng_for(case.root, "reconstruction benchmark noise", case.name, sample), case.site()
    rate, camera = found.views.rate * site.sensitivity, site.camera(load_camera(CAMERA))
    return swept(rate, found.grid, camera, truth.patient, acquisition, found.told_mm, rng)


def _write_ct(truth: Truth, case: Case, folder: Path) -> None:
    """The CT's numbers with the scanner's blur and noise; an offset stands in the imaged patient instead."""
    rng, grid = rng_for(case.root, "reconstruction benchmark ct", case.name), truth.patient.grid
    hu = ndimage.gaussian_filter(truth.anatomy.sampled.hu, 0.5) + rng.normal(0.0, CT_NOISE_HU, grid.shape)
    volume = Volume(np.clip(np.rint(hu), -1024, 3071).astype(np.int16), grid, "CT number", "HU")
    write_volume(folder / "ct.nii.gz", volume, np.int16)


def _write_labels(truth: Truth, case: Case, folder: Path) -> None:
    """Segmentation, with errors where the variant has them; the known lesions, and all of them."""
    sampled, grid = truth.anatomy.sampled, truth.patient.grid
    labels = perturbed_labels(truth.patient, truth, case.root) if case.site().segmentation else sampled.host
    write_segmentation(folder, labels, grid)
    known = [x.label for x in truth.patient.phantom.lesions if x.known]
    write_lesions(folder / "lesions.nii.gz", sampled.labels * np.isin(sampled.labels, known), grid)
    write_lesions(folder / ALL_LESIONS, sampled.labels, grid)


def _write_priors(truth: Truth, case: Case, folder: Path) -> None:
    """Images as an earlier PET of the same patient would be, on the CT: `PRIORS`."""
    patient, labels = truth.patient, truth.anatomy.sampled.labels
    hours = patient.acquisitions[0].hours
    kbq_ml = truth.map_of(concentrations_kbq_ml(patient, truth.anatomy.classes, hours))
    activity = Volume(kbq_ml * 1e3, patient.grid, "activity concentration", "Bq/mL")
    for name, (off_mm, look) in PRIORS.items():
        direction = rng_for(case.root, "reconstruction benchmark prior", case.name + name).standard_normal(3)
        shift = tuple(float(x) for x in off_mm * direction / np.linalg.norm(direction))
        seed = seed_for(case.root, "reconstruction benchmark prior image", case.name + name)
        write_volume(folder / name, prior_image(activity, labels, replace(look, shift_mm=shift), seed))


def write_lesions(path: Path, labels: np.ndarray, grid: Grid) -> None:
    """The lesions of a label map, numbered from 1."""
    lesions = np.where(labels > LESION_BASE, labels - LESION_BASE, 0)
    write_volume(path, Volume(lesions, grid, "lesions", "1"), np.int16)


def write_segmentation(folder: Path, labels: np.ndarray, grid: Grid) -> None:
    """``segmentation.nii.gz`` with its names table."""
    write_volume(folder / "segmentation.nii.gz", Volume(labels, grid, "labels", "1"), np.int16)
    names = [f"{v}\t{name_of_label()[int(v)]}" for v in np.unique(labels) if v]
    write_text(folder / "segmentation.tsv", "\n".join(["label\tname", *names]) + "\n")


def _write_truth(truths: list[Truth], folder: Path) -> None:
    """``labels.nii.gz``, ``{timepoint}_activity.nii.gz`` (Bq/mL), ``organs.csv`` (class, known, volume, activities)."""
    first = truths[0]
    grid, classes, known = first.patient.grid, first.anatomy.classes, first.patient.phantom.lesions
    write_volume(folder / "labels.nii.gz", Volume(first.anatomy.sampled.labels, grid, "labels", "1"), np.int16)
    told = {f"lesion_{x.label - LESION_BASE}": x.known for x in known}
    table = pd.DataFrame({
        "organ": classes, "known": [not is_lesion(c) or told[c] for c in classes], "volume_ml": first.volume_ml,
    })  # fmt: skip
    for truth in truths:
        for a in truth.patient.acquisitions:
            bq_ml = truth.map_of(concentrations_kbq_ml(truth.patient, classes, a.hours)) * 1e3
            write_volume(folder / f"{a.name}_activity.nii.gz", Volume(bq_ml, grid, "activity concentration", "Bq/mL"))
            table[f"activity_mbq_{a.name}"] = truth.anatomy.totals(bq_ml) * grid.voxel_ml / BQ_PER_MBQ
    with atomic(folder / "organs.csv") as temporary:
        table.to_csv(temporary, index=False, float_format="%.8g", lineterminator="\n")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("--split", choices=list(FIRST_SEED), default="validation")
    parser.add_argument("--seed", type=int, default=0, help="within the split: 0 to 999999")
    parser.add_argument("--anatomies", type=int, default=6)
    parser.add_argument("--first", type=int, default=1, help="number of the first anatomy")
    parser.add_argument("--samples", type=int, default=2, help="acquisitions per anatomy")
    parser.add_argument("--variant", choices=list(VARIANTS), default="mismatched")
    parser.add_argument("--sim-mm", type=float, default=SIM_MM)
    parser.add_argument("--histories", type=float, default=5e5)
    parser.add_argument("--device", default="cpu", choices=DEVICES, help="of the Monte Carlo")
    a = parser.parse_args()
    device = warp_device(a.device)
    numbers = range(a.first, a.first + a.anatomies)
    cases = [Case(a.split, a.seed, n, a.variant, a.samples) for n in numbers]
    for case in cases:
        write_case(a.out, case, Fineness(sim_mm=a.sim_mm, histories=a.histories), device)
        print(f"{case.name}: {a.samples} acquisitions", flush=True)
    write_sheet(a.out, cases)


if __name__ == "__main__":
    main()
