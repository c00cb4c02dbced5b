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
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from benchmarks.reconstruction.anatomies import FIRST_SEED, PER_CYCLE, Case
from benchmarks.reconstruction.mismatch import VARIANTS
from benchmarks.reconstruction.scene import Scene, scene, scene_grid
from scipy import ndimage

from planardose.errors import InputError
from planardose.image import Grid, Volume
from planardose.io.files import atomic, write_text
from planardose.io.nifti import write_volume
from planardose.io.planar_file import write_user_pair
from planardose.library import load_camera, load_nuclide
from planardose.organs import LESION_BASE, is_lesion, name_of_label
from planardose.physics.sensitivity import air_sensitivity_cps_per_mbq
from planardose.planar import EnergyWindow, PlanarPair
from planardose.seeds import rng_for, seed_for
from planardose.sim.montecarlo import Views, simulate_views
from planardose.steps.demo_images import CT_NOISE_HU, GAP_MM, perturbed_labels, swept, windows
from planardose.steps.demo_patient import CAMERA, CT_SPACING_MM, NUCLIDE, TRACER, Truth, concentrations_kbq_ml, truth_of
from planardose.units import BQ_PER_MBQ

GENERATOR = 1  # bumped when a case's files change
COLUMNS = (
    "patient", "timepoint", "ct", "planar", "nuclide", "tracer", "camera", "injected_mbq", "injected_at",
    "segmentation", "lesions", "calibration_cps_per_mbq",
)  # fmt: skip


@dataclass(frozen=True)
class Fineness:
    """Of CT and simulation, and photons followed for the scatter of a sweep."""

    ct_mm: tuple[float, float, float] = CT_SPACING_MM
    sim_mm: float = 5.0
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
    _claim(out, case, fineness)
    truths = [truth_of(cycle) for cycle in case.cycles(fineness.ct_mm)]
    _write_truth(truths, out / "truth" / case.name)
    folder = out / "inputs" / case.name
    _write_ct(truths[0], case, folder)
    _write_labels(truths[0], case, folder)
    sample = 0
    for truth in truths:
        for acquisition in truth.patient.acquisitions:
            path = folder / f"{acquisition.name}.npz"
            if not (path.exists() and path.with_suffix(".json").exists()):
                write_user_pair(path, planar_pair(case, truth, sample, fineness, device))
            sample += 1
    write_text(folder / "rows.tsv", "\n".join("\t".join(row) for row in _rows(case, truths)) + "\n")


def _claim(out: Path, case: Case, fineness: Fineness) -> None:
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


def _rows(case: Case, truths: list[Truth]) -> list[list[str]]:
    """The sheet's rows; the calibration is the catalogue camera's, from which the true one differs by the mismatch."""
    nuclide, folder = load_nuclide(NUCLIDE), f"inputs/{case.name}"
    calibration = air_sensitivity_cps_per_mbq(load_camera(CAMERA), nuclide, nuclide.photopeak)
    return [
        [
            case.name, a.name, f"{folder}/ct.nii.gz", f"{folder}/{a.name}.npz", NUCLIDE, TRACER, CAMERA,
            f"{t.patient.injected_mbq:g}", t.patient.injected_at.isoformat(), f"{folder}/segmentation.nii.gz",
            f"{folder}/lesions.nii.gz", f"{calibration:.6g}",
        ]
        for t in truths
        for a in t.patient.acquisitions
    ]  # fmt: skip


@dataclass(frozen=True)
class Seen:
    """Noise-free views (cps) of an acquisition on `grid`, and the distances from body to faces that the file tells."""

    views: Views
    grid: Grid
    told_mm: tuple[float, float]


def seen(case: Case, truth: Truth, sample: int, fineness: Fineness, device: str = "cpu") -> Seen:
    """Monte Carlo views of acquisition `sample`, which is one of `truth`'s cycle; seeded alike in all variants."""
    patient, site, shot = truth.patient, case.site(), case.shot(sample)
    bare = case.phantom()
    imaged, camera = case.phantom(arms=True) if site.arms else bare, site.camera(load_camera(CAMERA))
    grid = scene_grid(patient, imaged, camera.pixel_mm, fineness.sim_mm)
    volumes = dict(zip(truth.anatomy.classes, truth.volume_ml.tolist(), strict=True))
    acquisition = patient.acquisitions[sample % PER_CYCLE]
    there = scene(patient, volumes, (bare, imaged), site, acquisition, grid)
    rng = rng_for(case.root, "reconstruction benchmark faces", case.name, sample)
    faces, told = _faces(there, truth, rng, shot.distance_mm)
    couch_mm = camera.couch_mm if site.couch_mm is None else site.couch_mm
    true_windows = tuple(EnergyWindow(w.low_kev + shot.drift_kev, w.high_kev + shot.drift_kev) for w in windows())
    seed = seed_for(case.root, "reconstruction benchmark histories", case.name, sample)
    views = simulate_views(
        there.density, there.activity, grid, camera, load_nuclide(NUCLIDE), true_windows, faces, fineness.histories,
        seed, device, couch_mm=couch_mm,
    )  # fmt: skip
    return Seen(views, grid, told)


def planar_pair(case: Case, truth: Truth, sample: int, fineness: Fineness, device: str = "cpu") -> PlanarPair:
    """One sweep with dead time and Poisson noise, seeded alike in all variants."""
    found, acquisition = seen(case, truth, sample, fineness, device), truth.patient.acquisitions[sample % PER_CYCLE]
    rng, site = rng_for(case.root, "reconstruction benchmark noise", case.name, sample), case.site()
    rate, camera = found.views.rate * site.sensitivity, site.camera(load_camera(CAMERA))
    return swept(rate, found.grid, camera, truth.patient, acquisition, found.told_mm, rng)


def _faces(there: Scene, truth: Truth, rng: np.random.Generator, error_mm: tuple[float, float]) -> tuple[tuple, tuple]:
    """RAS y of both collimator faces, and the distances from the CT's body axis that the file tells."""
    y, half = there.grid.axis_mm(1), 0.5 * there.grid.spacing_mm[1]
    occupied = y[there.body.any(axis=(0, 2))]
    anterior = float(occupied[-1] + half + rng.uniform(*GAP_MM[0]))
    posterior = float(occupied[0] - half - rng.uniform(*GAP_MM[1]))
    body = truth.patient.grid.axis_mm(1)[truth.anatomy.sampled.body.any(axis=(0, 2))]
    axis = 0.5 * (body[0] + body[-1])
    told = (round(anterior - axis + error_mm[0], 1), round(axis - posterior + error_mm[1], 1))
    return (anterior, posterior), told


def _write_ct(truth: Truth, case: Case, folder: Path) -> None:
    """The CT's numbers with the scanner's blur and noise; an offset stands in the imaged patient instead."""
    rng, grid = rng_for(case.root, "reconstruction benchmark ct", case.name), truth.patient.grid
    hu = ndimage.gaussian_filter(truth.anatomy.sampled.hu, 0.5) + rng.normal(0.0, CT_NOISE_HU, grid.shape)
    volume = Volume(np.clip(np.rint(hu), -1024, 3071).astype(np.int16), grid, "CT number", "HU")
    write_volume(folder / "ct.nii.gz", volume, np.int16)


def _write_labels(truth: Truth, case: Case, folder: Path) -> None:
    """Segmentation (with errors where the variant has them) with its names, and the known lesions."""
    sampled, grid = truth.anatomy.sampled, truth.patient.grid
    labels = perturbed_labels(truth.patient, truth, case.root) if case.site().segmentation else sampled.host
    write_volume(folder / "segmentation.nii.gz", Volume(labels, grid, "labels", "1"), np.int16)
    names = [f"{v}\t{name_of_label()[int(v)]}" for v in np.unique(labels) if v]
    write_text(folder / "segmentation.tsv", "\n".join(["label\tname", *names]) + "\n")
    known = [x.label for x in truth.patient.phantom.lesions if x.known]
    lesions = np.where(np.isin(sampled.labels, known), sampled.labels - LESION_BASE, 0)
    write_volume(folder / "lesions.nii.gz", Volume(lesions, grid, "lesions", "1"), np.int16)


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
    parser.add_argument("--sim-mm", type=float, default=5.0)
    parser.add_argument("--histories", type=float, default=5e5)
    parser.add_argument("--device", default="cpu", help="Warp device of the Monte Carlo: cpu or cuda")
    a = parser.parse_args()
    numbers = range(a.first, a.first + a.anatomies)
    cases = [Case(a.split, a.seed, n, a.variant, a.samples) for n in numbers]
    for case in cases:
        write_case(a.out, case, Fineness(sim_mm=a.sim_mm, histories=a.histories), a.device)
        print(f"{case.name}: {a.samples} acquisitions", flush=True)
    write_sheet(a.out, cases)


if __name__ == "__main__":
    main()
