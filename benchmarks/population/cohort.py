"""Synthetic patients with their virtual data, made by the ordinary steps; what is there already is not made again.

Uptakes are drawn and projected in the true organs. The segmentations that a clinic would have of the same patient, with
their faults, are made beside them (`segmented_models`): features are made with those, so that the network meets organs
that are a little too large, too small, or missing.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from planardose.anatomy.build import build_model
from planardose.cohort import Cohort, Row
from planardose.config import Config, parse_config
from planardose.demo.images import perturbed_labels, write_ct_series
from planardose.demo.patient import CAMERA, NUCLIDE, TRACER, DemoPatient, Truth, draw_patient, truth_of
from planardose.image import Volume
from planardose.io.nifti import read_volume
from planardose.patient_model import PatientModel
from planardose.run import Run
from planardose.seeds import seed_for
from planardose.steps.import_ct import import_ct
from planardose.steps.project import project
from planardose.steps.sample_uptake import sample_uptake

SEGMENTATIONS = 2  # with faults, per patient


@dataclass(frozen=True)
class Size:
    """How many patients and virtual uptakes of each, photon histories per uptake, and the voxel of the CT in mm."""

    anatomies: int
    uptakes: int
    histories: float
    ct_mm: tuple[float, float, float]


def config_of(seed: int, size: Size) -> Config:
    """The default config with another seed and effort."""
    sampling = {"samples": size.uptakes, "validation": 1}
    projection = {"chunk": size.uptakes, "histories": size.histories}
    return parse_config({"seed": seed, "sampling": sampling, "projection": projection})


def population_run(cache: Path, seed: int, size: Size) -> Run:
    """The run of a cohort of patients drawn from `seed`, its virtual data complete.

    Parameters
    ----------
    cache : Path
        Holds inputs and results below a folder of the seed.
    seed : int
        Root of anatomies, uptakes and histories.
    size : Size
    """
    folder = cache / f"seed{seed}"
    patients = [draw_patient(seed, n, size.ct_mm) for n in range(1, size.anatomies + 1)]
    rows = tuple(_row(p, folder / "inputs" / p.pseudonym) for p in patients)
    run = Run(config_of(seed, size), Cohort(rows), folder / "results")
    for patient in patients:
        _make_patient(run, patient)
    return run


def segmented_models(run: Run, patient: str) -> list[PatientModel]:
    """The patient model with the true organs, then those with faulty segmentations; all on one grid."""
    return [PatientModel.load(path) for path in _model_paths(run, patient)]


def _model_paths(run: Run, patient: str) -> list[Path]:
    true = run.path("model", patient=patient)
    return [true, *(true.with_name(f"segmented_{n}.npz") for n in range(SEGMENTATIONS))]


def _row(patient: DemoPatient, folder: Path) -> Row:
    injection = (patient.injected_mbq, patient.injected_at)
    return Row(patient.pseudonym, "t24", NUCLIDE, TRACER, CAMERA, *injection, {"ct": folder / "ct"})


def _make_patient(run: Run, patient: DemoPatient) -> None:
    """A CT as in the demo, patient models, then sample-uptake and project."""
    name, seed = patient.pseudonym, run.config.seed
    if not _model_paths(run, name)[-1].exists():
        truth = truth_of(patient)
        write_ct_series(patient, truth, seed, run.cohort.rows_of(name)[0].paths["ct"])
        import_ct(run, name)
        _write_models(run, patient, truth)
    if not run.path("samples", patient=name).exists():
        sample_uptake(run, name)
    if not run.path("projections", patient=name, chunk=0).exists():
        project(run, name, 0)


def _write_models(run: Run, patient: DemoPatient, truth: Truth) -> None:
    """True organs and faulty ones, known lesions in both; the others are for `sample-uptake` to draw."""
    name, sampled = patient.pseudonym, truth.anatomy.sampled
    ct = read_volume(run.path("ct", patient=name), "CT number", "HU", f"{name} ct", dtype=np.int16)
    known = np.isin(sampled.labels, [x.label for x in patient.phantom.lesions if x.known])
    seeds = [seed_for(run.config.seed, "segmentation", name, n) for n in range(SEGMENTATIONS)]
    hosts = [sampled.host, *(perturbed_labels(patient, truth, s) for s in seeds)]
    for path, host in zip(_model_paths(run, name), hosts, strict=True):
        labels = Volume(np.where(known, sampled.labels, host), ct.grid, "label", "1")
        build_model(ct, labels, run.config.grid_mm, name).save(path)
