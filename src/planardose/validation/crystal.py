"""Rows on the crystal, the absolute scale and dead time."""

from functools import partial

import numpy as np

from planardose.physics import crystal, dead_time
from planardose.physics.detector import detection_efficiency, slabs_of
from planardose.physics.sensitivity import air_sensitivity_cps_per_mbq
from planardose.planar import EnergyWindow
from planardose.validation.check import Effort, Measured
from planardose.validation.scenes import bare, lutetium, melp, simind_camera

ENERGIES_KEV = (112.95, 140.5, 208.37, 321.32)
HALF_WINDOW = 0.1
CRYSTAL_MM, GE_CRYSTAL_MM = 9.5, 15.9
FULL_SPECTRUM = EnergyWindow(10.0, 500.0)
GLASS = 2  # index of the slab behind the crystal
RATE_CPS = 30_000.0


def crystal_efficiency(energy_kev: float, crystal_mm: float, effort: Effort) -> Measured:
    """Photons at normal incidence on a bare crystal that are counted within 10 % of their energy."""
    window = EnergyWindow((1 - HALF_WINDOW) * energy_kev, (1 + HALF_WINDOW) * energy_kev)
    return Measured(float(detection_efficiency(bare(melp(), crystal_mm), window, energy_kev)))


def simind_sensitivity(window: EnergyWindow | None, effort: Effort) -> Measured:
    """cps/MBq per head of 177Lu in air, geometric collimator, bare 9.525 mm crystal; None: the photopeak."""
    camera, nuclide = simind_camera(), lutetium()
    return Measured(air_sensitivity_cps_per_mbq(camera, nuclide, window or nuclide.photopeak, penetration=False))


def backscatter_deposits(effort: Effort) -> np.ndarray:
    """Energies (N,) keV left in the crystal by 208 keV photons that interact first in the glass behind it."""
    incident = np.full(effort.count(2e5), lutetium().imaged_line().energy_kev)
    return crystal._deposits(slabs_of(melp()), incident, GLASS, np.random.default_rng(effort.seed))


def backscatter_edge(effort: Effort) -> Measured:
    """Where the deposits of what the glass sends back set in: the first bin of 0.5 keV with half of the fullest."""
    counts, edges = np.histogram(backscatter_deposits(effort), np.arange(90.0, 160.0, 0.5))
    first = int(np.argmax(counts > 0.5 * counts.max()))
    return Measured(float(edges[first] + 0.25))


def dead_time_loss(effort: Effort) -> Measured:
    """Observed rate against a camera played through event by event: deaf for tau after each, recorded or not."""
    tau_us, events = melp().tau_in(lutetium().photopeak, lutetium()), effort.count(1e6)
    gaps = np.random.default_rng(effort.seed).exponential(1 / RATE_CPS, events)
    share = np.count_nonzero(gaps > tau_us * dead_time.SECONDS_PER_US) / events
    error = RATE_CPS * np.sqrt(share * (1 - share) / events)
    return Measured(float(dead_time.paralysable(RATE_CPS, tau_us)), float(error), RATE_CPS * share)


def dead_time_inverse(effort: Effort) -> Measured:
    """True rate recovered from the observed one."""
    tau_us = melp().tau_in(lutetium().photopeak, lutetium())
    return Measured(float(dead_time.true_rate(dead_time.paralysable(RATE_CPS, tau_us), tau_us)))


def dead_time_constant(line_kev: float, effort: Effort) -> Measured:
    """Dead time (us) that the catalogue gives the MELP camera in a window around a line of 177Lu."""
    tau = melp().tau_in(EnergyWindow((1 - HALF_WINDOW) * line_kev, (1 + HALF_WINDOW) * line_kev), lutetium())
    return Measured(float("nan") if tau is None else tau)


ROWS = {
    **{f"crystal_{e:.0f}": partial(crystal_efficiency, e, CRYSTAL_MM) for e in ENERGIES_KEV},
    "crystal_208_thick": partial(crystal_efficiency, ENERGIES_KEV[2], GE_CRYSTAL_MM),
    "simind_photopeak": partial(simind_sensitivity, None),
    "simind_spectrum": partial(simind_sensitivity, FULL_SPECTRUM),
    "backscatter_edge": backscatter_edge,
    "dead_time_loss": dead_time_loss,
    "dead_time_inverse": dead_time_inverse,
    "dead_time_tau_208": partial(dead_time_constant, ENERGIES_KEV[2]),
    "dead_time_tau_113": partial(dead_time_constant, ENERGIES_KEV[0]),
}
