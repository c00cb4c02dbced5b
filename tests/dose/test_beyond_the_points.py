"""What lies before and after the points of a curve, and what an organ found empty may hold."""

import math

import numpy as np
import pytest

from planardose.dose.kinetics import fit_curve
from planardose.dose.organ_prior import IN_GENERAL
from planardose.dose.time_activity import TimeActivity
from planardose.library import load_nuclide

HALF_LIFE_H = load_nuclide("177Lu").half_life_h


@pytest.mark.parametrize("hours", [4.0, 48.0, 168.0])
def test_a_single_point_has_most_of_the_integral_after_it_if_early_and_before_it_if_late(hours: float):
    curve = fit_curve(TimeActivity(np.array([hours]), np.array([50.0]), np.array([2.0])), HALF_LIFE_H, 7400.0)
    assert curve.extrapolated_fraction == pytest.approx(2 ** (-hours / curve.t_eff_h), rel=1e-9)
    assert curve.before_fraction == pytest.approx(1 - 2 ** (-hours / curve.t_eff_h), rel=1e-9)


def test_an_organ_found_empty_may_hold_what_decays_within_its_points_uncertainty():
    """With the physical half-life T, the integral's u is T / ln 2 over the root of sum (s / u)^2."""
    hours, u = np.array([24.0, 96.0]), np.array([2.0, 1.0])
    curve = fit_curve(TimeActivity(hours, np.zeros(2), u), HALF_LIFE_H, 7400.0, IN_GENERAL)
    left = np.exp2(-hours / HALF_LIFE_H)
    expected = HALF_LIFE_H / math.log(2) / math.sqrt(((left / u) ** 2).sum())
    assert (curve.tia_mbq_h, curve.tia_mbq_h_u) == (0.0, pytest.approx(expected, rel=1e-9))
    assert curve.extrapolated_fraction == pytest.approx(left[1]) and curve.before_fraction == pytest.approx(1 - left[0])
