"""Planar NM files: orientation of both views, timing, and what real headers leave out."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pydicom
import pytest
from imaging_scene import CAMERA, LU, WINDOWS, planar_pair
from pydicom.sr.codedict import codes

from planardose.config import Hand
from planardose.errors import InputError
from planardose.io.dicom_nm import write_planar
from planardose.io.nm_views import posterior_looks_mirrored
from planardose.io.planar_in import read_planar
from planardose.library import names
from planardose.planar import PlanarPair

KEY = "patients.P01.t24"
WHERE = "P01 t24 planar"


def _pixels(ds, change) -> None:
    ds.PixelData = np.ascontiguousarray(change(ds.pixel_array.copy())).tobytes()


def _silent(ds) -> None:
    """As real two-detector statics: no view code, one orientation for both heads."""
    for item in ds.DetectorInformationSequence:
        item.ViewCodeSequence = []
        item.ImageOrientationPatient = [-1, 0, 0, 0, 0, -1]


@pytest.mark.parametrize("nuclide", names("nuclides"))
def test_a_nuclide_has_the_standards_code(nuclide: str, pair: PlanarPair, tmp_path: Path):
    """PS3.16 CID 18, as pydicom has it; of 161Tb there is none."""
    write_planar(tmp_path / "nm.dcm", pair, CAMERA, nuclide)
    (told,) = pydicom.dcmread(tmp_path / "nm.dcm").RadiopharmaceuticalInformationSequence
    element = {"Lu": "Lutetium", "I": "Iodine", "In": "Indium", "Tc": "Technetium"}.get(nuclide.lstrip("0123456789m"))
    listed = [] if element is None else [getattr(codes.cid18, f"_{nuclide.rstrip('LuInTc')}{element}")]
    found = [(x.CodeValue, x.CodingSchemeDesignator, x.CodeMeaning) for x in told.RadionuclideCodeSequence]
    assert found == [(x.value, x.scheme_designator, x.meaning) for x in listed]


@pytest.mark.parametrize("swept", [True, False])
def test_round_trip(swept: bool, tmp_path: Path):
    pair = planar_pair(swept=swept)
    write_planar(tmp_path / "nm.dcm", pair, CAMERA)
    found = read_planar(tmp_path / "nm.dcm", CAMERA, WHERE, key=KEY)
    assert found.notes == ()
    back = found.pair
    np.testing.assert_array_equal(back.counts, pair.counts)
    assert back.windows == WINDOWS
    assert back.pixel_mm == pair.pixel_mm
    assert (back.acquired_at, back.detector_distance_mm) == (pair.acquired_at, pair.detector_distance_mm)
    assert back.exposure_s == pytest.approx(pair.exposure_s, rel=1e-6)
    assert back.duration_s == pytest.approx(pair.duration_s, abs=0.5)


def test_a_source_right_in_front_near_the_head_stands_where_each_camera_sees_it(tmp_path: Path):
    ras = np.zeros((2, 1, 20, 50))
    ras[:, :, 16, 44] = 90  # right (+x), high (+z)
    pair = planar_pair(windows=WINDOWS[:1])
    pair = PlanarPair(PlanarPair.counts_from_ras(ras), WINDOWS[:1], (4.0, 5.0), 60.0, pair.acquired_at, 60.0)
    write_planar(tmp_path / "nm.dcm", pair, CAMERA)
    ds = pydicom.dcmread(tmp_path / "nm.dcm")
    anterior, posterior = ds.pixel_array
    assert np.argwhere(anterior).tolist() == [[5, 3]]  # row from the head, the patient's right on the left
    assert np.argwhere(posterior).tolist() == [[5, 16]]
    assert list(ds.DetectorVector) == [1, 2]
    assert [float(d.StartAngle) for d in ds.DetectorInformationSequence] == [180.0, 0.0]


def test_head_order_in_the_file_does_not_matter(edited, pair):
    def change(ds):
        ds.DetectorInformationSequence = ds.DetectorInformationSequence[::-1]
        ds.DetectorVector = [3 - int(d) for d in ds.DetectorVector]

    np.testing.assert_array_equal(edited(change).pair.counts, pair.counts)


def test_angle_alone_names_the_view_and_says_what_is_assumed(edited, pair):
    found = edited(_silent)
    np.testing.assert_array_equal(found.pair.counts, pair.counts)
    assert any(f"{KEY}.flip_posterior" in note for note in found.notes)


def test_angle_360_is_posterior(edited, pair):
    def change(ds):
        _silent(ds)
        ds.DetectorInformationSequence[1].StartAngle = "360"

    np.testing.assert_array_equal(edited(change).pair.counts, pair.counts)


def test_images_turned_upside_down_are_turned_back_by_their_orientation(edited, pair):
    def change(ds):
        _pixels(ds, lambda a: a[:, ::-1, ::-1])
        for item in ds.DetectorInformationSequence:
            item.ImageOrientationPatient = [-float(v) for v in item.ImageOrientationPatient]

    np.testing.assert_array_equal(edited(change).pair.counts, pair.counts)


def test_images_that_lie_on_their_side_are_refused(edited, pair):
    def change(ds):
        _pixels(ds, lambda a: a.transpose(0, 2, 1)[:, ::-1])  # turned by a quarter
        ds.Rows, ds.Columns, ds.PixelSpacing = ds.Columns, ds.Rows, ds.PixelSpacing[::-1]
        for item in ds.DetectorInformationSequence:
            across, down = np.array(item.ImageOrientationPatient, dtype=float).reshape(2, 3)
            item.ImageOrientationPatient = [*down, *-across]

    with pytest.raises(InputError, match="the rows of the anterior view do not run along the patient"):
        edited(change)


@pytest.mark.parametrize("how", ["PatientPosition", "code"])
def test_a_patient_who_lay_prone_is_told(how: str, edited, pair):
    def change(ds):
        if how == "code":
            modifier = ds.PatientOrientationCodeSequence[0].PatientOrientationModifierCodeSequence[0]
            modifier.CodeValue, modifier.CodeMeaning = "F-10310", "prone"
        else:
            ds.PatientPosition = "FFP"

    found = edited(change)
    np.testing.assert_array_equal(found.pair.counts, pair.counts)
    assert any("lay prone" in note for note in found.notes)
    assert not edited(lambda ds: setattr(ds, "PatientPosition", "HFDR")).notes


def test_a_posterior_view_stored_mirrored_is_noticed_and_mirrored_by_hand(edited, pair):
    def change(ds):
        _silent(ds)
        _pixels(ds, lambda a: np.where(np.arange(6)[:, None, None] % 2 == 1, a[:, :, ::-1], a))

    with pytest.raises(InputError, match=rf"only when mirrored.*{KEY}\.flip_posterior"):
        edited(change)
    np.testing.assert_array_equal(edited(change, Hand(flip_posterior=True)).pair.counts, pair.counts)
    kept = edited(change, Hand(flip_posterior=False)).pair.counts
    np.testing.assert_array_equal(kept[1], pair.counts[1, :, :, ::-1])


def test_without_detector_information_the_user_decides(edited, pair):
    def change(ds):
        del ds.DetectorInformationSequence

    with pytest.raises(InputError, match=rf"does not say which head is anterior.*{KEY}\.head_order"):
        edited(change)
    found = edited(change, Hand(head_order="anterior_first"))
    np.testing.assert_array_equal(found.pair.counts, pair.counts)
    assert found.pair.detector_distance_mm is None
    swapped = edited(change, Hand(head_order="posterior_first")).pair.counts
    np.testing.assert_array_equal(swapped[0], pair.counts[1])


def _as_rates(ds):
    """Counts per second, as floating-point numbers."""
    rates = (ds.pixel_array / 600.0).astype("<f4")
    del ds.PixelData
    ds.FloatPixelData, ds.BitsAllocated = rates.tobytes(), 32


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda ds: delattr(ds, "ScanVelocity"), rf"without ScanVelocity.* decide with {KEY}.seconds_per_row, or"),
        (lambda ds: setattr(ds, "ScanVelocity", "12"), "a velocity in mm/s"),
        (lambda ds: setattr(ds, "ScanVelocity", "-2"), "ScanVelocity -2 mm/s; expected the scan velocity in mm/s"),
        (lambda ds: delattr(ds, "PixelSpacing"), "no PixelSpacing in the header.*NPZ \\+ JSON with pixel_mm"),
        (lambda ds: setattr(ds, "Units", "BQML"), "Units of another kind than counts"),
        (lambda ds: setattr(ds, "DecayCorrection", "START"), r"DecayCorrection says .* corrected for decay \(DECY\)"),
        (lambda ds: delattr(ds, "DetectorVector"), "no DetectorVector"),
        (lambda ds: setattr(ds, "ImageType", ["ORIGINAL", "PRIMARY", "TOMO", "EMISSION"]), "image type TOMO"),
        (lambda ds: setattr(ds, "Modality", "CT"), "no NM image"),
        (_as_rates, "pixels of floating-point numbers; expected counts.*as they were acquired"),
    ],
)
def test_headers_that_cannot_be_used_are_named(edited, change, says: str):
    with pytest.raises(InputError, match=says):
        edited(change)


def test_corrected_dead_time_is_taken_for_a_camera_that_states_none(tmp_path: Path, pair):
    write_planar(tmp_path / "nm.dcm", pair, CAMERA)
    ds = pydicom.dcmread(tmp_path / "nm.dcm")
    ds.CorrectedImage = ["UNIF", "DTIM"]
    ds.save_as(tmp_path / "nm.dcm")
    computed = replace(CAMERA, tau_us=None, tau_by_kev=(), tau_computed_by_kev=(("123I", 158.97, 2.47),))
    for stating in (CAMERA, computed):
        with pytest.raises(InputError, match="tau_us, tau_by_kev and tau_computed_by_kev"):
            read_planar(tmp_path / "nm.dcm", stating, WHERE, key=KEY)
    without = replace(computed, tau_computed_by_kev=())
    assert np.array_equal(read_planar(tmp_path / "nm.dcm", without, WHERE, key=KEY).pair.counts, pair.counts)


def test_the_writer_is_deterministic_and_keeps_identity(tmp_path: Path, pair):
    for name in "ab":
        write_planar(tmp_path / name, pair, CAMERA, LU.name, seed=5)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_derived_images_and_a_start_of_processing_are_noted(edited):
    def change(ds):
        ds.ImageType = ["DERIVED", "PRIMARY", "WHOLE BODY", "EMISSION"]
        ds.AcquisitionDate = ds.AcquisitionTime = ""

    notes = edited(change).notes
    assert any("DERIVED" in note for note in notes)
    assert any("the start is read from ContentDate and ContentTime" in note for note in notes)


def test_views_without_a_clear_side_are_not_called_mirrored():
    called = 0
    for seed in range(40):
        rng = np.random.default_rng(seed)
        ras = np.zeros((2, 60, 120))
        ras[:, 15:45, 10:110] = 8.0
        for view in range(2):  # organs of both sides, seen by one head only
            for _ in range(3):
                i, k = rng.integers(16, 38), rng.integers(12, 98)
                ras[view, i : i + 6, k : k + 8] += 12.0
        called += posterior_looks_mirrored(rng.poisson(ras).astype(float))
    assert called == 0


def test_a_one_sided_organ_tells_a_mirrored_view():
    ras = planar_pair().ras()[:, 0]
    assert not posterior_looks_mirrored(ras)
    assert posterior_looks_mirrored(np.stack([ras[0], ras[1, ::-1]]))
