"""Parts of an integral's uncertainty: known ones are found, and they add up to the whole."""

import math

import numpy as np
import pytest

from planardose.dose.kinetics import fit_curve
from planardose.dose.shape import Shape
from planardose.dose.time_activity import TimeActivity
from planardose.dose.uncertainty_parts import uncertainty_parts

HOURS = np.array([4.0, 24.0, 96.0, 168.0])


def series(calibration=0.05, anatomy=0.12, own=0.04, mbq=None):
    mbq = 100 * np.exp2(-HOURS / 40.0) if mbq is None else mbq
    common = math.hypot(calibration, anatomy) * mbq
    return TimeActivity(HOURS, mbq, np.hypot(common, own * mbq), common)


def test_parts_are_those_of_the_points():
    data = series()
    curve = fit_curve(data, 159.5, 7000.0)
    integral_u = curve.tia_mbq_h_u / curve.tia_mbq_h
    parts = uncertainty_parts(data, curve.shape, integral_u, np.full(4, 0.05))
    assert (parts.calibration, parts.anatomy) == (0.05, pytest.approx(0.12, rel=1e-6))
    assert 0.01 < parts.curve < 0.04  # four points' own, averaged down
    assert math.hypot(parts.calibration, parts.anatomy, parts.curve) == pytest.approx(integral_u)


def test_a_calibration_less_certain_than_what_the_points_share_is_all_of_that():
    """Of a camera told to be known to 30 % where the points share 5 %: the parts still add up to the whole."""
    data = series(calibration=0.05, anatomy=0.0)
    curve = fit_curve(data, 159.5, 7000.0)
    integral_u = curve.tia_mbq_h_u / curve.tia_mbq_h
    parts = uncertainty_parts(data, curve.shape, integral_u, np.full(4, 0.3))
    assert (parts.calibration, parts.anatomy) == (pytest.approx(0.05, rel=1e-6), pytest.approx(0.0, abs=1e-6))
    assert math.hypot(parts.calibration, parts.anatomy, parts.curve) == pytest.approx(integral_u)


def test_a_spect_among_the_points_does_not_share_the_planar_calibration():
    mbq, cal = 200 * np.exp2(-HOURS / 50.0), 0.3
    of_spect = HOURS == 24.0
    u = np.where(of_spect, 0.08, math.hypot(cal, 0.05)) * mbq
    data = TimeActivity(HOURS, mbq, u, np.where(of_spect, 0.05, cal) * mbq, of_spect.astype(int))
    curve = fit_curve(data, 159.5, 7000.0)
    integral_u = curve.tia_mbq_h_u / curve.tia_mbq_h
    parts = uncertainty_parts(data, curve.shape, integral_u, np.where(of_spect, 0.05, cal))
    assert 0.03 < parts.calibration <= integral_u < 0.10  # the SPECT gives the scale
    assert math.hypot(parts.calibration, parts.anatomy, parts.curve) == pytest.approx(integral_u)


@pytest.mark.parametrize(
    ("data", "integral_u"),
    [(series(mbq=np.zeros(4)), 0.1), (series(), math.nan),
     (TimeActivity(HOURS, np.ones(4), np.full(4, math.nan)), 0.1), (TimeActivity(HOURS, np.ones(4), np.ones(4)), 0.1)],
)  # fmt: skip
def test_none_where_nothing_tells_them(data, integral_u):
    assert uncertainty_parts(data, Shape(40.0), integral_u, np.full(len(HOURS), 0.05)) is None
