"""What the photon kernel looks up: cross sections, detection efficiencies, lines, and the patient's columns."""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from planardose.library import Camera, Line, Nuclide
from planardose.physics.attenuation import MM_PER_CM, basis_attenuation_cm2_g
from planardose.physics.detector import detection_efficiency
from planardose.physics.form_factors import coherent_norm, incoherent_norm_barn
from planardose.planar import EnergyWindow

SEEN = 1e-3  # photons are followed while some window counts them with this share of its best efficiency
LOWEST_KEV = 40.0  # below, the crystal's tables end
HIGHEST_KEV = 799.0
KNOT = 10  # keV between exact values of the majorant
ROUNDING = 1e-5  # more than single precision can lose between majorant and voxel


@dataclass(frozen=True)
class EnergyTables:
    """Over N energies first_kev + n keV: basis cross sections (N, 3) in cm2/g, efficiencies (N, W), norms (N,)."""

    first_kev: float
    lines: tuple[Line, ...]
    total: np.ndarray
    compton: np.ndarray
    rayleigh: np.ndarray
    efficiency: np.ndarray
    incoherent_norm: np.ndarray
    coherent_norm: np.ndarray


def visible_from_kev(camera: Camera, windows: tuple[EnergyWindow, ...]) -> float:
    """Lowest whole energy (keV) at which any window still counts photons."""
    energies = np.arange(LOWEST_KEV, HIGHEST_KEV + 1)
    seen = np.zeros(energies.size, dtype=bool)
    for window in windows:
        efficiency = detection_efficiency(camera, window, energies)
        seen |= efficiency > SEEN * efficiency.max()
    return float(energies[np.argmax(seen)])


@lru_cache(maxsize=8)
def energy_tables(camera: Camera, nuclide: Nuclide, windows: tuple[EnergyWindow, ...], rayleigh: bool) -> EnergyTables:
    """Tables from the cut-off to the highest line; without coherent scattering it is left out of the total as well.

    Raises
    ------
    ValueError
        If no line of the nuclide can be counted in any window.
    """
    first = visible_from_kev(camera, windows)
    lines = tuple(x for x in nuclide.lines if first < x.energy_kev <= HIGHEST_KEV)
    if not lines:
        raise ValueError(f"no photon line of {nuclide.name} can be counted in any of the windows")
    energies = np.arange(first, np.ceil(max(x.energy_kev for x in lines)) + 2)
    parts = {p: basis_attenuation_cm2_g(energies, p).T for p in ("photo", "compton", "rayleigh")}
    if not rayleigh:
        parts["rayleigh"] = np.zeros_like(parts["rayleigh"])
    return EnergyTables(
        first, lines, sum(parts.values()), parts["compton"], parts["rayleigh"],
        np.stack([detection_efficiency(camera, w, np.minimum(energies, HIGHEST_KEV)) for w in windows], axis=1),
        incoherent_norm_barn(energies), coherent_norm(energies),
    )


def columns_g_cm2(partial_density: np.ndarray, spacing_y_mm: float) -> np.ndarray:
    """(3, I, J + 1, K) float64: mass of each basis material from the posterior side of the grid up to face j."""
    materials, n_i, n_j, n_k = partial_density.shape
    out = np.zeros((materials, n_i, n_j + 1, n_k))
    np.cumsum(partial_density, axis=2, dtype=np.float64, out=out[:, :, 1:])
    return out * (spacing_y_mm / MM_PER_CM)


def majorant_per_mm(partial_density: np.ndarray, total: np.ndarray) -> np.ndarray:
    """(N,) upper bound of the linear attenuation coefficient of any voxel, for each row of `total` (N, 3).

    Exact at every `KNOT`-th row; between, the chord lies above, because every cross section here is convex in energy.
    """
    voxels = np.ascontiguousarray(partial_density.reshape(3, -1), dtype=np.float32)
    knots = np.unique(np.append(np.arange(0, len(total), KNOT), len(total) - 1))
    largest = [(row @ voxels).max() / MM_PER_CM for row in total[knots].astype(np.float32)]
    return np.interp(np.arange(len(total)), knots, largest) * (1 + ROUNDING)


def emission_tables(activity: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Active voxels (flat, int32), their cumulative share (float64, last 1), and a guide into it (int32)."""
    flat = np.asarray(activity, dtype=np.float64).ravel()
    voxel = np.flatnonzero(flat > 0)
    cumulative = np.cumsum(flat[voxel])
    cumulative /= cumulative[-1]
    cumulative[-1] = 1.0
    slots = max(1, voxel.size)
    guide = np.searchsorted(cumulative, np.arange(slots) / slots, side="right")
    return voxel.astype(np.int32), cumulative, np.minimum(guide, voxel.size - 1).astype(np.int32)
