"""What is known of an organ's early phase before any point: of the organ with its tracer, or of organs in general."""

import math
from dataclasses import dataclass

import numpy as np

from planardose.dose.constants import dose_constants
from planardose.dose.shape import Shape

SPREADS = 2.5  # of a parameter about its median: how far it may go
ANY_WASHOUT = (0.03, 100.0)  # amplitude of a fast washout of which nothing is known


@dataclass(frozen=True)
class PhasePrior:
    """Log-normal half-time and amplitude of the early part of `Shape`.

    Parameters
    ----------
    phase_h, phase_spread : float
        Median of `Shape.phase_h`, h, and standard deviation of its logarithm.
    early, early_spread : float
        `Shape.early`: -1 of an uptake, which is exact, or the median of a fast washout's, and the standard deviation of
        its logarithm, infinite where nothing is known of it.
    """

    phase_h: float
    phase_spread: float
    early: float = -1.0
    early_spread: float = 0.0

    @classmethod
    def uptake_in_general(cls) -> "PhasePrior":
        """Of any organ."""
        return cls(*dose_constants().early_half_time_h)

    @classmethod
    def washout_in_general(cls) -> "PhasePrior":
        """Of any organ."""
        return cls(*dose_constants().early_half_time_h, early=1.0, early_spread=math.inf)

    @classmethod
    def of_tracer(cls, uptake_h: float, fast: tuple[float, float], biological_h: float) -> "PhasePrior | None":
        """From an organ's medians in ``data/tracers``; None where the organ has neither phase.

        Parameters
        ----------
        uptake_h : float
            Half-time of the uptake, h; 0 is at once.
        fast : (float, float)
            Fraction at the injection that clears fast, and half-life of this clearance, h.
        biological_h : float
            Half-life of the slow clearance, h.
        """
        spread, odds_spread = dose_constants().tracer_phase_spread
        fraction, fast_h = fast
        if fraction > 0 and fast_h < biological_h:  # of an organ with both the washout, which weighs more
            return cls(1 / (1 / fast_h - 1 / biological_h), spread, fraction / (1 - fraction), odds_spread)
        return cls(uptake_h, spread) if uptake_h > 0 else None

    @property
    def parameters(self) -> int:
        """How many parameters of the phase are free."""
        return 2 if self.early > 0 else 1

    @property
    def median(self) -> np.ndarray:
        """(parameters,) logarithms of half-time and, of a washout, amplitude."""
        return np.log([self.phase_h, self.early][: self.parameters])

    @property
    def spread(self) -> np.ndarray:
        """(parameters,) standard deviations of the logarithms."""
        return np.array([self.phase_spread, self.early_spread][: self.parameters])

    @property
    def limits(self) -> np.ndarray:
        """(parameters, 2) logarithms between which the parameters stay."""
        far = SPREADS * self.spread
        limits = np.stack([self.median - far, self.median + far], axis=1)
        return np.where(np.isfinite(limits), limits, np.log(ANY_WASHOUT))

    def shape(self, t_eff_h: float, logs: np.ndarray) -> Shape:
        """Shape of the parameters' logarithms; arrays that broadcast make one of arrays."""
        values = [np.exp(x) for x in logs]
        return Shape(t_eff_h, values[0], values[1] if self.early > 0 else -1.0)

    def deviations(self, logs: np.ndarray) -> np.ndarray:
        """(..., known parameters) how many spreads the logarithms (parameters, ...) are from their medians."""
        known = [(x - m) / s for x, m, s in zip(logs, self.median, self.spread, strict=True) if math.isfinite(s)]
        return np.concatenate([np.atleast_1d(x) for x in known], axis=-1)

    def uncertainties(self, shape: Shape) -> dict[str, float]:
        """Field of `Shape` -> standard uncertainty with which the prior knows it."""
        of = dict(zip(("phase_h", "early"), self.spread, strict=False))
        return {k: float(s * getattr(shape, k)) for k, s in of.items()}
