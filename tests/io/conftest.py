"""A planar pair, and its NM file read back after a change of the header."""

from pathlib import Path

import pydicom
import pytest
from imaging_scene import CAMERA, planar_pair

from planardose.config import Hand
from planardose.io.dicom_nm import write_planar
from planardose.io.planar_in import read_planar
from planardose.planar import PlanarPair


@pytest.fixture
def pair() -> PlanarPair:
    return planar_pair()


@pytest.fixture
def edited(tmp_path: Path, pair: PlanarPair):
    """Write the pair, let a function change the data set, read it back."""

    def read(change, hand: Hand | None = None, start: PlanarPair | None = None):
        write_planar(tmp_path / "nm.dcm", start or pair, CAMERA)
        ds = pydicom.dcmread(tmp_path / "nm.dcm")
        change(ds)
        ds.save_as(tmp_path / "nm.dcm")
        return read_planar(tmp_path / "nm.dcm", CAMERA, "P01 t24 planar", hand, "patients.P01.t24")

    return read
