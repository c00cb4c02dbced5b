"""Curves with an early phase, uptake or fast washout, where the points tell one.

The model is chosen by Akaike's criterion with the correction for few points (Glatting et al., Med Phys 2007;34:4285;
Kletting et al., Med Phys 2013;40:102504), AICc = chi2 + 2 k + 2 k (k + 1) / (n - k - 1). The half-time of the phase is
known beforehand, widely: that knowledge is one more datum, and takes part in chi2. So an uptake phase needs four
points, a fast washout five, and the curve without is kept unless it is clearly worse.
"""

import math

from planardose.dose.bounds import Bounds
from planardose.dose.phase_prior import PhasePrior
from planardose.dose.shape_fit import Fit, fit_shape
from planardose.dose.time_activity import TimeActivity


def corrected_aic(chi2: float, parameters: int, data: int) -> float:
    """AICc of a least-squares fit with known uncertainties; infinite where `data` are too few."""
    left = data - parameters - 1
    return chi2 + 2 * parameters + 2 * parameters * (parameters + 1) / left if left > 0 else math.inf


def best_with_early_phase(data: TimeActivity, bounds: Bounds, least: float) -> list[tuple[Fit, PhasePrior]]:
    """The best uptake phase and the best bi-exponential, of those that reach an AICc below `least`; best first."""
    if not data.has_uncertainty:
        return []
    found = []
    for prior in (PhasePrior.uptake_in_general(), PhasePrior.washout_in_general()):
        k, n = 2 + prior.parameters, len(data.hours) + 1
        if corrected_aic(0.0, k, n) < least:
            fit = fit_shape(data, bounds, prior)
            found.append((corrected_aic(fit.chi2, k, n), fit, prior))
    return [(fit, prior) for aicc, fit, prior in sorted(found, key=lambda f: f[0]) if aicc < least]
