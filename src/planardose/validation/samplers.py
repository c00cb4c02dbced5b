"""Rows on the transport's samplers: draws of its own Warp functions against densities computed here from xraylib."""

from functools import cache, partial

import numpy as np
import warp as wp
import xraylib

from planardose.physics.attenuation import mass_fractions
from planardose.physics.warp_runtime import start_warp
from planardose.validation import sampler_kernels
from planardose.validation.check import Effort, Measured
from planardose.validation.scenes import DEVICE, followed_tables, uneven_phantom, uploaded
from planardose.validation.statistics import chi_square, equal_share_edges

DRAWS = 400_000
BINS = 40
ENERGIES_KEV = (160.0, 208.37, 321.32)
TISSUE = "soft_tissue"
REST_KEV = 510.99895069
HC_KEV_ANGSTROM = 12.398419843


def draw(kernel: wp.Kernel, *inputs, vector: bool = False) -> np.ndarray:
    """Draws (N,) or (N, 3) float64 of one of `sampler_kernels`; `inputs` are its arguments but the last."""
    start_warp()
    out = wp.zeros(DRAWS, dtype=wp.vec3 if vector else wp.float32, device=DEVICE)
    wp.launch(kernel, DRAWS, inputs=[*inputs, out], device=DEVICE)
    return out.numpy().astype(np.float64)


@cache
def bound_factors() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """x in 1/angstrom, S(x) per electron and F(x)^2 of soft tissue: element by element from xraylib."""
    x = np.concatenate([np.arange(1, 1000) * 0.004, np.arange(4.0, 30.0, 0.05)])
    electrons, s, f2 = 0.0, np.zeros_like(x), np.zeros_like(x)
    for z, fraction in mass_fractions(TISSUE).items():
        atoms = fraction / xraylib.AtomicWeight(z)
        electrons += atoms * z
        s += atoms * np.array([xraylib.SF_Compt(z, q) for q in x])
        f2 += atoms * np.array([xraylib.FF_Rayl(z, q) ** 2 for q in x])
    return x, s / electrons, f2


def compton_density(energy_kev: float, half_sine: np.ndarray) -> np.ndarray:
    """Klein-Nishina times S over sin(angle / 2), not normalised."""
    x, s, _ = bound_factors()
    cosine = 1 - 2 * half_sine**2
    ratio = 1 / (1 + energy_kev / REST_KEV * (1 - cosine))
    free = ratio**2 * (ratio + 1 / ratio - (1 - cosine**2))
    return half_sine * free * np.interp(energy_kev / HC_KEV_ANGSTROM * half_sine, x, s, left=0.0)


def rayleigh_density(energy_kev: float, half_sine: np.ndarray) -> np.ndarray:
    """Thomson times F^2 over sin(angle / 2), not normalised."""
    x, _, f2 = bound_factors()
    cosine = 1 - 2 * half_sine**2
    return half_sine * (1 + cosine**2) * np.interp(energy_kev / HC_KEV_ANGSTROM * half_sine, x, f2)


ANGLES = {
    "compton": (sampler_kernels.compton_cosines, compton_density),
    "rayleigh": (sampler_kernels.coherent_cosines, rayleigh_density),
}


def half_sines(process: str, energy_kev: float, effort: Effort) -> np.ndarray:
    """Draws of sin(angle / 2) of a process of `ANGLES`."""
    cosines = draw(ANGLES[process][0], uploaded(), wp.uint64(effort.seed), energy_kev)
    return np.sqrt(np.clip((1 - cosines) / 2, 0, 1))


def angle(process: str, energy_kev: float, effort: Effort) -> Measured:
    """Scattering angles: chi-square over 40 bins of equal expectation."""
    edges = equal_share_edges(partial(ANGLES[process][1], energy_kev), BINS)
    counts, _ = np.histogram(half_sines(process, energy_kev, effort), edges)
    return chi_square(counts, np.ones(BINS))


def isotropic(effort: Effort) -> Measured:
    """Directions of emission: chi-square over 20 x 20 bins of equal solid angle."""
    d = draw(sampler_kernels.directions, wp.uint64(effort.seed), vector=True)
    azimuth = np.arctan2(d[:, 1], d[:, 0])
    counts, _, _ = np.histogram2d(d[:, 2], azimuth, 20, [(-1, 1), (-np.pi, np.pi)])
    return chi_square(counts.ravel(), np.ones(counts.size))


def turned(effort: Effort) -> Measured:
    """Azimuth about the old direction after scattering by 60 degrees: chi-square over 40 bins.

    A draw whose angle to the old direction is not 60 degrees counts in no bin, and so raises the chi-square.
    """
    before = np.array([0.6, -0.48, 0.64])
    vectors = draw(sampler_kernels.turns, wp.uint64(effort.seed), wp.vec3(*before), 0.5, vector=True)
    right = np.abs(vectors @ before - 0.5) < 1e-5
    across = np.cross(before, [0.0, 0.0, 1.0])
    across /= np.linalg.norm(across)
    azimuth = np.arctan2(vectors @ np.cross(before, across), vectors @ across)
    counts, _ = np.histogram(azimuth[right], BINS, (-np.pi, np.pi))
    return chi_square(np.append(counts, np.count_nonzero(~right)), np.append(np.full(BINS, 1.0), 1e-9))


def emission_voxel(effort: Effort) -> Measured:
    """Voxels of emission of an uneven activity map: chi-square over all active voxels."""
    phantom = uneven_phantom()
    points = draw(sampler_kernels.emission_points, uploaded(phantom), wp.uint64(effort.seed), vector=True)
    index = np.ravel_multi_index(tuple(points.astype(int).T), phantom.activity.shape)
    active = phantom.activity.ravel() > 0
    counts = np.bincount(index, minlength=active.size)
    inactive = counts[~active].sum()  # must be 0
    return chi_square(np.append(counts[active], inactive), np.append(phantom.activity.ravel()[active], 1e-9))


def place_in_voxel(effort: Effort) -> Measured:
    """Where in their voxel photons start: chi-square over 8 x 8 x 8 bins."""
    points = draw(sampler_kernels.emission_points, uploaded(), wp.uint64(effort.seed), vector=True)
    counts, _ = np.histogramdd(points % 1.0, (8, 8, 8), [(0, 1)] * 3)
    return chi_square(counts.ravel(), np.ones(counts.size))


def line_choice(effort: Effort) -> Measured:
    """Lines of 177Lu that are followed: chi-square against their yields."""
    energies = draw(sampler_kernels.emission_energies, uploaded(), wp.uint64(effort.seed))
    lines = followed_tables().lines
    counts = np.array([np.isclose(energies, x.energy_kev, atol=0.01).sum() for x in lines])
    return chi_square(counts, np.array([x.per_decay for x in lines]))


def uniform_pairs(effort: Effort) -> Measured:
    """Random numbers of neighbouring histories: chi-square over 20 x 20 bins of pairs."""
    u = draw(sampler_kernels.numbers, wp.uint64(effort.seed))
    counts, _, _ = np.histogram2d(u[:-1], u[1:], 20, [(0, 1), (0, 1)])
    return chi_square(counts.ravel(), np.ones(counts.size))


ROWS = {
    **{f"{p}_angle_{e:.0f}": partial(angle, p, e) for p in ANGLES for e in ENERGIES_KEV},
    "isotropic": isotropic,
    "turned_azimuth": turned,
    "emission_voxel": emission_voxel,
    "place_in_voxel": place_in_voxel,
    "line_choice": line_choice,
    "uniform_pairs": uniform_pairs,
}
