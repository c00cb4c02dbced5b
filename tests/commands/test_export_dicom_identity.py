"""Whose study the exported objects join, their UIDs, and that no name leaves unless asked for."""

from pathlib import Path

import pydicom
import pytest
from export_run import ACTIVITY, DOSE, LABELS, fill_results, nifti_ct_run
from imaging_scene import PLANTED, write_patient
from pydicom.datadict import DicomDictionary, keyword_for_tag
from pydicom.uid import UID

from planardose.commands.export_dicom import export_dicom
from planardose.errors import InputError
from planardose.io.dicom_new import Identity


def test_outputs_join_the_cts_study_frame_and_refer_to_its_slices(results, tmp_path: Path):
    export_dicom(results, "P01", tmp_path)
    slices = [pydicom.dcmread(f) for f in results.cohort.rows[0].paths["ct"].iterdir()]
    outputs = [pydicom.dcmread(tmp_path / name) for name in (DOSE, ACTIVITY, LABELS)]
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
        run = nifti_ct_run(tmp_path / f"{n}")
        fill_results(run)
        export_dicom(run, "P01", tmp_path / f"{n}/out")
        outputs = [pydicom.dcmread(tmp_path / f"{n}/out" / name) for name in (DOSE, ACTIVITY, LABELS)]
        assert not any("ReferencedImageSequence" in ds for ds in outputs)
        (found,) = {(ds.StudyInstanceUID, ds.FrameOfReferenceUID, ds.StudyDate, ds.StudyTime) for ds in outputs}
        uids.append(found)
    assert uids[0] == uids[1] and UID(uids[0][0]).is_valid and uids[0][0].startswith("2.25.")
    files = [(tmp_path / f"{n}/out" / DOSE).read_bytes() for n in range(2)]
    assert files[0] == files[1]


def test_equal_results_give_equal_bytes_and_other_results_other_uids(own_results, tmp_path: Path):
    for name in ("a", "b"):
        export_dicom(own_results, "P01", tmp_path / name)
    for name in (DOSE, ACTIVITY, LABELS):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()
    fill_results(own_results, scale=1.5)
    export_dicom(own_results, "P01", tmp_path / "c")
    for name in (DOSE, ACTIVITY):
        before, after = (pydicom.dcmread(tmp_path / folder / name) for folder in "ac")
        assert before.SOPInstanceUID != after.SOPInstanceUID and before.SeriesInstanceUID != after.SeriesInstanceUID
        assert before.StudyInstanceUID == after.StudyInstanceUID


def _plant(path: Path) -> int:
    """A name in every tag of text that DICOM knows; the number of tags."""
    ds, planted = pydicom.dcmread(path), 0
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
    fill_results(run)
    secrets = ["zebrowski", "quentin", PLANTED.patient_id, PLANTED.birth_date, PLANTED.institution]
    export_dicom(run, "P01", tmp_path / "plain")
    export_dicom(run, "P01", tmp_path / "named", from_ct=True)
    for name in (DOSE, ACTIVITY, LABELS):
        plain, named = ((tmp_path / f / name).read_bytes().lower() for f in ("plain", "named"))
        assert [s for s in secrets if s.lower().encode() in plain] == []
        assert [s for s in secrets if s.lower().encode() in named] == secrets[:3]
        ds = pydicom.dcmread(tmp_path / "plain" / name)
        assert (str(ds.PatientName), ds.PatientID, ds.PatientBirthDate, ds.PatientSex) == ("P01", "P01", "", "")
        ds = pydicom.dcmread(tmp_path / "named" / name)
        assert (str(ds.PatientName), ds.PatientID) == (PLANTED.name, PLANTED.patient_id)
        assert named.count(b"zebrowski") == 1
        assert pydicom.dcmread(tmp_path / "plain" / name).SOPInstanceUID != ds.SOPInstanceUID
    assert not any(s.lower() in caplog.text.lower() for s in secrets)


@pytest.mark.parametrize("name", ["Müller^Jörg", "Дмитриев^Иван", "Yamada^Tarou=山田^太郎"])
def test_names_of_any_script_are_copied_as_they_are(tmp_path: Path, name: str):
    run = write_patient(tmp_path / "own", Identity(name, "4711"))
    fill_results(run)
    export_dicom(run, "P01", tmp_path / "out", from_ct=True)
    assert str(pydicom.dcmread(tmp_path / "out" / DOSE).PatientName) == name


def test_a_ct_without_uids_gets_those_of_its_content(tmp_path: Path):
    run = write_patient(tmp_path / "own")
    for file in run.cohort.rows[0].paths["ct"].iterdir():
        ds = pydicom.dcmread(file)
        ds.StudyInstanceUID, ds.FrameOfReferenceUID = "", "none"
        ds.save_as(file)
    fill_results(run)
    export_dicom(run, "P01", tmp_path / "out")
    ds = pydicom.dcmread(tmp_path / "out" / DOSE)
    assert all(uid.startswith("2.25.") and UID(uid).is_valid for uid in (ds.StudyInstanceUID, ds.FrameOfReferenceUID))
    assert len(ds.ReferencedImageSequence) == 22


def test_the_identity_of_a_ct_that_has_none_is_refused(tmp_path: Path):
    run = nifti_ct_run(tmp_path / "nifti")
    fill_results(run)
    with pytest.raises(InputError, match="--identity from-ct: P01 ct is a NIfTI, which names nobody"):
        export_dicom(run, "P01", tmp_path / "out", from_ct=True)
    run = write_patient(tmp_path / "nobody", Identity("", ""))
    fill_results(run)
    with pytest.raises(InputError, match="--identity from-ct: P01 ct has neither PatientName nor PatientID"):
        export_dicom(run, "P01", tmp_path / "out", from_ct=True)
