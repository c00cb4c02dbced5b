"""True absorbed dose of a synthetic patient: from its integrals in closed form, on a grid finer than the chain's."""

import numpy as np

from planardose.image import Grid
from planardose.library import Nuclide
from planardose.sim.photon_dose import dose_gy, photon_dose
from planardose.units import JOULE_PER_KEV, MBQ_PER_KBQ, SECONDS_PER_HOUR

FLOOR_G_ML = 0.1  # density that a dose refers to at least: air inside the body


def _electron_dose_gy(tia_kbq_h_ml: np.ndarray, density_g_ml: np.ndarray, nuclide: Nuclide) -> np.ndarray:
    """Dose of electrons that stay in their voxel: decays per mL x energy / mass per mL, Gy."""
    decays_per_ml = tia_kbq_h_ml * 1e3 * SECONDS_PER_HOUR
    kg_per_ml = np.maximum(density_g_ml, FLOOR_G_ML) * 1e-3
    return decays_per_ml * nuclide.electron_kev * JOULE_PER_KEV / kg_per_ml


def true_dose_gy(
    tia_kbq_h_ml: np.ndarray, partial_density: np.ndarray, grid: Grid, nuclide: Nuclide, photons: float, seed: int
) -> np.ndarray:
    """Dose of electrons and photons.

    Parameters
    ----------
    tia_kbq_h_ml : (I, J, K) array
        Time-integrated activity concentration, kBq h/mL.
    partial_density : (3, I, J, K) array
        g/mL of the basis materials.
    photons : float
        Followed, from where the decays are: texture and hidden lesions included.
    seed : int
        Of the Monte Carlo.

    Returns
    -------
    (I, J, K) float64, Gy
    """
    density = partial_density.sum(axis=0)
    found = photon_dose(partial_density, tia_kbq_h_ml, grid, nuclide.lines, photons, seed)
    total_mbq_h = float(tia_kbq_h_ml.sum()) * grid.voxel_ml * MBQ_PER_KBQ
    mass_g = np.maximum(density, FLOOR_G_ML) * grid.voxel_ml
    return _electron_dose_gy(tia_kbq_h_ml, density, nuclide) + dose_gy(found.kev_per_decay, total_mbq_h, mass_g)
