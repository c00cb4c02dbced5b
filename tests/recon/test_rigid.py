"""Registration of a phantom's CT with a displaced, shorter one whose frame lies elsewhere."""

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from planardose.anatomy.phantom import Pose, draw_phantom
from planardose.image import Grid, Volume
from planardose.recon.rigid import register_cts, searched_translation, windowed

SPACING = (5.0, 5.0, 6.0)


def ct(phantom, pose, z_mm, seed):
    """HU with noise on a grid from z_mm[0] to z_mm[1]."""
    low, high = phantom.extent_mm(25.0)
    low[2], high[2] = z_mm
    shape = tuple(int(n) for n in np.floor((high - low) / SPACING))
    grid = Grid.axis_aligned(shape, SPACING, low + 0.5 * np.array(SPACING))
    sampled = phantom.on_grid(grid, pose)
    hu = np.where(sampled.body, sampled.hu, -1000.0) + np.random.default_rng(seed).normal(0, 15, shape)
    return Volume(hu.astype(np.float32), grid, "CT", "HU")


@pytest.fixture(scope="module")
def phantom():
    return draw_phantom(np.random.default_rng(11), known=2, hidden=2)


@pytest.fixture(scope="module")
def fixed(phantom):
    low, high = phantom.extent_mm(25.0)
    return ct(phantom, Pose(), (low[2], high[2]), 1)


@pytest.mark.parametrize("turn", [(0.0, 0.0, 0.0), (2.0, -1.5, 3.0)])
def test_displaced_ct_with_another_origin_and_shorter_field(phantom, fixed, turn):
    pose = Pose((12.0, -8.0, 21.0), turn)
    middle = 0.5 * sum(fixed.grid.bounds_mm())[2]
    moving = ct(phantom, pose, (middle - 220, middle + 180), 2)
    frame = np.eye(4)  # the other scanner counts from elsewhere
    frame[:3, 3] = (40.0, -150.0, 900.0)
    moved = Volume(moving.data, Grid(moving.grid.shape, frame @ moving.grid.ras_from_voxel), "CT", "HU")
    found = register_cts(fixed, moved)
    true = np.eye(4)
    basis = np.array([[0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1.0]]) * 100.0
    inverse = pose.to_patient(basis)  # world of the moved patient -> patient
    rotation = ((inverse[1:] - inverse[0]) / 100.0).T
    true[:3, :3], true[:3, 3] = rotation, inverse[0]
    true = frame @ np.linalg.inv(true)
    corners = np.array([(x, y, z) for x in (-120, 120) for y in (-80, 80) for z in (middle - 150, middle + 150)])
    error = np.linalg.norm(
        corners @ (found.moving_from_fixed - true)[:3, :3].T + (found.moving_from_fixed - true)[:3, 3], axis=1
    )
    assert error.max() < 1.0
    assert found.correlation > 0.95 and 0.8 < found.overlap <= 1.0
    assert found.angle_deg == pytest.approx(np.rad2deg(Rotation.from_matrix(rotation).magnitude()), abs=0.3)


def test_search_alone_is_within_its_lattice(fixed):
    coarse = windowed(fixed, 16.0)
    part = Volume(coarse.data[2:, 1:, 7:27], Grid.axis_aligned(coarse.data[2:, 1:, 7:27].shape, 16.0, 0.0), "", "1")
    shift = searched_translation(coarse, part)
    expected = -(coarse.grid.ras_from_voxel[:3, 3] + 16.0 * np.array([2, 1, 7]))
    assert shift == pytest.approx(expected, abs=1e-6)


def test_another_patient_correlates_less(fixed):
    other = draw_phantom(np.random.default_rng(12), known=2, hidden=2)
    low, high = other.extent_mm(25.0)
    assert register_cts(fixed, ct(other, Pose(), (low[2], high[2]), 3)).correlation < 0.93
