"""Which integrals of an organ's activity its points allow, with what is known beside them.

Half-lives and early phases of a grid are weighed by how well they describe the points and by what is known of them
beforehand (Bayes). Each gives an integral with the errors of the points, a normal distribution, and all of them
together a mixture. It is not symmetric: half-lives are log-normal, and behind a late point or an early one an organ
that clears otherwise than usual may hold several times the median integral, but not less than none.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from scipy.optimize import bisect
from scipy.special import log_ndtr, ndtr

from planardose.dose.amplitude import amplitude
from planardose.dose.bounds import Bounds
from planardose.dose.phase_prior import SPREADS, PhasePrior
from planardose.dose.shape import Shape
from planardose.dose.time_activity import TimeActivity
from planardose.dose.usual_half_life import UsualHalfLife

HALF_LIVES, PHASES = 161, 9  # nodes of the grid, of half-lives and of each parameter of the phase
FAR = 10.0  # spreads of the usual half-life to which its nodes reach
NEGLIGIBLE = 1e-7  # weight over the largest
PRECISION = 1e-5  # relative, of the ends of intervals
SIXTY_EIGHT, NINETY_FIVE = (0.1587, 0.8413), (0.025, 0.975)  # ends of the central intervals


@dataclass(frozen=True)
class IntegralSpread:
    """A mixture of normal distributions.

    Parameters
    ----------
    weights : (n,) float64
        They add up to 1.
    mbq_h : (n,) float64
        Means, MBq h.
    own, shared : (n,) float64
        Standard deviations by the points' own errors, and by those that the points of a camera share, MBq h.
    """

    weights: np.ndarray
    mbq_h: np.ndarray
    own: np.ndarray
    shared: np.ndarray

    @property
    def sd_mbq_h(self) -> np.ndarray:
        """(n,) float64 MBq h."""
        return np.hypot(self.own, self.shared)

    def widened(self, factor: float) -> "IntegralSpread":
        """The same, all but the shared errors `factor` times as far from the mean."""
        mean = self.weights @ self.mbq_h
        return replace(self, mbq_h=mean + factor * (self.mbq_h - mean), own=factor * self.own)

    def below(self, mbq_h: float) -> float:
        """Probability of an integral below `mbq_h`."""
        return float(self.weights @ ndtr((mbq_h - self.mbq_h) / self.sd_mbq_h))

    def interval(self, about: float) -> tuple[float, float]:
        """The central 95 % interval, MBq h, with `about` in it; it does not go below zero."""
        low, high = map(self._quantile, NINETY_FIVE)
        return min(max(low, 0.0), about), max(high, about)

    def farther_end(self, about: float) -> float:
        """MBq h: from `about` to the farther end of the central 68 % interval."""
        low, high = map(self._quantile, SIXTY_EIGHT)
        return max(about - low, high - about)

    def half_width(self, about: float) -> float:
        """MBq h: from `about` minus that to `about` plus that lie 68.3 % of the integrals."""
        low, high = self._ends()
        most, share = max(high - about, about - low), SIXTY_EIGHT[1] - SIXTY_EIGHT[0]
        return self._root(lambda h: self.below(about + h) - self.below(about - h) - share, 0.0, most)

    def _quantile(self, share: float) -> float:
        return self._root(lambda x: self.below(x) - share, *self._ends())

    def _root(self, rising: Callable[[float], float], low: float, high: float) -> float:
        # distributions are flat far out, where methods that are faster elsewhere lose their way
        return bisect(rising, low, high, xtol=PRECISION * float(self.sd_mbq_h.min()), rtol=PRECISION, maxiter=1000)

    def _ends(self) -> tuple[float, float]:
        return float((self.mbq_h - 8 * self.sd_mbq_h).min()), float((self.mbq_h + 8 * self.sd_mbq_h).max())


def integral_spread(
    data: TimeActivity, bounds: Bounds, phase: PhasePrior | None, usual: UsualHalfLife | None
) -> IntegralSpread:
    """The integrals that points with uncertainty allow; `phase` and `usual` are what is known beside them."""
    t_eff, log_weight = _half_lives(bounds, usual)
    shapes = Shape(t_eff)
    if phase:
        axes = [t_eff, *[np.linspace(-SPREADS, SPREADS, PHASES)] * phase.parameters]
        t, *z = (x.ravel() for x in np.meshgrid(*axes, indexing="ij"))
        shapes = phase.shape(t, [m + s * x for m, s, x in zip(phase.median, phase.spread, z, strict=True)])
        log_weight = np.repeat(log_weight, PHASES**phase.parameters) - 0.5 * sum(x**2 for x in z)
    fits = amplitude(data, shapes.at(data.hours[:, None]).T)
    most = bounds.administered / (1.0 + np.maximum(shapes.early, 0.0))
    # the amplitude is integrated over: all its orders of magnitude were as likely, up to what was administered
    log_weight = log_weight - 0.5 * (fits.residuals**2).sum(axis=-1) + log_ndtr((most - fits.mbq) / fits.mbq_u)
    log_weight += np.log(fits.mbq_u / np.maximum(fits.mbq, fits.mbq_u))
    weights, hours = np.exp(log_weight - log_weight.max()), shapes.after(0.0)
    mean = np.minimum(fits.mbq, most) * hours
    # a node stands for the half-lives up to halfway to the next, which a late point makes integrals of many sizes
    between = (np.gradient(mean.reshape(HALF_LIVES, -1), axis=0) / math.sqrt(12)).ravel()
    own = np.hypot(np.sqrt(fits.weights**2 @ data.independent_sigma() ** 2) * hours, between)
    shared = np.linalg.norm(fits.weights @ data.shared_parts().T, axis=-1) * hours
    kept = weights > NEGLIGIBLE
    return IntegralSpread(weights[kept] / weights[kept].sum(), mean[kept], own[kept], shared[kept])


def _half_lives(bounds: Bounds, usual: UsualHalfLife | None) -> tuple[np.ndarray, np.ndarray]:
    """Effective half-lives in h, and the logarithms of their weights, from all that is known of them beforehand.

    Where the organ's biological half-life is known they are evenly spaced in its logarithm, else in that of the
    effective one, so that no more of them than others are near the physical one.
    """
    if usual and usual.slow_too:
        shortest = 1 / (1 / bounds.shortest - 1 / bounds.longest)
        spreads = np.linspace(-FAR, FAR, HALF_LIVES)
        biological = np.maximum(usual.biological_h * np.exp(usual.spread * spreads), shortest)
        return 1 / (1 / biological + 1 / bounds.longest), -0.5 * spreads**2
    t_eff = np.geomspace(bounds.shortest, bounds.longest, HALF_LIVES)
    return t_eff, -0.5 * usual.deviation(t_eff) ** 2 if usual else np.zeros(HALF_LIVES)
