"""Rows on the crystal, the absolute scale and dead time."""

from dataclasses import replace
from functools import partial

from planardose.physics.detector import detection_efficiency
from planardose.physics.sensitivity import air_sensitivity_cps_per_mbq
from planardose.planar import EnergyWindow
from planardose.validation.check import Effort, Measured
from planardose.validation.scenes import lutetium, melp

ENERGIES_KEV = (112.95, 140.5, 208.37, 321.32)
HALF_WINDOW = 0.1
CRYSTAL_MM, GE_CRYSTAL_MM = 9.5, 15.9
SIMIND_CRYSTAL_MM = 9.525
FULL_SPECTRUM = EnergyWindow(10.0, 500.0)


def crystal_efficiency(energy_kev: float, crystal_mm: float, effort: Effort) -> Measured:
    """Photons at normal incidence that are counted within 10 % of their energy."""
    camera = replace(melp(), crystal_mm=crystal_mm)
    window = EnergyWindow((1 - HALF_WINDOW) * energy_kev, (1 + HALF_WINDOW) * energy_kev)
    return Measured(float(detection_efficiency(camera, window, energy_kev)))


def simind_sensitivity(window: EnergyWindow | None, effort: Effort) -> Measured:
    """cps/MBq per head of 177Lu in air, geometric collimator, bare 9.525 mm crystal."""
    camera, nuclide = replace(melp(), crystal_mm=SIMIND_CRYSTAL_MM), lutetium()
    return Measured(air_sensitivity_cps_per_mbq(camera, nuclide, window or nuclide.photopeak))


ROWS = {
    **{f"crystal_{e:.0f}": partial(crystal_efficiency, e, CRYSTAL_MM) for e in ENERGIES_KEV},
    "crystal_208_thick": partial(crystal_efficiency, ENERGIES_KEV[2], GE_CRYSTAL_MM),
    "simind_photopeak": partial(simind_sensitivity, None),
    "simind_spectrum": partial(simind_sensitivity, FULL_SPECTRUM),
}
