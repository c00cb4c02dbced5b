"""BED of the kidneys."""

import math

import pandas as pd
import pytest

from planardose.dose.bed import bed_gy, kidney_bed
from planardose.dose.shape import Shape


def test_closed_form():
    assert bed_gy(4.0, Shape(35.5), 2.5, 2.8) == pytest.approx(4.0 + 16 / 2.5 * 2.8 / 38.3)
    assert bed_gy(4.0, Shape(35.5), 2.5, 2.8) == pytest.approx(4.468, abs=5e-4)
    assert bed_gy(4.0, Shape(1e-9), 2.5, 2.8) == pytest.approx(4.0 + 16 / 2.5)  # all at once: as one fraction


@pytest.mark.parametrize("shape", [Shape(30.0), Shape(30.0, 4.0, -1.0), Shape(30.0, 2.0, 3.0)])
def test_by_integrating_dose_rate_and_repair(shape):
    """2 int R(t) int_{s < t} R(s) exp(-mu (t - s)) ds dt / (alpha / beta), numerically."""
    dose, repair, steps = 6.0, 2.8, 40_000
    dt, unrepaired, pairs = 300.0 / steps, 0.0, 0.0
    for n in range(steps):
        rate = dose * float(shape.at((n + 0.5) * dt)) / shape.after(0.0)
        unrepaired = unrepaired * 2 ** (-dt / repair) + rate * dt
        pairs += 2 * rate * dt * unrepaired
    assert bed_gy(dose, shape, 2.5, repair) == pytest.approx(dose + pairs / 2.5, rel=2e-3)


def test_cycles_are_added_and_the_uncertainty_is_that_of_the_dose():
    doses = pd.DataFrame({
        "organ": ["kidney_left", "kidney_left", "liver"], "cycle": [1, 2, 1], "dose_gy": [4.0, 2.0, 9.0],
        "dose_gy_u": [0.4, 0.2, 1.0],
    })  # fmt: skip
    kinetics = pd.DataFrame({
        "organ": ["kidney_left", "kidney_left", "liver"], "cycle": [1, 2, 1], "t_eff_h": [35.5, 50.0, 60.0],
        "a0_mbq": 1.0, "early_mbq": 0.0, "early_t_eff_h": math.nan,
    })  # fmt: skip
    ((value, u),) = kidney_bed(doses, kinetics).values()
    assert value == pytest.approx(4.468 + 2 + 4 / 2.5 * 2.8 / 52.8, abs=1e-3)
    shifted = doses.assign(dose_gy=doses.dose_gy + 1e-4 * doses.dose_gy_u)
    assert u == pytest.approx((kidney_bed(shifted, kinetics)["kidney_left"][0] - value) / 1e-4, rel=1e-3)
