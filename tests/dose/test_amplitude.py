"""Amplitude of a known shape through points of one camera and of two, by sums by hand."""

import math

import numpy as np
import pytest

from planardose.dose.amplitude import amplitude
from planardose.dose.time_activity import TimeActivity

OWN, SHARED = np.array([2.0, 3.0]), np.array([10.0, 4.0])


def series(mbq: list[float], shared: np.ndarray, cameras: list[int]) -> TimeActivity:
    return TimeActivity(np.array([24.0, 72.0]), np.array(mbq), np.hypot(OWN, shared), shared, np.array(cameras))


def test_points_of_one_camera_are_weighed_by_their_own_errors():
    """a = sum(s A / u^2) / sum(s^2 / u^2); what they share says nothing of the shape."""
    shape = np.array([0.8, 0.3])
    found = amplitude(series([90.0, 30.0], SHARED, [0, 0]), shape)
    information = (shape**2 / OWN**2).sum()
    assert found.mbq == pytest.approx((shape * [90.0, 30.0] / OWN**2).sum() / information)
    assert found.mbq_u == pytest.approx(1 / math.sqrt(information))
    assert found.weights @ [90.0, 30.0] == pytest.approx(found.mbq)


def test_two_cameras_are_weighed_by_all_that_is_known_of_each():
    """Of equal activities, so that each camera's variance is own^2 + shared^2."""
    found = amplitude(series([100.0, 100.0], SHARED, [0, 1]), np.ones(2))
    precision = 1 / (OWN**2 + SHARED**2)
    assert found.weights == pytest.approx(precision / precision.sum())
    assert found.mbq_u == pytest.approx(1 / math.sqrt(precision.sum()))
    assert found.mbq == pytest.approx(100.0) and found.residuals == pytest.approx(np.zeros(4), abs=1e-9)


def test_squares_of_the_residuals_are_those_of_two_measurements_of_one_amount():
    """chi2 = d^2 / (v1 + v2); the shared errors are in proportion to each camera's part of the common amplitude."""
    found = amplitude(series([104.0, 98.0], np.zeros(2), [0, 1]), np.ones(2))
    assert (found.residuals**2).sum() == pytest.approx(6.0**2 / (OWN**2).sum())


def test_no_amplitude_is_above_the_most_there_can_be():
    found = amplitude(series([90.0, 30.0], SHARED, [0, 0]), np.array([[0.8, 0.3], [2.0, 1.0]]), np.array([60.0, 1e9]))
    assert found.mbq[0] == 60.0 and found.mbq[1] < 60.0
