"""What the export refuses before it writes anything."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from export_run import ACTIVITY, DOSE, GRID, LABELS, SUMMARY, WHERE, field_of, fill_results
from imaging_scene import PLANTED, ct_volume

from planardose.commands.export_dicom import export_dicom
from planardose.errors import InputError
from planardose.image import Grid, Volume
from planardose.io.dicom_ct import write_ct
from planardose.io.files import write_text
from planardose.io.nifti import write_volume
from planardose.marks import Marks
from planardose.paths import STEP_VERSIONS
from planardose.run import Run


def _edit(run: Run, key: str) -> None:
    path = run.path(key, **WHERE)
    write_volume(path, Volume(field_of(GRID) * 2.0, GRID, key, "1"))


def _note(run: Run) -> None:
    write_text(run.results / "P01/errors/report.json", json.dumps({"step": "absorbed_dose", "message": "no"}))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda run: run.path("summary", **WHERE).unlink(), r"P01 summary: not there yet; .*run 'planardose report'"),
        (lambda run: run.path("dose", **WHERE).unlink(), r"P01 dose: not there yet; .*run 'planardose absorbed-dose'"),
        (lambda run: run.path("map", **WHERE).unlink(), r"P01 t24 map: not there yet; .*run 'planardose reconstruct'"),
        (
            lambda run: fill_results(run, cycles={"1": SUMMARY["cycles"]["1"] | {"timepoints": ["t24", "t96"]}}),
            r"P01 summary: made of the time points t24, t96; expected those of the sheet: t24; run again",
        ),
        (_note, "P01 results: absorbed-dose failed; expected a patient whose run ended well; see 'planardose status'"),
        (
            lambda run: _edit(run, "dose"),
            r"P01 summary: not made from P01/dose/dose_gy.nii.gz as it is now; .*run 'planardose report' again",
        ),
        (lambda run: _edit(run, "labels"), r"P01 organ_doses: not made from P01/anatomy/labels.nii.gz as it is now"),
        (lambda run: _edit(run, "tia"), r"P01 dose: not made from P01/dose/tia_mbq_h_ml.nii.gz as it is now"),
        (lambda run: _edit(run, "map"), r"P01 tia: not made from P01/recon/t24_qplanar_mlem.nii.gz as it is now"),
        (
            lambda run: write_ct(run.cohort.rows[0].paths["ct"], ct_volume(3), PLANTED),
            "P01 ct: the results folder holds results of another ct; expected results of this sheet",
        ),
    ],
)  # fmt: skip
def test_results_that_are_none_or_another_runs_are_refused_before_anything_is_written(
    own_results, tmp_path, change, message
):
    change(own_results)
    with pytest.raises(InputError, match=message):
        export_dicom(own_results, "P01", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_doses_of_a_calibration_that_was_corrected_since_are_not_exported(own_results, tmp_path, monkeypatch):
    """A PACS would hold them beside the corrected report; those of an older version cannot be compared, and are."""
    run, cells = own_results, [replace(r, calibration_cps_per_mbq=10.0) for r in own_results.cohort.rows]
    settings = Marks(run.config, run.cohort).settings("reconstruct", "P01", "t24")
    organs = run.path("organs", **WHERE)
    replace(run, settings=settings).sidecar(organs, "reconstruct", "organs", share_in_images={})
    corrected = replace(run, cohort=replace(run.cohort, rows=tuple(cells)))
    with pytest.raises(InputError, match=r"P01 reconstruct t24: made of other cells of the sheet, .*; run again"):
        export_dicom(corrected, "P01", tmp_path / "out")
    assert not (tmp_path / "out").exists()
    monkeypatch.setitem(STEP_VERSIONS, "reconstruct", 99)
    assert export_dicom(corrected, "P01", tmp_path / "out") == [DOSE, ACTIVITY, LABELS]


def test_a_turned_grid_and_negative_doses_are_refused(own_results, tmp_path: Path):
    turned = np.array(GRID.ras_from_voxel)
    turned[:3, :2] = turned[:3, :2] @ [[0.96, -0.28], [0.28, 0.96]]
    path = own_results.path("dose", **WHERE)
    write_volume(path, Volume(np.ones(GRID.shape), Grid(GRID.shape, turned), "absorbed dose", "Gy"))
    own_results.sidecar(path, "absorbed_dose", "dose", "Gy", [own_results.path("tia", **WHERE)])
    made_of = [path, own_results.path("organ_doses", **WHERE)]
    own_results.sidecar(own_results.path("summary", **WHERE), "report", "summary", inputs=made_of)
    with pytest.raises(InputError, match="P01 dose: a grid that is turned against the patient's axes"):
        export_dicom(own_results, "P01", tmp_path / "out")
    fill_results(own_results, scale=-1.0)
    with pytest.raises(InputError, match=r"P01 dose: 792 voxels are negative or no numbers"):
        export_dicom(own_results, "P01", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_folder_with_other_files_is_refused_and_its_own_are_written_again(results, tmp_path: Path):
    export_dicom(results, "P01", tmp_path / "out")
    export_dicom(results, "P01", tmp_path / "out")
    (tmp_path / "out/other.dcm").write_text("")
    with pytest.raises(InputError, match="--out: the folder holds 1 other file or folder; expected a new or empty"):
        export_dicom(results, "P01", tmp_path / "out")
    with pytest.raises(InputError, match="--out: a file; expected a folder"):
        export_dicom(results, "P01", tmp_path / "out/other.dcm")
