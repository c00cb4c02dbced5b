"""Shapes of time-activity curves: one exponential, alone or with an early phase.

    s(t) = 2^(-t / T) (1 + b 2^(-t / T_phase))

b = 0 is the mono-exponential, b = -1 an uptake phase (nothing there at the injection), b > 0 a fast washout before the
slow one. The early part has the effective half-life 1 / (1 / T + 1 / T_phase).
"""

import math
from dataclasses import dataclass

import numpy as np
import pandas as pd

MODELS = {0: "mono-exponential", -1: "uptake phase", 1: "bi-exponential"}  # by the sign of the early part


@dataclass(frozen=True)
class Shape:
    """A curve of unit slow amplitude; the fields can be arrays that broadcast with each other and the times.

    Parameters
    ----------
    t_eff_h : float
        T, effective half-life of the slow part, h.
    phase_h : float
        T_phase, half-time of the early phase beside the clearance that goes on all along, h; infinite without one.
    early : float
        b, amplitude of the early part over that of the slow one: -1 or more.
    """

    t_eff_h: float
    phase_h: float = math.inf
    early: float = 0.0

    @classmethod
    def of_parts(cls, t_eff_h: float, a0_mbq: float, early_mbq: float, early_t_eff_h: float) -> "Shape":
        """From half-lives and amplitudes of the slow and the early part; `early_mbq` is 0 without one."""
        if not early_mbq:
            return cls(t_eff_h)
        return cls(t_eff_h, 1 / (1 / early_t_eff_h - 1 / t_eff_h), early_mbq / a0_mbq)

    @classmethod
    def of_row(cls, row: pd.Series) -> "Shape":
        """From a row of the kinetics table."""
        return cls.of_parts(*map(float, (row.t_eff_h, row.a0_mbq, row.early_mbq, row.early_t_eff_h)))

    @property
    def model(self) -> str:
        """Name of the model in the kinetics table."""
        return MODELS[int(np.sign(self.early))]

    @property
    def early_t_eff_h(self) -> float:
        """Effective half-life of the early part, h."""
        return 1 / (1 / self.t_eff_h + 1 / self.phase_h)

    @property
    def early_share(self) -> float:
        """The early part's integral over the whole one, taken as positive."""
        return abs(float(self.early * self.early_t_eff_h / math.log(2) / self.after(0.0)))

    def at(self, hours: np.ndarray | float) -> np.ndarray:
        """Values at times in h after injection."""
        t = np.asarray(hours, dtype=np.float64)
        return np.exp2(-t / self.t_eff_h) * (1.0 + self.early * np.exp2(-t / self.phase_h))

    def after(self, hours: float) -> float:
        """Integral from a time in h after injection to infinity, h."""
        slow = self.t_eff_h * np.exp2(-hours / self.t_eff_h)
        early = self.early * self.early_t_eff_h * np.exp2(-hours / self.early_t_eff_h)
        return (slow + early) / math.log(2)
