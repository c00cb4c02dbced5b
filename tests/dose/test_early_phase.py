"""Curves with an uptake phase or a fast washout, and points of two cameras."""

import math

import numpy as np
import pytest
from scipy.integrate import quad
from scipy.stats import norm

from planardose.dose.curve import integral_weights
from planardose.dose.early_phase import corrected_aic
from planardose.dose.kinetics import fit_curve
from planardose.dose.shape import Shape
from planardose.dose.time_activity import TimeActivity

HALF_LIFE_H, ADMINISTERED = 159.528, 7400.0
FOUR, FIVE = np.array([4.0, 24.0, 96.0, 168.0]), np.array([1.0, 4.0, 24.0, 96.0, 168.0])
UPTAKE, WASHOUT = Shape(53.0, 3.0, -1.0), Shape(40.0, 2.0, 3.0)


def points(shape, hours, a0=100.0, own=0.03, common=0.0):
    mbq = a0 * shape.at(hours)
    return TimeActivity(hours, mbq, np.hypot(own, common) * mbq, common * mbq)


def drawn(shape, hours, rng, own=0.03, common=0.0, a0=100.0):
    mbq = a0 * shape.at(hours) * (1 + own * rng.standard_normal(len(hours)))
    mbq = mbq * (1 + common * rng.standard_normal())
    return TimeActivity(hours, mbq, np.hypot(own, common) * mbq, common * mbq)


def fit(data, early=True):
    return fit_curve(data, HALF_LIFE_H, ADMINISTERED, early_phase=early)


@pytest.mark.parametrize("shape", [Shape(40.0), UPTAKE, WASHOUT, Shape(90.0, 12.0, -1.0)])
def test_integrals_of_a_shape_are_those_of_its_values(shape):
    for start in (0.0, 30.0):
        assert shape.after(start) == pytest.approx(quad(shape.at, start, 40 * shape.t_eff_h, limit=500)[0], rel=1e-6)
    again = Shape.of_parts(shape.t_eff_h, 7.0, 7.0 * shape.early, shape.early_t_eff_h)
    assert again.at(5.0) == pytest.approx(shape.at(5.0), rel=1e-12)


@pytest.mark.parametrize(
    ("shape", "hours", "model"), [(UPTAKE, FOUR, "uptake phase"), (WASHOUT, FIVE, "bi-exponential")]
)
def test_an_early_phase_is_found(shape, hours, model):
    data, truth = points(shape, hours), 100.0 * shape.after(0.0)
    curve = fit(data)
    assert curve.model == model and curve.flags == ("early_phase",)
    # what is known of the half-time beforehand pulls a little
    assert curve.tia_mbq_h == pytest.approx(truth, rel=0.01) and curve.t_eff_h == pytest.approx(shape.t_eff_h, rel=0.02)
    assert curve.at(hours) == pytest.approx(data.mbq, rel=0.02)
    assert curve.before_fraction == pytest.approx(1 - shape.after(hours[0]) / shape.after(0.0), abs=0.02)
    alone = fit(data, early=False)
    assert alone.model == "mono-exponential" and "poor_fit" in alone.flags
    assert abs(alone.tia_mbq_h / truth - 1) > 0.05
    weights = integral_weights(data, curve)
    assert (weights > 0).all() and weights @ data.mbq == pytest.approx(curve.tia_mbq_h, rel=1e-12)


@pytest.mark.parametrize("hours", [FOUR, FIVE, np.array([24.0, 72.0, 168.0]), np.array([24.0, 48.0, 96.0, 168.0])])
def test_an_exponential_stays_one(hours):
    rng = np.random.default_rng(5101)
    found = [fit(drawn(Shape(rng.uniform(20, 90)), hours, rng)) for _ in range(150)]
    assert np.mean([c.model != "mono-exponential" for c in found]) < 0.02


def test_too_few_points_leave_the_exponential():
    assert fit(points(UPTAKE, FOUR[:3], own=0.001)).model == "mono-exponential"
    assert fit(points(WASHOUT, FOUR, own=0.001)).model == "mono-exponential"
    assert math.isinf(corrected_aic(0.0, 4, 5)) and corrected_aic(3.0, 2, 4) == 3.0 + 4.0 + 12.0
    nothing_told = TimeActivity(FOUR, points(UPTAKE, FOUR).mbq, np.full(4, math.nan))
    assert fit(nothing_told).model == "mono-exponential"


def test_an_empty_organ_has_no_early_phase():
    rng = np.random.default_rng(5102)
    for _ in range(100):
        mbq = np.maximum(0.5 * rng.standard_normal(5), 1e-5)
        assert fit(TimeActivity(FIVE, mbq, np.full(5, 0.5))).model == "mono-exponential"


@pytest.mark.parametrize(
    ("shape", "hours", "common"), [(UPTAKE, FOUR, 0.0), (UPTAKE, FOUR, 0.08), (WASHOUT, FIVE, 0.0)]
)
def test_coverage_with_an_early_phase(shape, hours, common):
    rng, truth = np.random.default_rng(5103), 100.0 * shape.after(0.0)
    curves = [fit(drawn(shape, hours, rng, common=common)) for _ in range(200)]
    z = np.array([(c.tia_mbq_h - truth) / c.tia_mbq_h_u for c in curves])
    for width, share in ((1.0, 2 * norm.cdf(1) - 1), (1.96, 0.95)):
        assert np.mean(np.abs(z) < width) == pytest.approx(share, abs=0.09)
    assert abs(np.median(z)) < 0.3


def test_no_curve_begins_above_the_administered_activity():
    steep = Shape(40.0, 1.0, 30.0)
    curve = fit(points(steep, FIVE, a0=600.0))
    assert curve.a0_mbq + max(curve.early_mbq, 0.0) <= ADMINISTERED * (1 + 1e-9)


def two_cameras(rng, planar_u, spect_u, t_eff=45.0, own=0.02):
    """Planar points at 4, 96 and 168 h and a SPECT at 24 h, each camera with its own error of scale."""
    mbq, of_spect = 100.0 * 2 ** (-FOUR / t_eff), FOUR == 24.0
    relative = np.where(of_spect, spect_u, planar_u)
    scale = 1 + np.where(of_spect, spect_u * rng.standard_normal(), planar_u * rng.standard_normal())
    mbq = np.maximum(mbq * scale, 1.0) * (1 + own * rng.standard_normal(4))
    return TimeActivity(FOUR, mbq, np.hypot(own, relative) * mbq, relative * mbq, of_spect.astype(int))


def test_an_uncalibrated_camera_gives_the_shape_and_a_calibrated_one_the_scale():
    """Planar points 30 % too high, known to 30 %; the SPECT right, known to 5 %.

    Taken for one camera the integral was 19 % too high.
    """
    truth = 100.0 * 45.0 / math.log(2)
    mbq, of_spect = 100.0 * 2 ** (-FOUR / 45.0), FOUR == 24.0
    relative, mbq = np.where(of_spect, 0.05, 0.3), mbq * np.where(of_spect, 1.0, 1.3)
    data = TimeActivity(FOUR, mbq, np.hypot(0.02, relative) * mbq, relative * mbq, of_spect.astype(int))
    curve = fit(data)
    assert curve.tia_mbq_h == pytest.approx(truth, rel=0.03) and curve.t_eff_h == pytest.approx(45.0, rel=0.03)
    assert 0.04 < curve.tia_mbq_h_u / curve.tia_mbq_h < 0.07
    assert "poor_fit" not in curve.flags
    as_one = fit(TimeActivity(data.hours, data.mbq, data.mbq_u, data.mbq_u_common))
    assert as_one.tia_mbq_h > 1.15 * truth


@pytest.mark.parametrize(("planar_u", "spect_u"), [(0.3, 0.05), (0.06, 0.06), (0.05, 0.15)])
def test_coverage_with_two_cameras(planar_u, spect_u):
    rng, truth = np.random.default_rng(5104), 100.0 * 45.0 / math.log(2)
    curves = [fit(two_cameras(rng, planar_u, spect_u)) for _ in range(200)]
    z = np.array([(c.tia_mbq_h - truth) / c.tia_mbq_h_u for c in curves])
    assert np.mean(np.abs(z) < 1) == pytest.approx(0.683, abs=0.10)
    assert np.mean(np.abs(z) < 1.96) == pytest.approx(0.95, abs=0.05)


def test_the_error_that_points_of_one_camera_share_does_not_average_down():
    mbq = 100.0 * 2 ** (-FOUR / 45.0)
    shared = TimeActivity(FOUR, mbq, 0.08 * mbq, 0.07 * mbq, np.array([0, 1, 1, 1]))
    free = TimeActivity(FOUR, mbq, 0.08 * mbq, np.where(np.arange(4) == 0, 0.07, 0.0) * mbq, np.array([0, 1, 1, 1]))
    assert fit(shared).tia_mbq_h_u > 1.2 * fit(free).tia_mbq_h_u


@pytest.mark.parametrize("last", [0.0, 0.001])
def test_a_camera_that_saw_nothing_tells_no_scale(last):
    """An organ that a SPECT recovers as 0 keeps the curve of its planar points, as one of 1 kBq does."""
    hours, mbq = np.array([4.0, 24.0, 48.0, 96.0]), np.array([20.0, 14.0, 9.0, last])
    u, common = np.array([1.0, 0.7, 0.5, 3.0]), np.array([0.5, 0.4, 0.3, 2.8])
    both = fit(TimeActivity(hours, mbq, u, common, camera=(0, 0, 0, 1)))
    planar = fit(TimeActivity(hours[:3], mbq[:3], u[:3], common[:3]))
    assert both.tia_mbq_h == pytest.approx(planar.tia_mbq_h, rel=1e-3)


def test_an_uptake_phase_whose_tail_is_not_told_is_better_than_a_rising_exponential():
    """Truth 7554 MBq h; the exponential alone, flat by the physical half-life, gives 4030 +- 2434."""
    mbq = np.array([7.5, 45.6, 36.0, 20.5])
    own = np.hypot(0.07 * mbq, 0.03 * mbq.max())
    curve = fit(TimeActivity(FOUR, mbq, np.hypot(own, 0.05 * mbq), 0.05 * mbq))
    assert curve.model == "uptake phase" and "rising" not in curve.flags
    assert abs(curve.tia_mbq_h - 7554.0) < 2 * curve.tia_mbq_h_u
    assert "rising" in fit(TimeActivity(FOUR, mbq, np.hypot(own, 0.05 * mbq), 0.05 * mbq), early=False).flags
