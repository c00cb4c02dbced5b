"""Command `make-demo`: a cohort of synthetic patients with real DICOM files, and the truth for `evaluate`."""

import csv
import io
import multiprocessing
import os
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from planardose.anatomy.phantom import density_of_hu
from planardose.demo import images
from planardose.demo.patient import CT_SPACING_MM, FIRST_DAY, DemoPatient, draw_patient, truth_of, write_truth
from planardose.demo.procedure import DEFAULT, Procedure
from planardose.errors import InputError
from planardose.io.files import write_text

if TYPE_CHECKING:
    from planardose.demo.spect import SpectSettings

WORKERS = 2
SHARE_IN_CT = 0.74  # of the body's mass; arms and legs are outside
COLUMNS = (
    "patient", "timepoint", "ct", "planar", "nuclide", "tracer", "camera", "injected_mbq", "injected_at",
    "segmentation", "lesions", "calibration_cps_per_mbq", "weight_kg",
)  # fmt: skip
SPECT_COLUMNS = ("spect", "spect_ct", "spect_bqml_per_count")
SPECT_HOURS = 24.0  # the SPECT is taken after the sweep nearest to it


@dataclass(frozen=True)
class Settings:
    """Fineness of the simulated images; the defaults are at least twice as fine as the chain's 10 mm."""

    ct_mm: tuple[float, float, float] = CT_SPACING_MM
    sim_mm: float = 5.0
    histories: float = 5e5
    photons: float = 3e6  # followed for the true dose


@dataclass(frozen=True)
class Measured:
    """What the images need of the truth: the patient as it is imaged, class volumes (mL), the body's axis (RAS y, mm),
    mass in the CT (kg).
    """

    patient: DemoPatient
    volumes_ml: dict[str, float]
    axis_mm: float
    mass_kg: float


def _anatomy_job(out: Path, seed: int, number: int, settings: Settings, procedure: Procedure) -> Measured:
    """Write a patient's truth, CT, segmentation and lesions."""
    truth = truth_of(draw_patient(seed, number, settings.ct_mm, procedure=procedure))
    patient = truth.patient
    write_truth(truth, out / "truth" / patient.pseudonym, settings.photons, seed)
    folder = out / patient.folder
    images.write_ct_series(patient, truth, seed, folder / "ct")
    images.write_segmentation(patient, truth, seed, folder)
    body = truth.anatomy.sampled.body
    occupied = np.flatnonzero(body.any(axis=(0, 2)))
    axis = float(patient.grid.axis_mm(1)[occupied[[0, -1]]].mean())
    mass = float(density_of_hu(truth.anatomy.sampled.hu)[body].sum() * patient.grid.voxel_ml / 1000)
    return Measured(patient, dict(zip(truth.anatomy.classes, truth.volume_ml.tolist(), strict=True)), axis, mass)


def _planar_job(out: Path, seed: int, name: str, measured: Measured, settings: Settings) -> None:
    """Write one time point's sweep."""
    patient = measured.patient
    acquisition = next(a for a in patient.acquisitions if a.name == name)
    pair = images.planar_pair(
        patient, measured.volumes_ml, measured.axis_mm, acquisition, images.true_camera(seed, patient.procedure), seed,
        settings.sim_mm, settings.histories,
    )  # fmt: skip
    images.write_sweep(out / patient.folder / f"nm_{name}.dcm", pair, patient, seed)


def _with_spect(patient: DemoPatient) -> str:
    """Time point at which a SPECT is taken too."""
    return min(patient.acquisitions, key=lambda a: abs(a.hours - SPECT_HOURS)).name


def _spect_job(out: Path, seed: int, measured: Measured, settings: "SpectSettings") -> None:
    """Write a patient's SPECT/CT."""
    from planardose.demo import spect as demo_spect  # torch: most cohorts have no SPECT

    patient, name = measured.patient, _with_spect(measured.patient)
    acquisition = next(a for a in patient.acquisitions if a.name == name)
    true = images.true_camera(seed, patient.procedure)
    taken = demo_spect.spect_of(patient, measured.volumes_ml, acquisition, true, seed, settings)
    demo_spect.write_spect_ct(out / patient.folder, name, taken, patient, seed)


def _spect_cells(patient: DemoPatient, name: str) -> list[str]:
    if name != _with_spect(patient):
        return ["", "", ""]
    from planardose.demo.spect import BQML_PER_COUNT

    folder = patient.folder
    return [f"{folder}/spect_{name}.dcm", f"{folder}/spect_ct_{name}", f"{BQML_PER_COUNT:g}"]


def _rows(measured: Measured, calibration: float, spect: bool) -> list[list[str]]:
    patient, folder, used = measured.patient, measured.patient.folder, measured.patient.procedure
    return [
        [
            patient.pseudonym, a.name, f"{folder}/ct", f"{folder}/nm_{a.name}.dcm", used.nuclide, used.tracer,
            used.camera, f"{patient.injected_mbq:g}", patient.injected_at.isoformat(), f"{folder}/segmentation.nii.gz",
            f"{folder}/lesions.nii.gz", f"{calibration:.6g}", f"{measured.mass_kg / SHARE_IN_CT:.0f}",
            *(_spect_cells(patient, a.name) if spect else ()),
        ]
        for a in patient.acquisitions
    ]  # fmt: skip


def _planted(patients: list[DemoPatient]) -> list[str]:
    words = []
    for p in patients:
        words += [*p.identity.name.split("^"), p.identity.patient_id, p.identity.birth_date, p.identity.institution]
    return list(dict.fromkeys(words))


@contextmanager
def _workers(jobs: int) -> Iterator[Callable]:
    """``run(jobs, function)``: results of `function(*job)` in order, on up to `WORKERS` processes."""
    workers = min(WORKERS, jobs, os.cpu_count() or 1)
    if workers < 2:
        yield lambda jobs, function: [function(*job) for job in jobs]
        return
    with ProcessPoolExecutor(workers, mp_context=multiprocessing.get_context("spawn")) as pool:
        yield lambda jobs, function: [f.result() for f in [pool.submit(function, *job) for job in jobs]]


def make_demo(
    out: Path,
    patients: int,
    seed: int,
    settings: Settings | None = None,
    spect: "SpectSettings | None" = None,
    procedure: Procedure = DEFAULT,
) -> None:
    """Write a cohort that any clinic could have, and its truth beside it.

    Parameters
    ----------
    out : Path
        Gets ``cohort.tsv``, ``inputs/``, ``calibration/source.dcm``, ``planted_names.txt`` (names that must not show up
        in any output), ``truth/``.
    patients, seed : int
        Any number from 1, any seed from 0.
    settings : Settings
        Fineness of the simulation.
    spect : SpectSettings or None
        Given: every patient also has a SPECT/CT after the sweep nearest to 24 h (about a minute each on one core).
    procedure : Procedure
        What is injected and imaged with which camera (`planardose.demo.procedure.procedure_of`).

    Raises
    ------
    InputError
        If `out` holds a cohort already, or on a number or seed out of range.
    """
    settings = settings or Settings()
    if (out / "cohort.tsv").exists():
        raise InputError(
            "make-demo OUT", "holds a cohort already", "a new or empty folder", "choose another one or delete it"
        )
    if patients < 1 or seed < 0:
        raise InputError("make-demo", f"{patients} patients, seed {seed}", "1 or more patients, seed 0 or more")
    with _workers(2 * patients) as run:  # every patient has two sweeps or more
        measured = run([(out, seed, n, settings, procedure) for n in range(1, patients + 1)], _anatomy_job)
        run([(out, seed, a.name, m, settings) for m in measured for a in m.patient.acquisitions], _planar_job)
        if spect is not None:
            run([(out, seed, m, spect) for m in measured], _spect_job)
    source, true = out / "calibration" / "source.dcm", images.true_camera(seed, procedure)
    calibration = images.write_source(source, true, seed, FIRST_DAY, procedure)
    write_text(out / "planted_names.txt", "\n".join(_planted([m.patient for m in measured])) + "\n")
    text = io.StringIO()
    writer = csv.writer(text, delimiter="\t", lineterminator="\n")
    writer.writerow(COLUMNS + (SPECT_COLUMNS if spect is not None else ()))
    for m in measured:
        writer.writerows(_rows(m, calibration, spect is not None))
    write_text(out / "cohort.tsv", text.getvalue())
