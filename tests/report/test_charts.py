"""Axes of the time-activity curves and of the cohort's chart."""

import re

import numpy as np
import pandas as pd
import pytest

from planardose.report.charts import _curve_row, _log_axis, cohort_chart


def test_an_organ_in_which_nothing_was_found_is_shown_by_its_uncertainty():
    """What an iterative method leaves of an empty organ (1e-6 MBq) is far below what could be there (0.1 MBq)."""
    points = pd.DataFrame({"organ": "adrenal_gland_left", "hours": [4.0, 24.0], "cycle": 1, "spect": False})
    activities = pd.concat([
        points.assign(method="qplanar_mlem", activity_mbq=[5e-6, 4e-6], activity_mbq_u=[0.13, 0.07]),
        points.assign(method="mlem", activity_mbq=[9e-6, 1e-5], activity_mbq_u=np.nan),
    ])  # fmt: skip
    fit = {"organ": "adrenal_gland_left", "method": "qplanar_mlem", "cycle": 1, "a0_mbq": 5e-6, "t_eff_h": 46.0,
           "early_mbq": 0.0}  # fmt: skip
    axis = _curve_row(activities, pd.DataFrame([fit]), "qplanar_mlem", ["adrenal_gland_left"], True).layout.yaxis
    low, high = axis.range
    assert 0.13 < 10**high < 0.3 and 1e-5 < 10**low < 1e-3
    assert {"0.1", "0.01", "0.001"} <= set(axis.ticktext)  # no 10 micro-MBq


@pytest.mark.parametrize(
    ("values", "labels"),
    [([0.06, 1.9], ["0.05", "0.1", "0.2", "0.5", "1", "2"]), ([3.0, 2e3], ["10", "100", "1000"]), ([7.0], ["5", "10"])],
)
def test_labels_of_an_axis_are_numbers_and_not_their_first_digits(values: list[float], labels: list[str]):
    axis = _log_axis(pd.Series(values))
    low, high = axis["range"]
    shown = zip(axis["tickvals"], axis["ticktext"], strict=True)
    assert [text for value, text in shown if low <= np.log10(value) <= high] == labels


def test_doses_between_powers_of_ten_can_be_read_in_a_large_cohort():
    """Two decades and more apart, as spleens and lesions of 150 patients are."""
    rows = [("liver", 0.03), ("lesion_1", 4.5)]
    table = pd.DataFrame(rows, columns=["organ", "dose_gy_per_gbq"]).assign(patient="P01", cycle=1)
    labels = re.search(r'"ticktext":\[([^\]]*)\]', cohort_chart(table, "chart"))[1].replace('"', "").split(",")
    assert {"0.05", "0.2", "0.5", "2"} <= set(labels)


def test_the_curve_is_drawn_with_its_uptake():
    points = pd.DataFrame({
        "organ": "liver", "method": "qplanar", "hours": [4.0, 24.0], "cycle": 1, "spect": False, "activity_mbq": 50.0,
        "activity_mbq_u": 2.0,
    })  # fmt: skip
    fit = {"organ": "liver", "method": "qplanar", "cycle": 1, "a0_mbq": 100.0, "t_eff_h": 50.0, "early_mbq": -100.0,
           "early_t_eff_h": 3.0}  # fmt: skip
    row = _curve_row(points, pd.DataFrame([fit]), "qplanar", ["liver"], True)
    line = next(t for t in row.data if t.mode == "lines")
    hours = np.array(line.x)
    assert np.array(line.y) == pytest.approx(100 * (2 ** (-hours / 50) - 2 ** (-hours / 3)))
