"""`export-dicom`: places, values and totals against those of the results, notes in the files, and the command."""

from pathlib import Path

import numpy as np
import pydicom
import pytest
from export_run import ACTIVITY, DOSE, GRID, LABELS, SUMMARY, WHERE, field_of, fill_results, labels_of
from imaging_scene import CAMERA, PLANTED, planar_pair, write_patient, write_sheet
from typer.testing import CliRunner

from planardose.anatomy.labels import read_segmentation
from planardose.cli import app
from planardose.commands.export_dicom import export_dicom
from planardose.io.activity_image import read_activity_image
from planardose.io.dicom_nm import write_planar
from planardose.io.nifti import read_volume
from planardose.run import Run
from planardose.sheet import load_cohort


def test_each_frame_of_the_dose_lies_where_the_nifti_says(results, tmp_path: Path):
    assert export_dicom(results, "P01", tmp_path / "out") == [DOSE, ACTIVITY, LABELS]
    ds = pydicom.dcmread(tmp_path / "out" / DOSE)
    assert (ds.DoseUnits, ds.DoseType, ds.DoseSummationType) == ("GY", "PHYSICAL", "PLAN_OVERVIEW")
    assert "ReferencedRTPlanSequence" not in ds and len(ds.PlanOverviewSequence) == 1
    gy = ds.pixel_array * float(ds.DoseGridScaling)
    expected = field_of(GRID)
    first, (rows_mm, columns_mm) = np.array(ds.ImagePositionPatient, dtype=float), map(float, ds.PixelSpacing)
    along_row, along_column = np.array(ds.ImageOrientationPatient, dtype=float).reshape(2, 3)
    normal, offsets = np.cross(along_row, along_column), [float(x) for x in ds.GridFrameOffsetVector]
    assert offsets[0] == 0 and len(offsets) == ds.NumberOfFrames == 8
    found = 0
    for (frame, row, column), value in np.ndenumerate(gy):
        lps = first + along_row * column * columns_mm + along_column * row * rows_mm + normal * offsets[frame]
        i, j, k = np.rint(np.linalg.solve(GRID.ras_from_voxel, [-lps[0], -lps[1], lps[2], 1.0])[:3]).astype(int)
        ras = GRID.ras_from_voxel[:3, :3] @ (i, j, k) + GRID.ras_from_voxel[:3, 3]
        assert ras * (-1, -1, 1) == pytest.approx(lps, abs=1e-4)
        assert value == pytest.approx(expected[i, j, k], rel=0, abs=1e-5 * expected.max())
        found += 1
    assert found == expected.size
    assert gy.sum() == pytest.approx(expected.sum(), rel=1e-5)
    assert gy.max() == pytest.approx(expected.max(), rel=1e-6)


def test_the_activity_is_read_back_in_bq_ml_at_its_time(results, tmp_path: Path):
    export_dicom(results, "P01", tmp_path)
    image = read_activity_image(tmp_path / ACTIVITY, "test")
    assert (image.modality, image.volume.unit) == ("NM", "Bq/mL")
    pair = planar_pair()
    assert image.acquired_at == pair.acquired_at and image.duration_s == pytest.approx(pair.duration_s, abs=1e-3)
    flipped = image.volume.data[::-1, ::-1]  # its axes run to the left, to the back and to the head
    assert image.volume.grid.ras_from_voxel[:3, :3] == pytest.approx(np.diag([-10.0, -12.5, 15.0]))
    corner = image.volume.grid.ras_from_voxel @ (10, 8, 0, 1)
    assert corner[:3] == pytest.approx(GRID.ras_from_voxel[:3, 3], abs=1e-4)
    expected = field_of(GRID) * 1e5
    assert flipped == pytest.approx(expected, rel=0, abs=1e-5 * expected.max())
    total = image.volume.data.sum(dtype=np.float64)
    assert total == pytest.approx(expected.sum(), rel=1e-5)
    ds = pydicom.dcmread(tmp_path / ACTIVITY)
    (mapping,) = ds.RealWorldValueMappingSequence
    assert mapping.RealWorldValueSlope == float(ds.RescaleSlope) and ds.Units == "BQML"
    assert ds.RadiopharmaceuticalInformationSequence[0].RadionuclideCodeSequence[0].CodeValue == "447553000"


def test_each_time_point_has_its_own_activity_and_time(tmp_path: Path):
    run = write_patient(tmp_path)
    later = planar_pair(hours=72.0)
    write_planar(tmp_path / "t72.dcm", later, CAMERA, identity=PLANTED)
    sheet = write_sheet(tmp_path, [{}, {"timepoint": "t72", "planar": "t72.dcm"}])
    run = Run(run.config, load_cohort(sheet), run.results)
    cycle = SUMMARY["cycles"]["1"] | {"timepoints": ["t24", "t72"]}
    fill_results(run, cycles={"1": cycle})
    names = export_dicom(run, "P01", tmp_path / "out")
    assert names == [DOSE, ACTIVITY, "P01_t72_activity.dcm", LABELS]
    early, late = (read_activity_image(tmp_path / "out" / name, "test") for name in names[1:3])
    assert late.volume.data.sum(dtype=float) == pytest.approx(early.volume.data.sum(dtype=float) / 2, rel=1e-5)
    assert (early.acquired_at, late.acquired_at) == (planar_pair().acquired_at, later.acquired_at)


def test_the_labels_are_read_back_to_the_voxel_and_name_the_slices_that_they_lie_on(results, tmp_path: Path):
    export_dicom(results, "P01", tmp_path)
    ct = results.cohort.rows[0].paths["ct"]
    grid = read_volume(results.path("ct", **WHERE), "CT number", "HU", "ct").grid
    found = read_segmentation(tmp_path / LABELS, grid, "test", ct)
    assert np.array_equal(found.data, labels_of(grid).data)
    ds, slices = pydicom.dcmread(tmp_path / LABELS), {s.SOPInstanceUID: s for s in map(pydicom.dcmread, ct.iterdir())}
    for frame in ds.PerFrameFunctionalGroupsSequence:
        source = slices[frame.DerivationImageSequence[0].SourceImageSequence[0].ReferencedSOPInstanceUID]
        theirs = [float(x) for x in source.ImagePositionPatient]
        assert [float(x) for x in frame.PlanePositionSequence[0].ImagePositionPatient] == pytest.approx(theirs)
    held = sum(np.unique(labels_of(grid).data[:, :, k]).size - 1 for k in range(grid.shape[2]))
    assert ds.NumberOfFrames == held < 5 * grid.shape[2]


@pytest.mark.parametrize("failed", [False, True])
def test_organs_that_were_not_measured_are_named(own_results, tmp_path: Path, failed: bool):
    """A voxel of 0 Gy there says nothing."""
    fill_results(own_results, hidden=("spleen", "brain"), gate="failed" if failed else "passed", calibrated=not failed)
    export_dicom(own_results, "P01", tmp_path / "out")
    dose, activity = (pydicom.dcmread(tmp_path / "out" / name) for name in (DOSE, ACTIVITY))
    assert dose.DoseComment.endswith(", ORGANS NOT MEASURED") and len(dose.DoseComment) <= 64
    assert ("GATE FAILED, NOT CALIBRATED" in dose.DoseComment) == failed
    assert dose.ImageComments.endswith("NOT MEASURED, whatever Gy stand there: brain, spleen")
    assert activity.ImageComments.endswith("brain, spleen")


def test_a_failed_gate_and_a_missing_calibration_stand_in_the_files(own_results, tmp_path: Path, caplog):
    fill_results(own_results, gate="failed", calibrated=False)
    export_dicom(own_results, "P01", tmp_path / "out")
    told = "planardose 0.1.0, qplanar_mlem, GATE FAILED, NOT CALIBRATED"
    assert pydicom.dcmread(tmp_path / "out" / DOSE).DoseComment == told and len(told) <= 64
    assert pydicom.dcmread(tmp_path / "out" / ACTIVITY).ImageComments.startswith(told)
    assert "P01: the re-projection gate failed" in caplog.text
    for name in (DOSE, ACTIVITY):
        assert "NOT MEASURED" not in pydicom.dcmread(tmp_path / "out" / name).ImageComments


def test_the_command(results, tmp_path: Path):
    sheet = results.results.parent / "cohort.tsv"
    words = ["export-dicom", "--cohort", str(sheet), "--results", str(results.results), "--out", str(tmp_path / "out")]
    done = CliRunner().invoke(app, [*words, "--patient", "P01", "--identity", "from-ct"])
    assert (done.exit_code, done.output.split()) == (0, [DOSE, ACTIVITY, LABELS])
    assert pydicom.dcmread(tmp_path / "out" / DOSE).PatientID == PLANTED.patient_id
    assert pydicom.dcmread(tmp_path / "out" / ACTIVITY).AcquisitionDate == f"{planar_pair().acquired_at:%Y%m%d}"
    done = CliRunner().invoke(app, [*words, "--patient", "P02"])
    assert done.exit_code == 2 and done.stderr.count("\n") == 1
    assert "patient 'P02': not in the cohort sheet" in done.stderr
