"""Texture of the uptake inside an organ: smooth log-normal fields, and the cortex of the kidneys."""

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from planardose.image import Grid
from planardose.units import FWHM_PER_SIGMA

WAVES = 48

CORTEX_MM = 6.0  # depth scale of the cortex: half the thickness of the renal parenchyma's outer layer with its columns


def gaussian_field(grid: Grid, length_mm: float, seed: int) -> np.ndarray:
    """(I, J, K) float64 Gaussian field, mean 0, standard deviation 1, smoothed over `length_mm` (FWHM)."""
    rng = np.random.default_rng(seed)
    sigma = length_mm / FWHM_PER_SIGMA / grid.spacing_mm
    field = ndimage.gaussian_filter(rng.standard_normal(grid.shape), sigma, mode="wrap")
    return (field - field.mean()) / max(field.std(), 1e-12)


def cortex_weight(fraction: np.ndarray, grid: Grid, medulla: float) -> np.ndarray:
    """(I, J, K) weight of a kidney's voxels: 1 at the surface, falling to `medulla` in the depth.

    The depth comes from the kidney's fraction smoothed over the cortex' scale, so it works on coarse grids too.
    """
    sigma = np.maximum(CORTEX_MM, 0.5 * grid.spacing_mm) / grid.spacing_mm
    smooth = ndimage.gaussian_filter(fraction.astype(np.float64), sigma)
    top = smooth.max()
    depth = np.clip((smooth - 0.5 * top) / max(0.5 * top, 1e-12), 0.0, 1.0)
    return 1.0 - (1.0 - medulla) * depth


@dataclass(frozen=True)
class WaveField:
    """A Gaussian-like field for any points: a sum of `WAVES` plane waves of random direction and phase.

    Mean 0, standard deviation 1, correlation as of white noise smoothed over `length_mm` (FWHM).
    """

    length_mm: float
    seed: int

    def at(self, points: np.ndarray) -> np.ndarray:
        """(N,) float32 at points (N, 3) in mm."""
        rng = np.random.default_rng(self.seed)
        sigma = self.length_mm / FWHM_PER_SIGMA
        waves = (rng.standard_normal((3, WAVES)) / (np.sqrt(2) * sigma)).astype(np.float32)
        phase = rng.uniform(0, 2 * np.pi, WAVES).astype(np.float32)
        return np.cos(points.astype(np.float32) @ waves + phase).sum(axis=1) * np.float32(np.sqrt(2 / WAVES))
