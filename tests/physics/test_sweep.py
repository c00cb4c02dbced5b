"""Dead time of static images and along a sweep, forward and back."""

import numpy as np
import pytest

from planardose.physics.dead_time import paralysable
from planardose.physics.sweep import highest_in_field, live_share, recorded_share

TAU_US = 4.6


def test_a_static_image_loses_what_its_whole_rate_says():
    rows = np.array([[1e3, 2e4, 9e3], [0.0, 0.0, 0.0]])
    share = live_share(rows, TAU_US, None)
    assert share[0] == pytest.approx([paralysable(3e4, TAU_US) / 3e4] * 3)
    assert share[1] == pytest.approx(1.0)


def test_a_row_of_a_sweep_loses_by_what_shares_the_field_with_it():
    """One hot row: rows that never share the field with it lose nothing, its neighbours ever less with distance."""
    rows = np.zeros(60)
    rows[30] = 2e4
    share = live_share(rows, TAU_US, 10)
    lost = 1 - paralysable(2e4, TAU_US) / 2e4
    expected = lost * np.maximum(10 - np.abs(np.arange(60) - 30), 0) / 10
    assert 1 - share == pytest.approx(expected, abs=1e-12)


def test_the_highest_rate_is_that_of_the_fullest_field():
    rows = np.array([[0.0, 3.0, 5.0, 1.0, 0.0], [2.0, 0.0, 0.0, 0.0, 6.0]])
    assert highest_in_field(rows, None) == pytest.approx(9.0)
    assert [highest_in_field(rows, n) for n in (1, 2, 3)] == pytest.approx([6.0, 8.0, 9.0])


def test_correction_undoes_the_loss():
    """Within 0.3 % at 12 % loss: what a row loses depends on rates before the loss, known after it only."""
    rng = np.random.default_rng(1)
    rows = 600.0 * rng.random((2, 400)) * np.exp(-(((np.arange(400) - 150) / 60.0) ** 2))
    for field in (None, 160):
        share = live_share(rows, TAU_US, field)
        assert share.min() < 0.95
        back = rows * share / recorded_share(rows * share, TAU_US, field)
        assert back == pytest.approx(rows, rel=3e-3)
