"""Orientation of the two views, and rebinning into the CT's coronal plane, against slow obvious loops."""

import itertools
from datetime import datetime

import numpy as np
import pytest

from planardose.frames import PlanarPose
from planardose.image import Grid
from planardose.planar import EnergyWindow, PlanarPair

WINDOW = EnergyWindow(187.2, 228.8)


def pair_of(counts, pixel_mm=(4.0, 3.0)):
    return PlanarPair(np.asarray(counts, np.float32), (WINDOW,), pixel_mm, 100.0, datetime(2026, 3, 1, 9), 100.0)


def test_one_source_appears_mirrored_in_the_two_views():
    """A source at the patient's right, near the head: left column of the anterior, right one of the posterior view."""
    counts = np.zeros((2, 1, 5, 4))
    counts[0, 0, 1, 0] = 7  # anterior: patient's right is on the left
    counts[1, 0, 1, 3] = 7  # posterior: patient's right is on the right
    ras = pair_of(counts).ras()
    assert ras.shape == (2, 1, 4, 5)
    assert np.argwhere(ras[0, 0]).tolist() == [[3, 3]]  # x: last column is the most right; z: row 1 of 5 from the top
    assert np.argwhere(ras[1, 0]).tolist() == [[3, 3]]


def test_ras_is_inverted_by_counts_from_ras():
    counts = np.random.default_rng(1).random((2, 1, 5, 4))
    pair = pair_of(counts)
    np.testing.assert_array_equal(PlanarPair.counts_from_ras(pair.ras()), pair.counts)


def test_a_pose_takes_points_to_the_patient_and_back():
    """A turn by 90 degrees takes the image's right (u) to the head (z), and its head (v) to the patient's left."""
    pose = PlanarPose(100.0, 500.0, 90.0)
    assert pose.to_ras(7.0, 0.0) == pytest.approx((100.0, 507.0))
    assert pose.to_ras(0.0, 3.0) == pytest.approx((97.0, 500.0))
    u, v = np.array([3.0, -8.0]), np.array([12.0, 5.0])
    turned = PlanarPose(-4.0, 30.0, 8.0)
    np.testing.assert_allclose(turned.from_ras(*turned.to_ras(u, v)), (u, v), atol=1e-12)


def test_rebinning_conserves_counts_and_agrees_with_a_loop():
    rng = np.random.default_rng(2)
    pair = pair_of(rng.random((2, 1, 6, 5)))
    grid = Grid.axis_aligned((7, 2, 9), (6.0, 5.0, 7.0), (-20.0, 0.0, -25.0))
    pose = PlanarPose(1.3, 2.1, 8.0)
    fast = pair.rebinned(grid, pose)
    slow = np.zeros_like(fast)
    ras = pair.ras()
    c, d = np.cos(np.deg2rad(8.0)), np.sin(np.deg2rad(8.0))
    for view, a, b, s, t in itertools.product(range(2), range(5), range(6), (-0.25, 0.25), (-0.25, 0.25)):
        u, v = (a - 2 + s) * 3.0, (b - 2.5 + t) * 4.0
        x, z = c * u - d * v + 1.3, d * u + c * v + 2.1
        for i, k in itertools.product(range(7), range(9)):
            in_x = min(x + 0.75, 6.0 * i - 17.0) - max(x - 0.75, 6.0 * i - 23.0)
            in_z = min(z + 1.0, 7.0 * k - 21.5) - max(z - 1.0, 7.0 * k - 28.5)
            slow[view, 0, i, k] += ras[view, 0, a, b] / 4 * max(in_x, 0) / 1.5 * max(in_z, 0) / 2.0
    np.testing.assert_allclose(fast, slow, rtol=1e-6)
    assert fast.sum() == pytest.approx(pair.counts.sum(), rel=1e-6)


def test_counts_outside_the_grid_are_left_out():
    grid = Grid.axis_aligned((3, 2, 3), (3.0, 5.0, 4.0), (-3.0, 0.0, -4.0))
    moved = pair_of(np.ones((2, 1, 3, 3))).rebinned(grid, PlanarPose(0.0, 4.0))
    assert moved.sum() == pytest.approx(2 * 6)


def test_even_counts_stay_even():
    """Pixels that do not divide the cells: each cell gets its area's share."""
    pair = pair_of(np.ones((2, 1, 100, 120)), (4.795, 2.398))
    grid = Grid.axis_aligned((20, 2, 30), (10.0, 5.0, 10.0), (-95.0, 0.0, -145.0))
    np.testing.assert_allclose(pair.rebinned(grid, PlanarPose(1.7, -3.1)), 100 / (4.795 * 2.398), rtol=1e-9)


@pytest.mark.parametrize("bad", [-1.0, np.nan])
def test_bad_counts_are_refused(bad):
    counts = np.ones((2, 1, 3, 3))
    counts[0, 0, 1, 1] = bad
    with pytest.raises(ValueError, match="finite and not negative"):
        pair_of(counts)
