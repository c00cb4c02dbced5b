"""Planar NM images in a folder: a file per head or window, copies, and what else a study holds."""

from datetime import timedelta
from pathlib import Path

import numpy as np
import pydicom
import pytest
from imaging_scene import CAMERA, planar_pair
from pydicom.dataset import Dataset
from pydicom.uid import ExplicitVRLittleEndian, RLELossless

from planardose.config import Hand
from planardose.errors import InputError
from planardose.io.dicom_nm import write_planar
from planardose.io.nm_words import view_of_text
from planardose.io.planar_in import read_planar
from planardose.planar import PlanarPair

KEY = "patients.P01.t24"
WHERE = "P01 t24 planar"


@pytest.fixture
def pair() -> PlanarPair:
    return planar_pair()


def _pixels(ds, change) -> None:
    ds.PixelData = np.ascontiguousarray(change(ds.pixel_array.copy())).tobytes()


@pytest.mark.parametrize(("column_mm", "taken"), [(5.2003, True), (5.21, False)])
def test_files_whose_pixel_sizes_differ_a_little(tmp_path: Path, pair, column_mm: float, taken: bool):
    write_planar(tmp_path / "nm.dcm", pair, CAMERA)
    (tmp_path / "heads").mkdir()
    for head in (1, 2):
        ds = pydicom.dcmread(tmp_path / "nm.dcm")
        keep = [n for n, d in enumerate(ds.DetectorVector) if d == head]
        _pixels(ds, lambda a, keep=keep: a[keep])
        ds.NumberOfFrames, ds.NumberOfDetectors, ds.DetectorVector, ds.EnergyWindowVector = 3, 1, [1] * 3, [1, 2, 3]
        ds.DetectorInformationSequence = [ds.DetectorInformationSequence[head - 1]]
        ds.PixelSpacing = [4.8, column_mm if head == 2 else 5.2]
        ds.save_as(tmp_path / "heads" / f"{head}.dcm")
    if taken:
        assert read_planar(tmp_path / "heads", CAMERA, WHERE, key=KEY).pair.pixel_mm == (4.8, 5.2)
    else:
        with pytest.raises(InputError, match="one PixelSpacing"):
            read_planar(tmp_path / "heads", CAMERA, WHERE, key=KEY)


def test_signed_pixels_and_a_file_per_head(tmp_path: Path, pair):
    write_planar(tmp_path / "nm.dcm", pair, CAMERA)
    for head in (1, 2):
        ds = pydicom.dcmread(tmp_path / "nm.dcm")
        keep = [n for n, d in enumerate(ds.DetectorVector) if d == head]
        ds.PixelRepresentation = 1
        _pixels(ds, lambda a, keep=keep: a[keep].astype("<i2"))
        ds.NumberOfFrames, ds.NumberOfDetectors, ds.DetectorVector, ds.EnergyWindowVector = 3, 1, [1] * 3, [1, 2, 3]
        ds.DetectorInformationSequence = [ds.DetectorInformationSequence[head - 1]]
        (tmp_path / "heads").mkdir(exist_ok=True)
        ds.save_as(tmp_path / "heads" / f"{3 - head}.dcm")
    found = read_planar(tmp_path / "heads", CAMERA, WHERE, key=KEY)
    np.testing.assert_array_equal(found.pair.counts, pair.counts)


def test_a_copy_of_a_file_is_the_file(tmp_path: Path, pair):
    write_planar(tmp_path / "nm.dcm", pair, CAMERA)
    (tmp_path / "copy.dcm").write_bytes((tmp_path / "nm.dcm").read_bytes())
    assert np.array_equal(read_planar(tmp_path, CAMERA, WHERE).pair.counts, pair.counts)


def test_a_copy_under_another_uid_or_encoding_is_the_image(tmp_path: Path, pair):
    write_planar(tmp_path / "nm.dcm", pair, CAMERA)
    ds = pydicom.dcmread(tmp_path / "nm.dcm")
    ds.SOPInstanceUID, ds.SeriesInstanceUID, ds.SeriesNumber = "1.2.3", "1.2.4", 9
    ds.compress(RLELossless, generate_instance_uid=False)
    ds.save_as(tmp_path / "copy.dcm")
    found = read_planar(tmp_path, CAMERA, WHERE, key=KEY)
    np.testing.assert_array_equal(found.pair.counts, pair.counts)
    assert found.notes == ()
    _pixels(ds, lambda a: a + 1)  # another acquisition
    ds.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    ds.save_as(tmp_path / "copy.dcm")
    with pytest.raises(InputError, match="several anterior frames"):
        read_planar(tmp_path, CAMERA, WHERE, key=KEY)


@pytest.mark.parametrize("kind", [["TOMO", "EMISSION"], ["RECON TOMO", "EMISSION"], ["STATIC", "TRANSMISSION"]])
def test_other_images_of_the_study_beside_the_planar_ones_are_left_out(kind: list, tmp_path: Path, pair):
    write_planar(tmp_path / "nm.dcm", pair, CAMERA)
    ds = pydicom.dcmread(tmp_path / "nm.dcm")
    ds.ImageType, ds.SOPInstanceUID = ["ORIGINAL", "PRIMARY", *kind], "1.2.3"
    ds.CorrectedImage = ["DECY", "ATTN"]
    ds.save_as(tmp_path / "other.dcm")
    found = read_planar(tmp_path, CAMERA, WHERE, key=KEY)
    np.testing.assert_array_equal(found.pair.counts, pair.counts)
    assert found.notes == ("1 NM object (tomographic, dynamic, gated or transmission) left out",)
    with pytest.raises(InputError, match=r"image type|a transmission image"):
        read_planar(tmp_path / "other.dcm", CAMERA, WHERE, key=KEY)


@pytest.mark.parametrize(
    ("text", "view"),
    [
        ("WB ANT", "anterior"), ("Posterior_view", "posterior"), ("LAO OBL ANT", None), ("ANT POST", None),
        ("WB A/P", None), ("WB AP/PA", None), ("Anterior-posterior", None), ("Apparatus PAT", None),
        ("WB post Lu-177", None), ("24 h POST 177LU ANT", "anterior"), ("post 2. Zyklus", None),
        ("POST 2", "posterior"), ("post Zyklus 2 dorsal", "posterior"), ("post dose", None),
        ("GK von ventral", "anterior"), ("GK von vorne", "anterior"),
        ("Ganzk\u00f6rper hinten", "posterior"), ("R\u00fcckansicht", "posterior"),
        ("VUE ANT\u00c9RIEURE", "anterior"), ("vue arri\u00e8re", "posterior"), ("face dorsale", "posterior"),
        ("GK avant", "anterior"), ("avant traitement", None), ("POST avant la th\u00e9rapie", "posterior"),
        ("LAO ANT", None), ("ANTEROLATERAL", None),
        ("Post-therapy WB", None), ("post therapy ANT", "anterior"), ("POST TX", None), ("WB post injection", None),
        ("24h post p.i. POST", "posterior"), ("24h p.i. ANT", "anterior"), ("POST_INJ POSTERIOR", "posterior"),
        ("POST INFERIOR", "posterior"), ("POST PINHOLE", "posterior"), ("ANTERIEUR", "anterior"),
        ("Face postérieure", "posterior"), ("GK ventral", "anterior"), ("GK dorsal", "posterior"),
    ],
)  # fmt: skip
def test_the_view_that_a_text_names(text: str, view: str | None):
    assert view_of_text(text) == (view, False)


@pytest.mark.parametrize(
    ("text", "view"),
    [
        ("WB AP", "anterior"), ("WB_PA", "posterior"), ("GK p.a.", "posterior"), ("Antero-posterior", "anterior"),
        ("Postero-anterior", "posterior"), ("POSTEROANTERIOR", "posterior"),
    ],
)  # fmt: skip
def test_a_projection_names_a_view_with_reserve(text: str, view: str):
    assert view_of_text(text) == (view, True)


def test_a_file_per_view_and_window_in_the_order_by_hand(tmp_path: Path, pair):
    """As Xeleris writes them, with both angles wrong; the refusal's advice must help."""

    def change(ds, n):
        ds.ImageID, ds.DetectorInformationSequence[0].StartAngle = ("ANT_EM", "POST_EM")[n], ("0", "180")[n]

    for head, file in enumerate(sorted(_a_file_per_head(tmp_path, pair, change).iterdir())):
        for window in range(3):
            ds = pydicom.dcmread(file)
            _pixels(ds, lambda a, window=window: a[window])
            ds.NumberOfFrames, ds.DetectorVector, ds.EnergyWindowVector = 1, 1, 1
            ds.EnergyWindowInformationSequence = [ds.EnergyWindowInformationSequence[window]]
            ds.SOPInstanceUID, ds.InstanceNumber = f"2.25.{10 * window + head}", 10 * window + head
            ds.save_as(tmp_path / "heads" / f"{window}{head}.dcm")
        file.unlink()
    with pytest.raises(InputError, match=rf"swapped heads.*{KEY}.head_order"):
        read_planar(tmp_path / "heads", CAMERA, WHERE, key=KEY)
    found = read_planar(tmp_path / "heads", CAMERA, WHERE, Hand(head_order="anterior_first"), KEY)
    np.testing.assert_array_equal(found.pair.counts, pair.counts)
    assert "head_order anterior_first by hand, against the header" in found.notes
    assert any(n.startswith("head_order: the first file of each window is that with the lower") for n in found.notes)
    (tmp_path / "heads" / "10.dcm").unlink()
    with pytest.raises(InputError, match="head_order cannot order 5 heads in 5 files"):
        read_planar(tmp_path / "heads", CAMERA, WHERE, Hand(head_order="anterior_first"), KEY)


def test_a_file_of_one_head_and_several_windows_needs_no_detector_vector(tmp_path: Path, pair):
    def change(ds, n):
        ds.ImageID = ("ANT", "POST")[n]
        del ds.DetectorVector

    folder = _a_file_per_head(tmp_path, pair, change)
    np.testing.assert_array_equal(read_planar(folder, CAMERA, WHERE, key=KEY).pair.counts, pair.counts)


HEADS = [("ImageID", "ANTERIOR", "POSTERIOR"), ("SeriesDescription", "GK ventral", "GK dorsal")]


def _a_file_per_head(folder: Path, pair: PlanarPair, change) -> Path:
    """A folder with one file per head, as GE writes them; `change` gets each data set and its number."""
    write_planar(folder / "nm.dcm", pair, CAMERA)
    (folder / "heads").mkdir()
    for n in range(2):
        ds = pydicom.dcmread(folder / "nm.dcm")
        keep = [i for i, d in enumerate(ds.DetectorVector) if d == n + 1]
        _pixels(ds, lambda a, keep=keep: a[keep])
        ds.NumberOfFrames, ds.NumberOfDetectors, ds.DetectorVector, ds.EnergyWindowVector = 3, 1, [1] * 3, [1, 2, 3]
        ds.SOPInstanceUID, ds.CountsAccumulated = f"{ds.SOPInstanceUID[:60]}.{n}", ""
        item = ds.DetectorInformationSequence[n]
        item.ViewCodeSequence, item.StartAngle, item.ImageOrientationPatient = [], "", None
        ds.DetectorInformationSequence = [item]
        change(ds, n)
        ds.save_as(folder / "heads" / f"{n}.dcm")
    return folder / "heads"


@pytest.mark.parametrize(("name", "anterior", "posterior"), HEADS)
def test_one_field_that_names_a_view_is_enough(name: str, anterior: str, posterior: str, tmp_path: Path, pair):
    def change(ds, n):
        ds.ImageID, ds.SeriesDescription = "WHOLE BODY_E", "WB ANT/POST POST LU"
        setattr(ds, name, (anterior, posterior)[n])

    folder = _a_file_per_head(tmp_path, pair, change)
    np.testing.assert_array_equal(read_planar(folder, CAMERA, WHERE, key=KEY).pair.counts, pair.counts)


def test_ap_and_pa_name_the_views_with_a_note_where_nothing_else_does(tmp_path: Path, pair):
    def change(ds, n):
        ds.ImageID, ds.SeriesDescription = "WB post Lu AP", ("GK AP", "GK PA")[n]

    found = read_planar(_a_file_per_head(tmp_path, pair, change), CAMERA, WHERE, key=KEY)
    np.testing.assert_array_equal(found.pair.counts, pair.counts)
    assert sum("AP and PA in the descriptions are taken as anterior and posterior" in n for n in found.notes) == 1


def test_a_description_that_all_files_share_names_no_view(tmp_path: Path, pair):
    def change(ds, n):
        ds.ImageID, ds.SeriesDescription = "AP", ("GK vorne", "GK hinten")[n]

    found = read_planar(_a_file_per_head(tmp_path, pair, change), CAMERA, WHERE, key=KEY)
    np.testing.assert_array_equal(found.pair.counts, pair.counts)
    assert not any("AP and PA" in n for n in found.notes)


@pytest.mark.parametrize("names", [("ANT", "POST"), ("AP", "PA"), ("ANT", "")])
def test_descriptions_that_contradict_each_other_are_refused(names: tuple, tmp_path: Path, pair):
    def change(ds, n):
        ds.ImageID, ds.SeriesDescription = names[n], ("GK dorsal", "GK ventral")[n]

    folder = _a_file_per_head(tmp_path, pair, change)
    with pytest.raises(InputError, match=rf"ImageID and SeriesDescription of a file name different.*{KEY}.head_order"):
        read_planar(folder, CAMERA, WHERE, key=KEY)
    found = read_planar(folder, CAMERA, WHERE, Hand(head_order="anterior_first"), KEY)
    np.testing.assert_array_equal(found.pair.counts, pair.counts)


def test_a_sites_own_code_names_the_view_by_its_value(tmp_path: Path, pair):
    def change(ds, n):
        code = Dataset()
        code.CodeValue, code.CodingSchemeDesignator, code.CodeMeaning = ("FACE ANT", "FACE POST")[n], "99NMG", ""
        ds.DetectorInformationSequence[0].ViewCodeSequence = [code]

    folder = _a_file_per_head(tmp_path, pair, change)
    np.testing.assert_array_equal(read_planar(folder, CAMERA, WHERE, key=KEY).pair.counts, pair.counts)


def test_one_angle_for_both_files_does_not_hide_what_their_descriptions_say(tmp_path: Path, pair):
    def change(ds, n):
        ds.ImageID, ds.DetectorInformationSequence[0].StartAngle = ("ANT_EM", "POST_EM")[n], "0"

    found = read_planar(_a_file_per_head(tmp_path, pair, change), CAMERA, WHERE, key=KEY)
    np.testing.assert_array_equal(found.pair.counts, pair.counts)
    assert "StartAngle 0 of every head: views by description" in found.notes


def test_angles_that_the_descriptions_of_both_files_contradict_are_swapped_heads(tmp_path: Path, pair):
    def change(ds, n):
        ds.ImageID, ds.DetectorInformationSequence[0].StartAngle = ("ANT_EM", "POST_EM")[n], ("0", "180")[n]

    folder = _a_file_per_head(tmp_path, pair, change)
    with pytest.raises(InputError, match=rf"swapped heads.*posterior, its description says anterior.*{KEY}.head_order"):
        read_planar(folder, CAMERA, WHERE, key=KEY)
    found = read_planar(folder, CAMERA, WHERE, Hand(head_order="anterior_first"), KEY)
    np.testing.assert_array_equal(found.pair.counts, pair.counts)


@pytest.mark.parametrize(("minutes", "start"), [(4, 0), (16, 8), (70, None)])
def test_views_that_one_head_took_after_each_other(minutes: int, start: int | None, tmp_path: Path, pair):
    later = pair.acquired_at + timedelta(minutes=minutes)

    def change(ds, n):
        ds.ImageID = ("ANT", "POST")[n]
        ds.AcquisitionTime = (pair.acquired_at, later)[n].strftime("%H%M%S")

    folder = _a_file_per_head(tmp_path, pair, change)
    if start is None:
        with pytest.raises(InputError, match="files acquired 70 min apart"):
            read_planar(folder, CAMERA, WHERE, key=KEY)
        return
    found = read_planar(folder, CAMERA, WHERE, key=KEY)
    assert found.pair.acquired_at == pair.acquired_at + timedelta(minutes=start)
    assert ("the views started 16 min apart: the middle is taken" in found.notes) == (minutes == 16)


def test_pictures_beside_the_images_are_left_out_with_a_note_and_alone_refused(tmp_path: Path, pair):
    write_planar(tmp_path / "nm.dcm", pair, CAMERA)
    pictures = [
        {"SOPClassUID": "1.2.840.10008.5.1.4.1.1.7", "BitsAllocated": 8, "BitsStored": 8},
        {"SOPClassUID": "1.2.840.10008.5.1.4.1.1.7.2", "BitsAllocated": 8, "BitsStored": 8},
        {"SamplesPerPixel": 3, "PlanarConfiguration": 0, "BitsAllocated": 8, "BitsStored": 8},
        {"ImageType": ["DERIVED", "SECONDARY", "SCREEN SAVE"]},
    ]
    for n, tags in enumerate(pictures):
        ds = pydicom.dcmread(tmp_path / "nm.dcm")
        for name, value in tags.items():
            setattr(ds, name, value)
        ds.HighBit, ds.NumberOfFrames, ds.CountsAccumulated = ds.BitsStored - 1, 1, ""
        ds.PhotometricInterpretation = "RGB" if ds.SamplesPerPixel == 3 else "MONOCHROME2"
        ds.PixelData = bytes(ds.Rows * ds.Columns * ds.SamplesPerPixel * ds.BitsAllocated // 8)
        ds.save_as(tmp_path / f"picture{n}.dcm")
    found = read_planar(tmp_path, CAMERA, WHERE, key=KEY)
    np.testing.assert_array_equal(found.pair.counts, pair.counts)
    assert "4 pictures (screen or secondary capture) left out" in found.notes
    for n in range(len(pictures)):
        with pytest.raises(InputError):
            read_planar(tmp_path / f"picture{n}.dcm", CAMERA, WHERE, key=KEY)


@pytest.mark.parametrize(
    ("numbers", "told"),
    [
        ((1, 1), "the first file, by file name, is that acquired at 09:30:00, beside 09:32:00"),
        ((7, 3), "the first file is that with InstanceNumber 3, before 7"),
    ],
)
def test_two_files_without_views_are_ordered_by_number_and_then_by_name(numbers, told, tmp_path: Path, pair):
    write_planar(tmp_path / "nm.dcm", pair, CAMERA)
    (tmp_path / "heads").mkdir()
    for head, name in enumerate(("img9", "img10")):
        ds = pydicom.dcmread(tmp_path / "nm.dcm")
        keep = [n for n, d in enumerate(ds.DetectorVector) if d == head + 1]
        _pixels(ds, lambda a, keep=keep: a[keep])
        ds.NumberOfFrames, ds.NumberOfDetectors, ds.DetectorVector, ds.EnergyWindowVector = 3, 1, [1] * 3, [1, 2, 3]
        ds.InstanceNumber, ds.SOPInstanceUID = numbers[head], f"2.25.{head + 1}"
        ds.AcquisitionTime = ("093000", "093200")[head]
        del ds.DetectorInformationSequence
        ds.save_as(tmp_path / "heads" / f"{name}.dcm")
    found = read_planar(tmp_path / "heads", CAMERA, WHERE, Hand(head_order="anterior_first"), KEY)
    first = 0 if numbers[0] <= numbers[1] else 1
    np.testing.assert_array_equal(found.pair.counts[0], pair.counts[first])
    assert f"head_order: {told}" in found.notes
