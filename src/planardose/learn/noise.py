"""Noise with the smoothness of the residual: Gaussian, unit variance, one correlation length for the whole body.

Any noise with full support will do for a flow between noise and residual (Albergo et al. 2023, "Stochastic
interpolants"); noise that looks like the residual leaves the network the least to learn.
"""

import math

import numpy as np
import torch
from scipy.ndimage import gaussian_filter

from planardose.seeds import rng_for

SMOOTHEST = 0.9  # largest correlation of neighbours that counts


def neighbour_correlation(residuals: torch.Tensor, body: torch.Tensor) -> float:
    """Mean over the three axes of the correlation of neighbouring voxels of residuals (N, I, J, K) in the body."""
    found = []
    for axis in (1, 2, 3):
        n = residuals.shape[axis] - 1
        a, b = (residuals.narrow(axis, start, n) for start in (0, 1))
        both = body.narrow(axis - 1, 0, n) * body.narrow(axis - 1, 1, n)
        found.append(float((a * b * both).sum() / (0.5 * (a * a + b * b) * both).sum().clamp_min(1e-12)))
    return sum(found) / len(found)


def smoothing_of(correlation: float) -> float:
    """Standard deviation in voxels of the Gaussian whose noise has this correlation of neighbours; 0: white.

    White noise smoothed by a Gaussian of deviation s has the correlation exp(-d^2 / (4 s^2)) at distance d.
    """
    inside = min(correlation, SMOOTHEST)
    return 0.0 if inside <= 0.05 else 1 / math.sqrt(-4 * math.log(inside))


def unit_noise(rng: np.random.Generator, shape: tuple[int, ...], smoothing: float) -> np.ndarray:
    """(I, J, K) float32 Gaussian noise of unit variance, smoothed by `smoothing` voxels."""
    white = rng.standard_normal(shape)
    if not smoothing:
        return white.astype(np.float32)
    one = np.zeros(shape)
    one[tuple(n // 2 for n in shape)] = 1.0
    energy = (gaussian_filter(one, smoothing, mode="wrap") ** 2).sum()
    return (gaussian_filter(white, smoothing, mode="wrap") / math.sqrt(energy)).astype(np.float32)


def noise_of(
    root: int, name: str, patient: str, draws: int, shape: tuple[int, ...], smoothing: float
) -> np.ndarray:
    """Noise (draws, I, J, K) float32 in pairs of opposite sign: what is linear in it cancels in the mean."""
    halves = [unit_noise(rng_for(root, name, patient, n), shape, smoothing) for n in range(-(-draws // 2))]
    return np.stack([part for h in halves for part in (h, -h)])[:draws]
