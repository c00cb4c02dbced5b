"""Organs and lesions from structure sets: frames of reference, overlaps, refusals, notes without names."""

import numpy as np
import pytest
from region_files import Roi, circle, contours_of, write_rtstruct
from region_scene import LES, NAME, ORGANS, SEG, balls, no_labels, rois

from planardose.anatomy.labels import add_lesions, read_segmentation
from planardose.errors import InputError
from planardose.io.ct import read_ct
from planardose.io.nifti import write_volume


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
        ({1: "Lesion 1", 2: "Rene sin"}, {}, r"1 of 2 regions may be lesions or not, .*: number 2 \(.* mL\); .*GTV"),
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
    assert "Rene" not in str(fault.value) and "\n" not in str(fault.value)


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
