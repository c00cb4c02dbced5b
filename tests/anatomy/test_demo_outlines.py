"""A demo patient's organs and lesions given as label maps, as RTSTRUCT and as SEG: the segment step's labels."""

import json
from datetime import datetime
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from region_files import Roi, contours_of, ct_files, described, write_rtstruct, write_seg

from planardose.anatomy.orient import onto
from planardose.cohort import Cohort, Row
from planardose.config import parse_config
from planardose.demo import images
from planardose.demo.patient import draw_patient, truth_of
from planardose.image import Volume
from planardose.io.ct import read_ct
from planardose.io.files import sha256_of
from planardose.io.nifti import read_volume
from planardose.organs import name_of_label
from planardose.run import Run
from planardose.steps.import_ct import import_ct
from planardose.steps.segment import segment

COLUMNS, KINDS = ("segmentation", "lesions"), ("label map", "RTSTRUCT", "SEG")
SEED, VOXEL_MM = 3, (10.0, 10.0, 10.0)


@pytest.fixture(scope="module")
def runs(tmp_path_factory) -> dict[str, Run]:
    """For each way to give the same organs and lesions, a run up to the labels."""
    folder = tmp_path_factory.mktemp("demo")
    patient = draw_patient(SEED, 0, VOXEL_MM)
    truth = truth_of(patient)
    images.write_ct_series(patient, truth, SEED, folder / "ct")
    images.write_segmentation(patient, truth, SEED, folder)
    given = {"label map": {c: folder / f"{c}.nii.gz" for c in COLUMNS}}
    for kind, write in (("RTSTRUCT", as_contours), ("SEG", as_segments)):
        given[kind] = {c: write(folder, c) for c in COLUMNS}
    found = {}
    for kind, paths in given.items():
        paths = {"ct": folder / "ct", "planar": folder / "none", **paths}
        row = Row("P01", "t24", "177Lu", "x", "y", 7400.0, datetime(2026, 1, 1), paths)
        found[kind] = Run(parse_config({}), Cohort((row,)), folder / kind)
        import_ct(found[kind], "P01")
        segment(found[kind], "P01")
    return found


def drawn(folder: Path, column: str) -> tuple[Volume, list[int], list[str]]:
    """The label map, its numbers and their names."""
    volume = read_volume(folder / f"{column}.nii.gz", "label", "1", column, np.int16)
    numbers = [int(n) for n in np.unique(volume.data) if n]
    names = [name_of_label()[n] if column == "segmentation" else f"Lesion {n}" for n in numbers]
    return volume, numbers, names


def as_contours(folder: Path, column: str) -> Path:
    volume, numbers, names = drawn(folder, column)
    rois = [Roi(name, contours_of(volume.data == n, volume.grid)) for n, name in zip(numbers, names, strict=True)]
    frame = str(ct_files(folder / "ct")[0].FrameOfReferenceUID)
    return write_rtstruct(folder / f"{column}.dcm", rois, frame)


def as_segments(folder: Path, column: str) -> Path:
    volume, numbers, names = drawn(folder, column)
    place = np.zeros(max(numbers) + 1, dtype=np.uint8)
    place[numbers] = np.arange(1, len(numbers) + 1)
    labels = onto(volume, read_ct(folder / "ct", "ct").grid).data
    parts = [described(n, name) for n, name in enumerate(names, start=1)]
    slices = ct_files(folder / "ct")
    return write_seg(folder / f"{column}_seg/1.dcm", slices, place[labels].transpose(2, 1, 0), parts).parent


def labels_of(run: Run) -> np.ndarray:
    return np.asarray(nib.load(run.path("labels", patient="P01")).dataobj)


def test_segments_give_the_label_maps_labels_to_the_voxel(runs):
    assert np.array_equal(labels_of(runs["SEG"]), labels_of(runs["label map"]))
    models = [runs[k].path("model", patient="P01").read_bytes() for k in ("SEG", "label map")]
    assert models[0] == models[1]


def test_contours_lose_no_more_than_their_corners(runs):
    """Half-way between voxels a closed contour holds half a voxel less than it was drawn around, however long it is."""
    whole, found = labels_of(runs["label map"]), labels_of(runs["RTSTRUCT"])
    before, after = (np.bincount(x.ravel(), minlength=1100) for x in (whole, found))
    present = np.flatnonzero(before[1:]) + 1
    assert len(present) > 20 and np.array_equal(present, np.flatnonzero(after[1:]) + 1)
    grid = read_ct(runs["SEG"].cohort.rows[0].paths["ct"], "ct").grid
    for n in present:
        lost = len(contours_of(whole == n, grid)) / 2
        assert before[n] - lost - 2 <= after[n] <= before[n] + 1
    assert (found == whole)[whole > 0].mean() > 0.95  # of 10 mm voxels


@pytest.mark.parametrize("kind", KINDS)
def test_the_sidecar_tells_what_was_given(runs, kind):
    run = runs[kind]
    told = json.loads((run.results / "P01/anatomy/labels.nii.gz.json").read_text())
    given = {x["column"]: x["sha256"] for x in told["inputs"] if "column" in x}
    assert told["given_as"] == kind
    assert given == {c: sha256_of(run.cohort.rows[0].paths[c]) for c in COLUMNS}
