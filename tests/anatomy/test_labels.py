"""Label maps of the user, and the segment step on them."""

import json
from datetime import datetime

import nibabel as nib
import numpy as np
import pytest

from planardose.anatomy.label_checks import check_matter
from planardose.anatomy.labels import add_lesions, labels_table, read_segmentation
from planardose.anatomy.orient import reindexed
from planardose.cohort import Cohort, Row
from planardose.config import parse_config
from planardose.errors import InputError
from planardose.image import Grid, Volume
from planardose.io.dicom_new import ANONYMOUS, new_dataset, save_dataset
from planardose.io.nifti import write_volume
from planardose.organs import name_of_label
from planardose.patient_model import PatientModel
from planardose.run import Run
from planardose.steps.segment import segment

GRID = Grid((20, 18, 16), np.array([[-4.0, 0, 0, 40], [0, 4.5, 0.5, -30], [0, -0.5, 6, 10], [0, 0, 0, 1]]))


def labelled(values: dict[int, tuple[slice, slice, slice]], grid: Grid = GRID) -> Volume:
    data = np.zeros(grid.shape, dtype=np.int16)
    for value, where in values.items():
        data[where] = value
    return Volume(data, grid, "label", "1")


LIVER, KIDNEY = (slice(4, 9),) * 3, (slice(10, 14),) * 3


def test_totalsegmentator_numbers(tmp_path):
    given = labelled({5: LIVER, 3: KIDNEY})
    write_volume(tmp_path / "seg.nii.gz", given, dtype=np.int16)
    found = read_segmentation(tmp_path / "seg.nii.gz", GRID, "P01 segmentation")
    assert found.data.dtype == np.int16 and np.array_equal(found.data, given.data)
    rows = [line.split("\t") for line in labels_table(found).splitlines()]
    assert rows[0] == ["label", "name", "source", "volume_ml"] and rows[1][:3] == ["3", "kidney_left", "kidney_left"]
    assert float(rows[2][3]) == pytest.approx(125 * GRID.voxel_ml)


def test_names_table(tmp_path):
    given = labelled({1: LIVER, 77: KIDNEY, 30: (0, 0, 0), 31: (0, 0, 1)})
    write_volume(tmp_path / "seg.nii.gz", given, dtype=np.int16)
    (tmp_path / "seg.tsv").write_text("label\tname\n1\tliver\n77\tparotid_gland_left\n30\tlesion_4\n31\t\n")
    found = read_segmentation(tmp_path / "seg.nii.gz", GRID, "P01 segmentation")
    assert (found.data[LIVER] == 5).all() and (found.data[KIDNEY] == 207).all()
    assert found.data[0, 0, 0] == 1004 and found.data[0, 0, 1] == 0


@pytest.mark.parametrize("axes", [(0, 1, 2), (2, 0, 1), (1, 0, 2)])
def test_other_axis_order_is_turned(tmp_path, axes):
    given = labelled({5: LIVER, 3: KIDNEY})
    write_volume(tmp_path / "seg.nii.gz", reindexed(given, axes, (True, False, True)), dtype=np.int16)
    assert np.array_equal(read_segmentation(tmp_path / "seg.nii.gz", GRID, "P01").data, given.data)


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ("label\tname\n1\tleft kidny\n", r"organ 'left kidny' is not known.*kidney_left"),
        ("label\tname\n2\tliver\n", "label 1 has no row"),
        ("label,name\n1,liver\n", "no column 'label' .its columns: 'label,name'.*separate them by tabs"),
        ("index\tname\n1\tliver\n", "no column 'label' .its columns: 'index', 'name'"),
        ("Label\tname\n1\tliver\n", "no column 'label'"),
        ("label\tname\nx\tliver\n", "label 'x'; expected a whole number on every row"),
        ("label\tname\n1\tliver\n1\tspleen\n", "twice"),
    ],
)
def test_bad_names_tables(tmp_path, table, message):
    write_volume(tmp_path / "seg.nii.gz", labelled({1: LIVER}), dtype=np.int16)
    (tmp_path / "seg.tsv").write_text(table)
    with pytest.raises(InputError, match=message) as fault:
        read_segmentation(tmp_path / "seg.nii.gz", GRID, "P01 segmentation")
    assert str(tmp_path) not in str(fault.value) and str(fault.value).startswith("P01 segmentation")


@pytest.mark.parametrize("name", ["seg.csv", "seg.TXT", "seg.json", "seg.nii.tsv"])
def test_a_names_table_under_another_name_is_refused_and_not_left_aside(tmp_path, name):
    """Its labels would be read as TotalSegmentator's numbers: other organs."""
    write_volume(tmp_path / "seg.nii.gz", labelled({5: LIVER}), dtype=np.int16)
    (tmp_path / name).write_text("label,name\n5,spleen\n")
    with pytest.raises(InputError, match=rf"names table: a file <stem>{name[3:].lower()} .* <stem>\.tsv with the tab"):
        read_segmentation(tmp_path / "seg.nii.gz", GRID, "P01 segmentation")
    (tmp_path / "seg.TSV").write_text("label\tname\n5\tspleen\n")
    assert (read_segmentation(tmp_path / "seg.nii.gz", GRID, "P01 segmentation").data[LIVER] == 1).all()


def test_a_small_organ_as_large_as_a_liver_is_another_numbering(tmp_path):
    path, large = tmp_path / "seg.nii.gz", Grid(GRID.shape, GRID.ras_from_voxel @ np.diag([3.0, 3.0, 3.0, 1.0]))
    write_volume(path, labelled({4: (slice(2, 9),) * 3}, large), dtype=np.int16)
    with pytest.raises(InputError, match=r"label 4, gallbladder, has 1009 mL; expected at most 700 mL.*<stem>\.tsv"):
        read_segmentation(path, large, "P01 segmentation")
    path.with_name("seg.tsv").write_text("label\tname\n4\tgallbladder\n")
    read_segmentation(path, large, "P01 segmentation")


def test_an_empty_row_of_a_names_table_is_none(tmp_path):
    write_volume(tmp_path / "seg.nii.gz", labelled({1: LIVER}), dtype=np.int16)
    (tmp_path / "seg.tsv").write_text("label\tname\n1\tliver\n\t\n")
    assert (read_segmentation(tmp_path / "seg.nii.gz", GRID, "P01 segmentation").data[LIVER] == 5).all()


def test_masks_and_dicom_are_told_for_what_they_are(tmp_path):
    where, masks = "P01 segmentation", tmp_path / "masks"
    for name in ("liver", "spleen"):
        write_volume(masks / f"{name}.nii.gz", labelled({1: LIVER}), dtype=np.int16)
    with pytest.raises(InputError, match=r"a folder of 2 NIfTI files; .*TotalSegmentator --ml"):
        read_segmentation(masks, GRID, where)
    for modality in ("RTDOSE",):
        ds = new_dataset("1.2.840.10008.5.1.4.1.1.66.4", "2.25.1", ANONYMOUS, datetime(2026, 1, 1))
        ds.Modality = modality
        save_dataset(tmp_path / "dicom" / "1.dcm", ds)
        for path in (tmp_path / "dicom", tmp_path / "dicom" / "1.dcm"):
            with pytest.raises(InputError, match=r"DICOM \(RTDOSE\); expected a NIfTI label map .* or empty the cell"):
                read_segmentation(path, GRID, where)
    with pytest.raises(InputError, match="RTDOSE"):
        add_lesions(labelled({5: LIVER}), tmp_path / "dicom", "P01 lesions")


def test_bad_label_maps(tmp_path):
    path = tmp_path / "seg.nii.gz"
    shifted = GRID.ras_from_voxel.copy()
    shifted[2, 3] += 2
    cases = [
        (labelled({5: LIVER}, Grid(GRID.shape, shifted)), "another grid than the CT's"),
        (labelled({5: LIVER}, Grid((20, 18, 15), GRID.ras_from_voxel)), "another grid than the CT's"),
        (labelled({150: LIVER}), "label 150 is not known"),
        (labelled({-1: LIVER}), "whole numbers from 0"),
        (labelled({}), "empty"),
    ]
    for volume, message in cases:
        write_volume(path, volume, dtype=np.int16)
        with pytest.raises(InputError, match=message):
            read_segmentation(path, GRID, "P01 segmentation")
    nib.save(nib.Nifti1Image(np.full(GRID.shape, 0.5, dtype=np.float32), GRID.ras_from_voxel), path)
    with pytest.raises(InputError, match="whole numbers from 0"):
        read_segmentation(path, GRID, "P01 segmentation")


def test_lesions_lie_over_the_organs(tmp_path):
    write_volume(tmp_path / "lesions.nii.gz", labelled({2: (slice(8, 12), 8, 8)}), dtype=np.int16)
    found = add_lesions(labelled({5: LIVER}), tmp_path / "lesions.nii.gz", "P01 lesions")
    assert (found.data[8:12, 8, 8] == 1002).all() and (found.data == 5).sum() == 125 - 1


def test_organ_table_has_totalsegmentators_names():
    pytest.importorskip("totalsegmentator")
    from totalsegmentator.map_to_binary import class_map

    expected = dict(class_map["total"]) | {200 + n: name for n, name in class_map["head_glands_cavities"].items()}
    assert name_of_label() == expected


@pytest.fixture
def run(tmp_path) -> Run:
    grid = Grid.axis_aligned((60, 40, 30), (5.0, 5.0, 6.0), (-150.0, -100.0, -90.0))
    x, y = np.meshgrid(grid.axis_mm(0), grid.axis_mm(1), indexing="ij")
    hu = np.where(((x / 130) ** 2 + (y / 85) ** 2 < 1)[:, :, None], 30, -1000) * np.ones(30, dtype=int)
    ct = tmp_path / "results" / "P01" / "anatomy" / "ct.nii.gz"
    write_volume(ct, Volume(hu, grid, "CT number", "HU"), dtype=np.int16)
    organ = labelled({5: (slice(20, 30), slice(15, 25), slice(10, 20))}, grid)
    write_volume(tmp_path / "in" / "seg.nii.gz", organ, dtype=np.int16)
    lesion = labelled({1: (slice(22, 24), slice(22, 24), slice(12, 14))}, grid)
    write_volume(tmp_path / "in" / "les.nii.gz", lesion, dtype=np.int16)
    paths = {"segmentation": tmp_path / "in" / "seg.nii.gz", "lesions": tmp_path / "in" / "les.nii.gz"}
    row = Row("P01", "t24", "177Lu", "x", "y", 7400.0, datetime(2026, 1, 1), paths)
    return Run(parse_config({}), Cohort((row,)), tmp_path / "results")


def test_segment_step(run):
    segment(run, "P01")
    labels = nib.load(run.path("labels", patient="P01"))
    assert set(np.unique(np.asarray(labels.dataobj))) == {0, 5, 1001}
    model = PatientModel.load(run.path("model", patient="P01"))
    assert model.organs == ("liver", "lesion_1", "remainder", "outside_ct") and model.margin == (10, 10)
    assert model.volumes_ml()[:2] == pytest.approx([(1000 - 8) * 0.15, 8 * 0.15], rel=1e-5)
    sidecar = json.loads((run.results / "P01/anatomy/labels.nii.gz.json").read_text())
    assert sidecar["backend"] == "labels"
    assert [x.get("column") for x in sidecar["inputs"]] == [None, "segmentation", "lesions"]
    first = run.path("model", patient="P01").read_bytes()
    segment(run, "P01")
    assert run.path("model", patient="P01").read_bytes() == first


def test_labels_backend_needs_a_label_map(run):
    row = run.cohort.rows[0]
    bare = Cohort((Row("P01", "t24", "177Lu", "x", "y", 7400.0, row.injected_at, {}),))
    config = parse_config({"segmentation": {"backend": "labels"}})
    with pytest.raises(InputError, match="P01 segmentation: empty cell"):
        segment(Run(config, bare, run.results), "P01")


def organs_of_a_torso() -> dict[int, tuple]:
    """Kidneys and lungs on their sides; x falls with i, so that the patient's right has the lower indices."""
    low, high = slice(2, 7), slice(8, 13)
    right, left = slice(3, 7), slice(12, 16)
    return {2: (right, 8, low), 3: (left, 8, low), 12: (right, 9, high), 10: (left, 9, high)}


def test_left_and_right_exchanged_is_refused_and_one_odd_pair_is_not(tmp_path):
    path, places = tmp_path / "seg.nii.gz", organs_of_a_torso()
    write_volume(path, labelled(places), dtype=np.int16)
    read_segmentation(path, GRID, "P01 segmentation")
    write_volume(path, labelled({2: places[3], 3: places[2], 12: places[12], 10: places[10]} | {207: places[3]}),
                 dtype=np.int16)  # a crossed kidney, and a gland without its partner
    read_segmentation(path, GRID, "P01 segmentation")
    mirrored = labelled(places)
    write_volume(path, Volume(mirrored.data[::-1], GRID, "label", "1"), dtype=np.int16)
    with pytest.raises(InputError, match=r"kidney_left lies to the right of kidney_right.*mirrored"):
        read_segmentation(path, GRID, "P01 segmentation")


def test_version_1_of_the_numbers_is_refused(tmp_path):
    """There 17 was a lobe of the lung and 8 the inferior vena cava; with a names table they may be as large."""
    path, cava, lobe = tmp_path / "seg.nii.gz", (slice(2, 9), slice(2, 9), slice(2, 9)), (slice(9, 18),) * 2 + (8,)
    large = Grid(GRID.shape, GRID.ras_from_voxel @ np.diag([3.0, 3.0, 3.0, 1.0]))
    write_volume(path, labelled({8: cava, 17: lobe}, large), dtype=np.int16)
    with pytest.raises(InputError, match=r"thyroid_gland of .* version 2; version 1 numbers otherwise"):
        read_segmentation(path, large, "P01 segmentation")
    path.with_name("seg.tsv").write_text("label\tname\n8\tinferior_vena_cava\n17\tlung_lower_lobe_right\n")
    read_segmentation(path, large, "P01 segmentation")


def test_a_lesion_as_large_as_an_organ_is_told(tmp_path, caplog):
    large = Grid(GRID.shape, GRID.ras_from_voxel @ np.diag([3.0, 3.0, 3.0, 1.0]))
    write_volume(tmp_path / "lesions.nii.gz", labelled({2: (slice(2, 9),) * 3, 3: (9, 9, 9)}, large), dtype=np.int16)
    add_lesions(labelled({}, large), tmp_path / "lesions.nii.gz", "P01 lesions")
    assert "P01 lesions: lesion_2 has 1009 mL" in caplog.text and "lesion_3" not in caplog.text


def test_labels_of_another_place_are_refused_and_one_odd_organ_is_told(caplog):
    grid = Grid.axis_aligned((60, 30, 60), 4.0, (0.0, 0.0, 0.0))
    labels = labelled({5: np.s_[5:25, :, 5:25], 3: np.s_[30:45, :, 5:20], 26: np.s_[5:55, 5:15, 30:40]}, grid)
    hu = np.full(grid.shape, 40.0)
    hu[5:55, 5:15, 30:40] = 300.0
    for layout in (np.ascontiguousarray, np.asfortranarray):
        check_matter(Volume(layout(hu), grid, "CT number", "HU"), labels, "P01 segmentation")
    assert not caplog.text
    hu[5:25, :, 5:25] = -300.0  # a liver in the lung
    check_matter(Volume(hu, grid, "CT number", "HU"), labels, "P01 segmentation")
    assert "liver -300 HU (-60 to 1500)" in caplog.text
    hu[5:55, 5:15, 30:40] = 30.0  # and bones in soft tissue
    with pytest.raises(InputError, match=r"skeleton 30 HU .*, liver -300 HU .*this CT, and not shifted"):
        check_matter(Volume(hu, grid, "CT number", "HU"), labels, "P01 segmentation")


@pytest.mark.parametrize(
    ("liver", "kidneys", "told"), [(280.0, 550.0, ""), (60.0, -90.0, "kidneys -90 HU"), (330.0, 1100.0, "")]
)
def test_contrast_agent_and_fat_in_both_kidneys_are_no_other_ct(liver: float, kidneys: float, told: str, caplog):
    """Excretory phase at 40 keV, angiomyolipoma of both sides."""
    grid = Grid.axis_aligned((60, 30, 60), 4.0, (0.0, 0.0, 0.0))
    boxes = {5: np.s_[5:25, :, 5:25], 2: np.s_[30:40, :, 5:20], 3: np.s_[45:55, :, 5:20], 26: np.s_[5:55, 5:15, 30:40]}
    hu = np.full(grid.shape, 40.0)
    for number, mean in ((5, liver), (2, kidneys), (3, kidneys), (26, 300.0)):
        hu[boxes[number]] = mean
    check_matter(Volume(hu, grid, "CT number", "HU"), labelled(boxes, grid), "P01 segmentation")
    assert told in caplog.text and bool(told) == bool(caplog.text)


def test_lesion_maps_that_are_odd_are_told_and_doubled_numbers_refused(tmp_path, caplog):
    organs = labelled({5: LIVER})
    write_volume(tmp_path / "none.nii.gz", labelled({}), dtype=np.int16)
    assert np.array_equal(add_lesions(organs, tmp_path / "none.nii.gz", "P01 lesions").data, organs.data)
    assert "no lesions in the map" in caplog.text
    two = labelled({1: LIVER})
    two.data[KIDNEY] = 1
    write_volume(tmp_path / "two.nii.gz", two, dtype=np.int16)
    add_lesions(organs, tmp_path / "two.nii.gz", "P01 lesions")
    assert "lesion_1 has 2 separate parts: give each lesion its own number" in caplog.text
    with pytest.raises(InputError, match="lesion 1 stands in the segmentation too"):
        add_lesions(labelled({1001: KIDNEY}), tmp_path / "two.nii.gz", "P01 lesions")
