"""Absolute sensitivity of one head to a source in air, and a site's calibration beside it."""

from dataclasses import dataclass
from functools import cache

import yaml

from planardose.library import DATA, Camera, Nuclide
from planardose.physics.collimator import geometric_efficiency
from planardose.physics.detector import detection_efficiency
from planardose.planar import EnergyWindow
from planardose.units import BQ_PER_MBQ


def air_sensitivity_cps_per_mbq(camera: Camera, nuclide: Nuclide, window: EnergyWindow) -> float:
    """Counts per second per MBq that one head records in a window from a source in air, all lines together.

    No attenuation between source and camera, no collimator penetration; the same at every distance.
    """
    counted = sum(line.per_decay * detection_efficiency(camera, window, line.energy_kev) for line in nuclide.lines)
    return BQ_PER_MBQ * geometric_efficiency(camera) * counted


@dataclass(frozen=True)
class Scale:
    """Measured and computed sensitivity per head in air, cps/MBq, in one window."""

    measured: float
    computed: float

    @property
    def ratio(self) -> float:
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
def plausible_ratios() -> tuple[float, float]:
    """Lowest and highest plausible measured over computed sensitivity."""
    low, high = yaml.safe_load((DATA / "physics" / "calibration.yaml").read_text())["measured_over_computed"]
    return float(low), float(high)


def scale_of(measured_cps_per_mbq: float, camera: Camera, nuclide: Nuclide, window: EnergyWindow) -> Scale:
    """A site's calibration beside the computed value."""
    return Scale(measured_cps_per_mbq, air_sensitivity_cps_per_mbq(camera, nuclide, window))
