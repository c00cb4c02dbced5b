"""Absolute sensitivity of one head to a source in air."""

from planardose.library import Camera, Nuclide
from planardose.physics.collimator import geometric_efficiency
from planardose.physics.detector import detection_efficiency
from planardose.planar import EnergyWindow
from planardose.units import BQ_PER_MBQ


def air_sensitivity_cps_per_mbq(camera: Camera, nuclide: Nuclide, window: EnergyWindow) -> float:
    """Counts per second per MBq that one head records in a window from a source in air, all lines together.

    No attenuation, no backscatter, no collimator penetration; the same at every distance.
    """
    counted = sum(line.per_decay * detection_efficiency(camera, window, line.energy_kev) for line in nuclide.lines)
    return BQ_PER_MBQ * geometric_efficiency(camera) * counted
