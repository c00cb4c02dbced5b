"""What is known of an organ's kinetics with its tracer before any point."""

import math
from dataclasses import dataclass, replace

from planardose.dose.constants import dose_constants
from planardose.dose.curve import Curve
from planardose.dose.phase_prior import PhasePrior
from planardose.dose.usual_half_life import UsualHalfLife

LEAST_SPREAD = 0.05  # of a half-life that a tracer's file gives as exact
# flags of a half-life that is not passed on; that of a poor fit is, as little sure as the fit made it
NOT_TOLD = frozenset({"half_life_assumed", "earlier_half_life", "rising"})


@dataclass(frozen=True)
class OrganPrior:
    """Biological half-life of the slow clearance, [median h, standard deviation of the logarithm], and early phase.

    Without `biological_h` the half-life is that of organs in general, without `phase` there is none. `earlier` tells
    that an earlier cycle of the patient takes part in `biological_h`.
    """

    biological_h: tuple[float, float] | None = None
    phase: PhasePrior | None = None
    earlier: bool = False

    @classmethod
    def of_tracer(cls, biological_h: tuple[float, float], uptake_h: float, fast: tuple[float, float]) -> "OrganPrior":
        """From the keys of an organ's group in ``data/tracers``."""
        median, spread = biological_h
        return cls((median, max(spread, LEAST_SPREAD)), PhasePrior.of_tracer(uptake_h, fast, median))

    def after(self, before: Curve, physical_h: float) -> "OrganPrior":
        """What is known once a curve of an earlier cycle has told the half-life; the same where it has not.

        The earlier half-life and the one of the organ with its tracer are weighed by their variances, and what comes of
        them is less sure by what half-lives change between cycles. Where the earlier one was assumed, as of a single
        point, nothing is passed on.
        """
        if not before.t_eff_h_u > 0 or NOT_TOLD & set(before.flags):  # NaN: of one point, or at a bound
            return self
        usual = self.half_life(physical_h)
        cleared = 1 - before.t_eff_h / physical_h  # d ln T_eff / d ln T_bio
        measured = before.t_eff_h_u / before.t_eff_h / cleared
        share = usual.spread**2 / (usual.spread**2 + measured**2)
        now = replace(usual, biological_h=usual.biological_h * (before.t_eff_h / cleared / usual.biological_h) ** share)
        change = dose_constants().between_cycles_t_eff / (1 - now.median_h / physical_h)
        spread = math.hypot(math.sqrt(share) * measured, change)
        return replace(self, biological_h=(now.biological_h, spread), earlier=True)

    def half_life(self, physical_h: float) -> UsualHalfLife:
        """Usual effective half-life with a nuclide of half-life `physical_h`, h."""
        return UsualHalfLife(physical_h, *(self.biological_h or dose_constants().usual_t_bio_h))

    def of_several_points(self, physical_h: float) -> UsualHalfLife:
        """The same where several points do not tell it: of organs in general nothing speaks against slow ones."""
        return replace(self.half_life(physical_h), slow_too=self.biological_h is not None)


IN_GENERAL = OrganPrior()
