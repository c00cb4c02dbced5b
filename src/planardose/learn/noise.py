"""Noise that looks like the residual: Gaussian, unit variance, as smooth, and with as much in common in each organ.

Any noise with full support will do for a flow between noise and residual (Albergo et al. 2023, "Stochastic
interpolants"); noise that looks like the residual leaves the network the least to learn.
"""

import math
from dataclasses import dataclass, field

import numpy as np
import torch
from scipy.ndimage import gaussian_filter
from scipy.optimize import brentq

from planardose.learn.organ_shares import organ_shares
from planardose.seeds import rng_for

SMOOTHEST = 0.9  # largest correlation of neighbours that counts
LEAST_CORRELATION = 0.05  # below it the noise is white
WIDEST = 3  # voxels: more than `SMOOTHEST` needs
MOST_COMMON = 0.9  # largest share of an organ's variance that the whole organ has in common


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
    """Standard deviation in voxels of the sampled Gaussian whose noise has this correlation of neighbours; 0: white."""
    inside = min(correlation, SMOOTHEST)
    if inside <= LEAST_CORRELATION:
        return 0.0
    one = np.zeros(2 * WIDEST * 4 + 1)
    one[len(one) // 2] = 1.0

    def excess(smoothing: float) -> float:
        kernel = gaussian_filter(one, smoothing)
        return float(kernel[1:] @ kernel[:-1] / (kernel @ kernel)) - inside

    return float(brentq(excess, 0.2, WIDEST))


def unit_noise(rng: np.random.Generator, shape: tuple[int, ...], smoothing: float) -> np.ndarray:
    """(I, J, K) float32 Gaussian noise of unit variance, smoothed by `smoothing` voxels."""
    white = rng.standard_normal(shape)
    if not smoothing:
        return white.astype(np.float32)
    one = np.zeros(shape)
    one[tuple(n // 2 for n in shape)] = 1.0
    energy = (gaussian_filter(one, smoothing, mode="wrap") ** 2).sum()
    return (gaussian_filter(white, smoothing, mode="wrap") / math.sqrt(energy)).astype(np.float32)


@dataclass(frozen=True)
class NoiseModel:
    """Smooth noise, and in each organ a share of the variance that the whole organ has in common.

    Parameters
    ----------
    smoothing : float
        Voxels.
    common : (O,) float64
        Shares, 0 to 1.
    share : (O, I, J, K) float32
        Of each voxel, adding up to 1 in the body.
    """

    smoothing: float
    common: np.ndarray
    share: np.ndarray = field(repr=False)

    def draw(self, rng: np.random.Generator) -> np.ndarray:
        """(I, J, K) float32."""
        fine = unit_noise(rng, self.share.shape[1:], self.smoothing)
        whole = rng.standard_normal(len(self.common)) * np.sqrt(self.common)
        along, own = (np.tensordot(x.astype(np.float32), self.share, axes=1) for x in (whole, np.sqrt(1 - self.common)))
        return own * fine + along

    def pairs(self, root: int, name: str, patient: str, draws: int) -> np.ndarray:
        """(draws, I, J, K) float32 in pairs of opposite sign: what is linear in the noise cancels in the mean."""
        halves = [self.draw(rng_for(root, name, patient, n)) for n in range(-(-draws // 2))]
        return np.stack([part for h in halves for part in (h, -h)])[:draws]


def noise_like(
    residuals: torch.Tensor, fractions: torch.Tensor, body: torch.Tensor, rng: np.random.Generator
) -> NoiseModel:
    """Noise with the neighbours' correlation of residuals (N, I, J, K), and their organ means' variance.

    What smooth noise alone makes organ means vary, found from as many draws, is no common share.
    """
    smoothing = _short(smoothing_of(neighbour_correlation(residuals, body)))
    inside = fractions * body
    volumes = inside.sum(dim=(1, 2, 3)).clamp_min(1e-6)
    fine = np.stack([unit_noise(rng, tuple(body.shape), smoothing) for _ in residuals])

    def variance(x: torch.Tensor) -> torch.Tensor:
        return (torch.einsum("oijk,nijk->no", inside, x) / volumes).var(dim=0)

    extra = variance(residuals) - variance(torch.as_tensor(fine, dtype=residuals.dtype, device=residuals.device))
    common = [_short(x) for x in extra.clamp(0, MOST_COMMON).tolist()]
    return NoiseModel(smoothing, np.array(common), organ_shares(fractions).cpu().numpy())


def _short(value: float) -> float:
    return float(f"{value:.4g}")
