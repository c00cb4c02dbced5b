"""`export-dicom`: places, values and totals against those of the results, whose study is joined, and refusals."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pydicom
import pytest
from imaging_scene import PLANTED, ct_volume, planar_pair, write_patient
from pydicom.datadict import DicomDictionary, keyword_for_tag
from pydicom.uid import UID
from typer.testing import CliRunner

from planardose.anatomy.labels import read_segmentation
from planardose.cli import app
from planardose.commands.export_dicom import export_dicom
from planardose.errors import InputError
from planardose.image import Grid, Volume
from planardose.io.activity_image import read_activity_image
from planardose.io.dicom_common import Identity
from planardose.io.dicom_ct import write_ct
from planardose.io.files import write_text
from planardose.io.nifti import read_volume, write_volume
from planardose.marks import Marks
from planardose.paths import STEP_VERSIONS
from planardose.run import Run
from planardose.steps.import_ct import import_ct
from planardose.steps.import_planar import import_planar

GRID = Grid.axis_aligned((11, 9, 8), (10.0, 12.5, 15.0), (-41.25, -33.0, 51.5))
SUMMARY = {
    "method": "qplanar_mlem", "gate": "passed", "calibrated": True,
    "nuclide": "177Lu", "tracer": "177Lu-PSMA-617",
    "cycles": {"1": {"administered_mbq": 7400.0, "injected_at": "2026-03-02T09:30:00", "timepoints": ["t24"]}},
}  # fmt: skip
DOSE, ACTIVITY, LABELS = "P01_dose.dcm", "P01_t24_activity.dcm", "P01_labels.dcm"
WHERE = {"patient": "P01", "timepoint": "t24", "method": "qplanar_mlem"}


def _field(grid: Grid) -> np.ndarray:
    """A different value at every voxel: mixing up or turning any axis shows."""
    x, y, z = np.meshgrid(*(grid.axis_mm(a) for a in range(3)), indexing="ij")
    return 5.0 + 0.03 * x - 0.02 * y + 0.011 * z + 1e-4 * x * z


def _labels(grid: Grid) -> Volume:
    """Liver, right kidney, a gland and two lesions, each of a shape that has no symmetry."""
    data = np.zeros(grid.shape, dtype=np.int16)
    data[20:30, 8:18, 6:12], data[3:8, 8:18, 6:12], data[10:14, 4:9, 3:19] = 5, 2, 207
    data[20:22, 8:11, 6], data[22:24, 9:12, 7:9], data[5, 9, 8] = 0, 1002, 1001
    return Volume(data, grid, "label", "1")


def _write_map(run: Run, key: str, step: str, unit: str, scale: float, inputs: list, grid: Grid, **more) -> Path:
    path = run.path(key, **WHERE)
    write_volume(path, Volume(_field(grid) * scale, grid, key, unit))
    run.sidecar(path, step, key, unit, inputs, **more)
    return path


def _fill(run: Run, grid: Grid = GRID, scale: float = 1.0, hidden: tuple[str, ...] = (), **summary) -> None:
    """What the steps from reconstruct to report leave, as far as the export reads it; images without `hidden`."""
    import_ct(run, "P01")
    import_planar(run, "P01", "t24")
    activity = _write_map(run, "map", "reconstruct", "Bq/mL", 1e5 * scale, [], grid)
    tia = _write_map(run, "tia", "fit_kinetics", "MBq.h/mL", 3.0 * scale, [activity], grid, method="qplanar_mlem")
    dose = _write_map(run, "dose", "absorbed_dose", "Gy", scale, [tia], grid)
    labels, organ_doses = run.path("labels", **WHERE), run.path("organ_doses", **WHERE)
    ct = read_volume(run.path("ct", **WHERE), "CT number", "HU", "ct")
    write_volume(labels, _labels(ct.grid), np.int16)
    run.sidecar(labels, "segment", "organ label", backend="labels")
    write_text(organ_doses, "organ\n")
    run.sidecar(organ_doses, "absorbed_dose", "doses", inputs=[labels])
    write_text(run.path("organs", **WHERE), "organ\n")
    run.sidecar(run.path("organs", **WHERE), "reconstruct", "organs", share_in_images={**dict.fromkeys(hidden, 0.0),
                "liver": 0.8})  # fmt: skip
    rows = ["organ,method,points", "liver,qplanar_mlem,1", *(f"{o},qplanar_mlem,0" for o in hidden), "brain,mlem,0"]
    write_text(run.path("kinetics", **WHERE), "\n".join(rows) + "\n")
    run.sidecar(run.path("kinetics", **WHERE), "fit_kinetics", "kinetics")
    write_text(run.path("summary", **WHERE), json.dumps(SUMMARY | summary))
    run.sidecar(run.path("summary", **WHERE), "report", "summary", inputs=[dose, organ_doses])


def _nifti_ct(folder: Path, row: dict) -> Run:
    run = write_patient(folder, row=row | {"ct": "ct.nii.gz"})
    write_volume(folder / "ct.nii.gz", ct_volume(), np.int16)
    shutil.rmtree(folder / "ct")
    return run


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> Run:
    run = write_patient(tmp_path_factory.mktemp("made"))
    _fill(run)
    return run


@pytest.fixture
def own(tmp_path: Path) -> Run:
    """Results that a test may change."""
    run = write_patient(tmp_path / "own")
    _fill(run)
    return run


def _read(path: Path) -> pydicom.FileDataset:
    return pydicom.dcmread(path)


def test_each_frame_of_the_dose_lies_where_the_nifti_says(made, tmp_path: Path):
    assert export_dicom(made, "P01", tmp_path / "out") == [DOSE, ACTIVITY, LABELS]
    ds = _read(tmp_path / "out" / DOSE)
    assert (ds.DoseUnits, ds.DoseType, ds.DoseSummationType) == ("GY", "PHYSICAL", "PLAN_OVERVIEW")
    assert "ReferencedRTPlanSequence" not in ds and len(ds.PlanOverviewSequence) == 1
    gy = ds.pixel_array * float(ds.DoseGridScaling)
    expected = _field(GRID)
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


def test_the_activity_is_read_back_in_bq_ml_at_its_time(made, tmp_path: Path):
    export_dicom(made, "P01", tmp_path)
    image = read_activity_image(tmp_path / ACTIVITY, "test")
    assert (image.modality, image.volume.unit) == ("NM", "Bq/mL")
    pair = planar_pair()
    assert image.acquired_at == pair.acquired_at and image.duration_s == pytest.approx(pair.duration_s, abs=1e-3)
    flipped = image.volume.data[::-1, ::-1]  # its axes run to the left, to the back and to the head
    assert image.volume.grid.ras_from_voxel[:3, :3] == pytest.approx(np.diag([-10.0, -12.5, 15.0]))
    corner = image.volume.grid.ras_from_voxel @ (10, 8, 0, 1)
    assert corner[:3] == pytest.approx(GRID.ras_from_voxel[:3, 3], abs=1e-4)
    expected = _field(GRID) * 1e5
    assert flipped == pytest.approx(expected, rel=0, abs=1e-5 * expected.max())
    total = image.volume.data.sum(dtype=np.float64)
    assert total == pytest.approx(expected.sum(), rel=1e-5)
    ds = _read(tmp_path / ACTIVITY)
    (mapping,) = ds.RealWorldValueMappingSequence
    assert mapping.RealWorldValueSlope == float(ds.RescaleSlope) and ds.Units == "BQML"
    assert ds.RadiopharmaceuticalInformationSequence[0].RadionuclideCodeSequence[0].CodeValue == "447553000"


def test_the_labels_are_read_back_to_the_voxel_and_name_the_slices_that_they_lie_on(made, tmp_path: Path):
    export_dicom(made, "P01", tmp_path)
    ct = made.cohort.rows[0].paths["ct"]
    grid = read_volume(made.path("ct", **WHERE), "CT number", "HU", "ct").grid
    found = read_segmentation(tmp_path / LABELS, grid, "test", ct)
    assert np.array_equal(found.data, _labels(grid).data)
    ds, slices = _read(tmp_path / LABELS), {s.SOPInstanceUID: s for s in map(_read, ct.iterdir())}
    for frame in ds.PerFrameFunctionalGroupsSequence:
        source = slices[frame.DerivationImageSequence[0].SourceImageSequence[0].ReferencedSOPInstanceUID]
        theirs = [float(x) for x in source.ImagePositionPatient]
        assert [float(x) for x in frame.PlanePositionSequence[0].ImagePositionPatient] == pytest.approx(theirs)
    held = sum(np.unique(_labels(grid).data[:, :, k]).size - 1 for k in range(grid.shape[2]))
    assert ds.NumberOfFrames == held < 5 * grid.shape[2]


def test_outputs_join_the_cts_study_frame_and_refer_to_its_slices(made, tmp_path: Path):
    export_dicom(made, "P01", tmp_path)
    slices = [_read(f) for f in made.cohort.rows[0].paths["ct"].iterdir()]
    outputs = [_read(tmp_path / name) for name in (DOSE, ACTIVITY, LABELS)]
    for ds in outputs:
        for name in ("StudyInstanceUID", "FrameOfReferenceUID", "StudyDate", "StudyTime"):
            assert ds[name].value == slices[0][name].value
        (series,) = ds.ReferencedSeriesSequence
        assert series.SeriesInstanceUID == slices[0].SeriesInstanceUID
        for items in (ds.ReferencedImageSequence, series.ReferencedInstanceSequence):
            assert {r.ReferencedSOPInstanceUID for r in items} == {s.SOPInstanceUID for s in slices}
        assert ds.file_meta.MediaStorageSOPInstanceUID == ds.SOPInstanceUID and UID(ds.SOPInstanceUID).is_valid
    uids = [ds[n].value for ds in outputs for n in ("SOPInstanceUID", "SeriesInstanceUID")]
    assert len({*uids, slices[0].SeriesInstanceUID}) == 7


def test_a_nifti_ct_gives_a_study_of_its_own_that_is_always_the_same(tmp_path: Path):
    uids = []
    for n in range(2):
        run = _nifti_ct(tmp_path / f"{n}", {})
        _fill(run)
        export_dicom(run, "P01", tmp_path / f"{n}/out")
        outputs = [_read(tmp_path / f"{n}/out" / name) for name in (DOSE, ACTIVITY, LABELS)]
        assert not any("ReferencedImageSequence" in ds for ds in outputs)
        (found,) = {(ds.StudyInstanceUID, ds.FrameOfReferenceUID, ds.StudyDate, ds.StudyTime) for ds in outputs}
        uids.append(found)
    assert uids[0] == uids[1] and UID(uids[0][0]).is_valid and uids[0][0].startswith("2.25.")
    files = [(tmp_path / f"{n}/out" / DOSE).read_bytes() for n in range(2)]
    assert files[0] == files[1]


def test_equal_results_give_equal_bytes_and_other_results_other_uids(own, tmp_path: Path):
    for name in ("a", "b"):
        export_dicom(own, "P01", tmp_path / name)
    for name in (DOSE, ACTIVITY, LABELS):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()
    _fill(own, scale=1.5)
    export_dicom(own, "P01", tmp_path / "c")
    for name in (DOSE, ACTIVITY):
        before, after = (_read(tmp_path / folder / name) for folder in "ac")
        assert before.SOPInstanceUID != after.SOPInstanceUID and before.SeriesInstanceUID != after.SeriesInstanceUID
        assert before.StudyInstanceUID == after.StudyInstanceUID


def _plant(path: Path) -> int:
    """A name in every tag of text that DICOM knows; the number of tags."""
    ds, planted = _read(path), 0
    for tag, (vr, *_) in DicomDictionary.items():
        keyword = keyword_for_tag(tag)
        kept = ("Modality", "PixelData", "PatientName", "PatientID")
        if vr in ("LO", "SH", "ST", "LT", "PN", "UT", "UC") and keyword and keyword not in kept and tag >> 16 > 4:
            setattr(ds, keyword, "ZEBROWSKI")
            planted += 1
    ds.save_as(path)
    return planted


@pytest.mark.filterwarnings("ignore")
def test_no_name_leaves_the_ct_unless_asked_and_then_no_more_than_name_and_id(tmp_path: Path, caplog):
    run = write_patient(tmp_path / "Zebrowski")
    for file in run.cohort.rows[0].paths["ct"].iterdir():
        assert _plant(file) > 300
    _fill(run)
    secrets = ["zebrowski", "quentin", PLANTED.patient_id, PLANTED.birth_date, PLANTED.institution]
    export_dicom(run, "P01", tmp_path / "plain")
    export_dicom(run, "P01", tmp_path / "named", from_ct=True)
    for name in (DOSE, ACTIVITY, LABELS):
        plain, named = ((tmp_path / f / name).read_bytes().lower() for f in ("plain", "named"))
        assert [s for s in secrets if s.lower().encode() in plain] == []
        assert [s for s in secrets if s.lower().encode() in named] == secrets[:3]
        ds = _read(tmp_path / "plain" / name)
        assert (str(ds.PatientName), ds.PatientID, ds.PatientBirthDate, ds.PatientSex) == ("P01", "P01", "", "")
        ds = _read(tmp_path / "named" / name)
        assert (str(ds.PatientName), ds.PatientID) == (PLANTED.name, PLANTED.patient_id)
        assert named.count(b"zebrowski") == 1
        assert _read(tmp_path / "plain" / name).SOPInstanceUID != ds.SOPInstanceUID
    assert not any(s.lower() in caplog.text.lower() for s in secrets)


@pytest.mark.parametrize("name", ["Müller^Jörg", "Дмитриев^Иван", "Yamada^Tarou=山田^太郎"])
def test_names_of_any_script_are_copied_as_they_are(tmp_path: Path, name: str):
    run = write_patient(tmp_path / "own", Identity(name, "4711"))
    _fill(run)
    export_dicom(run, "P01", tmp_path / "out", from_ct=True)
    assert str(_read(tmp_path / "out" / DOSE).PatientName) == name


def test_a_ct_without_uids_gets_those_of_its_content(tmp_path: Path):
    run = write_patient(tmp_path / "own")
    for file in run.cohort.rows[0].paths["ct"].iterdir():
        ds = _read(file)
        ds.StudyInstanceUID, ds.FrameOfReferenceUID = "", "none"
        ds.save_as(file)
    _fill(run)
    export_dicom(run, "P01", tmp_path / "out")
    ds = _read(tmp_path / "out" / DOSE)
    assert all(uid.startswith("2.25.") and UID(uid).is_valid for uid in (ds.StudyInstanceUID, ds.FrameOfReferenceUID))
    assert len(ds.ReferencedImageSequence) == 22


@pytest.mark.parametrize("failed", [False, True])
def test_organs_that_were_not_measured_are_named(own, tmp_path: Path, failed: bool):
    """A voxel of 0 Gy there says nothing."""
    _fill(own, hidden=("spleen", "brain"), gate="failed" if failed else "passed", calibrated=not failed)
    export_dicom(own, "P01", tmp_path / "out")
    dose, activity = (_read(tmp_path / "out" / name) for name in (DOSE, ACTIVITY))
    assert dose.DoseComment.endswith(", ORGANS NOT MEASURED") and len(dose.DoseComment) <= 64
    assert ("GATE FAILED, NOT CALIBRATED" in dose.DoseComment) == failed
    assert dose.ImageComments.endswith("NOT MEASURED, whatever Gy stand there: brain, spleen")
    assert activity.ImageComments.endswith("brain, spleen")


def test_a_failed_gate_and_a_missing_calibration_stand_in_the_files(own, tmp_path: Path, caplog):
    _fill(own, gate="failed", calibrated=False)
    export_dicom(own, "P01", tmp_path / "out")
    told = "planardose 0.1.0, qplanar_mlem, GATE FAILED, NOT CALIBRATED"
    assert _read(tmp_path / "out" / DOSE).DoseComment == told and len(told) <= 64
    assert _read(tmp_path / "out" / ACTIVITY).ImageComments.startswith(told)
    assert "P01: the re-projection gate failed" in caplog.text
    for name in (DOSE, ACTIVITY):
        assert "NOT MEASURED" not in _read(tmp_path / "out" / name).ImageComments


def _edit(run: Run, key: str) -> None:
    path = run.path(key, **WHERE)
    write_volume(path, Volume(_field(GRID) * 2.0, GRID, key, "1"))


def _note(run: Run) -> None:
    write_text(run.results / "P01/errors/report.json", json.dumps({"step": "absorbed_dose", "message": "no"}))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda run: run.path("summary", **WHERE).unlink(), r"P01 summary: not there yet; .*run 'planardose report'"),
        (lambda run: run.path("dose", **WHERE).unlink(), r"P01 dose: not there yet; .*run 'planardose absorbed-dose'"),
        (lambda run: run.path("map", **WHERE).unlink(), r"P01 t24 map: not there yet; .*run 'planardose reconstruct'"),
        (
            lambda run: _fill(run, cycles={"1": SUMMARY["cycles"]["1"] | {"timepoints": ["t24", "t96"]}}),
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
def test_results_that_are_none_or_another_runs_are_refused_before_anything_is_written(own, tmp_path, change, message):
    change(own)
    with pytest.raises(InputError, match=message):
        export_dicom(own, "P01", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_doses_of_a_calibration_that_was_corrected_since_are_not_exported(own, tmp_path, monkeypatch):
    """A PACS would hold them beside the corrected report; those of an older version cannot be compared, and are."""
    organs, cells = own.path("organs", **WHERE), [replace(r, calibration_cps_per_mbq=10.0) for r in own.cohort.rows]
    settings = Marks(own.config, own.cohort).settings("reconstruct", "P01", "t24")
    replace(own, settings=settings).sidecar(organs, "reconstruct", "organs", share_in_images={})
    corrected = replace(own, cohort=replace(own.cohort, rows=tuple(cells)))
    with pytest.raises(InputError, match=r"P01 reconstruct t24: made of other cells of the sheet, .*; run again"):
        export_dicom(corrected, "P01", tmp_path / "out")
    assert not (tmp_path / "out").exists()
    monkeypatch.setitem(STEP_VERSIONS, "reconstruct", 99)
    assert export_dicom(corrected, "P01", tmp_path / "out") == [DOSE, ACTIVITY, LABELS]


def test_a_turned_grid_and_negative_doses_are_refused(own, tmp_path: Path):
    turned = np.array(GRID.ras_from_voxel)
    turned[:3, :2] = turned[:3, :2] @ [[0.96, -0.28], [0.28, 0.96]]
    path = own.path("dose", **WHERE)
    write_volume(path, Volume(np.ones(GRID.shape), Grid(GRID.shape, turned), "absorbed dose", "Gy"))
    own.sidecar(path, "absorbed_dose", "dose", "Gy", [own.path("tia", **WHERE)])
    own.sidecar(own.path("summary", **WHERE), "report", "summary", inputs=[path, own.path("organ_doses", **WHERE)])
    with pytest.raises(InputError, match="P01 dose: a grid that is turned against the patient's axes"):
        export_dicom(own, "P01", tmp_path / "out")
    _fill(own, scale=-1.0)
    with pytest.raises(InputError, match=r"P01 dose: 792 voxels are negative or no numbers"):
        export_dicom(own, "P01", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_folder_with_other_files_is_refused_and_its_own_are_written_again(made, tmp_path: Path):
    export_dicom(made, "P01", tmp_path / "out")
    export_dicom(made, "P01", tmp_path / "out")
    (tmp_path / "out/other.dcm").write_text("")
    with pytest.raises(InputError, match="--out: the folder holds 1 other file or folder; expected a new or empty"):
        export_dicom(made, "P01", tmp_path / "out")
    with pytest.raises(InputError, match="--out: a file; expected a folder"):
        export_dicom(made, "P01", tmp_path / "out/other.dcm")


def test_the_identity_of_a_ct_that_has_none_is_refused(tmp_path: Path):
    run = _nifti_ct(tmp_path / "nifti", {})
    _fill(run)
    with pytest.raises(InputError, match="--identity from-ct: P01 ct is a NIfTI, which names nobody"):
        export_dicom(run, "P01", tmp_path / "out", from_ct=True)
    run = write_patient(tmp_path / "nobody", Identity("", ""))
    _fill(run)
    with pytest.raises(InputError, match="--identity from-ct: P01 ct has neither PatientName nor PatientID"):
        export_dicom(run, "P01", tmp_path / "out", from_ct=True)


def test_the_command(made, tmp_path: Path):
    sheet = made.results.parent / "cohort.tsv"
    words = ["export-dicom", "--cohort", str(sheet), "--results", str(made.results), "--out", str(tmp_path / "out")]
    done = CliRunner().invoke(app, [*words, "--patient", "P01", "--identity", "from-ct"])
    assert (done.exit_code, done.output.split()) == (0, [DOSE, ACTIVITY, LABELS])
    assert _read(tmp_path / "out" / DOSE).PatientID == PLANTED.patient_id
    assert _read(tmp_path / "out" / ACTIVITY).AcquisitionDate == f"{planar_pair().acquired_at:%Y%m%d}"
    done = CliRunner().invoke(app, [*words, "--patient", "P02"])
    assert done.exit_code == 2 and done.stderr.count("\n") == 1
    assert "patient 'P02': not in the cohort sheet" in done.stderr
