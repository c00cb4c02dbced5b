"""A demo patient of coarse images: files, truth, displacement, privacy words, and equal files for equal seeds."""

from dataclasses import replace

import nibabel as nib
import numpy as np
import pandas as pd
import pydicom
import pytest

from planardose.anatomy.phantom import Pose
from planardose.commands.make_demo import Settings, make_demo
from planardose.config import Hand
from planardose.demo.images import SOURCE_MBQ, perturbed_labels
from planardose.demo.patient import anatomy_on, concentrations_kbq_ml, draw_patient, integrals_kbq_h_ml, truth_of
from planardose.errors import InputError
from planardose.io.ct import read_ct
from planardose.io.files import sha256_of
from planardose.io.planar_in import read_planar
from planardose.library import load_camera, load_nuclide
from planardose.sheet import load_cohort

COARSE = Settings(ct_mm=(8.0, 8.0, 8.0), sim_mm=8.0, histories=2e4, photons=1e5)
SEED = 3


@pytest.fixture(scope="module")
def demo(tmp_path_factory):
    out = tmp_path_factory.mktemp("demo")
    make_demo(out, 1, SEED, COARSE)
    return out


@pytest.fixture(scope="module")
def truth():
    return truth_of(draw_patient(SEED, 1, COARSE.ct_mm))


@pytest.fixture(scope="module")
def patient(truth):
    return truth.patient


def test_the_sheet_and_every_input_are_readable(demo, patient):
    rows = load_cohort(demo / "cohort.tsv").rows
    assert len(rows) >= 3
    ct = read_ct(rows[0].paths["ct"], "ct")
    assert ct.data.min() >= -1024 and -130 < np.median(ct.data[ct.data > -200]) < 100
    for row, acquisition in zip(rows, patient.acquisitions, strict=True):
        pair = read_planar(row.paths["planar"], load_camera(row.camera), row.where, Hand(), "test").pair
        assert pair.counts.shape[:2] == (2, 3) and pair.duration_s > pair.exposure_s
        hours = (pair.mid_time - row.injected_at).total_seconds() / 3600
        assert hours == pytest.approx(acquisition.hours, abs=1 / 3600)
        photopeak = pair.counts[:, load_nuclide("177Lu").peak_index(pair.windows)].sum(axis=(1, 2))
        low, high = {4: (1.2e6, 6e6), 24: (0.5e6, 2.2e6), 96: (0.1e6, 0.6e6), 168: (0.03e6, 0.2e6)}[
            int(row.timepoint[1:])
        ]
        assert (photopeak > low).all() and (photopeak < high).all()


def test_the_truth_adds_up(demo, patient):
    folder = demo / "truth" / "P01"
    organs = pd.read_csv(folder / "organs.csv").set_index("organ")
    labels = nib.load(folder / "labels.nii.gz")
    ml = abs(np.linalg.det(labels.affine[:3, :3])) / 1000
    kidney = np.asarray(labels.dataobj) == 3
    dose = nib.load(folder / "dose_gy.nii.gz").get_fdata()
    assert kidney.sum() * ml == pytest.approx(organs.volume_ml["kidney_left"], rel=1e-6)
    for acquisition in patient.acquisitions:
        bq_ml = nib.load(folder / f"{acquisition.name}_activity.nii.gz").get_fdata()
        column = organs[f"activity_mbq_{acquisition.name}"]
        assert bq_ml.sum() * ml / 1e6 == pytest.approx(column.sum(), rel=1e-5)
        assert bq_ml[kidney].sum() * ml / 1e6 == pytest.approx(column["kidney_left"], rel=1e-5)
        assert column.sum() < patient.injected_mbq * 0.5 ** (acquisition.hours / load_nuclide("177Lu").half_life_h)
    assert dose[kidney].mean() == pytest.approx(organs.dose_gy["kidney_left"], rel=0.05)
    electrons = organs.tia_mbq_h * 1e6 * 3600 * 147.9 * 1.602176634e-16
    photons = organs.dose_gy * organs.mass_g / 1000 / electrons - 1
    # what organs of this size keep of 33.5 keV per decay, and what reaches them from their neighbours
    assert photons["kidney_left"] == pytest.approx(0.03, abs=0.012) and 0.04 < photons["liver"] < 0.12
    assert (photons[organs.index.str.contains("lesion")] < 0.03).all() and (photons > 0.003).all()


def test_time_integrals_are_those_of_a_fine_sum(patient):
    hours = np.geomspace(1e-3, 3000, 20_000)
    classes = ("kidney_left", "liver", "blood_pool", "lesion_1")
    curves = np.array([concentrations_kbq_ml(patient, classes, h) for h in hours])
    assert integrals_kbq_h_ml(patient, classes) == pytest.approx(np.trapezoid(curves, hours, axis=0), rel=2e-3)


def test_the_displaced_patient_has_the_same_texture(patient, truth):
    """A point of the liver has its uptake wherever the patient lies."""
    pose = Pose((16.0, 0.0, 8.0))  # whole voxels
    moved = anatomy_on(patient, patient.grid, pose)
    here = truth.anatomy.weight[4:-4, :, 4:-4]
    there = moved.weight[6 : moved.weight.shape[0] - 2, :, 5 : moved.weight.shape[2] - 3]
    both = (here > 0) & (there > 0)
    assert there[both] == pytest.approx(here[both], rel=1e-3)


def test_the_body_never_holds_more_than_was_injected(truth):
    """Curves a hundred times too high come down to what was given; sound ones stay as they are."""
    absurd = replace(truth.patient, curves={c: (100 * a, r) for c, (a, r) in truth.patient.curves.items()})
    lowered = truth_of(absurd).patient
    for hours in (1.0, 4.0, 24.0, 100.0):
        mbq = concentrations_kbq_ml(lowered, truth.anatomy.classes, hours) @ truth.volume_ml / 1000
        assert mbq <= 0.951 * lowered.injected_mbq * 0.5 ** (hours / 159.528)
    again = truth_of(truth.patient).patient
    assert np.array_equal(again.curves["liver"][0], truth.patient.curves["liver"][0])


def test_poses_differ_and_are_several_mm(patient):
    shifts = np.array([a.pose.shift_mm for a in patient.acquisitions])
    assert (np.abs(shifts[:, [0, 2]]) >= 4).all() and (np.abs(shifts[:, [0, 2]]) <= 15).all()
    assert len(np.unique(shifts[:, 0])) == len(shifts)
    assert all(abs(a.pose.rotation_deg[1]) > 0 for a in patient.acquisitions)


def test_the_segmentation_is_wrong_as_segmentations_are():
    fine = truth_of(draw_patient(SEED, 1))  # at the demo's own voxels: coarser ones hide an edge that moves by 1 mm
    true, given = fine.anatomy.sampled.labels, perturbed_labels(fine.patient, fine, SEED)
    assert given.max() < 1000  # no lesion
    glands = {207, 208, 209, 210}
    assert len(glands & set(np.unique(true))) == 4 and len(glands & set(np.unique(given))) == 3
    for organ in (2, 3, 5):
        ratio = (given == organ).sum() / (true == organ).sum()
        assert 0.75 < ratio < 1.25 and ratio != 1
        assert ((given == organ) & (true == organ)).sum() > 0.75 * (true == organ).sum()


def test_planted_names_are_in_the_files_and_no_word_gives_the_patient_away(demo):
    words = (demo / "planted_names.txt").read_text().splitlines()
    header = pydicom.dcmread(next((demo / "inputs").rglob("CT0001.dcm")), stop_before_pixels=True)
    text = str(header)
    for word in words:
        assert word in text
    for path in (demo / "inputs").rglob("*.dcm"):
        text = str(pydicom.dcmread(path, stop_before_pixels=True)).lower()
        assert not any(w in text for w in ("synthetic", "phantom", "simulat", "demo", "planardose", "monte"))


def test_the_calibration_is_near_the_cameras_own(demo):
    value = load_cohort(demo / "cohort.tsv").rows[0].calibration_cps_per_mbq
    assert 9.0 < value < 14.0  # 12.1 computed, a standard deviation of 4 %
    source = read_planar(
        demo / "calibration" / "source.dcm", load_camera("siemens_symbia_melp"), "source", Hand(), "t"
    ).pair
    assert source.counts[:, 0].sum() / 2 / source.exposure_s / SOURCE_MBQ == pytest.approx(value, rel=1e-4)


def test_a_folder_with_a_cohort_is_left_alone(demo):
    with pytest.raises(InputError, match="holds a cohort already"):
        make_demo(demo, 1, SEED)


def test_patients_differ_and_do_not_depend_on_how_many_there_are():
    first, second = draw_patient(SEED, 1), draw_patient(SEED, 2)
    assert first.identity != second.identity and not np.allclose(first.phantom.scale, second.phantom.scale)
    assert draw_patient(SEED, 9).identity.name != first.identity.name
    assert len(second.acquisitions) >= 3


@pytest.mark.slow
def test_equal_seeds_give_equal_files(demo, tmp_path):
    make_demo(tmp_path / "again", 1, SEED, COARSE)
    assert sha256_of(demo) == sha256_of(tmp_path / "again")
