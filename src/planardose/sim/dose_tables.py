"""What the dose kernel looks up: cross sections on a logarithmic energy grid, and their bound over the voxels."""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from planardose.patient_model import MATERIALS
from planardose.physics.attenuation import MM_PER_CM, mass_attenuation_cm2_g
from planardose.physics.form_factors import TISSUE, mean_scattered_share

HIGHEST_KEV = 800.0  # xraylib's photoabsorption ends there
LOG_STEP = 0.01  # of ln E: linear interpolation of E^-3 errs by 9/8 of its square, 0.011 %
BINS = 64  # per material, for the bound over the voxels
ROUNDING = 1e-5  # more than rounding can lose between bound and voxel


@dataclass(frozen=True)
class Matter:
    """The three basis materials of a density map, and the one whose bound electrons shape the scattering angles.

    Names of ``data/physics/materials.yaml``.
    """

    basis: tuple[str, str, str] = MATERIALS
    bound_electrons: str = TISSUE


PATIENT = Matter()
WATER = Matter(("water", "water", "water"), "water")


@dataclass(frozen=True)
class DoseCrossSections:
    """Over N energies cut * exp(n * `LOG_STEP`) keV: (N, 3) arrays in cm2/g per basis material.

    `absorption` is the share of the energy of a photon that it leaves per g/cm2: all of it in photoabsorption, the
    recoil electron's in Compton scattering.
    """

    energies_kev: np.ndarray
    total: np.ndarray
    compton: np.ndarray
    rayleigh: np.ndarray
    absorption: np.ndarray


@lru_cache(maxsize=8)
def dose_cross_sections(cut_kev: float, highest_kev: float, matter: Matter) -> DoseCrossSections:
    """Cross sections from the cut to the highest line.

    Up to `HIGHEST_KEV`. No basis material of a patient has an absorption edge above 4.04 keV (calcium); a lower cut
    smears edges over 1 % of their energy.
    """
    count = int(np.ceil(np.log(max(highest_kev / cut_kev, 1.0)) / LOG_STEP)) + 2
    energies = np.minimum(cut_kev * np.exp(LOG_STEP * np.arange(count)), HIGHEST_KEV)
    photo, compton, rayleigh = (
        np.stack([mass_attenuation_cm2_g(m, energies, process) for m in matter.basis], axis=1)
        for process in ("photo", "compton", "rayleigh")
    )
    to_electrons = 1.0 - mean_scattered_share(energies, matter.bound_electrons)
    return DoseCrossSections(
        energies, photo + compton + rayleigh, compton, rayleigh, photo + compton * to_electrons[:, None]
    )


def bounding_densities(partial_density: np.ndarray) -> np.ndarray:
    """(3, M) float64 g/mL: a few densities such that each voxel's three lie at or below those of one of them.

    Densities are rounded up to a `BINS`-th of their material's largest.
    """
    flat = partial_density.reshape(3, -1)
    largest = np.maximum(flat.max(axis=1).astype(np.float64), 1e-30)
    seen = np.zeros((BINS + 1) ** 3, dtype=bool)
    for part in np.array_split(flat, max(1, flat.shape[1] // 2**20), axis=1):
        rounded = np.ceil(part * (BINS / largest[:, None]) - 1e-4).astype(np.int32)
        seen[np.ravel_multi_index(tuple(rounded), (BINS + 1,) * 3)] = True
    bins = np.unravel_index(np.flatnonzero(seen), (BINS + 1,) * 3)
    return np.stack(bins) * (largest / BINS)[:, None]


def dose_majorant_per_mm(partial_density: np.ndarray, total: np.ndarray) -> np.ndarray:
    """(N,) upper bound of the linear attenuation coefficient of any voxel, for each row of `total` (N, 3).

    Linear interpolation keeps the bound between rows, because the kernel interpolates `total` alike.
    """
    return (total @ bounding_densities(partial_density)).max(axis=1) / MM_PER_CM * (1 + ROUNDING)
