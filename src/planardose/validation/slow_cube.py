"""Independent code: the cube's scatter by an analog Monte Carlo in numpy, one flight at a time, nothing forced.

Shares nothing with the transport: cross sections straight from xraylib's elements, Klein-Nishina angles from a table of
its distribution, flights in a cube without voxels, and a window with a Gaussian resolution as the whole detector.
"""

import numpy as np
import xraylib
from scipy.special import ndtr

from planardose.physics.attenuation import mass_fractions

REST_KEV = 510.99895069
ELECTRON_RADIUS2_BARN = 0.0794078
BARN_PER_G = 0.602214076  # atoms per g and atomic weight, times 1e-24 cm2
CUT_KEV = 120.0  # no window above counts photons below
BINS = 600
CONE_DEG = 8.0  # photons that leave a face this close to its normal count: their way is 0.5 % longer on average


def _klein_nishina(energy_kev: np.ndarray, cosine: np.ndarray) -> np.ndarray:
    ratio = 1 / (1 + energy_kev / REST_KEV * (1 - cosine))
    return 0.5 * ELECTRON_RADIUS2_BARN * ratio**2 * (ratio + 1 / ratio - 1 + cosine**2)


class _Tissue:
    """Coefficients per mm over whole energies, and the distribution of the cosine at each, free electrons."""

    def __init__(self, material: str, density_g_ml: float, highest_kev: float):
        self.energies = np.arange(CUT_KEV, np.ceil(highest_kev) + 1)
        parts = mass_fractions(material)
        electrons = sum(w * z / xraylib.AtomicWeight(z) for z, w in parts.items())
        photo = [sum(w * xraylib.CS_Photo(z, e) for z, w in parts.items()) for e in self.energies]
        self.cosines = np.linspace(-1, 1, BINS + 1)
        density = _klein_nishina(self.energies[:, None], 0.5 * (self.cosines[1:] + self.cosines[:-1]))
        share = np.cumsum(density, axis=1)
        compton = 2 * np.pi * share[:, -1] * (2 / BINS) * electrons * BARN_PER_G
        self.compton = compton * density_g_ml / 10
        self.total = self.compton + np.array(photo) * density_g_ml / 10
        self.distribution = np.concatenate([np.zeros((len(share), 1)), share / share[:, -1:]], axis=1)

    def cosine(self, energy_kev: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        row = np.rint(energy_kev - CUT_KEV).astype(int)
        out, u = np.empty_like(energy_kev), rng.random(energy_kev.size)
        for n in np.unique(row):
            out[row == n] = np.interp(u[row == n], self.distribution[n], self.cosines)
        return out


def _turned(direction: np.ndarray, cosine: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    across = np.cross(direction, rng.standard_normal(direction.shape))
    across /= np.linalg.norm(across, axis=1, keepdims=True)
    return cosine[:, None] * direction + np.sqrt(np.maximum(1 - cosine**2, 0))[:, None] * across


def scatter_to_primary(
    side_mm: float, voxel_mm: float, material: str, density_g_ml: float, energy_kev: float,
    window_kev: tuple[float, float], fwhm_kev_at: tuple[float, float], photons: int, rng: np.random.Generator,
) -> tuple[float, float]:  # fmt: skip
    """Scattered over unscattered counts from a small cube in the middle of a big one, seen from its six faces.

    Parameters
    ----------
    side_mm, voxel_mm : float
        Of the cube, and of the source in its middle.
    material, density_g_ml
    energy_kev : float
        Emitted.
    window_kev : (low, high)
    fwhm_kev_at : (fwhm, energy)
        Resolution at an energy; it grows with the root of the energy.
    photons : int
    rng : Generator

    Returns
    -------
    ratio, standard error
        The primaries are exact.
    """
    tissue, half = _Tissue(material, density_g_ml, energy_kev), side_mm / 2
    sigma_at_1_kev = fwhm_kev_at[0] / np.sqrt(8 * np.log(2) * fwhm_kev_at[1])

    def counted(e):
        high, low = ((edge - e) / (sigma_at_1_kev * np.sqrt(e)) for edge in window_kev[::-1])
        return ndtr(high) - ndtr(low)

    position = (rng.random((photons, 3)) - 0.5) * voxel_mm
    direction = rng.standard_normal((photons, 3))
    direction /= np.linalg.norm(direction, axis=1, keepdims=True)
    energy, fresh, scores = np.full(photons, energy_kev), True, []
    while energy.size:
        total = np.interp(energy, tissue.energies, tissue.total)
        target = position + direction * rng.exponential(1 / total)[:, None]
        out = (np.abs(target) > half).any(axis=1)
        if not fresh:
            straight = np.abs(direction[out]).max(axis=1) > np.cos(np.deg2rad(CONE_DEG))
            scores.append(counted(energy[out][straight]))
        stays = ~out & (rng.random(energy.size) * total < np.interp(energy, tissue.energies, tissue.compton))
        position, direction, energy, fresh = target[stays], direction[stays], energy[stays], False
        cosine = tissue.cosine(energy, rng)
        direction, energy = _turned(direction, cosine, rng), energy / (1 + energy / REST_KEV * (1 - cosine))
        follow = energy > CUT_KEV
        position, direction, energy = position[follow], direction[follow], energy[follow]
    found = np.concatenate(scores)
    mu = np.interp(energy_kev, tissue.energies, tissue.total)
    own = np.sinh(mu * voxel_mm / 2) / (mu * voxel_mm / 2)
    primary = counted(energy_kev) * np.exp(-mu * half) * own * 3 * (1 - np.cos(np.deg2rad(CONE_DEG))) * photons
    return float(found.sum() / primary), float(np.sqrt((found**2).sum()) / primary)
