"""Step import-prior on a synthetic patient: one bed of a SPECT with its own CT, in another frame than the CT."""

import json
from dataclasses import replace

import numpy as np
import pytest
from benchmarks.prior.image import Look, prior_image
from benchmarks.reconstruction.anatomies import Case
from benchmarks.reconstruction.cohort import Fineness, write_case, write_sheet

from planardose.cohort import Cohort
from planardose.config import parse_config
from planardose.image import Grid, Volume
from planardose.io.nifti import read_volume, write_volume
from planardose.run import Run
from planardose.sheet import load_cohort
from planardose.steps.import_ct import import_ct
from planardose.steps.import_prior import import_prior
from planardose.steps.segment import segment

COARSE = Fineness(ct_mm=(6.0, 6.0, 6.0), sim_mm=14.0, histories=1e4)
CASE = Case("validation", 999_101, 1, "matched", 1)
BED_MM = 390.0
MOVED_MM = np.array([9.0, -7.0, 40.0])  # the SPECT/CT's frame against the planning CT's


@pytest.fixture(scope="module")
def patient(tmp_path_factory):
    """The cohort's folder and the run of a patient with its model."""
    folder = tmp_path_factory.mktemp("prior")
    write_case(folder, CASE, COARSE)
    cohort = load_cohort(write_sheet(folder, [CASE]))
    run = Run(parse_config({"grid_mm": 12.0}), cohort, folder / "results")
    import_ct(run, CASE.name)
    segment(run, CASE.name)
    return folder, run


def one_bed(volume: Volume, middle_mm: float) -> Volume:
    """The slices within a bed about RAS z = `middle_mm`, in the SPECT/CT's frame."""
    z = volume.grid.axis_mm(2)
    inside = np.flatnonzero(np.abs(z - middle_mm) <= BED_MM / 2)
    affine = volume.grid.ras_from_voxel.copy()
    affine[2, 3] = z[inside[0]]
    affine[:3, 3] += MOVED_MM
    data = volume.data[:, :, inside[0] : inside[-1] + 1]
    return Volume(data, Grid(data.shape, affine), volume.quantity, volume.unit)


def imported(patient, own_ct: bool) -> tuple[dict, np.ndarray]:
    """What import-prior tells of one bed about the kidneys, and its image."""
    folder, run = patient
    truth = folder / "truth" / CASE.name
    labels = read_volume(truth / "labels.nii.gz", "labels", "1", "labels", np.int16)
    source = next(truth.glob("*_activity.nii.gz"))
    activity = read_volume(source, "activity concentration", "Bq/mL", "activity", np.float64)
    kidneys = np.flatnonzero(np.isin(labels.data, (2, 3)).any(axis=(0, 1)))
    middle = float(labels.grid.axis_mm(2)[kidneys].mean())
    image = one_bed(prior_image(activity, labels.data, Look(fwhm_mm=11.0), 1), middle)
    write_volume(folder / "spect.nii.gz", image)
    ct = read_volume(folder / "inputs" / CASE.name / "ct.nii.gz", "CT number", "HU", "ct", np.int16)
    noisy = ct.data + np.random.default_rng(1).normal(0, 20, ct.data.shape)
    own = one_bed(Volume(noisy, ct.grid, "CT number", "HU"), middle)
    write_volume(folder / "spect_ct.nii.gz", own, np.int16)
    files = {"prior_image": folder / "spect.nii.gz"} | ({"prior_ct": folder / "spect_ct.nii.gz"} if own_ct else {})
    rows = tuple(replace(r, paths={**r.paths, **files}) for r in run.cohort.rows)
    run = Run(run.config, Cohort(rows), run.results)
    import_prior(run, CASE.name)
    told = json.loads(run.path("prior_registration", patient=CASE.name).read_text())
    data = read_volume(run.path("prior", patient=CASE.name), "prior image", "arbitrary", "prior", np.float32).data
    return told, data


def test_one_bed_with_its_ct_is_found_and_used(patient):
    told, data = imported(patient, own_ct=True)
    assert told["method"] == "prior_ct" and told["unusable"] is None
    assert told["ct_correlation"] > 0.8
    assert np.linalg.norm(np.array(told["image_from_ct"])[:3, 3] - MOVED_MM) < 4.0
    assert 0.15 < told["covered"] < 0.5
    assert np.isnan(data).mean() > 0.3 and np.nanmax(data) > 0


def test_one_bed_without_its_ct_is_not_placed_by_the_organs(patient):
    told, _ = imported(patient, own_ct=False)
    assert told["method"] == "organs"
    assert "name its own CT in prior_ct" in told["unusable"]
