"""Curves with an early phase, uptake or fast washout, where the points tell one.

The model is chosen by Akaike's criterion with the correction for few points (Glatting et al., Med Phys 2007;34:4285;
Kletting et al., Med Phys 2013;40:102504), AICc = chi2 + 2 k + 2 k (k + 1) / (n - k - 1). The half-time of the phase is
known beforehand, widely: that knowledge is one more datum, and takes part in chi2. So an uptake phase needs four
points, a fast washout five, and an exponential is kept unless it is clearly worse.
"""

import math
from dataclasses import dataclass, replace

import lmfit
import numpy as np

from planardose.dose.amplitude import Amplitude, amplitude
from planardose.dose.bounds import Bounds
from planardose.dose.constants import dose_constants
from planardose.dose.shape import Shape
from planardose.dose.time_activity import TimeActivity

UPTAKE, WASHOUT = 3, 4  # parameters of the models, the amplitude with them
STARTS = (16, 6, 8)  # half-lives, half-times and amplitudes of the phase, among which the fit starts at the best
SPREADS = 2.5  # of the phase's half-time about its median: how far it may go
EARLY = (0.03, 100.0)  # amplitude of a fast washout over that of the slow part


@dataclass(frozen=True)
class Fit:
    """A fitted shape with its amplitude, chi2 (of the points and of what is known beforehand) and AICc."""

    a0_mbq: float
    shape: Shape
    chi2: float
    aicc: float


def corrected_aic(chi2: float, parameters: int, data: int) -> float:
    """AICc of a least-squares fit with known uncertainties; infinite where `data` are too few."""
    left = data - parameters - 1
    return chi2 + 2 * parameters + 2 * parameters * (parameters + 1) / left if left > 0 else math.inf


def best_with_early_phase(data: TimeActivity, bounds: Bounds, least: float) -> list[Fit]:
    """The best uptake phase and the best bi-exponential, of those that reach an AICc below `least`; best first."""
    if not data.has_uncertainty:
        return []
    possible = [k for k in (UPTAKE, WASHOUT) if corrected_aic(0.0, k, len(data.hours) + 1) < least]
    fits = (_fitted(data, bounds, k) for k in possible)
    return sorted((f for f in fits if f.aicc < least), key=lambda f: f.aicc)


def _fitted(data: TimeActivity, bounds: Bounds, k: int) -> Fit:
    """Best fit of the model with `k` parameters."""
    median, spread = dose_constants().early_half_time_h
    far = math.exp(SPREADS * spread)
    limits = np.log([[bounds.shortest, bounds.longest], [median / far, median * far], EARLY])[: k - 1]

    def shape_of(logs: np.ndarray) -> Shape:
        return Shape(*np.exp(logs), *([-1.0] if k == UPTAKE else []))

    def scaled(shape: Shape) -> Amplitude:
        # neither the injection nor an uptake's slow part can hold more than was administered
        most = bounds.administered / np.squeeze(1.0 + np.maximum(shape.early, 0.0))
        return amplitude(data, shape.at(data.hours), most)

    def residual(logs: np.ndarray) -> np.ndarray:
        points = scaled(shape_of(logs)).residuals
        return np.concatenate([points, np.atleast_1d((logs[1] - math.log(median)) / spread)], axis=-1)

    axes = [np.linspace(*limit, n + 2)[1:-1] for limit, n in zip(limits, STARTS, strict=False)]
    grid = np.stack(np.meshgrid(*axes, indexing="ij")).reshape(k - 1, -1, 1)
    start = grid[:, np.argmin((residual(grid) ** 2).sum(axis=-1)), 0]
    parameters = lmfit.Parameters()
    for name, value, (low, high) in zip(("half_life", "phase", "early"), start, limits, strict=False):
        parameters.add(name, value=value, min=low, max=high)
    best = lmfit.minimize(
        lambda p: residual(np.array(list(p.valuesdict().values()))), parameters, method="least_squares",
        xtol=1e-12, ftol=1e-14, gtol=1e-14,
    )  # fmt: skip
    shape, chi2 = shape_of(np.array(list(best.params.valuesdict().values()))), float((best.residual**2).sum())
    shape = replace(shape, **{f: float(v) for f, v in vars(shape).items()})
    return Fit(float(scaled(shape).mbq), shape, chi2, corrected_aic(chi2, k, len(data.hours) + 1))
