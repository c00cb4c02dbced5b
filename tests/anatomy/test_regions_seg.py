"""Organs and lesions from DICOM segmentations: writers, overlaps, other grids and slices, refusals."""

from pathlib import Path

import highdicom as hd
import numpy as np
import pydicom
import pytest
from region_files import ct_files, described, write_seg
from region_scene import LES, NAME, ORGANS, SEG, balls, no_labels

from planardose.anatomy.labels import add_lesions, read_segmentation
from planardose.errors import InputError
from planardose.image import Grid, Volume
from planardose.io.dicom_ct import write_ct
from planardose.io.dicom_new import Identity


def frames(labels: np.ndarray) -> np.ndarray:
    """(slices, rows, columns)"""
    return labels.transpose(2, 1, 0)


def seg_labels(grid: Grid) -> tuple[np.ndarray, list, np.ndarray]:
    """Labels, their segments, and the segments' numbers in the labels' place."""
    labels = balls(grid, ORGANS)
    numbers = np.zeros(208, dtype=np.uint8)
    numbers[list(ORGANS)] = 1, 2, 3, 4
    side = ("7771000", "SCT", "Left")
    parts = [described(1, "Liver"), described(2, "Segment_2", ("64033007", "SCT", "Kidney"), side=side),
             described(3, "something", ("T-71000", "SRT", "Kidney"), side=("G-A100", "SRT", "Right")),
             described(4, "Parotid, left", ("45289007", "SCT", "Parotid gland"))]  # fmt: skip
    return labels, parts, numbers[labels]


@pytest.mark.parametrize("kind", ["BINARY", "FRACTIONAL", "LABELMAP"])
@pytest.mark.parametrize("turned", [False, True])
def test_segments_of_another_writer_are_read_to_the_voxel(scene, tmp_path, kind, turned):
    """Names or codes, empty slices left out, and slices of other directions."""
    ct, grid, _ = scene
    labels, parts, numbers = seg_labels(grid)
    pixels = frames(numbers)
    if turned:
        images = hd.get_volume_from_series(ct_files(ct))
        pixels = images.with_array(frames(numbers)[:: -1 if images.affine[2, 0] < 0 else 1])
        pixels = pixels.to_patient_orientation("RSP")
    path = write_seg(tmp_path / "seg.dcm", ct_files(ct), pixels, parts, kind)
    assert int(pydicom.dcmread(path).NumberOfFrames) != 4 * grid.shape[2]
    notes: list[str] = []
    assert np.array_equal(read_segmentation(path, grid, SEG, ct, notes).data, labels) and notes == []


def test_frames_of_bits_that_do_not_fill_bytes(tmp_path):
    grid = Grid.axis_aligned((33, 27, 11), (8.0, 8.0, 10.0), (-130.0, -100.0, 0.0))
    hu = np.random.default_rng(0).normal(0, 10, grid.shape)
    write_ct(tmp_path / "ct", Volume(hu, grid, "CT number", "HU"), Identity(f"{NAME}^Ada", "4711"))
    slices = ct_files(tmp_path / "ct")
    drawn = np.random.default_rng(1).random((11, 27, 33)) < 0.3  # rows to the back, columns to the left
    path = write_seg(tmp_path / "seg.dcm", slices, drawn.astype(np.uint8), [described(1, "Liver")])
    found = read_segmentation(path, grid, SEG, tmp_path / "ct").data
    assert np.array_equal(found == 5, drawn.transpose(2, 1, 0)[::-1, ::-1])


def test_overlapping_fractions_and_lesions_by_their_codes(scene, tmp_path):
    ct, grid, _ = scene
    share = np.zeros((*frames(np.zeros(grid.shape)).shape, 3), dtype=np.float32)
    for n, centre in enumerate((ORGANS[5], ORGANS[5], ORGANS[2])):
        share[..., n] = frames(balls(grid, {1: centre}, 30.0)) * 0.4
        share[..., n] += frames(balls(grid, {1: centre}, (26.0, 14.0, 20.0)[n])) * 0.6
    changed = hd.sr.CodedConcept("49755003", "SCT", "Morphologically Abnormal Structure")
    parts = [described(1, "Liver"), described(2, "a", ("14799000", "SCT", "Neoplasm, Secondary"), changed),
             described(3, "b", ("4147007", "SCT", "Mass"))]  # fmt: skip
    path = write_seg(tmp_path / "seg.dcm", ct_files(ct), share, parts, "FRACTIONAL", max_fractional_value=200)
    found = add_lesions(no_labels(grid), path, LES, ct).data
    assert np.array_equal(found == 1001, balls(grid, {1: ORGANS[5]}, 14.0) == 1)
    assert np.array_equal(found == 1002, balls(grid, {1: ORGANS[2]}, 20.0) == 1)
    notes: list[str] = []
    assert np.array_equal(read_segmentation(path, grid, SEG, ct, notes).data == 5, balls(grid, {1: ORGANS[5]}, 26.0))
    assert len(notes) == 1
    assert notes[0].startswith("segmentation: 2 regions are lesions, which this column does not take: number 2 (")


def test_segments_on_part_of_the_slices_and_on_more_than_the_ct_has(scene, tmp_path):
    """Seven slices of it; and a CT of which the first ten slices are missing."""
    ct, grid, _ = scene
    labels, parts, numbers = seg_labels(grid)
    path = write_seg(tmp_path / "seg.dcm", ct_files(ct)[6:13], frames(numbers)[6:13], parts)
    found = read_segmentation(path, grid, SEG, ct).data
    labels[:, :, :6] = labels[:, :, 13:] = 0
    assert np.array_equal(found, labels)
    short = Grid((*grid.shape[:2], 14), grid.ras_from_voxel @ np.array(
        [[1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 1, 10], [0, 0, 0, 1]]
    ))  # fmt: skip
    whole = write_seg(tmp_path / "whole.dcm", ct_files(ct), frames(numbers), parts)
    assert np.array_equal(read_segmentation(whole, short, SEG).data, seg_labels(grid)[0][:, :, 10:])


def test_segments_of_thicker_slices_are_brought_to_the_cts(scene, tmp_path):
    ct, grid, _ = scene
    labels, parts, numbers = seg_labels(grid)
    path = write_seg(tmp_path / "seg.dcm", ct_files(ct)[::2], frames(numbers)[::2], parts)
    ds = pydicom.dcmread(path)
    measures = ds.SharedFunctionalGroupsSequence[0].PixelMeasuresSequence[0]
    measures.SliceThickness = 2 * grid.spacing_mm[2]
    if "SpacingBetweenSlices" in measures:
        measures.SpacingBetweenSlices = 2 * grid.spacing_mm[2]
    ds.save_as(path)
    with pytest.raises(InputError, match=r"frames 20 mm apart on a CT with slices every 10 mm.*RTSTRUCT"):
        read_segmentation(path, grid, SEG)  # whose frame of reference is not known
    notes: list[str] = []
    found = read_segmentation(path, grid, SEG, ct, notes).data
    assert notes == ["segmentation: frames 20 mm apart on a CT with slices every 10 mm: resampled onto it, every "
                     "segment's volume kept"]  # fmt: skip
    for label in ORGANS:
        volume = 2 * np.count_nonzero(labels[:, :, ::2] == label)
        assert abs(np.count_nonzero(found == label) - volume) <= 1 and volume > 50
        assert np.count_nonzero((found == label) & (labels == label)) > 0.7 * volume
    measures.SliceThickness = measures.SpacingBetweenSlices = grid.spacing_mm[2]  # two flat lesions, say
    ds.save_as(path)
    assert read_segmentation(path, grid, SEG, ct).data.any()


def _series(folder: Path, grid: Grid, frame: str) -> list:
    """Slices on another grid in a CT's frame of reference: of its PET, say."""
    write_ct(folder, Volume(np.zeros(grid.shape), grid, "CT number", "HU"), Identity(f"{NAME}^Ada", "4711"), seed=5)
    slices = ct_files(folder)
    for ds in slices:
        ds.FrameOfReferenceUID = frame
    return slices


@pytest.mark.parametrize(
    ("spacing", "shift"), [((6.5, 5.0, 4.0), 1.3), ((3.0, 3.0, 12.0), -2.0), ((16.0, 16.0, 7.0), 0.0)]
)
def test_segments_of_another_grid_in_the_cts_frame_keep_volume_and_place(scene, tmp_path, spacing, shift):
    ct, grid, frame = scene
    low, high = grid.bounds_mm()
    other = Grid.covering(low + shift, high - 5.0, np.array(spacing))
    labels = balls(other, ORGANS, 30.0)
    slices = _series(tmp_path / "pet", other, frame)
    _, parts, _ = seg_labels(grid)
    numbers = np.zeros(208, dtype=np.uint8)
    numbers[list(ORGANS)] = 1, 2, 3, 4
    stored = frames(numbers[labels])[:, ::-1, ::-1]  # as `write_ct` turns rows to the back, columns to the left
    path = write_seg(tmp_path / "seg.dcm", slices, stored, parts)
    notes: list[str] = []
    found = read_segmentation(path, grid, SEG, ct, notes).data
    assert len(notes) == 1 and "resampled onto it" in notes[0]
    at = np.stack(np.indices(grid.shape), -1) @ grid.ras_from_voxel[:3, :3].T + grid.ras_from_voxel[:3, 3]
    for label, centre in ORGANS.items():
        drawn = np.argwhere(labels == label) @ other.ras_from_voxel[:3, :3].T + other.ras_from_voxel[:3, 3]
        off_ml = np.count_nonzero(found == label) * grid.voxel_ml - len(drawn) * other.voxel_ml
        assert abs(off_ml) <= 0.5 * grid.voxel_ml
        assert np.linalg.norm(at[found == label].mean(axis=0) - drawn.mean(axis=0)) < 0.25 * grid.spacing_mm.max()
        assert np.linalg.norm(at[found == label].mean(axis=0) - centre) < 5.0


def test_a_segmentation_on_another_grid_that_cannot_be_placed_is_refused(scene, tmp_path):
    ct, grid, frame = scene
    a = np.deg2rad(15.0)
    turned = np.eye(4)
    turned[:2, :2] = [[np.cos(a), -np.sin(a)], [np.sin(a), np.cos(a)]]
    other = Grid.axis_aligned((60, 44, 40), (5.0, 5.0, 6.0), (-150.0, -100.0, 40.0))
    _, parts, _ = seg_labels(grid)
    numbers = (frames(balls(other, {1: ORGANS[5]}, 30.0))).astype(np.uint8)[:, ::-1, ::-1]

    def write(name: str, where: Grid, uid: str) -> Path:
        return write_seg(tmp_path / f"{name}.dcm", _series(tmp_path / name, where, uid), numbers, parts[:1])

    with pytest.raises(InputError, match="another FrameOfReferenceUID than the CT's"):
        read_segmentation(write("elsewhere", other, "2.25.9"), grid, SEG, ct)
    oblique = Grid(other.shape, turned @ other.ras_from_voxel)
    with pytest.raises(InputError, match=r"frames that are turned against the CT's axes .*RTSTRUCT"):
        read_segmentation(write("oblique", oblique, frame), grid, SEG, ct)
    path = write("thin", other, frame)
    ds = pydicom.dcmread(path)
    measures = ds.SharedFunctionalGroupsSequence[0].PixelMeasuresSequence[0]
    measures.SliceThickness = None
    if "SpacingBetweenSlices" in measures:
        del measures.SpacingBetweenSlices
    ds.save_as(path)
    with pytest.raises(InputError, match=r"do not tell how thick their slices are"):
        read_segmentation(path, grid, SEG, ct)


def test_refused_segmentations(scene, tmp_path):
    ct, grid, _ = scene
    _, parts, numbers = seg_labels(grid)
    path = write_seg(tmp_path / "seg.dcm", ct_files(ct), frames(numbers), parts)
    for other in (
        Grid(grid.shape, grid.ras_from_voxel @ np.diag([1.1, 1.1, 1.0, 1.0])),
        Grid(grid.shape, np.array([[1, 0, 0, 3.0], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]]) @ grid.ras_from_voxel),
    ):
        with pytest.raises(InputError, match=r"frames whose pixels are not the CT's voxels \(8x8 mm at .*RTSTRUCT"):
            read_segmentation(path, other, SEG)
    parts[1] = described(2, "Kidney R", ("64033007", "SCT", "Kidney"), side=("7771000", "SCT", "Left"))
    path = write_seg(tmp_path / "two.dcm", ct_files(ct), frames(numbers), parts)
    with pytest.raises(InputError, match="segment 2 is called kidney_right and coded as kidney_left"):
        read_segmentation(path, grid, SEG, ct)
    ds = pydicom.dcmread(path)
    ds.PixelData = ds.PixelData[:100]
    ds.save_as(path)
    with pytest.raises(InputError, match=r"frames that cannot be decoded \(\w+\)"):
        read_segmentation(path, grid, SEG, ct)
    del ds.PerFrameFunctionalGroupsSequence
    ds.save_as(path)
    with pytest.raises(InputError, match="a DICOM header that cannot be understood"):
        read_segmentation(path, grid, SEG, ct)
    ds.SOPClassUID = "1.2.840.10008.5.1.4.1.1.66.5"
    ds.save_as(path)
    with pytest.raises(InputError, match="no raster of frames"):
        read_segmentation(path, grid, SEG, ct)
