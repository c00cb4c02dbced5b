import numpy as np
import pytest

from planardose.image import Grid, Volume


def oblique():
    angle = np.deg2rad(20)
    affine = np.eye(4)
    affine[:3, :3] = np.array(
        [[np.cos(angle), -np.sin(angle), 0], [np.sin(angle), np.cos(angle), 0], [0, 0, 1]]
    ) @ np.diag([2.0, 3.0, 4.0])
    affine[:3, 3] = [10, -20, 30]
    return Grid((2, 3, 4), affine)


def test_spacing_and_volume_of_an_oblique_grid():
    grid = oblique()
    np.testing.assert_allclose(grid.spacing_mm, [2, 3, 4])
    assert grid.voxel_ml == pytest.approx(0.024)
    assert not grid.is_ras_aligned


def test_axis_aligned_grid_and_its_box():
    grid = Grid.axis_aligned((2, 3, 4), (2, 3, 4), (10, -20, 30))
    assert grid.is_ras_aligned
    np.testing.assert_allclose(grid.axis_mm(1), [-20, -17, -14])
    low, high = grid.bounds_mm()
    np.testing.assert_allclose(low, [9, -21.5, 28])
    np.testing.assert_allclose(high, [13, -12.5, 44])


def test_a_grid_that_covers_a_box_starts_at_its_corner_and_reaches_its_end():
    grid = Grid.covering((9, -21.5, 28), (12.5, -12.5, 44), (2, 3, 4))
    assert grid.shape == (2, 3, 4)
    np.testing.assert_allclose(grid.bounds_mm(), [(9, -21.5, 28), (13, -12.5, 44)])
    assert Grid.covering(np.zeros(3), np.full(3, 10.1), 5.0).shape == (3, 3, 3)


def test_same_as_sees_a_shift_a_shape_and_a_flip():
    grid = Grid.axis_aligned((2, 3, 4), (2, 3, 4), (0, 0, 0))
    assert grid.same_as(Grid.axis_aligned((2, 3, 4), (2, 3, 4), (0.01, 0, 0)))
    assert not grid.same_as(Grid.axis_aligned((2, 3, 4), (2, 3, 4), (1, 0, 0)))
    assert not grid.same_as(Grid.axis_aligned((2, 3, 5), (2, 3, 4), (0, 0, 0)))
    flipped = np.diag([-2.0, 3, 4, 1])
    flipped[0, 3] = 2
    assert not grid.same_as(Grid((2, 3, 4), flipped))


@pytest.mark.parametrize("affine", [np.zeros((4, 4)), np.eye(3), np.full((4, 4), np.nan)])
def test_bad_affines_are_refused(affine):
    with pytest.raises(ValueError, match="ras_from_voxel"):
        Grid((2, 2, 2), affine)


def test_volume_must_fit_its_grid():
    with pytest.raises(ValueError, match="shape"):
        Volume(np.zeros((2, 2, 2)), oblique(), "dose", "Gy")
