"""Blur of a depth layer by the head, as a short sum of separable kernels.

The head's response (`physics.head_response`) is a two-dimensional kernel per distance. Its singular value decomposition
gives ``K[x, z] = sum_r a_r[x] b_r[z]``; the first `RANK` terms hold it well enough (tests/recon/test_blur.py states how
well), and make the projector a few small matrix products.
"""

import numpy as np

from planardose.library import Camera, Nuclide
from planardose.physics.head_response import head_kernel
from planardose.physics.sensitivity import line_sensitivities_cps_per_mbq

RANK = 2
MINOR_LINE = 1e-3  # of the counts in air: lines below it take part with the kernel and attenuation of the others


def counted_lines(camera: Camera, nuclide: Nuclide, penetration: bool) -> dict[float, float]:
    """Energy (keV) of the lines that make the photopeak's counts in air, and their shares, which sum to 1."""
    counts = line_sensitivities_cps_per_mbq(camera, nuclide, nuclide.photopeak, penetration)
    kept = counts > MINOR_LINE * counts.sum()
    rows = zip(nuclide.lines, counts / counts[kept].sum(), kept, strict=True)
    return {line.energy_kev: float(share) for line, share, used in rows if used}


def layer_kernel(
    camera: Camera, nuclide: Nuclide, distance_mm: float, pixel_mm: tuple[float, float], penetration: bool
) -> np.ndarray:
    """(2 a + 1, 2 b + 1) shares, summing to 1: the head's kernel in the photopeak, mean over lines as counted in air."""
    kernels = [
        share * _normalised(head_kernel(camera, nuclide.photopeak, energy, distance_mm, pixel_mm, penetration))
        for energy, share in counted_lines(camera, nuclide, penetration).items()
    ]
    size = np.max([k.shape for k in kernels], axis=0)
    return sum(np.pad(k, [((n - m) // 2,) * 2 for n, m in zip(size, k.shape, strict=True)]) for k in kernels)


def _normalised(kernel: np.ndarray) -> np.ndarray:
    return kernel / kernel.sum()


def separable(kernel: np.ndarray, rank: int = RANK) -> tuple[np.ndarray, np.ndarray]:
    """Profiles along x (rank, A) and z (rank, B) whose outer products add up to nearly the kernel (A, B), same sum.

    The best approximation of that rank in the mean square; missing terms of a small kernel are zero.
    """
    u, s, v = np.linalg.svd(kernel)
    terms = min(rank, s.size)
    root = np.zeros(rank)
    root[:terms] = np.sqrt(s[:terms])
    along_x, along_z = np.zeros((rank, kernel.shape[0])), np.zeros((rank, kernel.shape[1]))
    along_x[:terms], along_z[:terms] = u.T[:terms], v[:terms]
    along_x, along_z = root[:, None] * along_x, root[:, None] * along_z
    total = (along_x.sum(axis=1) * along_z.sum(axis=1)).sum()
    return along_x * (kernel.sum() / total), along_z


def banded(profile: np.ndarray, size: int) -> np.ndarray:
    """Matrices (..., size, size) that convolve with centred profiles (..., 2 a + 1); what leaves the grid is lost."""
    reach = profile.shape[-1] // 2
    wide = np.zeros((*profile.shape[:-1], 2 * max(size, reach) + 1))
    middle = wide.shape[-1] // 2
    wide[..., middle - reach : middle + reach + 1] = profile
    return wide[..., np.arange(size)[:, None] - np.arange(size)[None, :] + middle]
