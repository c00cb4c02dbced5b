"""Which files of a folder are the one CT series: copies, other objects, enhanced objects, several series, UIDs."""

from copy import deepcopy
from datetime import datetime
from pathlib import Path

import numpy as np
import pydicom
import pytest
from ct_field import centres_of, hu_at, hu_volume
from pydicom.dataset import Dataset

from planardose.errors import InputError
from planardose.io.dicom_ct import write_ct
from planardose.io.dicom_ct_read import read_ct_series
from planardose.io.dicom_new import ANONYMOUS
from planardose.io.dicom_regions import check_frame
from planardose.io.dicom_study import study_of


def test_links_to_slices_that_are_not_there_are_told(tmp_path: Path):
    write_ct(tmp_path / "archive", hu_volume(np.eye(3)))
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
    volume = hu_volume(np.eye(3))
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
    np.testing.assert_allclose(back.data, hu_at(centres_of(back.grid)), atol=1e-3)


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
    write_ct(tmp_path, hu_volume(np.eye(3)))
    file = _enhanced(tmp_path)
    back = read_ct_series(tmp_path, "P01 ct")
    np.testing.assert_allclose(back.data, hu_at(centres_of(back.grid)), atol=1e-3)
    ds = pydicom.dcmread(file)
    del ds.PerFrameFunctionalGroupsSequence[0]
    ds.save_as(file)
    with pytest.raises(InputError, match="an enhanced object with 4 frames describes 3"):
        read_ct_series(tmp_path, "P01 ct")


def test_two_full_series_are_refused_with_their_sizes(tmp_path: Path):
    write_ct(tmp_path / "a", hu_volume(np.eye(3)), seed=1)
    write_ct(tmp_path / "b", hu_volume(np.eye(3), shape=(8, 5, 4)), seed=1)
    with pytest.raises(InputError, match=r"2 CT series in one folder .*4 slices of 5x7"):
        read_ct_series(tmp_path, "P01 ct")


def test_of_many_series_a_few_are_listed(tmp_path: Path):
    write_ct(tmp_path, hu_volume(np.eye(3)))
    for n, file in enumerate(list(tmp_path.iterdir())):
        ds = pydicom.dcmread(file)
        for frame in range(40):
            ds.FrameOfReferenceUID, ds.SOPInstanceUID = f"2.25.{frame + 1}", f"2.25.{n + 1}{frame:02d}"
            ds.save_as(tmp_path / f"{n}_{frame}.dcm")
    with pytest.raises(InputError, match=r"41 CT series .*, \.\.\.\)") as fault:
        read_ct_series(tmp_path, "P01 ct")
    assert len(str(fault.value)) < 300


def test_two_reconstructions_at_the_same_positions_are_two_series(tmp_path: Path):
    write_ct(tmp_path / "a", hu_volume(np.eye(3)))
    for file in (tmp_path / "a").iterdir():
        ds = pydicom.dcmread(file)
        ds.SeriesInstanceUID, ds.SOPInstanceUID = "2.25.7", f"2.25.7{ds.InstanceNumber}"
        (tmp_path / "b").mkdir(exist_ok=True)
        ds.save_as(tmp_path / "b" / file.name)
    with pytest.raises(InputError, match="2 CT series"):
        read_ct_series(tmp_path, "P01 ct")


def test_slices_of_two_series_between_each_other_are_two_series(tmp_path: Path):
    """Every second slice is another series'; half a volume each. End to end they would be one volume in two parts."""
    write_ct(tmp_path, hu_volume(np.eye(3), shape=(7, 5, 8)))
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
    write_ct(tmp_path, hu_volume(np.eye(3)))
    files = sorted(tmp_path.iterdir())
    for n, file in enumerate(files):
        ds = pydicom.dcmread(file)
        for name in own:
            setattr(ds, name, f"2.25.{n + 5}")
        ds.save_as(file)
    back = read_ct_series(tmp_path, "P01 ct")
    np.testing.assert_allclose(back.data, hu_at(centres_of(back.grid)), atol=1e-3)
    assert "P01 ct: each of 4 CT slices names a FrameOfReferenceUID of its own" in caplog.text
    assert study_of(tmp_path, ANONYMOUS, False, datetime(2026, 3, 2), "P01 ct").frame_uid not in ("2.25.5", "2.25.8")
    with pytest.raises(InputError, match=r"the CT's slices name 4 FrameOfReferenceUIDs, which tell nothing about"):
        check_frame({"2.25.5"}, tmp_path, "P01 lesions")
    files[1].unlink()
    with pytest.raises(InputError, match="spacing"):
        read_ct_series(tmp_path, "P01 ct")


def test_slices_of_two_frames_or_of_two_series_in_many_frames_are_not_one(tmp_path: Path):
    write_ct(tmp_path, hu_volume(np.eye(3), shape=(7, 5, 8)))
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
    write_ct(tmp_path, hu_volume(np.eye(3)))
    for file in tmp_path.iterdir():
        ds = pydicom.dcmread(file)
        ds.SOPClassUID = ds.SOPInstanceUID = ds.SeriesInstanceUID = ""
        ds.save_as(file)
    assert read_ct_series(tmp_path, "P01 ct").grid.shape == (7, 5, 4)
