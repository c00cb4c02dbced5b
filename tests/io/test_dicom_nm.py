"""Planar NM files: orientation of both views, timing, and what real headers leave out."""

from copy import deepcopy
from dataclasses import replace
from datetime import datetime
from pathlib import Path

import numpy as np
import pydicom
import pytest
from imaging_scene import CAMERA, LU, WINDOWS, planar_pair
from pydicom.dataset import Dataset
from pydicom.sr.codedict import codes

from planardose.config import Hand
from planardose.errors import InputError
from planardose.io.dicom_common import datetime_of, odd_source_of_start
from planardose.io.dicom_nm import write_planar
from planardose.io.nm_views import posterior_looks_mirrored
from planardose.io.planar_in import read_planar
from planardose.library import names
from planardose.planar import PlanarPair

KEY = "patients.P01.t24"
WHERE = "P01 t24 planar"


@pytest.fixture
def pair() -> PlanarPair:
    return planar_pair()


@pytest.fixture
def edited(tmp_path: Path, pair: PlanarPair):
    """Write the pair, let a function change the data set, read it back."""

    def read(change, hand: Hand | None = None, start: PlanarPair | None = None):
        write_planar(tmp_path / "nm.dcm", start or pair, CAMERA)
        ds = pydicom.dcmread(tmp_path / "nm.dcm")
        change(ds)
        ds.save_as(tmp_path / "nm.dcm")
        return read_planar(tmp_path / "nm.dcm", CAMERA, WHERE, hand, KEY)

    return read


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


def test_sweep_times_come_from_velocity_not_from_frame_duration(edited):
    def change(ds):
        ds.ScanVelocity, ds.ScanLength, ds.ActualFrameDuration = "1.671598", 1899, 1210434

    back = edited(change).pair
    assert back.exposure_s == pytest.approx(387.0 / 1.671598)
    assert back.duration_s == pytest.approx(1136.04, abs=0.01)


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


VECTORS = ("DetectorVector", "EnergyWindowVector")


@pytest.mark.parametrize("names", [VECTORS[:1], VECTORS[1:], VECTORS])
def test_vectors_that_count_from_zero(names, edited, pair):
    def change(ds):
        for name in names:
            setattr(ds, name, [int(x) - 1 for x in ds[name].value])

    found = edited(change)
    np.testing.assert_array_equal(found.pair.counts, pair.counts)
    assert [n for n in found.notes if "counts from 0" in n] == [
        f"{name} counts from 0: taken as if it did from 1" for name in names
    ]
    with pytest.raises(InputError, match=r"DetectorVector counts from 0 to 2, and DetectorInformationSequence has 2"):
        edited(lambda ds: setattr(ds, "DetectorVector", [0, 0, 0, 2, 2, 2]))


def test_without_detector_vector_the_user_tells_the_order_of_the_heads(edited, pair):
    def change(ds):
        del ds.DetectorVector

    with pytest.raises(InputError, match=rf"6 frames and no DetectorVector.*decide with {KEY}.head_order"):
        edited(change)
    found = edited(change, Hand(head_order="anterior_first"))
    np.testing.assert_array_equal(found.pair.counts, pair.counts)
    swapped = edited(change, Hand(head_order="posterior_first"))
    np.testing.assert_array_equal(swapped.pair.counts, pair.counts[::-1])
    assert "head_order posterior_first by hand, against the header" in swapped.notes

    def three(ds):
        change(ds)
        ds.EnergyWindowVector = [1, 1, 1, 2, 2, 2]

    with pytest.raises(InputError, match=r"no DetectorVector.*or give the images as NPZ"):
        edited(three, Hand(head_order="anterior_first"))


def test_without_energy_window_vector_the_user_tells_the_order_of_the_windows(edited, pair):
    def change(ds):
        del ds.EnergyWindowVector

    with pytest.raises(InputError, match=r"no EnergyWindowVector.*windows_kev.*: one for every frame of a head"):
        edited(change)
    by_hand = tuple((w.low_kev, w.high_kev) for w in pair.windows)
    found = edited(change, Hand(windows_kev=by_hand)).pair
    assert found.windows == pair.windows
    np.testing.assert_array_equal(found.counts, pair.counts)


def test_missing_energy_windows_are_asked_for(edited):
    def change(ds):
        del ds.EnergyWindowInformationSequence

    with pytest.raises(InputError, match=rf"{KEY}\.windows_kev"):
        edited(change)
    by_hand = Hand(windows_kev=tuple((w.low_kev, w.high_kev) for w in WINDOWS))
    assert edited(change, by_hand).pair.windows == WINDOWS


def test_frames_of_an_unknown_window_are_asked_for(edited, pair):
    def change(ds):
        keep = [n for n, w in enumerate(ds.EnergyWindowVector) if w == 1]
        _pixels(ds, lambda a: a[keep])
        ds.NumberOfFrames, ds.DetectorVector = 2, [1, 2]
        del ds.EnergyWindowVector

    with pytest.raises(InputError, match=rf"3 energy windows and no EnergyWindowVector.*{KEY}\.windows_kev"):
        edited(change)
    first = (WINDOWS[0].low_kev, WINDOWS[0].high_kev)
    found = edited(change, Hand(windows_kev=(first,))).pair
    np.testing.assert_array_equal(found.counts, pair.counts[:, :1])


@pytest.mark.parametrize("limits", [[], [(0, 0)], [(100, 120), (180, 220)]])
def test_an_energy_window_without_frames_may_be_anything(edited, pair, limits: list):
    def change(ds):
        item = Dataset()
        item.EnergyWindowRangeSequence = [Dataset() for _ in limits]
        for x, (low, high) in zip(item.EnergyWindowRangeSequence, limits, strict=True):
            x.EnergyWindowLowerLimit, x.EnergyWindowUpperLimit = low, high
        ds.EnergyWindowInformationSequence = [*ds.EnergyWindowInformationSequence, item]

    assert edited(change).pair.windows == WINDOWS

    def used(ds):
        change(ds)
        ds.EnergyWindowVector = [4 if w == 3 else w for w in ds.EnergyWindowVector]

    told = r"holds the counts of 2 windows, 100-120 and 180-220 keV.* an image of its own" if limits[1:] else ""
    with pytest.raises(InputError, match=told or rf"{KEY}\.windows_kev"):
        edited(used)


def test_ranges_of_one_window_that_touch_are_one(edited, pair):
    def change(ds):
        for item in ds.EnergyWindowInformationSequence[:1]:
            whole = item.EnergyWindowRangeSequence[0]
            upper = deepcopy(whole)
            whole.EnergyWindowUpperLimit = upper.EnergyWindowLowerLimit = "208"
            item.EnergyWindowRangeSequence = [upper, whole]

    found = edited(change).pair
    assert found.windows == WINDOWS
    np.testing.assert_array_equal(found.counts, pair.counts)


@pytest.mark.parametrize(("off_kev", "taken"), [(0.02, True), (0.3, False)])
def test_heads_whose_window_edges_differ_a_little(edited, pair, off_kev: float, taken: bool):
    def change(ds):
        own = [deepcopy(item) for item in ds.EnergyWindowInformationSequence]
        for item in own:
            item.EnergyWindowRangeSequence[0].EnergyWindowLowerLimit += off_kev
        ds.EnergyWindowInformationSequence = [*ds.EnergyWindowInformationSequence, *own]
        ds.EnergyWindowVector = [
            w + 3 * (d == 2) for w, d in zip(ds.EnergyWindowVector, ds.DetectorVector, strict=True)
        ]

    if taken:
        found = edited(change).pair
        assert found.windows == WINDOWS
        assert np.array_equal(found.counts, pair.counts)
    else:
        with pytest.raises(InputError, match="has no frame in the window"):
            edited(change)


def test_a_multiple_static_technique_is_no_sweep(edited):
    def change(ds):
        ds.WholeBodyTechnique = "MSP"

    with pytest.raises(InputError, match="MSP is no continuous sweep"):
        edited(change)


def test_a_whole_body_technique_may_stand_there_twice(edited, pair):
    assert edited(lambda ds: setattr(ds, "WholeBodyTechnique", ["1PS", "1PS"])).pair.duration_s == pair.duration_s
    with pytest.raises(InputError, match=r"1PS.2PS is no continuous sweep"):
        edited(lambda ds: setattr(ds, "WholeBodyTechnique", ["2PS", "1PS"]))


def test_a_number_that_stands_there_for_every_head_is_one_number(edited, pair):
    def change(ds):
        for name in ("ScanVelocity", "ScanLength", "ActualFrameDuration"):
            setattr(ds, name, [ds[name].value] * 2)
        for item in ds.DetectorInformationSequence:
            item.StartAngle = [item.StartAngle] * 2

    found = edited(change).pair
    assert found.exposure_s == pytest.approx(pair.exposure_s)
    assert found.duration_s == pytest.approx(pair.duration_s, abs=0.5)
    np.testing.assert_array_equal(found.counts, pair.counts)
    with pytest.raises(InputError, match="ScanVelocity has 2 different values; expected one number"):
        edited(lambda ds: setattr(ds, "ScanVelocity", ["2.0", "2.5"]))
    with pytest.raises(InputError, match="ScanVelocity is not understood"):
        edited(lambda ds: ds.add_new("ScanVelocity", "LO", "2,0"))


def test_a_velocity_that_nothing_checks_or_that_is_slow_is_noted(edited):
    def change(ds):
        ds.ScanVelocity, ds.ActualFrameDuration = "0.267", None

    notes = edited(change).notes
    assert "no ActualFrameDuration in the header: nothing checks ScanVelocity 0.267 mm/s" in notes
    assert "ScanVelocity 0.267 mm/s is slow: is it in cm/s?" in notes


@pytest.mark.parametrize(
    ("tags", "swept"),
    [
        ({"ScanVelocity": "2"}, False),
        ({"ScanVelocity": "2", "ScanLength": 1000}, False),
        ({"ScanVelocity": "2", "ScanLength": 250}, True),  # 125 s, as ActualFrameDuration
        ({"ScanVelocity": "2", "ScanLength": 400, "WholeBodyTechnique": "1PS"}, True),
        ({"WholeBodyTechnique": "1PS"}, False),
    ],
)
def test_a_velocity_alone_does_not_make_a_static_image_a_sweep(tags: dict, swept: bool, edited):
    still = replace(planar_pair(swept=False), exposure_s=120.0, duration_s=120.0)
    found = edited(lambda ds: [setattr(ds, name, value) for name, value in tags.items()], start=still)
    assert found.pair.exposure_s == pytest.approx(CAMERA.field_mm[0] / 2 if swept else 120.0)
    assert any("is not used" in note for note in found.notes) == (not swept and "ScanVelocity" in tags)


def test_seconds_per_row_by_hand_where_the_header_tells_no_speed_or_a_wrong_one(edited, pair):
    hand = Hand(seconds_per_row=pair.exposure_s)
    start = replace(pair, counts=np.concatenate([pair.counts, np.zeros_like(pair.counts), pair.counts], axis=-2))
    matrix_s = start.counts.shape[-2] * pair.pixel_mm[0] / CAMERA.field_mm[0] * pair.exposure_s

    def silent(ds):
        del ds.ScanVelocity

    def still(ds):
        del ds.ScanVelocity, ds.ScanLength, ds.WholeBodyTechnique
        ds.ImageType = ["ORIGINAL", "PRIMARY", "STATIC", "EMISSION"]

    def wrong(ds):
        ds.ScanVelocity, ds.ActualFrameDuration = "12", 60000

    for change, duration_s in ((silent, pair.duration_s), (still, matrix_s), (wrong, pair.duration_s)):
        found = edited(change, hand, start)
        assert found.pair.exposure_s == pair.exposure_s and found.pair.is_swept
        assert found.pair.duration_s == pytest.approx(duration_s)
        assert f"seconds_per_row {pair.exposure_s:g} by hand" in found.notes
        assert any("ActualFrameDuration says 60 s" in note for note in found.notes) == (change is wrong)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda ds: delattr(ds, "ScanVelocity"), rf"without ScanVelocity.* decide with {KEY}.seconds_per_row, or"),
        (lambda ds: setattr(ds, "ScanVelocity", "12"), "a velocity in mm/s"),
        (lambda ds: delattr(ds, "PixelSpacing"), "no PixelSpacing in the header.*NPZ \\+ JSON with pixel_mm"),
        (lambda ds: setattr(ds, "Units", "BQML"), "Units of another kind than counts"),
        (lambda ds: setattr(ds, "DecayCorrection", "START"), r"DecayCorrection says .* corrected for decay \(DECY\)"),
        (lambda ds: delattr(ds, "DetectorVector"), "no DetectorVector"),
        (lambda ds: setattr(ds, "ImageType", ["ORIGINAL", "PRIMARY", "TOMO", "EMISSION"]), "image type TOMO"),
        (lambda ds: setattr(ds, "Modality", "CT"), "no NM image"),
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
    with pytest.raises(InputError, match="tau_us"):
        read_planar(tmp_path / "nm.dcm", CAMERA, WHERE, key=KEY)
    without = replace(CAMERA, tau_us=None, tau_by_kev=())
    assert np.array_equal(read_planar(tmp_path / "nm.dcm", without, WHERE, key=KEY).pair.counts, pair.counts)


def test_disagreeing_total_is_noted(edited):
    def change(ds):
        ds.CountsAccumulated = 12

    assert any("CountsAccumulated 12" in note for note in edited(change).notes)


def test_the_writer_is_deterministic_and_keeps_identity(tmp_path: Path, pair):
    for name in "ab":
        write_planar(tmp_path / name, pair, CAMERA, LU.name, seed=5)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


@pytest.mark.parametrize(
    ("tags", "at", "odd"),
    [
        ({"AcquisitionDateTime": "202603041930"}, datetime(2026, 3, 4, 19, 30), ""),
        ({"AcquisitionDate": "20260304", "AcquisitionTime": "0919"}, datetime(2026, 3, 4, 9, 19), ""),
        ({"AcquisitionDate": "2026.03.04", "AcquisitionTime": "091905.1234567"},
         datetime(2026, 3, 4, 9, 19, 5, 123456), ""),
        ({"AcquisitionDate": "20260304", "AcquisitionTime": "09"}, None, ""),  # the hour alone
        ({"AcquisitionDateTime": "20260304", "AcquisitionDate": "20260304", "AcquisitionTime": "091905"},
         datetime(2026, 3, 4, 9, 19, 5), ""),
        ({"AcquisitionTime": "091905", "SeriesDate": "20260304", "ContentDate": "20260306", "ContentTime": "120000"},
         datetime(2026, 3, 4, 9, 19, 5), "SeriesDate and AcquisitionTime"),
        ({"ContentDate": "20260306", "ContentTime": "1200"}, datetime(2026, 3, 6, 12), "ContentDate and ContentTime"),
        ({"AcquisitionDate": "20261304", "AcquisitionTime": "091905"}, None, ""),
    ],
)  # fmt: skip
def test_the_start_as_headers_write_it(tags, at, odd):
    ds = Dataset()
    for name, value in tags.items():
        setattr(ds, name, value)
    assert (datetime_of(ds), odd_source_of_start(ds)) == (at, odd)


def test_the_pixel_size_of_the_detectors_plane_will_do(edited, pair):
    def change(ds):
        ds.ImagerPixelSpacing, ds.NumberOfFrames = ds.PixelSpacing, ""
        del ds.PixelSpacing

    found = edited(change)
    assert found.pair.pixel_mm == pair.pixel_mm
    np.testing.assert_array_equal(found.pair.counts, pair.counts)
    assert "no PixelSpacing in the header: ImagerPixelSpacing is taken" in found.notes


def test_padding_holds_no_counts_and_no_saturation(edited, pair):
    def change(ds):
        _pixels(ds, lambda a: np.where(np.arange(a.shape[2]) < 3, 65535, a).astype("<u2"))
        ds.PixelPaddingValue = 65535
        ds["PixelPaddingValue"].VR = "US"

    found = edited(change)
    np.testing.assert_array_equal(found.pair.counts[..., 3:], pair.counts[..., 3:])
    assert not found.pair.counts[..., :3].any()
    assert "pixels at the edge that hold PixelPaddingValue are taken as 0" in found.notes
    assert not any("saturated" in note for note in found.notes)


def test_a_scale_of_the_pixels_is_applied_and_told(edited, pair):
    def change(ds):
        _pixels(ds, lambda a: np.where(a == a.max(), 65535, a).astype("<u2"))
        ds.RescaleSlope, ds.RescaleIntercept = "0.5", "2"

    found = edited(change)
    lower = pair.counts < pair.counts.max()
    np.testing.assert_array_equal(found.pair.counts[lower], 0.5 * pair.counts[lower] + 2)
    assert "RescaleSlope 0.5 and RescaleIntercept 2 are applied: are these counts?" in found.notes
    assert f"{np.count_nonzero(~lower)} pixels at the largest storable value 65535: saturated" in found.notes


def test_derived_images_and_a_start_of_processing_are_noted(edited):
    def change(ds):
        ds.ImageType = ["DERIVED", "PRIMARY", "WHOLE BODY", "EMISSION"]
        ds.AcquisitionDate = ds.AcquisitionTime = ""

    notes = edited(change).notes
    assert any("DERIVED" in note for note in notes)
    assert any("the start is read from ContentDate and ContentTime" in note for note in notes)


def test_a_header_without_time_needs_the_sheet(tmp_path: Path, pair):
    write_planar(tmp_path / "nm.dcm", pair, CAMERA)
    ds = pydicom.dcmread(tmp_path / "nm.dcm")
    for stem in ("Acquisition", "Content", "Series"):
        setattr(ds, f"{stem}Date", "")
    ds.save_as(tmp_path / "nm.dcm")
    with pytest.raises(InputError, match="acquired_at"):
        read_planar(tmp_path / "nm.dcm", CAMERA, WHERE)
    at = datetime(2026, 3, 4, 12)
    assert read_planar(tmp_path / "nm.dcm", CAMERA, WHERE, acquired_at=at).pair.acquired_at == at


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
