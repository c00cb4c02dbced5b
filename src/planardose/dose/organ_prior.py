"""What is known of an organ's kinetics with its tracer before any point."""

from dataclasses import dataclass

from planardose.dose.constants import dose_constants
from planardose.dose.phase_prior import PhasePrior
from planardose.dose.usual_half_life import UsualHalfLife

LEAST_SPREAD = 0.05  # of a half-life that a tracer's file gives as exact


@dataclass(frozen=True)
class OrganPrior:
    """Biological half-life of the slow clearance, [median h, standard deviation of the logarithm], and early phase.

    Without `biological_h` the half-life is that of organs in general, without `phase` there is none.
    """

    biological_h: tuple[float, float] | None = None
    phase: PhasePrior | None = None

    @classmethod
    def of_tracer(cls, biological_h: tuple[float, float], uptake_h: float, fast: tuple[float, float]) -> "OrganPrior":
        """From the keys of an organ's group in ``data/tracers``."""
        median, spread = biological_h
        return cls((median, max(spread, LEAST_SPREAD)), PhasePrior.of_tracer(uptake_h, fast, median))

    def half_life(self, physical_h: float) -> UsualHalfLife:
        """Usual effective half-life with a nuclide of half-life `physical_h`, h."""
        return UsualHalfLife(physical_h, *(self.biological_h or dose_constants().usual_t_bio_h))


IN_GENERAL = OrganPrior()
