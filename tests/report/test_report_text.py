"""Numbers and names as the pages show them."""

import math

import pandas as pd
import pytest

from planardose.report.patient_page import _half_life
from planardose.report.spect_section import _signed
from planardose.report.text import interval, method_name, number, organ_name, organ_order, per_gbq, percent, with_u
from planardose.steps.report_point import _found, _head, _moves


@pytest.mark.parametrize(
    ("value", "u", "text"),
    [
        (4.1567, 0.7834, "4.16 ± 0.78"),
        (0.096, 0.0153, "0.096 ± 0.015"),
        (14623.4, 2326.0, "14 600 ± 2 300"),
        (15355.7, 913.2, "15 360 ± 910"),
        (4.1567, 0.0997, "4.16 ± 0.10"),
        (38.7, 9.97, "39 ± 10"),
        (0.002, 28.04, "0 ± 28"),
        (-3.0, 280.4, "0 ± 280"),
        (12.34, None, "12.3"),
        (12.34, math.nan, "12.3"),
        (math.nan, 1.0, "–"),
        (0.0, 0.5, "0.00 ± 0.50"),
        (-0.001, 0.5, "0.00 ± 0.50"),
    ],
)
def test_value_with_uncertainty(value, u, text):
    found = with_u(value, u)
    assert found.translate({0x202F: " ", 0xA0: " "}) == text
    assert "± " not in found, "nothing to part a line at"


@pytest.mark.parametrize(
    ("dose_gy", "u_gy", "text"), [(10.0, 2.0, "1.35"), (10.0, 0.02, "1.3514"), (10.0, None, "1.35"), (0.0, 1.0, "0")]
)
def test_a_dose_per_administered_activity_has_the_digits_of_its_own_uncertainty(dose_gy, u_gy, text: str):
    """Of 7.4 GBq: 0.27 Gy/GBq, and 0.0027."""
    assert per_gbq(dose_gy, u_gy, dose_gy / 7.4) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "0"), (159.528, "160"), (0.0736, "0.0736"), (34749, "34 700"), (None, "–"),
        (3e-9, "3.00·10⁻⁹"), (0.00000938, "9.38·10⁻⁶"), (0.00123, "0.00123"),
    ],
)
def test_number(value, text):
    assert number(value).replace("\u202f", " ") == text


def test_a_place_has_no_negative_zero():
    pose = {"method": "search", "uncertainty_mm": 1.1, "shift_from_outline_mm": [-6.6, -0.4]}
    pose |= {"organs_mm": {"liver": [-6.6, -0.4]}, "organs_u_mm": {"liver": [1, 1]}}
    assert _found(pose) == "by search, ± 1.1 mm; -7, 0 mm from outline"
    assert _found({"method": "by hand", "uncertainty_mm": 8.1}) == "by hand, ± 8.1 mm"
    assert _moves(pose) == "liver -7 / 0 mm"
    assert _head({"posterior_head": [0.02, -0.04, -0.004]}) == "0.0, 0.0 mm; 0.00°"


def test_interval_has_the_digits_of_the_uncertainty():
    assert interval(2.7712, 6.0449, 0.7834) == "2.77\u00a0to 6.04"
    assert interval(0.0, 15355.7, 913.2) == "0\u00a0to 15\u202f360"
    assert interval(math.nan, math.nan, math.nan) == "–"


def test_percent():
    assert (percent(0.123), percent(0.001), percent(0.0), percent(math.nan)) == ("12 %", "< 1 %", "0 %", "–")
    assert (percent(-0.004), percent(-0.0004, 1), _signed(-0.004), _signed(-0.1)) == ("0 %", "0.0 %", "+0 %", "−10 %")


def test_names_and_order():
    assert organ_name("kidney_left") == "Kidney, left"
    assert organ_name("outside_ct") == "Outside CT"
    assert method_name("unet") == "U-Net"
    found = sorted(
        ["remainder", "outside_ct", "liver", "lesion_10", "lesion_2", "colon", "kidney_right"], key=organ_order
    )
    assert found == ["kidney_right", "liver", "lesion_2", "lesion_10", "colon", "remainder", "outside_ct"]


def test_a_half_life_at_its_limit_is_printed_as_that():
    fit = pd.Series({"t_eff_h": 159.528, "t_eff_h_u": float("nan"), "flags": "rising;physical_limit"})
    assert _half_life(fit) == "159.5 (limit)"
    assert _half_life(pd.Series({"t_eff_h": 41.23, "t_eff_h_u": 3.21, "flags": "poor_fit"})) == "41.2 ±\u00a03.2"
