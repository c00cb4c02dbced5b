"""A patient with a planar sweep and a simulated SPECT/CT, from files through the comparison to the report."""

import csv
import json
import shutil
from dataclasses import replace
from datetime import timedelta

import numpy as np
import pandas as pd
import pytest
from spect_scene import SEED, write_scene

from planardose.commands.check import check
from planardose.commands.make_demo import COLUMNS, SPECT_COLUMNS
from planardose.config import Config
from planardose.demo import images
from planardose.demo import spect as demo_spect
from planardose.errors import InputError
from planardose.image import Grid, Volume
from planardose.io.nifti import read_volume, write_volume
from planardose.patient_model import PatientModel
from planardose.recon.emission import OnGrid, estimated_fwhm_mm, on_grid, smoothed
from planardose.recon.spect_input import read_spect
from planardose.run import Run
from planardose.sheet import load_cohort
from planardose.steps.absorbed_dose import absorbed_dose
from planardose.steps.compare_spect import compare_spect
from planardose.steps.fit_kinetics import fit_kinetics
from planardose.steps.import_ct import import_ct
from planardose.steps.import_planar import import_planar
from planardose.steps.reconstruct import reconstruct
from planardose.steps.register import register
from planardose.steps.report import report
from planardose.steps.segment import segment

POINT = "t24"
KEYS = {"patient": "P01", "timepoint": POINT}


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Files of one patient with one time point, the sheet's row, and the SPECT."""
    out = tmp_path_factory.mktemp("spect")
    scene = write_scene(out)
    patient = scene.truth.patient
    acquisition = next(a for a in patient.acquisitions if a.name == POINT)
    pair, spect = scene.write_planar(scene.folder / "nm.dcm", acquisition), scene.write_spect(acquisition)
    cells = ["P01", POINT, "in/ct", "in/nm.dcm", "177Lu", "177Lu-PSMA-617", "siemens_symbia_melp",
             f"{patient.injected_mbq:g}", patient.injected_at.isoformat(), "in/segmentation.nii.gz",
             "in/lesions.nii.gz", f"{scene.source:.6g}", "70",
             f"in/spect_{POINT}.dcm", f"in/spect_ct_{POINT}", f"{demo_spect.BQML_PER_COUNT:g}"]  # fmt: skip
    return out, dict(zip(COLUMNS + SPECT_COLUMNS, cells, strict=True)), spect, acquisition, pair


def run_of(made, results: str = "results", **cells) -> Run:
    out, row = made[0], made[1] | cells
    sheet = out / f"{results}.tsv"
    with sheet.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(row), delimiter="\t", lineterminator="\n")
        writer.writeheader()
        writer.writerow(row)
    return Run(Config(methods=("qplanar", "qplanar_mlem", "mlem")), load_cohort(sheet), out / results)


@pytest.fixture(scope="module")
def run(made):
    """The chain up to the comparison."""
    run = run_of(made)
    import_ct(run, "P01")
    segment(run, "P01")
    for step in (import_planar, register, reconstruct, compare_spect):
        step(run, "P01", POINT)
    return run


def again(made, run: Run, results: str, **cells) -> Run:
    """The comparison once more beside copies of the earlier outputs, with other cells in the sheet."""
    other = run_of(made, results, **cells)
    shutil.copytree(run.results, other.results, dirs_exist_ok=True)
    compare_spect(other, "P01", POINT)
    return other


def table(run: Run) -> tuple[pd.DataFrame, dict]:
    path = run.path("spect", **KEYS)
    return pd.read_csv(path), json.loads(path.with_name(path.name + ".json").read_text())


def value(t: pd.DataFrame, method: str, measure: str, organ: str = "body", column: str = "value") -> float:
    row = t[(t.method == method) & (t.measure == measure) & (t.organ == organ)]
    assert len(row) == 1, (method, measure, organ)
    return float(row[column].iloc[0])


def test_maps_agree_with_the_spect_as_far_as_the_methods_are_good(run):
    t, facts = table(run)
    # QPlanar knows the organs, MLEM from a flat start does not, an even body nothing
    for measure, sign in (("mae", 1), ("nrmse", 1), ("ssim", -1)):
        scores = [sign * value(t, m, measure) for m in ("qplanar_mlem", "mlem", "all_zero")]
        assert scores == sorted(scores), measure
    assert value(t, "all_zero", "mae") == pytest.approx(1.0)
    for organ in ("liver", "kidney_left", "kidney_right"):
        assert abs(value(t, "qplanar_mlem", "activity_mbq", organ, "relative_error")) < 0.15
    assert abs(value(t, "qplanar_mlem", "activity_mbq", "field", "relative_error")) < 0.10
    # not fitted to the planar counts, the SPECT explains them nearly as well as even organs and foci that were
    assert value(t, "spect", "deviance", "field") < 1.5 * value(t, "qplanar", "deviance", "field")
    assert 0.9 < facts["scale_that_fits_the_planar_counts"] < 1.1
    assert 10.0 <= facts["fwhm_mm"] <= 29.0 and facts["fwhm_source"].startswith("estimated")
    assert facts["registration"]["ct_correlation"] > 0.95
    assert facts["hours_from_planar"] == pytest.approx(demo_spect.LATER_H, abs=0.01)
    half = 0.5 * images.true_camera(SEED).camera.field_mm[0]
    seen = np.flatnonzero(_map(run).any(axis=(0, 1)))
    assert 10 * seen.size == pytest.approx(2 * half, abs=30)  # one bed: the rest is not invented


def _map(run: Run) -> np.ndarray:
    return read_volume(run.path("spect_map", **KEYS), "x", "Bq/mL", "test").data


def test_registration_and_unit_matter(run, made):
    t, _ = table(run)
    unplaced, facts = table(again(made, run, "unplaced", spect_ct=""))
    assert facts["registration"].startswith("none")
    assert value(unplaced, "qplanar_mlem", "mae") > 1.1 * value(t, "qplanar_mlem", "mae")
    assert value(unplaced, "spect", "deviance", "field") > value(t, "spect", "deviance", "field")
    louder, facts = table(again(made, run, "louder", spect_bqml_per_count=f"{1.25 * demo_spect.BQML_PER_COUNT}"))
    ratio = (1 + value(louder, "qplanar", "activity_mbq", "liver", "relative_error")) / (
        1 + value(t, "qplanar", "activity_mbq", "liver", "relative_error")
    )
    assert ratio == pytest.approx(1 / 1.25, rel=1e-5)
    assert facts["scale_that_fits_the_planar_counts"] == pytest.approx(
        table(run)[1]["scale_that_fits_the_planar_counts"] / 1.25, rel=0.02
    )


def test_time_of_a_nifti_and_decay(run, made):
    """The same SPECT as NIfTI in Bq/mL, told to be one half-life later: twice the activity at the planar's time."""
    out, _, spect, _, pair = made
    path = out / "in" / "spect.nii.gz"
    half = replace(spect.volume, data=0.5 * spect.volume.data)
    write_volume(path, half)
    later = pair.mid_time + timedelta(hours=159.528)
    cells = {"spect": "in/spect.nii.gz", "spect_bqml_per_count": ""}
    other = again(made, run, "nifti", spect_at=later.isoformat(), **cells)
    t, facts = table(other)
    assert facts["decay_factor"] == pytest.approx(2.0, rel=1e-5)
    assert facts["hours_from_planar"] == pytest.approx(159.528, rel=1e-5)
    first = value(table(run)[0], "qplanar", "activity_mbq", "liver", "spect")
    assert value(t, "qplanar", "activity_mbq", "liver", "spect") == pytest.approx(first, rel=0.005)  # 45 min of decay
    with pytest.raises(InputError, match="spect_at: empty cell"):
        read_spect(run_of(made, "timeless", **cells).cohort.row("P01", POINT))


def test_what_cannot_be_is_refused_and_check_reads_the_files(run, made):
    assert check(run) == []
    for cells, words in (
        ({"spect_bqml_per_count": ""}, "names no unit"),
        ({"spect_bqml_per_count": "12500"}, "times what is left of the injection"),
        ({"spect": "in/ct"}, "no PET or SPECT"),
        ({"spect": "in/nothing"}, "no such file"),
    ):
        faults = check(run_of(made, "bad", **cells))
        assert len(faults) == 1 and words in faults[0], faults
        assert str(made[0]) not in faults[0]
    with pytest.raises(InputError, match="spect: empty cell"):
        read_spect(run_of(made, "bad", spect="", spect_ct="").cohort.row("P01", POINT))
    with pytest.raises(InputError, match="does not match the planning CT"):
        noise = np.random.default_rng(1).normal(-500, 500, (40, 40, 40))
        ct = Volume(np.where(noise > 0, 40.0, -1000.0), Grid.axis_aligned((40, 40, 40), 9.0, 0.0), "CT", "HU")
        write_volume(made[0] / "in" / "other.nii.gz", ct, np.int16)
        again(made, run, "strange", spect_ct="in/other.nii.gz")


def test_the_report_shows_it(run):
    fit_kinetics(run, "P01")
    absorbed_dose(run, "P01")
    report(run, "P01")
    page = run.path("report", patient="P01").read_text()
    assert "Compared with the SPECT" in page and "SPECT itself" in page
    t, _ = table(run)
    assert f"{value(t, 'qplanar_mlem', 'ssim'):.3f}" in page


def test_resampling_keeps_activity_and_tells_what_is_covered():
    rng = np.random.default_rng(2)
    fine = Grid.axis_aligned((40, 30, 36), 4.0, (-70.0, -50.0, 10.0))
    blob = smoothed(rng.random(fine.shape) * (np.indices(fine.shape).min(axis=0) > 8), 12.0, fine)
    image = Volume(blob, fine, "activity", "Bq/mL")
    coarse = Grid.axis_aligned((14, 11, 13), 10.0, (-60.0, -40.0, 5.0))
    turn = np.eye(4)
    turn[:2, :2] = [[np.cos(0.1), -np.sin(0.1)], [np.sin(0.1), np.cos(0.1)]]
    turn[:3, 3] = (4.0, -3.0, 2.0)
    found = on_grid(image, coarse, turn)
    assert 0.3 < found.covered.mean() < 1.0 and (found.per_ml[~found.covered] == 0).all()
    point = (7, 6, 6)
    assert found.covered[point]
    centre = turn @ coarse.ras_from_voxel @ np.array([*point, 1.0])
    index = np.round((np.linalg.inv(fine.ras_from_voxel) @ centre)[:3]).astype(int)
    near = blob[tuple(slice(n - 1, n + 2) for n in index)].mean()
    assert found.per_ml[point] == pytest.approx(near, rel=0.15)


def test_resolution_is_found(run):
    model = PatientModel.load(run.path("model", patient="P01"))
    rng = np.random.default_rng(3)
    concentration = rng.uniform(0.5, 20.0, len(model.organs))
    even = np.tensordot(concentration, model.fractions[..., model.ct_slices], axes=1)
    covered = np.ones(model.ct_grid.shape, dtype=bool)
    for fwhm in (6.0, 15.0, 22.0):
        seen = smoothed(even, fwhm, model.ct_grid)
        assert estimated_fwhm_mm(OnGrid(seen, covered), model) == pytest.approx(fwhm, abs=1.0)
