"""Dead time of a gamma camera: the paralysable model and its inverse.

Every event, recorded or not, makes the camera deaf for another tau: m = n exp(-n tau) (Sorenson, J Nucl Med 16, 284,
1975; Knoll, Radiation Detection and Measurement, ch. 4). The observed rate has its maximum 1 / (e tau) at n = 1 / tau;
one observed rate belongs to two true ones, of which the lower is meant here. With a tau that was measured for the
primary photons of an energy window, n and m are their rates (the window's less its triple-energy-window scatter), and
the tau is an effective one that holds scatter and events outside the window too.
"""

import numpy as np
from scipy.special import lambertw

from planardose.errors import InputError

SECONDS_PER_US = 1e-6
ASSUMED_US = 5.0  # to tell what an unknown one may take; 4.6 on Symbia MELP with 177Lu (Uribe et al. 2017)


def paralysable(rate_cps: float | np.ndarray, tau_us: float) -> float | np.ndarray:
    """Observed rate of a true rate.

    Parameters
    ----------
    rate_cps : float or array
        True rate, counts per second, not negative.
    tau_us : float
        Dead time, microseconds; 0 loses nothing.

    Returns
    -------
    float or array of the same shape
        Counts per second.

    Raises
    ------
    ValueError
        On a rate or dead time that is negative or not finite.
    """
    rate = _checked(rate_cps, tau_us)
    return _like(rate_cps, rate * np.exp(-rate * tau_us * SECONDS_PER_US))


def highest_observed_cps(tau_us: float) -> float:
    """Highest rate that a paralysable camera can record, 1 / (e tau), counts per second; infinite for tau 0."""
    _checked(0.0, tau_us)
    return np.inf if tau_us == 0 else float(1.0 / (np.e * tau_us * SECONDS_PER_US))


def true_rate(observed_cps: float | np.ndarray, tau_us: float) -> float | np.ndarray:
    """True rate of an observed one, on the lower branch: -W0(-m tau) / tau with Lambert's W.

    Parameters
    ----------
    observed_cps : float or array
        Counts per second, not negative.
    tau_us : float
        Dead time, microseconds.

    Returns
    -------
    float or array of the same shape
        Counts per second, from 0 to 1 / tau.

    Raises
    ------
    ValueError
        On a rate or dead time that is negative or not finite.
    InputError
        On a rate above the maximum, which no paralysable camera of this dead time records.
    """
    observed = _checked(observed_cps, tau_us)
    if tau_us == 0:
        return _like(observed_cps, observed)
    tau_s, limit = tau_us * SECONDS_PER_US, highest_observed_cps(tau_us)
    if observed.size and observed.max() > limit * (1 + 1e-12):
        raise InputError(
            "dead time",
            f"an observed rate of {observed.max():.4g} counts/s",
            f"at most 1/(e tau) = {limit:.4g} counts/s for {tau_us:g} us",
            "check the camera's tau_us and the exposure time",
        )
    at_most = np.exp(-1.0) * (1 - 1e-15)  # scipy gives NaN a rounding error beyond the branch point
    return _like(observed_cps, -lambertw(-np.minimum(observed * tau_s, at_most)).real / tau_s)


def lost_share(observed_cps: float, tau_us: float) -> float:
    """Share of the events that is lost at an observed rate; that of the highest rate for one above it."""
    observed = min(observed_cps, highest_observed_cps(tau_us))
    return 1.0 - observed / float(true_rate(observed, tau_us)) if observed > 0 else 0.0


def _checked(rate_cps: float | np.ndarray, tau_us: float) -> np.ndarray:
    rate = np.asarray(rate_cps, dtype=np.float64)
    if not (np.isfinite(rate).all() and (rate >= 0).all()):
        raise ValueError("a rate must be finite and not negative")
    if not (np.isfinite(tau_us) and tau_us >= 0):
        raise ValueError(f"a dead time must be finite and not negative, got {tau_us} us")
    return rate


def _like(given: float | np.ndarray, out: np.ndarray) -> float | np.ndarray:
    return float(out) if np.ndim(given) == 0 else out
