"""Closed contours to voxels: against matplotlib's paths and analytic bodies, with holes, gaps and thick slices."""

import numpy as np
import pytest
from matplotlib.path import Path as Outline
from region_files import circle, contours_of

from planardose.anatomy.contours import covered, rasterise, stacking_axis, usual_step_mm
from planardose.errors import InputError
from planardose.image import Grid

OBLIQUE = Grid((20, 18, 16), np.array([[-4.0, 0, 0, 40], [0, 4.5, 0.5, -30], [0, -0.5, 6, 10], [0, 0, 0, 1]]))


def voxels(contours: list[np.ndarray], grid: Grid, step_mm: float | None = None) -> np.ndarray:
    """Mask on the whole grid."""
    box, inside = rasterise(contours, grid, stacking_axis(contours, grid, "test"), step_mm)
    mask = np.zeros(grid.shape, dtype=bool)
    mask[box] = inside
    return mask


def cube(voxel_mm, half_mm: float = 40.0) -> Grid:
    voxel_mm = np.array(voxel_mm, dtype=float)
    return Grid.covering((-half_mm,) * 3, (half_mm,) * 3, voxel_mm)


def ball(radius: float, centre, step: float, first: float = 0.0) -> list[np.ndarray]:
    """Contours of a ball at heights `first`, `first` + `step`..."""
    heights = np.arange(-60.0 + first, 60.0, step)
    inside = [z for z in heights if abs(z - centre[2]) < radius]
    return [circle((*centre[:2], z), np.sqrt(radius**2 - (z - centre[2]) ** 2)) for z in inside]


def test_share_of_pixels_agrees_with_matplotlibs_paths():
    rng = np.random.default_rng(4)
    sub = (np.arange(40) + 0.5) / 40 - 0.5
    for _ in range(10):
        angle = np.sort(rng.uniform(0, 2 * np.pi, 15))
        polygon = np.stack([6 + 5 * rng.uniform(0.3, 1, 15) * f(angle) for f in (np.cos, np.sin)], axis=1)
        share = covered([polygon], np.zeros(2), (13, 12))
        points = np.stack(np.meshgrid(*((np.arange(n)[:, None] + sub).ravel() for n in (13, 12)), indexing="ij"), -1)
        inside = Outline(polygon).contains_points(points.reshape(-1, 2)).reshape(13, 40, 12, 40).mean(axis=(1, 3))
        assert np.abs(share - inside).max() < 0.06 and np.abs(share - inside).mean() < 0.002
        area = abs(np.cross(np.c_[polygon, np.zeros(15)], np.roll(np.c_[polygon, np.zeros(15)], -1, 0)).sum(0)[2]) / 2
        assert share.sum() == pytest.approx(area, rel=1e-2)


@pytest.mark.parametrize("voxel", [(1.0, 1.0, 1.0), (1.0, 1.0, 3.0), (2.0, 2.0, 3.0), (4.0, 4.0, 5.0)])
@pytest.mark.parametrize("radius", [5.0, 10.0, 25.0])
def test_a_ball_keeps_its_volume_to_half_a_voxel(voxel, radius):
    """Contours every millimetre: their slabs hold the ball's volume to 0.9 %, the voxels that of the slabs."""
    grid, rng = cube(voxel), np.random.default_rng(int(radius))
    for _ in range(3):
        centre = rng.uniform(-3, 3, 3)
        contours = ball(radius, centre, 1.0, rng.uniform(0, 1))
        found = np.count_nonzero(voxels(contours, grid))
        slabs = sum(np.pi * c[:, :2].var(axis=0).sum() for c in contours)  # both variances of a circle: r² / 2
        assert abs(found - slabs / np.prod(voxel)) < 0.6 + 2e-3 * found
        assert found * np.prod(voxel) == pytest.approx(4 / 3 * np.pi * radius**3, rel=0.01, abs=0.6 * np.prod(voxel))


@pytest.mark.parametrize(("step", "slice_mm"), [(5.0, 1.0), (5.0, 2.5), (3.0, 1.0)])
def test_contours_on_thicker_slices_than_the_cts_are_shaped_between(step, slice_mm):
    grid = cube((1.0, 1.0, slice_mm))
    contours = ball(20.0, (1.0, -2.0, 0.6), step)
    mask = voxels(contours, grid)
    distance = np.sqrt(sum((x - c) ** 2 for x, c in zip(
        np.meshgrid(*(grid.axis_mm(a) for a in range(3)), indexing="ij"), (1.0, -2.0, 0.6), strict=True
    )))  # fmt: skip
    assert np.count_nonzero(mask) == pytest.approx(np.count_nonzero(distance < 20), rel=0.025)
    middle = slice(*np.flatnonzero(mask.any(axis=(0, 1)))[[0, -1]])
    assert mask[:, :, middle].any(axis=(0, 1)).all()
    wrong = (mask != (distance < 20)) & (np.abs(grid.axis_mm(2) - 0.6) < 12)
    assert (np.abs(distance - 20)[wrong] < 1.5).all()  # steps of 5 mm as slabs are up to 2.9 mm off there


def test_holes_keyholes_and_copies():
    grid = cube((2.0, 2.0, 3.0))
    z = float(grid.axis_mm(2)[12])
    outer, inner = circle((1.0, 2.0, z), 20.0), circle((3.0, 1.0, z), 8.0)
    ring = voxels([outer, inner], grid)
    alone = voxels([outer], grid)
    hole = voxels([inner], grid)
    assert np.count_nonzero(ring != (alone & ~hole)) <= 4 and hole.sum() > 40
    assert np.array_equal(voxels([outer, inner[::-1]], grid), ring)
    keyhole = np.concatenate([outer, outer[:1], inner[::-1], inner[-1:], outer[:1]])
    assert np.count_nonzero(voxels([keyhole], grid) != ring) <= 2
    assert np.array_equal(voxels([outer, outer.copy()], grid), alone)
    island = circle((3.0, 1.0, z), 4.0)
    assert np.count_nonzero(voxels([outer, inner, island], grid)) > np.count_nonzero(ring)


def test_parts_far_apart_have_nothing_between_and_single_contours_the_sets_thickness():
    grid = cube((1.0, 1.0, 1.0))
    low, high = ball(6.0, (0.0, 0.0, -25.0), 2.0), ball(6.0, (0.0, 0.0, 20.0), 2.0)
    mask = voxels([*low, *high], grid)
    assert not mask[:, :, (grid.axis_mm(2) > -17) & (grid.axis_mm(2) < 12)].any()
    assert np.count_nonzero(mask != (voxels(low, grid) | voxels(high, grid))) <= 0.02 * np.count_nonzero(mask)
    single = [circle((0.0, 0.0, -30.5), 10.0), circle((0.0, 0.0, 30.5), 10.0)]
    slices = np.count_nonzero(voxels(single, grid, usual_step_mm([*low, *high], grid, 2)), axis=(0, 1))
    assert np.count_nonzero(slices) == 6 and slices.sum() == pytest.approx(2 * 2 * np.pi * 100, rel=2e-3)


def test_a_lesion_below_a_voxel_has_one_and_what_lies_beyond_the_grid_is_cut_off():
    grid = cube((4.0, 4.0, 5.0))
    tiny = [circle((2.3, 1.7, 0.4), 0.8)]
    mask = voxels(tiny, grid, 1.0)
    assert np.argwhere(mask).tolist() == [[10, 10, 8]]
    half = ball(15.0, (-40.0, 0.0, 0.0), 2.5)
    assert np.count_nonzero(voxels(half, grid)) * 80 == pytest.approx(4 / 3 * np.pi * 15**3 / 2, rel=0.03)
    assert not voxels(ball(10.0, (90.0, 0.0, 0.0), 2.5), grid).any()
    assert not voxels([circle((0.0, 0.0, 90.0), 5.0)], grid).any()


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_contours_on_the_slices_of_any_grid_give_the_voxels_that_they_were_drawn_around(axis):
    """An oblique grid, with slices along each of its axes; contours half-way to the next voxels."""
    rng = np.random.default_rng(axis)
    index = np.stack(np.indices(OBLIQUE.shape), -1) + 0.0
    blob = np.zeros(OBLIQUE.shape, dtype=bool)
    for _ in range(3):
        blob |= (((index - rng.uniform(5, 11, 3)) / rng.uniform(2.5, 4.5, 3)) ** 2).sum(-1) < 1
    contours = contours_of(blob, OBLIQUE, axis)
    assert stacking_axis(contours, OBLIQUE, "test") == axis
    found = voxels(contours, OBLIQUE)
    assert np.count_nonzero(found) == pytest.approx(np.count_nonzero(blob), rel=0.02)  # corners are cut
    assert np.count_nonzero(found & ~blob) == 0


def test_contours_turned_against_the_slices_are_refused():
    turned = circle((0.0, 0.0, 0.0), 20.0) @ np.array([[1, 0, 0], [0, 0.9, -0.43589], [0, 0.43589, 0.9]])
    with pytest.raises(InputError, match="turned against the CT's slices"):
        stacking_axis([turned], cube((2.0, 2.0, 2.0)), "P01 lesions")


def test_organs_of_a_real_ct_keep_their_volume(torso):
    """Contours half-way between voxels of 3 mm lose half a voxel each: 0.7 % at most above 100 mL, 2.4 % above 20."""
    labels = torso[1]
    whole = np.bincount(labels.data.ravel())
    for n in np.flatnonzero(whole * labels.grid.voxel_ml > 20):
        if n:
            mask = labels.data == n
            limit = 0.007 if whole[n] * labels.grid.voxel_ml > 100 else 0.024
            found = voxels(contours_of(mask, labels.grid), labels.grid)
            assert np.count_nonzero(found) == pytest.approx(whole[n], rel=limit) and not (found & ~mask).any()
