"""A name in every tag and in folder names appears in no output of the import steps, and in no log line."""

import logging
from pathlib import Path

import pydicom
import pytest
from imaging_scene import PLANTED, write_patient
from pydicom.datadict import DicomDictionary, keyword_for_tag
from region_files import Roi, circle, write_rtstruct

from planardose.commands.check import check
from planardose.errors import InputError
from planardose.run import command_line
from planardose.steps.import_ct import import_ct
from planardose.steps.import_planar import checked_pair, import_planar
from planardose.steps.segment import segment

NAME = "ZEBROWSKI"
FREE_TEXT = ("LO", "SH", "ST", "LT", "PN", "UT", "UC")
KEPT = ("Modality", "PixelData", "PatientID", "PatientName")


def _plant(path: Path) -> int:
    """Write the name into every free-text tag that DICOM knows for the top level; the number of tags."""
    ds = pydicom.dcmread(path)
    planted = 0
    for tag, entry in DicomDictionary.items():
        vr, keyword = entry[0], keyword_for_tag(tag)
        if vr in FREE_TEXT and keyword and keyword not in KEPT and tag >> 16 not in (0, 2, 4):
            setattr(ds, keyword, NAME)
            planted += 1
    ds.PatientName = f"{NAME}^Quentin"
    ds.save_as(path)
    return planted


@pytest.mark.filterwarnings("ignore")
def test_no_name_leaves_the_inputs(tmp_path: Path, caplog, monkeypatch):
    folder = tmp_path / NAME
    run = write_patient(folder, row={"segmentation": "rs.dcm", "lesions": "rs.dcm"})
    frame = str(pydicom.dcmread(folder / "ct/CT0001.dcm").FrameOfReferenceUID)
    names = {"Liver": (60.0, 10.0), f"GTV {NAME}": (-60.0, 10.0), f"Organ of {NAME}": (0.0, 60.0), "empty": (900.0, 0)}
    rois = [Roi(n, [circle((*xy, 40.0 + 15.0 * k), 30.0) for k in range(5, 12)], "ORGAN") for n, xy in names.items()]
    write_rtstruct(folder / "rs.dcm", rois, frame)
    _plant(folder / "rs.dcm")
    assert _plant(folder / "t24.dcm") > 300
    for file in (folder / "ct").iterdir():
        _plant(file)
    results = tmp_path / "results"
    object.__setattr__(run, "results", results)
    monkeypatch.setattr(
        "sys.argv", ["planardose", "import-ct", "--cohort", str(folder / "cohort.tsv"), "--patient", "P01"]
    )
    with caplog.at_level(logging.DEBUG):
        assert check(run) == []
        import_ct(run, "P01")
        import_planar(run, "P01", "t24")
        segment(run, "P01")
    assert "have no name of an organ that is known" in caplog.text and "lesion, which" in caplog.text
    written = [f for f in results.rglob("*") if f.is_file()]
    assert len(written) == 10
    secrets = [NAME, "Quentin", PLANTED.patient_id, PLANTED.birth_date, PLANTED.institution, str(tmp_path)]
    import gzip

    for file in written:
        raw = file.read_bytes()
        text = (gzip.decompress(raw) if file.suffix == ".gz" else raw).decode("latin-1")
        for secret in secrets:
            assert secret.lower() not in text.lower(), file.name
            assert secret.lower() not in str(file.relative_to(results)).lower()
    for secret in secrets:
        assert secret.lower() not in caplog.text.lower()
    assert NAME not in command_line()


@pytest.mark.parametrize(
    "keyword",
    ["ImageType", "Modality", "WholeBodyTechnique", "PixelSpacing", "StartAngle", "CollimatorType", "RadialPosition",
     "EnergyWindowLowerLimit", "DetectorVector", "ScanVelocity", "CorrectedImage", "RescaleSlope", "NumberOfFrames"],
)  # fmt: skip
def test_a_name_where_a_term_or_a_number_belongs_is_not_repeated(keyword: str, tmp_path: Path):
    run = write_patient(tmp_path)
    ds = pydicom.dcmread(tmp_path / "t24.dcm")
    head = ds.DetectorInformationSequence[0]
    window = ds.EnergyWindowInformationSequence[0].EnergyWindowRangeSequence[0]
    holder = next((x for x in (head, window) if keyword in x), head if keyword == "CollimatorType" else ds)
    holder.add_new(keyword, "LO", ["ORIGINAL", "PRIMARY", NAME] if keyword == "ImageType" else NAME)
    ds.save_as(tmp_path / "t24.dcm")
    try:
        told = " ".join(checked_pair(run.config, run.cohort.row("P01", "t24")).notes)
    except InputError as fault:
        told = str(fault)
    assert told or keyword == "CorrectedImage"
    assert NAME.lower() not in told.lower()
