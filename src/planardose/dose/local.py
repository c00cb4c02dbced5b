"""Local electron deposition: all electron energy of a decay stays where it happened.

Electrons of the therapy nuclides travel less than a voxel; about 1 % of 177Lu's leave a kidney through its surface,
which is not counted. What the photons add is `planardose.sim.organ_photons`.
"""

import numpy as np

from planardose.library import Nuclide
from planardose.units import BQ_PER_MBQ, JOULE_PER_KEV, SECONDS_PER_HOUR

GRAM_PER_KG = 1000.0


def joule_per_mbq_h(nuclide: Nuclide) -> float:
    """Electron energy (J) set free by a time-integrated activity of 1 MBq h."""
    return BQ_PER_MBQ * SECONDS_PER_HOUR * nuclide.electron_kev * JOULE_PER_KEV


def mean_dose_gy(tia_mbq_h, mass_g, nuclide: Nuclide):
    """Mean absorbed dose in Gy of a region of `mass_g` in which `tia_mbq_h` decays (scalars or equal-shaped arrays)."""
    return np.asarray(tia_mbq_h) * joule_per_mbq_h(nuclide) / (np.asarray(mass_g) / GRAM_PER_KG)


def dose_map_gy(tia_mbq_h_ml: np.ndarray, density_g_ml: np.ndarray, nuclide: Nuclide, floor_g_ml: float) -> np.ndarray:
    """Absorbed dose of each voxel by the electrons set free in it.

    Parameters
    ----------
    tia_mbq_h_ml : (I, J, K) array
        Time-integrated activity concentration, MBq h/mL.
    density_g_ml : (I, J, K) array
    nuclide : Nuclide
        Whose electrons: `electron_kev` per decay.
    floor_g_ml : float
        Density taken at least: a voxel of air inside the outline would otherwise get a dose without meaning.

    Returns
    -------
    (I, J, K) float64, Gy
    """
    return mean_dose_gy(tia_mbq_h_ml, np.maximum(density_g_ml, floor_g_ml), nuclide)


def deposited_joule(dose_gy: np.ndarray, density_g_ml: np.ndarray, voxel_ml: float) -> float:
    """Energy (J) that a dose map holds with the real masses; compare with the energy set free."""
    return float((dose_gy * density_g_ml).sum(dtype=np.float64)) * voxel_ml / GRAM_PER_KG
