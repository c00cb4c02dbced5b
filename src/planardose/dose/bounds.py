"""What is physically possible of a time-activity curve."""

from dataclasses import dataclass

from planardose.dose.constants import dose_constants


@dataclass(frozen=True)
class Bounds:
    """Half-lives in h between `shortest` and `longest`, at most `administered` MBq."""

    shortest: float
    longest: float
    administered: float

    @classmethod
    def of(cls, half_life_h: float, administered_mbq: float) -> "Bounds":
        """For a nuclide's half-life in h."""
        # the lower bound is that of organs with 177Lu: a nuclide of a few hours clears faster
        return cls(min(dose_constants().shortest_t_eff_h, 0.5 * half_life_h), half_life_h, administered_mbq)
