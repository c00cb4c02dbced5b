"""Our DICOM files against dicom3tools' dciodvfy: no error, no warning."""

import shutil
import subprocess
from pathlib import Path

import pydicom
import pytest
from imaging_scene import CAMERA, PLANTED, ct_volume, planar_pair

from planardose.io.dicom_ct import write_ct
from planardose.io.dicom_nm import write_planar

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


def test_the_verifier_sees_a_broken_file(tmp_path: Path):
    write_planar(tmp_path / "nm.dcm", planar_pair(), CAMERA)
    ds = pydicom.dcmread(tmp_path / "nm.dcm")
    del ds.EnergyWindowInformationSequence
    ds.save_as(tmp_path / "nm.dcm")
    assert any("EnergyWindowInformationSequence" in line for line in _complaints(tmp_path / "nm.dcm"))
