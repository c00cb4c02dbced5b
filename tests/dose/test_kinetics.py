"""Curve fits against closed forms and published values."""

import math

import numpy as np
import pytest
from scipy.integrate import quad
from scipy.stats import norm

from planardose.dose.constants import dose_constants
from planardose.dose.kinetics import fit_curve, integral_weights, single_point_relative_u
from planardose.dose.time_activity import TimeActivity

HALF_LIFE_H, ADMINISTERED = 159.528, 7400.0
HOURS = np.array([4.0, 24.0, 72.0, 168.0])


def points(a0, t_eff, hours=HOURS, relative_u=0.05, common=0.0):
    hours = np.asarray(hours, dtype=float)
    mbq = a0 * 2 ** (-hours / t_eff)
    return TimeActivity(hours, mbq, relative_u * mbq, common * mbq)


def fit(data):
    return fit_curve(data, HALF_LIFE_H, ADMINISTERED)


@pytest.mark.parametrize("t_eff", [8.0, 35.5, 60.0, 150.0])
@pytest.mark.parametrize("hours", [HOURS, HOURS[1:3], [20.0, 30.0, 44.0]])
def test_exact_points_give_the_closed_form_integral(t_eff, hours):
    curve = fit(points(90.0, t_eff, hours))
    integral = quad(lambda t: 90.0 * 2 ** (-t / t_eff), 0, 60 * t_eff, limit=400)[0]
    assert curve.tia_mbq_h == pytest.approx(integral, rel=1e-6)
    assert curve.t_eff_h == pytest.approx(t_eff, rel=1e-6)
    assert curve.extrapolated_fraction == pytest.approx(2 ** (-max(hours) / t_eff), rel=1e-5)
    assert curve.before_fraction == pytest.approx(1 - 2 ** (-min(hours) / t_eff), rel=1e-5)
    assert curve.points == len(hours) and curve.flags == ()


def test_two_points_pass_through_both_whatever_their_weights():
    data = TimeActivity(np.array([24.0, 96.0]), np.array([50.0, 11.0]), np.array([1.0, 6.0]))
    assert fit(data).at(data.hours) == pytest.approx(data.mbq, rel=1e-6)


@pytest.mark.parametrize(("x", "ratio"), [(1.0, 1.0), (2.0, 1.0), (1.443, 1.0615)])
def test_single_point_is_haenscheids_approximation(x, ratio):
    t_eff = 48.0
    curve = fit(points(90.0, t_eff, [x * t_eff]))
    assert curve.tia_mbq_h / (90.0 * t_eff / math.log(2)) == pytest.approx(ratio, abs=2e-4)
    assert "single_point" in curve.flags and math.isnan(curve.t_eff_h_u)


def test_single_point_uncertainty_is_the_spread_of_half_lives_at_that_time():
    """Against draws of the half-life; a scan at 4 h says almost nothing, one at 48 h is within some 20 %."""
    median, spread = dose_constants().single_point_t_eff_h
    t_eff = np.minimum(median * np.exp(spread * np.random.default_rng(3).standard_normal(400_000)), HALF_LIFE_H)
    for hours in (24.0, 48.0, 72.0):
        truth_over_estimate = t_eff / (2 * hours * 2 ** (-hours / t_eff))
        assert single_point_relative_u(hours, HALF_LIFE_H) == pytest.approx(
            np.quantile(np.abs(truth_over_estimate - 1), 0.683), rel=0.03
        )
    assert single_point_relative_u(4.0, HALF_LIFE_H) > 3.0
    assert single_point_relative_u(48.0, HALF_LIFE_H) < 0.35
    curve = fit(points(90.0, 48.0, [48.0], relative_u=0.1))
    assert curve.tia_mbq_h_u / curve.tia_mbq_h == pytest.approx(
        math.hypot(0.1, single_point_relative_u(48.0, HALF_LIFE_H))
    )


def test_clearance_is_never_negative():
    rising = TimeActivity(np.array([24.0, 96.0]), np.array([10.0, 14.0]), np.array([1.0, 1.0]))
    curve = fit(rising)
    assert curve.t_eff_h == HALF_LIFE_H and "physical_limit" in curve.flags
    decay = 2 ** (-rising.hours / HALF_LIFE_H)
    assert curve.a0_mbq == pytest.approx(
        (decay @ rising.mbq) / (decay @ decay)
    )  # least squares with the half-life fixed
    assert curve.tia_mbq_h_u > 0


def test_activity_at_injection_never_exceeds_the_administered_one():
    steep = TimeActivity(np.array([24.0, 48.0]), np.array([900.0, 20.0]), np.array([30.0, 1.0]))
    curve = fit(steep)
    assert curve.a0_mbq <= ADMINISTERED and "administered_limit" in curve.flags


def test_nothing_found_gives_zero_with_an_uncertainty():
    curve = fit(TimeActivity(HOURS, np.zeros(4), np.full(4, 0.5)))
    assert curve.tia_mbq_h == 0 and curve.tia_mbq_h_u > 0 and curve.flags == ("no_activity",)
    shared = fit(TimeActivity(HOURS, np.zeros(4), np.full(4, 0.5), np.full(4, 0.45)))
    assert shared.tia_mbq_h_u > 1.5 * curve.tia_mbq_h_u  # an error that all points share does not average down


def test_method_without_uncertainty_gets_none():
    curve = fit(TimeActivity(HOURS, points(90, 40).mbq, np.full(4, np.nan)))
    assert math.isnan(curve.tia_mbq_h_u) and "no_uncertainty" in curve.flags
    assert curve.tia_mbq_h == pytest.approx(90 * 40 / math.log(2), rel=1e-6)


def test_shared_calibration_does_not_average_down():
    free = fit(points(90.0, 40.0, relative_u=0.15)).tia_mbq_h_u
    shared = fit(points(90.0, 40.0, relative_u=0.15, common=0.149))
    assert shared.tia_mbq_h_u / shared.tia_mbq_h == pytest.approx(0.15, rel=0.02)
    assert free < 0.75 * shared.tia_mbq_h_u


def test_uncertainty_equals_the_spread_of_refits():
    rng, sigma = np.random.default_rng(5), 0.06
    exact = points(90.0, 40.0, relative_u=sigma)
    draws = [
        fit(TimeActivity(HOURS, np.maximum(exact.mbq + exact.mbq_u * rng.standard_normal(4), 0), exact.mbq_u))
        for _ in range(300)
    ]
    assert np.std([d.tia_mbq_h for d in draws]) == pytest.approx(fit(exact).tia_mbq_h_u, rel=0.12)


@pytest.mark.parametrize(("t_eff", "common"), [(35.5, 0.0), (35.5, 0.10), (90.0, 0.05)])
def test_coverage_of_the_68_percent_interval(t_eff, common):
    rng, inside, z = np.random.default_rng(11), 0, []
    truth, clean = 90.0 * t_eff / math.log(2), points(90.0, t_eff)
    for _ in range(300):
        mbq = clean.mbq * (1 + common * rng.standard_normal()) + 0.05 * clean.mbq * rng.standard_normal(4)
        curve = fit(TimeActivity(HOURS, mbq, np.hypot(0.05, common) * mbq, common * mbq))
        inside += abs(curve.tia_mbq_h - truth) < curve.tia_mbq_h_u
        z.append((curve.tia_mbq_h - truth) / curve.tia_mbq_h_u)
    assert 0.60 <= inside / 300 <= 0.76
    assert abs(np.mean(z)) < 0.25 and norm.cdf(1) - norm.cdf(-1) == pytest.approx(0.683, abs=1e-3)


def test_curve_that_is_not_exponential_is_flagged_and_widened():
    mbq = np.array([40.0, 90.0, 60.0, 25.0])  # uptake phase
    curve = fit(TimeActivity(HOURS, mbq, 0.03 * mbq))
    assert "poor_fit" in curve.flags
    assert curve.tia_mbq_h_u / curve.tia_mbq_h > 0.08


@pytest.mark.parametrize(
    "data", [points(90.0, 40.0), points(90.0, 40.0, [48.0]), points(5.0, 3000.0), points(7000.0, 20.0, [60.0, 70.0])]
)
def test_voxel_weights_reproduce_the_organ(data):
    curve = fit(data)
    weights = integral_weights(data, curve)
    assert (weights > 0).all()
    assert weights @ data.mbq == pytest.approx(curve.tia_mbq_h, rel=1e-12)


def test_bad_series_is_refused():
    with pytest.raises(ValueError, match="after injection"):
        TimeActivity(np.array([-1.0, 3.0]), np.ones(2), np.ones(2))
