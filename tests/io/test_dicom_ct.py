"""CT in DICOM: geometry of the writer by the standard's formula, of the reader by the writer; HU and padding."""

import itertools
from pathlib import Path

import numpy as np
import pydicom
import pytest
from ct_field import centres_of, hu_at, hu_volume
from imaging_scene import PLANTED, ct_volume

from planardose.errors import InputError
from planardose.io.ct import check_corners, clip_hu, read_ct
from planardose.io.dicom_ct import write_ct
from planardose.io.dicom_ct_read import read_ct_series


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
    volume = hu_volume(_orientations()[n])
    write_ct(tmp_path, volume)
    back = read_ct_series(tmp_path, "P01 ct")
    assert sorted(back.grid.shape) == sorted(volume.grid.shape)
    np.testing.assert_allclose(back.data, hu_at(centres_of(back.grid)), atol=1.0)
    assert abs(back.data.sum() - volume.data.sum()) <= 1e-3 * abs(volume.data).sum()


def test_the_oblique_orientation_is_among_those_tried():
    assert not np.allclose(np.abs(_orientations()[48]).max(axis=0), 1.0)
    assert 48 % 3 == 0


def test_writer_puts_pixels_where_the_standard_says(tmp_path: Path):
    volume = hu_volume(np.eye(3))
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
                assert hu[r, c] == hu_at(lps * (-1, -1, 1))
                seen += 1
        assert ds.ImageOrientationPatient == [1, 0, 0, 0, 1, 0]
    assert seen == volume.data.size


def test_slope_intercept_and_stray_thickness(tmp_path: Path):
    volume = hu_volume(np.eye(3))
    write_ct(tmp_path, volume)
    for n, file in enumerate(sorted(tmp_path.iterdir())):
        ds = pydicom.dcmread(file)
        ds.SliceThickness = "9"
        ds.RescaleSlope, ds.RescaleIntercept = "2", str(-16384 + n)
        ds.save_as(tmp_path / f"{9 - n}.dcm")  # names in reverse order
        file.unlink()
    back = read_ct_series(tmp_path, "P01 ct")
    np.testing.assert_allclose(back.grid.spacing_mm, (2.0, 3.0, 5.0), atol=1e-5)
    expected = 2 * hu_at(centres_of(back.grid)) + np.arange(4)
    np.testing.assert_allclose(back.data, expected, atol=1e-3)


def test_a_slice_that_lost_its_rescale_is_refused(tmp_path: Path):
    write_ct(tmp_path, hu_volume(np.eye(3)))
    ds = pydicom.dcmread(tmp_path / "CT0002.dcm")
    del ds.RescaleIntercept, ds.RescaleSlope
    ds.save_as(tmp_path / "CT0002.dcm")
    with pytest.raises(InputError, match="1 of 4 CT slices have no RescaleIntercept"):
        read_ct_series(tmp_path, "P01 ct")


@pytest.mark.parametrize(("padding", "limit"), [(63536, None), (-2000, None), (-2010, -1990)])
def test_padding_at_the_edge_is_air_and_the_same_number_inside_is_not(padding: int, limit: int | None, tmp_path: Path):
    volume = hu_volume(np.eye(3))
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
