"""Dead time against values of the equation, its inverse, its maximum, and a clock that counts events one by one."""

import numpy as np
import pytest

from planardose.errors import InputError
from planardose.physics.dead_time import highest_observed_cps, lost_share, paralysable, true_rate

TAU_US = 4.60  # Symbia T, MELP, 177Lu 208 keV window: Uribe et al. 2017


def test_known_values():
    """n tau = 0.2: m = n exp(-0.2); the omega constant is W(1), and W(-1/e) = -1."""
    assert paralysable(1e5, 2.0) == pytest.approx(1e5 * 0.8187307530779818, rel=1e-14)
    assert true_rate(1e5 * 0.8187307530779818, 2.0) == pytest.approx(1e5, rel=1e-12)
    # W0(-0.1) = -0.11183255915896297 (Corless et al. 1996; any table): m tau = 0.1
    assert true_rate(0.1e6, 1.0) == pytest.approx(0.11183255915896297e6, rel=1e-12)
    assert paralysable(2e4, TAU_US) / 2e4 == pytest.approx(1 - 0.092 + 0.092**2 / 2 - 0.092**3 / 6, abs=4e-6)


def test_maximum_at_one_over_tau():
    top = highest_observed_cps(TAU_US)
    assert top == pytest.approx(1e6 / (np.e * TAU_US), rel=1e-12)
    rates = np.linspace(0, 6e5, 6001)
    assert paralysable(rates, TAU_US).max() == pytest.approx(top, rel=1e-6)
    assert true_rate(top, TAU_US) == pytest.approx(1e6 / TAU_US, rel=1e-6)


def test_inverse_of_images_on_the_lower_branch():
    true = np.linspace(0, 0.98e6 / TAU_US, 60).reshape(3, 20)
    assert true_rate(paralysable(true, TAU_US), TAU_US) == pytest.approx(true, rel=1e-7, abs=1e-9)
    assert paralysable(true, TAU_US).shape == true.shape
    assert true_rate(paralysable(true, 0.0), 0.0) == pytest.approx(true, rel=0)


def test_share_that_is_lost_is_one_less_exp_of_the_true_rate_times_tau():
    true = 1e4
    assert lost_share(true * np.exp(-true * 5e-6), 5.0) == pytest.approx(1 - np.exp(-0.05), rel=1e-9)
    assert lost_share(0.0, 5.0) == lost_share(1e4, 0.0) == 0.0
    beyond = lost_share(1e7, 5.0)  # more than it can record: as at its highest rate
    assert beyond == pytest.approx(1 - np.exp(-1.0), abs=1e-6)


def test_events_of_a_clock():
    """Poisson events; one is recorded when the one before came more than tau ago."""
    rate, n = 5e4, 400_000
    gaps = np.random.default_rng(8).exponential(1 / rate, n)
    recorded = np.count_nonzero(gaps > TAU_US * 1e-6)
    share = paralysable(rate, TAU_US) / rate
    assert abs(recorded - n * share) < 4 * np.sqrt(n * share * (1 - share))


def test_what_is_refused():
    with pytest.raises(InputError, match=r"at most 1/\(e tau\) = 7.997e\+04 counts/s for 4.6 us") as fault:
        true_rate([1e3, 9e4], TAU_US)
    assert "\n" not in str(fault.value)
    for rate, tau in ((-1.0, 1.0), (np.nan, 1.0), (1.0, -1.0), (1.0, np.inf)):
        with pytest.raises(ValueError, match="not negative"):
            paralysable(rate, tau)
        with pytest.raises(ValueError, match="not negative"):
            true_rate(rate, tau)
