"""Organs and lesions from structure sets and segmentations: names, frames of reference, overlaps, refusals, notes."""

from pathlib import Path

import highdicom as hd
import numpy as np
import pydicom
import pytest
from region_files import Roi, circle, contours_of, ct_files, described, write_rtstruct, write_seg

from planardose.anatomy.labels import add_lesions, read_segmentation
from planardose.anatomy.region_names import meaning_of, organ_of_name
from planardose.errors import InputError
from planardose.image import Grid, Volume
from planardose.io.ct import read_ct
from planardose.io.dicom_common import Identity
from planardose.io.dicom_ct import write_ct
from planardose.io.dicom_regions import Naming
from planardose.io.nifti import write_volume

NAME = "Quillfeather"
SEG, LES = "P01 segmentation", "P01 lesions"


@pytest.fixture(scope="module")
def scene(tmp_path_factory) -> tuple[Path, Grid, str]:
    """A CT series of 40 x 30 x 24 voxels with a patient's name, its grid as read, and its frame of reference."""
    folder = tmp_path_factory.mktemp("scene") / "ct"
    grid = Grid.axis_aligned((40, 30, 24), (8.0, 8.0, 10.0), (-160.0, -110.0, 35.0))
    x, y = np.meshgrid(grid.axis_mm(0), grid.axis_mm(1), indexing="ij")
    hu = np.where(np.hypot(x / 150, y / 105) < 1, 40.0, -1000.0)[:, :, None] * np.ones(24)
    noise = np.random.default_rng(1).normal(0, 10, grid.shape)
    write_ct(folder, Volume(hu + noise, grid, "CT number", "HU"), Identity(f"{NAME}^Ada", "4711"))
    return folder, read_ct(folder, "ct").grid, str(ct_files(folder)[0].FrameOfReferenceUID)


def balls(grid: Grid, centres: dict[int, tuple], radius: float = 24.0) -> np.ndarray:
    """Labels of balls, one for each centre in RAS mm."""
    index = np.stack(np.indices(grid.shape), -1)
    ras = index @ grid.ras_from_voxel[:3, :3].T + grid.ras_from_voxel[:3, 3]
    labels = np.zeros(grid.shape, dtype=np.int16)
    for n, centre in centres.items():
        labels[((ras - centre) ** 2).sum(-1) < radius**2] = n
    return labels


ORGANS = {5: (60.0, 10.0, 150.0), 3: (-70.0, -20.0, 130.0), 2: (50.0, -50.0, 90.0), 207: (-60.0, 40.0, 210.0)}


def rois(labels: np.ndarray, grid: Grid, names: dict[int, str], kinds: dict[int, str] | None = None) -> list[Roi]:
    return [Roi(name, contours_of(labels == n, grid), (kinds or {}).get(n, "")) for n, name in names.items()]


@pytest.mark.parametrize(
    ("name", "organ"),
    [
        *((n, "kidney_left") for n in (
            "Kidney L", "Kidney_L", "LKidney", "KidneyL", "left kidney", "Lt Kidney", "KIDNEY (LEFT)", "kidney-left",
        )),
        ("Liver", "liver"), ("LIVER", "liver"), ("Parotid_R", "parotid_gland_right"), ("SpinalCord", "spinal_cord"),
        ("Glnd_Submand_L", "submandibular_gland_left"), ("Glnd_Thyroid", "thyroid_gland"), ("VB_L1", "vertebrae_L1"),
        ("Bowel_Small", "small_bowel"), ("Lens_R", "eye_lens_right"), ("Lung_R", "lung_upper_lobe_right"),
        ("Bladder", "urinary_bladder"), ("rib_left_11", "rib_left_11"), ("Rib01_L", "rib_left_1"),
        ("VB_T01", "vertebrae_T1"),        ("Glnd_Adrenal_R", "adrenal_gland_right"),
        *((n, None) for n in ("Kidney", "Kidneys", "Liver-GTV", "Kidney_L_R", "Bowel", "Femur_Head_L", "", "L1")),
    ],
)  # fmt: skip
def test_names_of_organs(name, organ):
    assert organ_of_name(name) == organ


def test_a_structure_set_gives_organs_and_tells_the_rest_without_names(scene, tmp_path, caplog):
    ct, grid, frame = scene
    labels = balls(grid, ORGANS | {9: (0.0, 0.0, 60.0)})
    names = {5: "Liver", 3: "LKidney", 2: "Kidney_R", 207: "Parotid L", 9: f"Dr {NAME}"}
    point = np.array([[0.0, 0.0, 100.0]])
    drawn = rois(labels, grid, names, {9: "ORGAN"})
    drawn[0].more = [("POINT", point), ("OPEN_PLANAR", circle((0, 0, 105.0), 60.0))]
    drawn[1].kind = NAME.upper()
    upright = circle((0, 0, 0), 60.0)[:, [0, 2, 1]] + (0, 0, 105.0)
    drawn += [Roi("BODY", [circle((0, 0, z), 90.0) for z in grid.axis_mm(2)] + [upright], "EXTERNAL"), Roi("empty", []),
              Roi("far", [circle((900.0, 0, 105.0), 30.0)]), Roi("iso", [], more=[("POINT", point)])]  # fmt: skip
    notes: list[str] = []
    path = write_rtstruct(tmp_path / "rs.dcm", drawn, frame)
    found = read_segmentation(path, grid, SEG, ct, notes).data
    labels[labels == 9] = 0
    for n in ORGANS:
        assert np.count_nonzero(found == n) == pytest.approx(np.count_nonzero(labels == n), rel=0.06)
    assert np.count_nonzero(found != labels) < 0.06 * np.count_nonzero(labels) and found.dtype == np.int16
    assert "segmentation: 3 of 8 regions hold nothing on the CT: number 7, 8, 9" in notes
    assert any("1 of 5 regions have no name of an organ that is known" in n and "number 5 (ORGAN, " in n for n in notes)
    outlines = "segmentation: 1 of 9 regions are the body's outline, margins, beams or devices and left out: number 6"
    assert outlines in notes
    assert len(notes) == 3 and NAME.lower() not in caplog.text.lower() and all(f"P01 {n}" in caplog.text for n in notes)


def test_the_folder_of_a_structure_set_may_hold_the_ct_too(scene, tmp_path):
    ct, grid, frame = scene
    labels = balls(grid, ORGANS)
    for file in ct.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    write_rtstruct(tmp_path / "RS.dcm", rois(labels, grid, {5: "liver"}), frame)
    assert set(np.unique(read_segmentation(tmp_path, grid, SEG, ct).data)) == {0, 5}
    write_rtstruct(tmp_path / "RS2.dcm", rois(labels, grid, {5: "liver"}), frame)
    with pytest.raises(InputError, match=r"2 objects SEG or RTSTRUCT in one folder; .*name the file"):
        read_segmentation(tmp_path, grid, SEG, ct)


def test_another_frame_of_reference_is_refused_and_a_nifti_ct_told(scene, tmp_path, caplog):
    ct, grid, _ = scene
    drawn = rois(balls(grid, ORGANS), grid, {5: "Liver"})
    other = write_rtstruct(tmp_path / "other.dcm", drawn, "1.2.3.4")
    none = write_rtstruct(tmp_path / "none.dcm", drawn, "")
    for path, message in ((other, "another FrameOfReferenceUID than the CT's"), (none, "no FrameOfReferenceUID")):
        for read in (lambda p: read_segmentation(p, grid, SEG, ct), lambda p: add_lesions(no_labels(grid), p, SEG, ct)):
            with pytest.raises(InputError, match=f"^P01 segmentation: {message}.*drawn on this CT"):
                read(path)
    nifti = tmp_path / "ct.nii.gz"
    write_volume(nifti, read_ct(ct, "ct"))
    read_segmentation(other, grid, SEG, nifti)
    assert "P01 segmentation: the CT is a NIfTI and names no frame of reference" in caplog.text


def no_labels(grid: Grid) -> Volume:
    return Volume(np.zeros(grid.shape, dtype=np.int16), grid, "label", "1")


def test_lesions_are_numbered_in_their_order_and_organs_left_out(scene, tmp_path, caplog):
    ct, grid, frame = scene
    labels = balls(grid, {1: (60.0, 10.0, 150.0), 2: (-70.0, -20.0, 130.0), 3: (50.0, -50.0, 90.0)}, 20.0)
    names = {2: f"GTV {NAME}", 1: "Liver", 3: "Prostate"}
    drawn = [*rois(labels, grid, names, {3: "GTV"}), Roi("PTV", [circle((0, 0, 105.0), 50.0)]), Roi("Couch", [])]
    write_rtstruct(tmp_path / "rs.dcm", drawn, frame)
    notes: list[str] = []
    found = add_lesions(no_labels(grid), tmp_path / "rs.dcm", LES, ct, notes).data
    order = np.array([0, 0, 1001, 1002])[labels]
    assert np.count_nonzero(found != order) < 0.08 * np.count_nonzero(order)
    assert notes[0].endswith("margins, beams or devices and left out: number 4, 5")
    assert len(notes) == 2 and notes[1].startswith("lesions: 1 of 3 regions are organs and no lesions: number 2 (")
    assert NAME not in caplog.text


@pytest.mark.parametrize(
    ("names", "kinds", "message"),
    [
        ({1: "Lesion 1", 2: "Niere links"}, {}, r"1 of 2 regions may be lesions or not, .*: number 2 \(.* mL\); .*GTV"),
        ({1: "Liver", 2: "other organ"}, {2: "ORGAN"}, r"none of 2 regions is a lesion: number 1 \(.*2 \(ORGAN, "),
        ({1: "BODY", 2: "x"}, {2: "CONTROL"}, "2 regions, all of them outlines of the body, beams or devices"),
        ({1: "Liver-GTV", 2: "GTV"}, {}, "1 of 2 regions may be lesions or not"),
    ],
)
def test_what_may_be_no_lesion_is_refused(scene, tmp_path, names, kinds, message):
    ct, grid, frame = scene
    labels = balls(grid, {1: (60.0, 10.0, 150.0), 2: (-70.0, -20.0, 130.0)})
    write_rtstruct(tmp_path / "rs.dcm", rois(labels, grid, names, kinds), frame)
    with pytest.raises(InputError, match=message) as fault:
        add_lesions(no_labels(grid), tmp_path / "rs.dcm", LES, ct)
    assert "Niere" not in str(fault.value) and "\n" not in str(fault.value)


@pytest.mark.parametrize(
    ("name", "role"),
    [
        *((n, "lesion") for n in ("Metastasis vertebral body L3", "Skin metastasis", "GTVn 3", "Liver met 2")),
        *((n, "other") for n in ("PTV met 2", "Ring_GTV", "BODY", "Couch", "avoid LN")),
        ("Vertebral thing", "unknown"), ("ROI 3", "nothing"),
    ],
)  # fmt: skip
def test_what_a_name_without_an_organ_tells(name, role):
    assert meaning_of(Naming(1, name, ""), LES).role == role


def test_names_that_say_nothing_are_lesions_where_lesions_are_asked_for(scene, tmp_path):
    ct, grid, frame = scene
    labels = balls(grid, {1: (60.0, 10.0, 150.0), 2: (-70.0, -20.0, 130.0)})
    path = write_rtstruct(tmp_path / "rs.dcm", rois(labels, grid, {1: "VOI 7", 2: "Segment_2"}), frame)
    assert set(np.unique(add_lesions(no_labels(grid), path, LES, ct).data)) == {0, 1001, 1002}
    with pytest.raises(InputError, match="none of 2 regions is an organ that is known"):
        read_segmentation(path, grid, SEG, ct)


def test_the_smaller_of_two_takes_what_they_share(scene, tmp_path, caplog):
    ct, grid, frame = scene
    large, small = balls(grid, {1: ORGANS[5]}, 50.0), balls(grid, {1: ORGANS[5]}, 20.0)
    pair = {"Liver": contours_of(large == 1, grid), "GB": []}
    pair["Gall bladder"] = contours_of(small == 1, grid)
    for names in (list(pair), list(pair)[::-1]):
        path = write_rtstruct(tmp_path / "rs.dcm", [Roi(n, pair[n]) for n in names], frame)
        found = read_segmentation(path, grid, SEG, ct).data
        assert np.count_nonzero(found == 4) == pytest.approx(np.count_nonzero(small), rel=0.05)
        assert np.count_nonzero(found > 0) == pytest.approx(np.count_nonzero(large), rel=0.02)
    assert "100% of number 3 lie in 1" in caplog.text and "100% of number 1 lie in 3" in caplog.text


def test_one_organ_twice_is_refused_and_lungs_may_be_parts_and_the_whole(scene, tmp_path):
    ct, grid, frame = scene
    labels = balls(grid, {1: (70.0, 0.0, 150.0), 2: (-70.0, 0.0, 150.0)})
    path = write_rtstruct(tmp_path / "a.dcm", rois(labels, grid, {1: "Kidney_R", 2: "Right kidney"}), frame)
    with pytest.raises(InputError, match=r"kidney_right twice: number 1 .*, number 2 .*; expected one region"):
        read_segmentation(path, grid, SEG, ct)
    lungs = [*rois(labels, grid, {1: "Lung_R", 2: "Lung_L"}), Roi("Lungs", contours_of(labels > 0, grid))]
    found = read_segmentation(write_rtstruct(tmp_path / "b.dcm", lungs, frame), grid, SEG, ct).data
    assert np.median(found[labels == 1]) == 12 and np.median(found[labels == 2]) == 10


def test_the_checks_of_label_maps_hold_for_structure_sets(scene, tmp_path, caplog):
    ct, grid, frame = scene
    names = {5: "Lung_R", 3: "Lung_L", 2: "Kidney_R", 207: "Kidney_L"}
    labels = balls(grid, {n: (-x, y, z) for n, (x, y, z) in ORGANS.items()})
    path = write_rtstruct(tmp_path / "rs.dcm", rois(labels, grid, names), frame)
    with pytest.raises(InputError, match=r"lies to the right of .*mirrored"):
        read_segmentation(path, grid, SEG, ct)
    large = rois(balls(grid, {1: (0.0, 0.0, 150.0)}, 90.0), grid, {1: "Kidney_R"})
    read_segmentation(write_rtstruct(tmp_path / "large.dcm", large, frame), grid, SEG, ct)
    assert "kidney_right has 30" in caplog.text and "most have at most 1000 mL" in caplog.text


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
    write_ct(tmp_path / "ct", Volume(np.random.default_rng(0).normal(0, 10, grid.shape), grid, "CT number", "HU"))
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
