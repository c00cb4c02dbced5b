"""NIfTI headers with two places for the image."""

from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from planardose.image import Grid, Volume
from planardose.io.files import is_nifti
from planardose.io.nifti import read_volume, write_volume

TURN = np.deg2rad(179.97)  # where a quaternion of 32 bits is least exact
ABOUT_Z = np.array([[np.cos(TURN), -np.sin(TURN), 0], [np.sin(TURN), np.cos(TURN), 0], [0, 0, 1]])


def saved(path: Path, sform: np.ndarray, qform: np.ndarray, codes: tuple[int, int]) -> Path:
    image = nib.Nifti1Image(np.zeros((200, 200, 150), np.int16), sform)
    image.set_sform(sform, codes[0])
    image.set_qform(qform, codes[1])
    nib.save(image, path)
    return path


def affine(axes: np.ndarray) -> np.ndarray:
    full = np.eye(4)
    full[:3, :3], full[:3, 3] = axes * (2.0, 2.0, 5.0), (-199.0, -180.0, 400.0)
    return full


@pytest.mark.parametrize(
    ("change", "codes", "told"),
    [
        (np.diag([-1.0, 1, 1, 1]), (1, 1), "sform (code 1) and qform (code 1) disagree by up to 796 mm"),
        (np.array([[1.0, 0, 0, 0], [0, 1, 0, 0], [0, 0, 1, 30], [0, 0, 0, 1]]), (2, 1), "disagree by up to 30 mm"),
        (np.diag([-1.0, 1, 1, 1]), (1, 0), ""),
        (np.diag([-1.0, 1, 1, 1]), (0, 1), ""),
        (np.eye(4), (1, 1), ""),
    ],
)
def test_sform_and_qform_that_disagree_are_told(change, codes, told: str, tmp_path: Path, caplog):
    place = affine(np.eye(3))
    place[0, 3] = 0.0
    path = saved(tmp_path / "ct.nii", place, change @ place, codes)
    volume = read_volume(path, "CT number", "HU", "P01 ct")
    assert np.allclose(volume.grid.ras_from_voxel, place if codes[0] else change @ place)
    assert told in caplog.text and bool(told) == bool(caplog.text)
    assert str(tmp_path) not in caplog.text


@pytest.mark.parametrize("axes", [ABOUT_Z, ABOUT_Z @ np.diag([1.0, -1, 1]), np.eye(3) + 0.3 * np.eye(3, k=1)])
def test_rounding_and_the_shear_of_a_tilted_gantry_are_no_disagreement(axes, tmp_path: Path, caplog):
    grid = Grid((200, 200, 150), affine(axes))
    write_volume(tmp_path / "ct.nii", Volume(np.zeros(grid.shape), grid, "CT number", "HU"), np.int16)
    assert read_volume(tmp_path / "ct.nii", "CT number", "HU", "P01 ct").grid.same_as(grid)
    assert not caplog.text


@pytest.mark.parametrize("name", ["CT.NII", "CT.NII.GZ", "ct.nii.GZ"])
def test_endings_in_upper_case_are_read(name: str, tmp_path: Path):
    grid = Grid((200, 200, 150), affine(np.eye(3)))
    lower = tmp_path / name.lower()
    write_volume(lower, Volume(np.zeros(grid.shape), grid, "CT number", "HU"), np.int16)
    path = lower.rename(tmp_path / name)
    assert is_nifti(path) and read_volume(path, "CT number", "HU", "P01 ct").grid.same_as(grid)
