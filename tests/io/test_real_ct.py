"""The real CT and the real JPEG 2000 slices of the shared data, and crops and corruptions of them."""

import os
from pathlib import Path

import numpy as np
import pytest

from planardose.errors import InputError
from planardose.io.ct import check_hu, clip_hu, read_ct

TORSO = Path(os.environ.get("PLANARDOSE_SHARED", "../shared")) / "data" / "ct_torso"
pytestmark = pytest.mark.skipif(not TORSO.is_dir(), reason="no shared data")


@pytest.fixture(scope="module")
def torso():
    return read_ct(TORSO / "ct.nii.gz", "P01 ct")


def test_real_ct_passes_and_its_outliers_are_clipped_and_counted(torso):
    assert torso.grid.shape == (122, 101, 112)
    _, found = clip_hu(torso)
    assert found["hu_found"] == [-1207.0, 3382.0]
    assert (found["voxels_below"], found["voxels_above"]) == (124, 114)


def test_jpeg_2000_slices_with_empty_uids_pass_with_spacing_from_positions():
    volume = read_ct(TORSO / "dicom_jpeg2000", "P01 ct")
    assert volume.grid.shape == (512, 512, 20)
    np.testing.assert_allclose(volume.grid.spacing_mm, (0.9765625, 0.9765625, 2.0), atol=1e-6)
    np.testing.assert_allclose(volume.grid.ras_from_voxel[:3, 3], (249.51171875, 437.51171875, -804.5))


@pytest.mark.parametrize("part", ["inner crop without air", "no rescale needed at the top", "padding around the field"])
def test_unusual_but_true_hu_pass(part: str, torso):
    data = torso.data
    if part.startswith("inner"):
        data = data[30:60, 30:60, 30:60]
        assert data.min() > -200
    elif part.startswith("no"):
        data = data[:, :, -10:]
    else:
        data = data.copy()
        data[:20] = -2000.0
    check_hu(data, "P01 ct")


@pytest.mark.parametrize(
    "spoil",
    [
        lambda hu: hu + 1024,
        lambda hu: hu - 1024,
        lambda hu: 2 * hu,
        lambda hu: hu / 2,
        lambda hu: np.clip((hu + 1024) / 16, 0, 255),
        lambda hu: 0.0096 * np.clip(1 + hu / 1000, 0, None),
        lambda hu: np.where(np.arange(len(hu))[:, None, None] < 20, -2000.0, hu + 1024),
        lambda hu: hu[30:60, 30:60, 30:60] + 1000,
        lambda hu: np.zeros_like(hu),
    ],
    ids=[
        "stored",
        "offset twice",
        "slope 2",
        "slope 0.5",
        "8 bit",
        "attenuation",
        "stored with padding",
        "crop",
        "zero",
    ],
)
def test_numbers_that_are_no_hu_are_refused(spoil, torso):
    with pytest.raises(InputError, match=r"P01 ct: the values are not Hounsfield units: .*air near -1000 HU"):
        check_hu(spoil(torso.data), "P01 ct")
