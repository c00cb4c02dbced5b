"""Labels as SEG: read by highdicom, another reader, and by our own, to the voxel and in place."""

from datetime import datetime
from pathlib import Path

import highdicom as hd
import numpy as np
import pydicom
import pytest

from planardose.anatomy.labels import read_segmentation
from planardose.image import Grid, Volume
from planardose.io.dicom_new import Identity
from planardose.io.dicom_seg_write import Author, write_segments
from planardose.io.dicom_study import Study
from planardose.organ_codes import codes_of_organ, organ_of_code, side_of
from planardose.organs import name_of_label

AT = datetime(2026, 3, 2)
TURNED = np.array([[-3.0, 0, 0, 40], [0, 2.4, 1.8, -30], [0, -1.8, 2.4, 10], [0, 0, 0, 1]])
GRIDS = [Grid.axis_aligned((13, 11, 9), (4.0, 5.0, 6.0), (-30.0, -20.0, 100.0)), Grid((13, 11, 9), TURNED)]


def labels_on(grid: Grid) -> Volume:
    """Six labels without any symmetry; 143 bits per frame do not fill bytes."""
    data = np.random.default_rng(2).choice(np.array([0, 5, 2, 23, 208, 1002, 1001], dtype=np.int16), grid.shape)
    data[:, :, 3] = 0
    data[:6, :, 7][data[:6, :, 7] == 5] = 0
    return Volume(data, grid, "label", "1")


@pytest.mark.parametrize("grid", GRIDS, ids=["straight", "turned"])
def test_another_reader_and_our_own_find_every_voxel(grid, tmp_path: Path):
    labels = labels_on(grid)
    study = Study("2.25.1", "2.25.2", Identity("P01", "P01"), ("20260302", "090000"))
    write_segments(tmp_path / "seg.dcm", labels, study, AT, Author("TotalSegmentator 2", "made by a test"))
    assert np.array_equal(read_segmentation(tmp_path / "seg.dcm", grid, "P01").data, labels.data)
    seg = hd.seg.segread(tmp_path / "seg.dcm")
    names = {d.segment_number: d.segment_label for d in map(seg.get_segment_description, seg.segment_numbers)}
    assert list(names) == [1, 2, 3, 4, 5, 6]
    assert list(names.values()) == [
        "kidney_right", "liver", "kidney_cyst_left", "parotid_gland_right", "lesion_1", "lesion_2"
    ]  # fmt: skip
    volume = seg.get_volume(combine_segments=True)
    index = np.argwhere(volume.array)
    lps = index @ volume.affine[:3, :3].T + volume.affine[:3, 3]
    at = np.linalg.solve(grid.ras_from_voxel[:3, :3], (lps * (-1, -1, 1) - grid.ras_from_voxel[:3, 3]).T).T
    assert np.abs(at - np.rint(at)).max() < 1e-3
    found = np.zeros(grid.shape, dtype=int)
    found[tuple(np.rint(at).astype(int).T)] = np.array([0, 2, 5, 23, 208, 1001, 1002])[volume.array[tuple(index.T)]]
    assert np.array_equal(found, labels.data)
    kinds = {n: pydicom.dcmread(tmp_path / "seg.dcm").SegmentSequence[n - 1] for n in names}
    assert [kinds[n].SegmentAlgorithmType for n in names] == ["AUTOMATIC"] * 4 + ["MANUAL"] * 2
    categories = [kinds[n].SegmentedPropertyCategoryCodeSequence[0].CodeMeaning for n in names]
    whole, altered = "Anatomical Structure", "Morphologically Altered Structure"
    assert categories == [whole, whole, altered, whole, altered, altered]
    side = kinds[4].SegmentedPropertyTypeCodeSequence[0].SegmentedPropertyTypeModifierCodeSequence[0]
    assert side.CodeMeaning == "Right" and kinds[6].SegmentedPropertyTypeCodeSequence[0].CodeMeaning == "Lesion"


def test_every_organ_has_a_code_that_tells_it():
    for organ in name_of_label().values():
        code, meaning = codes_of_organ()[organ][0]
        side = side_of(organ)
        assert organ_of_code(code, side[0] if side else "") == organ and code.isdecimal() and len(meaning) <= 64
