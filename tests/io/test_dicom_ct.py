"""CT in DICOM: geometry of the writer against the standard's formula, of the reader against the writer."""

import itertools
from copy import deepcopy
from datetime import datetime
from pathlib import Path

import numpy as np
import pydicom
import pytest
from imaging_scene import PLANTED, ct_volume
from pydicom.dataset import Dataset

from planardose.errors import InputError
from planardose.image import Grid, Volume
from planardose.io.ct import check_corners, clip_hu, read_ct
from planardose.io.dicom_common import ANONYMOUS
from planardose.io.dicom_ct import write_ct
from planardose.io.dicom_ct_read import read_ct_series
from planardose.io.dicom_regions import check_frame
from planardose.io.dicom_study import study_of


def _field(ras: np.ndarray) -> np.ndarray:
    """A different HU at every place: linear in x, y, z (mm), rounded as stored."""
    return np.rint(ras @ np.array([1.5, -2.25, 3.75]) + 11.0)


def _volume(axes: np.ndarray, shape=(7, 5, 4), spacing=(2.0, 3.0, 5.0)) -> Volume:
    affine = np.eye(4)
    affine[:3, :3] = axes * spacing
    affine[:3, 3] = (-31.0, 17.0, 120.0)
    grid = Grid(shape, affine)
    return Volume(_field(_centres(grid)), grid, "CT number", "HU")


def _centres(grid: Grid) -> np.ndarray:
    index = np.stack(np.meshgrid(*map(np.arange, grid.shape), indexing="ij"), axis=-1)
    return index @ grid.ras_from_voxel[:3, :3].T + grid.ras_from_voxel[:3, 3]


def _orientations() -> list[np.ndarray]:
    """All 48 axis permutations with signs, and an oblique one."""
    found = []
    for order in itertools.permutations(range(3)):
        for signs in itertools.product((1, -1), repeat=3):
            axes = np.zeros((3, 3))
            axes[list(order), range(3)] = signs
            found.append(axes)
    a, b = np.deg2rad((20.0, -35.0))
    about_z = np.array([[np.cos(a), -np.sin(a), 0], [np.sin(a), np.cos(a), 0], [0, 0, 1]])
    about_x = np.array([[1, 0, 0], [0, np.cos(b), -np.sin(b)], [0, np.sin(b), np.cos(b)]])
    return [*found, about_z @ about_x]


@pytest.mark.parametrize("n", range(0, 49, 3))
def test_round_trip_keeps_every_hu_at_its_place_in_the_patient(n: int, tmp_path: Path):
    volume = _volume(_orientations()[n])
    write_ct(tmp_path, volume)
    back = read_ct_series(tmp_path, "P01 ct")
    assert sorted(back.grid.shape) == sorted(volume.grid.shape)
    np.testing.assert_allclose(back.data, _field(_centres(back.grid)), atol=1.0)
    assert abs(back.data.sum() - volume.data.sum()) <= 1e-3 * abs(volume.data).sum()


def test_the_oblique_orientation_is_among_those_tried():
    assert not np.allclose(np.abs(_orientations()[48]).max(axis=0), 1.0)
    assert 48 % 3 == 0


def test_writer_puts_pixels_where_the_standard_says(tmp_path: Path):
    volume = _volume(np.eye(3))
    write_ct(tmp_path, volume)
    seen = 0
    for file in sorted(tmp_path.iterdir()):
        ds = pydicom.dcmread(file)
        row_cosine, column_cosine = np.array(ds.ImageOrientationPatient, float).reshape(2, 3)
        hu = ds.pixel_array * float(ds.RescaleSlope) + float(ds.RescaleIntercept)
        for r in range(ds.Rows):
            for c in range(ds.Columns):  # PS3.3 C.7.6.2.1.1
                lps = np.array(ds.ImagePositionPatient, float)
                lps = lps + row_cosine * float(ds.PixelSpacing[1]) * c + column_cosine * float(ds.PixelSpacing[0]) * r
                assert hu[r, c] == _field(lps * (-1, -1, 1))
                seen += 1
        assert ds.ImageOrientationPatient == [1, 0, 0, 0, 1, 0]
    assert seen == volume.data.size


def test_slope_intercept_and_stray_thickness(tmp_path: Path):
    volume = _volume(np.eye(3))
    write_ct(tmp_path, volume)
    for n, file in enumerate(sorted(tmp_path.iterdir())):
        ds = pydicom.dcmread(file)
        ds.SliceThickness = "9"
        ds.RescaleSlope, ds.RescaleIntercept = "2", str(-16384 + n)
        ds.save_as(tmp_path / f"{9 - n}.dcm")  # names in reverse order
        file.unlink()
    back = read_ct_series(tmp_path, "P01 ct")
    np.testing.assert_allclose(back.grid.spacing_mm, (2.0, 3.0, 5.0), atol=1e-5)
    expected = 2 * _field(_centres(back.grid)) + np.arange(4)
    np.testing.assert_allclose(back.data, expected, atol=1e-3)


def test_a_slice_that_lost_its_rescale_is_refused(tmp_path: Path):
    write_ct(tmp_path, _volume(np.eye(3)))
    ds = pydicom.dcmread(tmp_path / "CT0002.dcm")
    del ds.RescaleIntercept, ds.RescaleSlope
    ds.save_as(tmp_path / "CT0002.dcm")
    with pytest.raises(InputError, match="1 of 4 CT slices have no RescaleIntercept"):
        read_ct_series(tmp_path, "P01 ct")


@pytest.mark.parametrize(("padding", "limit"), [(63536, None), (-2000, None), (-2010, -1990)])
def test_padding_at_the_edge_is_air_and_the_same_number_inside_is_not(padding: int, limit: int | None, tmp_path: Path):
    volume = _volume(np.eye(3))
    write_ct(tmp_path, volume)
    for file in tmp_path.iterdir():
        ds = pydicom.dcmread(file)
        image = ds.pixel_array.astype(np.int16)
        image[0, :2] = image[2, 2] = -2000
        ds.PixelRepresentation, ds.RescaleIntercept, ds.PixelData = 1, "2000", image.tobytes()  # padding becomes 0 HU
        ds.PixelPaddingValue = padding
        ds["PixelPaddingValue"].VR = "SS" if padding < 0 else "US"
        if limit is not None:
            ds.PixelPaddingRangeLimit = limit
            ds["PixelPaddingRangeLimit"].VR = "SS"
        ds.save_as(file)
    hu = read_ct_series(tmp_path, "P01 ct").data
    assert (hu[:2, 0] == -1024).all()
    assert (hu[2, 2] == 0).all()
    assert np.count_nonzero(hu == -1024) == 2 * hu.shape[2]


def test_surroundings_filled_with_water_are_refused():
    hu = np.random.default_rng(1).normal(0, 10, (20, 20, 20)).astype(np.float32)
    hu[:4] = hu[-4:] = -1000.0
    check_corners(hu, "P01 ct")
    check_corners(hu[5:15], "P01 ct")
    hu[:1] = hu[-1:] = 0.0
    with pytest.raises(InputError, match="8 of the 8 corners hold 0 HU"):
        check_corners(hu, "P01 ct")
    hu[:1] = -1000.0
    with pytest.raises(InputError, match="4 of the 8 corners hold 0 HU"):
        check_corners(hu, "P01 ct")


def test_what_helps_against_corners_of_water_in_dicom_does(tmp_path: Path):
    """A scanner that fills around its circle with 0 HU and does not say so."""
    volume = ct_volume()
    for i, j in np.ndindex(2, 2):
        volume.data[-i, -j] = 0.0
    write_ct(tmp_path, volume)
    with pytest.raises(InputError, match=r"corners hold 0 HU.*set PixelPaddingValue of every slice to the stored"):
        read_ct(tmp_path, "P01 ct")
    for file in tmp_path.iterdir():
        ds = pydicom.dcmread(file)
        ds.PixelPaddingValue = round(-float(ds.RescaleIntercept))
        ds["PixelPaddingValue"].VR = "US"
        ds.save_as(file)
    assert (read_ct(tmp_path, "P01 ct").data[np.ix_((0, -1), (0, -1))] == -1024).all()


def test_links_to_slices_that_are_not_there_are_told(tmp_path: Path):
    write_ct(tmp_path / "archive", _volume(np.eye(3)))
    folder = tmp_path / "ct"
    folder.mkdir()
    for file in (tmp_path / "archive").iterdir():
        (folder / file.name).symlink_to(file)
    assert read_ct_series(folder, "P01 ct").grid.shape == (7, 5, 4)
    (tmp_path / "archive/CT0004.dcm").unlink()  # the last one: no gap tells
    with pytest.raises(InputError, match=r"P01 ct: 1 of 4 entries of the folder are links to files that are not there"):
        read_ct_series(folder, "P01 ct")
    (folder / "CT0004.dcm").rename(folder / ".CT0004.dcm")
    assert read_ct_series(folder, "P01 ct").grid.shape == (7, 5, 3)


def test_localizer_copies_and_other_modalities_are_left_out(tmp_path: Path):
    volume = _volume(np.eye(3))
    write_ct(tmp_path, volume)
    first = pydicom.dcmread(tmp_path / "CT0001.dcm")
    first.save_as(tmp_path / "copy.dcm")
    first.ImageType, first.SOPInstanceUID = ["ORIGINAL", "PRIMARY", "LOCALIZER"], "2.25.1"
    first.save_as(tmp_path / "scout.dcm")
    first.ImageType, first.SOPInstanceUID = "LOCALIZER", "2.25.4"  # pydicom gives a single value as text
    first.save_as(tmp_path / "other_scout.dcm")
    first.Modality, first.ImageType = "PT", ["ORIGINAL", "PRIMARY"]
    first.save_as(tmp_path / "pet.dcm")
    report = pydicom.dcmread(tmp_path / "CT0002.dcm")
    report.SOPClassUID, report.SOPInstanceUID = "1.2.840.10008.5.1.4.1.1.7", "2.25.3"
    del report.ImagePositionPatient, report.ImageOrientationPatient
    report.save_as(tmp_path / "dose_report.dcm")
    report.SOPClassUID, report.SOPInstanceUID = "1.2.840.10008.5.1.4.1.1.2", "2.25.5"  # a page stored as a CT image
    del report.PixelSpacing
    report.save_as(tmp_path / "protocol.dcm")
    (tmp_path / "notes.txt").write_text("not an image")
    back = read_ct_series(tmp_path, "P01 ct")
    np.testing.assert_allclose(back.data, _field(_centres(back.grid)), atol=1e-3)


def _enhanced(folder: Path) -> Path:
    """The slices of a folder as one enhanced multi-frame object in their place, the scale of each frame its own."""
    slices = [pydicom.dcmread(f) for f in sorted(folder.iterdir())][::-1]
    whole, groups = deepcopy(slices[0]), []
    for n, ds in enumerate(slices):
        place, scale, group = Dataset(), Dataset(), Dataset()
        place.ImagePositionPatient = ds.ImagePositionPatient
        scale.RescaleSlope, scale.RescaleIntercept, scale.RescaleType = "1", float(ds.RescaleIntercept) - n, "HU"
        group.PlanePositionSequence, group.PixelValueTransformationSequence = [place], [scale]
        groups.append(group)
    direction, measures, shared = Dataset(), Dataset(), Dataset()
    direction.ImageOrientationPatient, measures.PixelSpacing = whole.ImageOrientationPatient, whole.PixelSpacing
    shared.PlaneOrientationSequence, shared.PixelMeasuresSequence = [direction], [measures]
    whole.PerFrameFunctionalGroupsSequence, whole.SharedFunctionalGroupsSequence = groups, [shared]
    whole.SOPClassUID = whole.file_meta.MediaStorageSOPClassUID = "1.2.840.10008.5.1.4.1.1.2.1"
    whole.PixelData = np.stack([ds.pixel_array + n for n, ds in enumerate(slices)]).astype("<u2").tobytes()
    whole.NumberOfFrames = len(slices)
    for name in ("ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing", "RescaleSlope", "RescaleIntercept"):
        delattr(whole, name)
    for file in list(folder.iterdir()):
        file.unlink()
    whole.save_as(folder / "enhanced.dcm")
    return folder / "enhanced.dcm"


def test_an_enhanced_multi_frame_ct_is_read_as_its_slices(tmp_path: Path):
    write_ct(tmp_path, _volume(np.eye(3)))
    file = _enhanced(tmp_path)
    back = read_ct_series(tmp_path, "P01 ct")
    np.testing.assert_allclose(back.data, _field(_centres(back.grid)), atol=1e-3)
    ds = pydicom.dcmread(file)
    del ds.PerFrameFunctionalGroupsSequence[0]
    ds.save_as(file)
    with pytest.raises(InputError, match="an enhanced object with 4 frames describes 3"):
        read_ct_series(tmp_path, "P01 ct")


def test_two_full_series_are_refused_with_their_sizes(tmp_path: Path):
    write_ct(tmp_path / "a", _volume(np.eye(3)), seed=1)
    write_ct(tmp_path / "b", _volume(np.eye(3), shape=(8, 5, 4)), seed=1)
    with pytest.raises(InputError, match=r"2 CT series in one folder .*4 slices of 5x7"):
        read_ct_series(tmp_path, "P01 ct")


def test_of_many_series_a_few_are_listed(tmp_path: Path):
    write_ct(tmp_path, _volume(np.eye(3)))
    for n, file in enumerate(list(tmp_path.iterdir())):
        ds = pydicom.dcmread(file)
        for frame in range(40):
            ds.FrameOfReferenceUID, ds.SOPInstanceUID = f"2.25.{frame + 1}", f"2.25.{n + 1}{frame:02d}"
            ds.save_as(tmp_path / f"{n}_{frame}.dcm")
    with pytest.raises(InputError, match=r"41 CT series .*, \.\.\.\)") as fault:
        read_ct_series(tmp_path, "P01 ct")
    assert len(str(fault.value)) < 300


def test_two_reconstructions_at_the_same_positions_are_two_series(tmp_path: Path):
    write_ct(tmp_path / "a", _volume(np.eye(3)))
    for file in (tmp_path / "a").iterdir():
        ds = pydicom.dcmread(file)
        ds.SeriesInstanceUID, ds.SOPInstanceUID = "2.25.7", f"2.25.7{ds.InstanceNumber}"
        (tmp_path / "b").mkdir(exist_ok=True)
        ds.save_as(tmp_path / "b" / file.name)
    with pytest.raises(InputError, match="2 CT series"):
        read_ct_series(tmp_path, "P01 ct")


def test_slices_of_two_series_between_each_other_are_two_series(tmp_path: Path):
    """Every second slice is another series'; half a volume each. End to end they would be one volume in two parts."""
    write_ct(tmp_path, _volume(np.eye(3), shape=(7, 5, 8)))
    files = sorted(tmp_path.iterdir())
    for file in files[4:]:
        ds = pydicom.dcmread(file)
        ds.SeriesInstanceUID = "2.25.7"
        ds.save_as(file)
    assert read_ct_series(tmp_path, "P01 ct").data.shape[2] == 8
    ds = pydicom.dcmread(files[0])
    ds.SeriesInstanceUID = "2.25.7"
    ds.save_as(files[0])
    for n in (2, 6):
        ds = pydicom.dcmread(files[n])
        ds.SeriesInstanceUID = "2.25.7" if n == 2 else pydicom.dcmread(files[1]).SeriesInstanceUID
        ds.save_as(files[n])
    with pytest.raises(InputError, match="2 CT series"):
        read_ct_series(tmp_path, "P01 ct")


@pytest.mark.parametrize("own", [("FrameOfReferenceUID",), ("FrameOfReferenceUID", "SeriesInstanceUID")])
def test_slices_that_each_name_a_frame_of_their_own_are_one_series(own: tuple, tmp_path: Path, caplog):
    """As anonymisers leave them that give every file new UIDs."""
    write_ct(tmp_path, _volume(np.eye(3)))
    files = sorted(tmp_path.iterdir())
    for n, file in enumerate(files):
        ds = pydicom.dcmread(file)
        for name in own:
            setattr(ds, name, f"2.25.{n + 5}")
        ds.save_as(file)
    back = read_ct_series(tmp_path, "P01 ct")
    np.testing.assert_allclose(back.data, _field(_centres(back.grid)), atol=1e-3)
    assert "P01 ct: each of 4 CT slices names a FrameOfReferenceUID of its own" in caplog.text
    assert study_of(tmp_path, ANONYMOUS, False, datetime(2026, 3, 2), "P01 ct").frame_uid not in ("2.25.5", "2.25.8")
    with pytest.raises(InputError, match=r"the CT's slices name 4 FrameOfReferenceUIDs, which tell nothing about"):
        check_frame({"2.25.5"}, tmp_path, "P01 lesions")
    files[1].unlink()
    with pytest.raises(InputError, match="spacing"):
        read_ct_series(tmp_path, "P01 ct")


def test_slices_of_two_frames_or_of_two_series_in_many_frames_are_not_one(tmp_path: Path):
    write_ct(tmp_path, _volume(np.eye(3), shape=(7, 5, 8)))
    for change in ("FrameOfReferenceUID", "SeriesInstanceUID"):
        for n, file in enumerate(sorted(tmp_path.iterdir())):
            ds = pydicom.dcmread(file)
            setattr(ds, change, f"2.25.{5 + n // 4}")
            if change == "SeriesInstanceUID":
                ds.FrameOfReferenceUID = f"2.25.{50 + n}"
            ds.save_as(file)
        with pytest.raises(InputError, match=r"[28] CT series in one folder"):
            read_ct_series(tmp_path, "P01 ct")


def test_empty_uids_are_no_obstacle(tmp_path: Path):
    write_ct(tmp_path, _volume(np.eye(3)))
    for file in tmp_path.iterdir():
        ds = pydicom.dcmread(file)
        ds.SOPClassUID = ds.SOPInstanceUID = ds.SeriesInstanceUID = ""
        ds.save_as(file)
    assert read_ct_series(tmp_path, "P01 ct").grid.shape == (7, 5, 4)


def test_same_seed_same_bytes_other_seed_other_uids(tmp_path: Path):
    for name, seed in (("a", 3), ("b", 3), ("c", 4)):
        write_ct(tmp_path / name, ct_volume(), PLANTED, seed)
    a, b, c = ([f.read_bytes() for f in sorted((tmp_path / n).iterdir())] for n in "abc")
    assert a == b
    assert a != c
    assert str(pydicom.dcmread(tmp_path / "a" / "CT0001.dcm").PatientName) == PLANTED.name


def test_clipping_is_counted():
    volume = ct_volume()
    volume.data[0, 0, :3], volume.data[5, 5, 5] = (-1207.0, -1100.0, -1024.0), 3382.0
    clipped, found = clip_hu(volume)
    assert clipped.data.dtype == np.int16
    assert (clipped.data.min(), clipped.data.max()) == (-1024, 3071)
    below = int((volume.data < -1024).sum())
    assert below >= 2
    assert (found["voxels_below"], found["voxels_above"]) == (below, 1)
    assert found["hu_found"] == [-1207.0, 3382.0]


def test_dicom_folder_passes_the_hu_check(tmp_path: Path):
    volume = ct_volume()
    write_ct(tmp_path, volume)
    back = read_ct(tmp_path, "P01 ct")
    assert (back.data[::-1, ::-1] == np.rint(volume.data)).all()
