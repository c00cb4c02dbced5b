"""A site's calibration beside the sensitivity computed for its camera type. Light: pages read it."""

from dataclasses import dataclass
from functools import cache

import yaml

from planardose.library import DATA


@dataclass(frozen=True)
class Scale:
    """Measured and computed sensitivity per head in air, cps/MBq, in one window."""

    measured: float
    computed: float

    @property
    def ratio(self) -> float:
        """Measured over computed."""
        return self.measured / self.computed

    @property
    def plausible(self) -> bool:
        """Whether the ratio lies in the range of ``data/physics/calibration.yaml``."""
        low, high = plausible_ratios()
        return low <= self.ratio <= high

    def __str__(self) -> str:
        beyond = "" if self.plausible else ", outside {:.2f}-{:.2f}".format(*plausible_ratios())
        return f"{self.measured:.3g} measured, {self.computed:.3g} computed cps/MBq: ratio {self.ratio:.2f}{beyond}"


@cache
def _measured() -> dict:
    return yaml.safe_load((DATA / "physics" / "calibration.yaml").read_text())


def plausible_ratios() -> tuple[float, float]:
    """Lowest and highest plausible measured over computed sensitivity."""
    low, high = _measured()["measured_over_computed"]
    return float(low), float(high)


def published_ratios() -> tuple[float, float]:
    """Lowest and highest measured over computed sensitivity of published sites (177Lu, Symbia, medium energy)."""
    low, high = _measured()["published_measured_over_computed"]
    return float(low), float(high)


def uncalibrated_relative_u() -> float:
    """Relative standard uncertainty of activities that rest on the computed sensitivity."""
    return float(_measured()["uncalibrated_relative_u"])
