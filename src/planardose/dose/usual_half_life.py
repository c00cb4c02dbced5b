"""Half-lives that organs usually have: what is taken as known where a patient's points do not tell them.

Organs hold a compound for a biological half-life T_bio, taken as log-normal and the same for all nuclides. With the
physical one it makes the effective half-life, 1 / T_eff = 1 / T_bio + 1 / T_phys. For a nuclide of a few hours nearly
all effective half-lives are then a little below the physical one, as they are.
"""

from dataclasses import dataclass

import numpy as np
from scipy.special import ndtr, ndtri

DRAWS = 1000


@dataclass(frozen=True)
class UsualHalfLife:
    """Effective half-lives of organs with one nuclide.

    Parameters
    ----------
    physical_h : float
        Half-life of the nuclide, h.
    biological_h : float
        Median of the biological half-lives, h.
    spread : float
        Standard deviation of their logarithm.
    slow_too : bool
        Whether half-lives above the median are unusual as well, which those of organs in general are not.
    """

    physical_h: float
    biological_h: float
    spread: float
    slow_too: bool = False

    @property
    def median_h(self) -> float:
        """Median of the effective half-lives, h."""
        return 1 / (1 / self.biological_h + 1 / self.physical_h)

    def deviation(self, t_eff_h: np.ndarray | float) -> np.ndarray | float:
        """How many spreads the biological part of T_eff lies above its median; at most 0 unless `slow_too`."""
        spreads = self._spreads(t_eff_h)
        return spreads if self.slow_too else np.minimum(spreads, 0.0)

    def relative_spread(self, t_eff_h: float) -> float:
        """Standard deviation of the logarithm of T_eff about `t_eff_h`; above the median that at the median."""
        return self.spread * (1 - min(t_eff_h, self.median_h) / self.physical_h)

    def quantiles(self, shortest_h: float) -> np.ndarray:
        """(`DRAWS`,) h: effective half-lives of equal probability among those above `shortest_h`, rising.

        All are the physical one where `shortest_h` is no less.
        """
        above = ndtr(-self._spreads(shortest_h)) * (np.arange(DRAWS)[::-1] + 0.5) / DRAWS
        biological = self.biological_h * np.exp(-self.spread * ndtri(above))
        return 1 / (1 / biological + 1 / self.physical_h)

    def _spreads(self, t_eff_h: np.ndarray | float) -> np.ndarray | float:
        """How many spreads the biological part of an effective half-life is above its median."""
        retained = np.maximum(1 - t_eff_h / self.physical_h, 1e-12)  # T_eff / T_bio; at the physical half-life none
        return np.log(t_eff_h / retained / self.biological_h) / self.spread
