"""Absolute sensitivity of one head to a source in air, and a site's calibration beside it."""

from dataclasses import dataclass
from functools import cache

import numpy as np
import yaml

from planardose.library import DATA, Camera, Nuclide
from planardose.physics.head_response import head_efficiency
from planardose.planar import EnergyWindow
from planardose.units import BQ_PER_MBQ


def line_sensitivities_cps_per_mbq(
    camera: Camera, nuclide: Nuclide, window: EnergyWindow, penetration: bool = True
) -> np.ndarray:
    """Part of each photon line in `air_sensitivity_cps_per_mbq`, in the order of `Nuclide.lines`: (L,) float64."""
    energies = np.array([line.energy_kev for line in nuclide.lines])
    per_decay = np.array([line.per_decay for line in nuclide.lines])
    return BQ_PER_MBQ * per_decay * head_efficiency(camera, window, energies, penetration)


def air_sensitivity_cps_per_mbq(
    camera: Camera, nuclide: Nuclide, window: EnergyWindow, penetration: bool = True
) -> float:
    """Counts per second per MBq that one head records in a window from a source in air, all lines together.

    Parameters
    ----------
    camera : Camera
    nuclide : Nuclide
    window : EnergyWindow
    penetration : bool
        Count photons that went through septa or scattered in the lead, as every measurement in air does. False: the
        open holes alone.

    Returns
    -------
    float
        No attenuation in the source; the same at every distance.
    """
    return float(line_sensitivities_cps_per_mbq(camera, nuclide, window, penetration).sum())


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


def uncalibrated_relative_u() -> float:
    """Relative standard uncertainty of activities that rest on the computed sensitivity."""
    return float(_measured()["uncalibrated_relative_u"])


def scale_of(measured_cps_per_mbq: float, camera: Camera, nuclide: Nuclide, window: EnergyWindow) -> Scale:
    """A site's calibration beside the computed value."""
    return Scale(measured_cps_per_mbq, air_sensitivity_cps_per_mbq(camera, nuclide, window))
