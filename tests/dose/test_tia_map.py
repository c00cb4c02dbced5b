"""The voxel map of the integral: each voxel by the curve of its organ, as sums by hand."""

import numpy as np
import pytest

from planardose.dose.tia_map import integrate_maps

HOURS = np.array([[10.0, 30.0], [20.0, 50.0], [40.0, 60.0]])  # of each organ and time point; the last is the remainder
MAPS = np.array([3.0, 2.0])[:, None, None, None] * np.ones((2, 3, 1, 1))  # MBq/mL: 3 in all voxels, then 2


def integrated(fractions: list, concentrations: list) -> np.ndarray:
    """(3,) MBq h/mL of three voxels; `fractions` (organ, voxel), `concentrations` (time point, organ)."""
    shares = np.array(fractions, dtype=float)[:, :, None, None]
    return integrate_maps(MAPS, shares, np.array(concentrations, dtype=float), HOURS, remainder=2).ravel()


def test_pure_voxels_have_the_integral_of_their_organ():
    found = integrated(np.eye(3), [[5.0, 1.0, 0.2], [4.0, 1.0, 0.1]])
    assert found == pytest.approx(MAPS[:, 0, 0, 0] @ HOURS.T, rel=1e-6)


def test_a_shared_voxel_is_split_by_fraction_times_concentration_at_each_time():
    """Half and half of two organs, which hold 4:1 at the first time point and 1:1 at the second."""
    found = integrated([[0.5, 0, 0], [0.5, 0, 0], [0, 1, 1]], [[4.0, 1.0, 0.0], [2.0, 2.0, 0.0]])
    first, second = 0.8 * 10.0 + 0.2 * 20.0, 0.5 * 30.0 + 0.5 * 50.0
    assert found[0] == pytest.approx(3.0 * first + 2.0 * second, rel=1e-5)


def test_a_voxel_of_no_organ_has_the_remainders_hours():
    found = integrated([[1, 0, 0], [0, 1, 0], [0, 0, 0]], [[5.0, 1.0, 0.2], [4.0, 1.0, 0.1]])
    assert found[2] == pytest.approx(3.0 * 40.0 + 2.0 * 60.0)


def test_an_organ_found_empty_keeps_its_own_voxels():
    """Its concentration is 0, or below by rounding, at both time points."""
    found = integrated(np.eye(3), [[0.0, 1.0, 0.2], [-1e-12, 1.0, 0.1]])
    assert found[0] == pytest.approx(3.0 * 10.0 + 2.0 * 30.0)
