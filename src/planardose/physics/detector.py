"""Chance that a photon which passed a hole of the collimator is counted in an energy window.

The energy deposited in the crystal comes from `planardose.physics.crystal` (cover, NaI, glass behind); the energy
resolution is Gaussian. Photons are taken to arrive at right angles: holes let pass 4 to 8 degrees, which lengthens the
way through the crystal by less than 1 %.
"""

import numpy as np
from scipy.special import ndtr

from planardose.library import Camera
from planardose.physics.attenuation import linear_attenuation_per_mm
from planardose.physics.crystal import BINS, NODES_KEV, Slabs, crystal_table, first_interaction, interacting_per_mm
from planardose.planar import EnergyWindow
from planardose.units import FWHM_PER_SIGMA


def slabs_of(camera: Camera) -> Slabs:
    """Cover, crystal and backscattering material of a camera."""
    return Slabs(camera.cover_mm, camera.crystal_mm, camera.backscatter_mm, camera.backscatter_material)


def energy_fwhm_kev(camera: Camera, energy_kev: float | np.ndarray) -> float | np.ndarray:
    """Energy resolution (FWHM, keV); relative to the energy it scales as 1/sqrt(E)."""
    return camera.energy_resolution * np.sqrt(camera.reference_kev * np.asarray(energy_kev))


def interaction_fraction(camera: Camera, energy_kev: float | np.ndarray) -> float | np.ndarray:
    """Share of photons that interact in the crystal when they enter it at right angles (coherent scattering left out).

    Of the bare crystal: the cover before it is not in this number.
    """
    return -np.expm1(-interacting_per_mm("nai", energy_kev) * camera.crystal_mm)


def _in_window(camera: Camera, window: EnergyWindow, deposit_kev: np.ndarray) -> np.ndarray:
    sigma = energy_fwhm_kev(camera, np.maximum(deposit_kev, 1.0)) / FWHM_PER_SIGMA
    return ndtr((window.high_kev - deposit_kev) / sigma) - ndtr((window.low_kev - deposit_kev) / sigma)


def _between_nodes(table: np.ndarray, energy_kev: np.ndarray) -> np.ndarray:
    """(3, E, ...) values of a table (3, N, ...), linear over the logarithm of the energy, constant beyond the ends."""
    at = np.interp(np.log(energy_kev), np.log(NODES_KEV), np.arange(NODES_KEV.size))
    n = np.minimum(at.astype(int), NODES_KEV.size - 2)
    share = (at - n).reshape(-1, *[1] * (table.ndim - 2))
    return (1 - share) * table[:, n] + share * table[:, n + 1]


def detection_efficiency(camera: Camera, window: EnergyWindow, energy_kev: float | np.ndarray) -> float | np.ndarray:
    """Chance that a photon which comes through a hole is counted in a window.

    Parameters
    ----------
    camera : Camera
        Its ``front_mm`` of aluminium before the collimator attenuates as a narrow beam. What it scatters into the
        holes is left out: for 2 mm at 208 keV a haze over the whole image of 2 % of the photopeak's counts.
    window : EnergyWindow
    energy_kev : float or array
        Photon energy, 1 to 800 keV: xraylib's cross sections end there (ValueError above). Below 15 keV and above
        799 keV the shares deposited are those of these energies.

    Returns
    -------
    float or array
        Over cover, crystal and glass: first interaction there times the share of the energies then deposited in the
        crystal that fall into the window.

    Notes
    -----
    Statistical error of the tables for a photopeak window: about 0.2 % at 208 keV.
    """
    e = np.atleast_1d(np.asarray(energy_kev, dtype=np.float64)).ravel()
    slabs = slabs_of(camera)
    table = crystal_table(slabs)
    deposits = (np.arange(BINS) + 0.5) / BINS * e[:, None]
    counted = (
        _between_nodes(table.full, e) * _in_window(camera, window, e)
        + _between_nodes(table.escape, e) * _in_window(camera, window, e - table.escape_kev)
        + (_between_nodes(table.continuum, e) * _in_window(camera, window, deposits)).sum(axis=-1)
    )
    passed = np.exp(-linear_attenuation_per_mm("aluminium", e) * camera.front_mm)
    out = passed * (first_interaction(slabs, e) * counted).sum(axis=0)
    return float(out[0]) if np.ndim(energy_kev) == 0 else out.reshape(np.shape(energy_kev))
