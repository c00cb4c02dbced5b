"""Our DICOM files against dicom3tools' dciodvfy: no error, and no warning beyond those that are told why."""

import shutil
import subprocess
from pathlib import Path

import numpy as np
import pydicom
import pytest
from imaging_scene import CAMERA, PLANTED, ct_volume, planar_pair

from planardose.image import Volume
from planardose.io.dicom_ct import write_ct
from planardose.io.dicom_nm import write_planar
from planardose.io.dicom_results_write import write_activity, write_dose
from planardose.io.dicom_seg_write import Author, write_segments
from planardose.io.dicom_study import Study, study_of
from planardose.io.nifti import write_volume

pytestmark = [
    pytest.mark.dicom,
    pytest.mark.skipif(shutil.which("dciodvfy") is None, reason="no dciodvfy (dicom3tools)"),
]


def _complaints(path: Path) -> list[str]:
    done = subprocess.run(["dciodvfy", "-new", str(path)], capture_output=True, text=True, timeout=60)
    return [x for x in (done.stdout + done.stderr).splitlines() if x.startswith(("Error", "Warning"))]


def test_ct_slices(tmp_path: Path):
    write_ct(tmp_path, ct_volume(), PLANTED)
    assert _complaints(tmp_path / "CT0001.dcm") == []


@pytest.mark.parametrize("swept", [True, False])
def test_planar_pair(swept: bool, tmp_path: Path):
    write_planar(tmp_path / "nm.dcm", planar_pair(swept=swept), CAMERA, identity=PLANTED)
    assert _complaints(tmp_path / "nm.dcm") == []


@pytest.fixture(params=["DICOM", "NIfTI"])
def study(request, tmp_path: Path) -> Study:
    """Study of a CT of either kind."""
    if request.param == "DICOM":
        write_ct(tmp_path / "ct", ct_volume(), PLANTED)
        return study_of(tmp_path / "ct", PLANTED, True, planar_pair().acquired_at, "test")
    write_volume(tmp_path / "ct.nii.gz", ct_volume())
    return study_of(tmp_path / "ct.nii.gz", PLANTED, False, planar_pair().acquired_at, "test")


def _map(unit: str) -> Volume:
    volume = ct_volume()
    return Volume(volume.data - volume.data.min(), volume.grid, "map", unit)


def test_dose(study: Study, tmp_path: Path):
    """This dciodvfy is older than the sum that needs no RT Plan; a Study ID is not ours to copy."""
    told = "planardose, qplanar"
    write_dose(tmp_path / "dose.dcm", _map("Gy"), study, planar_pair().acquired_at, told, f"{told}; no brain")
    known = ("PLAN_OVERVIEW", "PlanOverviewSequence", "StudyID")
    assert [x for x in _complaints(tmp_path / "dose.dcm") if not any(k in x for k in known)] == []
    assert not any(x.startswith("Error") for x in _complaints(tmp_path / "dose.dcm"))


def test_activity(study: Study, tmp_path: Path):
    """Units and slope stand where PET has them, too: the standard allows more than an NM image must have."""
    file, pair = tmp_path / "activity.dcm", planar_pair()
    write_activity(file, _map("Bq/mL"), study, pair.acquired_at, pair.duration_s, "177Lu", "planardose, qplanar", "t24")
    known = ("Rescale", "Units", "StudyID")
    assert [x for x in _complaints(file) if not any(k in x for k in known)] == []
    assert not any(x.startswith("Error") for x in _complaints(file))


def test_labels(study: Study, tmp_path: Path):
    grid = ct_volume().grid
    data = np.zeros(grid.shape, dtype=np.int16)
    data[20:30, 8:18, 6:12], data[3:8, 8:18, 6:12], data[10:14, 4:9, 3:19], data[22:24, 9:12, 7:9] = 5, 2, 207, 1001
    for algorithm in ("", "TotalSegmentator 2.18.0"):
        author = Author(algorithm, "outlines of planardose")
        write_segments(tmp_path / "seg.dcm", Volume(data, grid, "label", "1"), study, planar_pair().acquired_at, author)
        assert [x for x in _complaints(tmp_path / "seg.dcm") if "StudyID" not in x] == []


def test_planar_pair_in_the_study_of_a_ct(study: Study, tmp_path: Path):
    write_planar(tmp_path / "nm.dcm", planar_pair(), CAMERA, study=study, centre_mm=(10.0, -20.0, 300.0))
    assert [x for x in _complaints(tmp_path / "nm.dcm") if "StudyID" not in x] == []


def test_the_verifier_sees_a_broken_file(tmp_path: Path):
    write_planar(tmp_path / "nm.dcm", planar_pair(), CAMERA)
    ds = pydicom.dcmread(tmp_path / "nm.dcm")
    del ds.EnergyWindowInformationSequence
    ds.save_as(tmp_path / "nm.dcm")
    assert any("EnergyWindowInformationSequence" in line for line in _complaints(tmp_path / "nm.dcm"))
