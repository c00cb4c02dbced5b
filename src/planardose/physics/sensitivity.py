"""Absolute sensitivity of one head to a source in air."""

import numpy as np

from planardose.library import Camera, Nuclide
from planardose.physics.calibration import Scale
from planardose.physics.head_response import head_efficiency
from planardose.planar import EnergyWindow
from planardose.units import BQ_PER_MBQ

# Least share of the counts in air by open holes of a collimator that fits a nuclide. By the tables, Symbia: 131I 0.45
# with HE, 0.13 with MELP, 0.002 with LEHR; 177Lu 0.11 with LEHR; 123I 0.27 with LEHR, which clinics take.
LEAST_OPEN = 0.2


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


def open_share(camera: Camera, nuclide: Nuclide, window: EnergyWindow) -> float:
    """Part of `air_sensitivity_cps_per_mbq` that comes through the open holes, 0 to 1; the rest went through lead."""
    holes, all_ways = (air_sensitivity_cps_per_mbq(camera, nuclide, window, lead) for lead in (False, True))
    return holes / all_ways


def scale_of(measured_cps_per_mbq: float, camera: Camera, nuclide: Nuclide, window: EnergyWindow) -> Scale:
    """A site's calibration beside the computed value."""
    return Scale(measured_cps_per_mbq, air_sensitivity_cps_per_mbq(camera, nuclide, window))
