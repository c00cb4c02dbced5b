"""Blur of the depth layers by the head, as short sums of separable kernels.

The head's response (`physics.head_response`) is a two-dimensional kernel per distance. Its singular value decomposition
gives ``K[x, z] = sum_r a_r[x] b_r[z]``. A layer takes as many terms as leave less than `TOLERANCE` of the kernel, so
that the projector is a few small matrix products per layer; the sum of every kernel is kept.
"""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from planardose.library import Camera, Nuclide
from planardose.physics.head_response import head_kernel
from planardose.physics.sensitivity import line_sensitivities_cps_per_mbq

TOLERANCE = 5e-3  # root mean square of what the terms of a layer leave out, over that of its kernel
MINOR_LINE = 1e-3  # of the counts in air: lines below it take part with the kernel and attenuation of the others


@dataclass(frozen=True)
class Term:
    """One separable term of the blur of the consecutive layers that have it.

    `layers` of y, `across` (L, I', I) from columns to columns, `along` (L, K', K) from slices to slices.
    """

    layers: slice
    across: np.ndarray
    along: np.ndarray


def counted_lines(camera: Camera, nuclide: Nuclide, penetration: bool) -> dict[float, float]:
    """Energy (keV) of the lines that make the photopeak's counts in air, and their shares, which sum to 1."""
    counts = line_sensitivities_cps_per_mbq(camera, nuclide, nuclide.photopeak, penetration)
    kept = counts > MINOR_LINE * counts.sum()
    rows = zip(nuclide.lines, counts / counts[kept].sum(), kept, strict=True)
    return {line.energy_kev: float(share) for line, share, used in rows if used}


def layer_kernel(
    camera: Camera, nuclide: Nuclide, distance_mm: float, pixel_mm: tuple[float, float], penetration: bool
) -> np.ndarray:
    """(2 a + 1, 2 b + 1) shares, summing to 1: the head's kernel in the photopeak, mean over lines as counted in air.

    What the head's kernel leaves outside (`head_response.OUTSIDE`) is shared out inside.
    """
    kernels = []
    for energy, share in counted_lines(camera, nuclide, penetration).items():
        kernel = head_kernel(camera, nuclide.photopeak, energy, distance_mm, pixel_mm, penetration)
        kernels.append(kernel * (share / kernel.sum()))
    size = np.max([k.shape for k in kernels], axis=0)
    return sum(np.pad(k, [((n - m) // 2,) * 2 for n, m in zip(size, k.shape, strict=True)]) for k in kernels)


def separable(kernel: np.ndarray, tolerance: float = TOLERANCE) -> tuple[np.ndarray, np.ndarray]:
    """Profiles along x (R, A) and z (R, B) whose outer products add up to nearly the kernel (A, B), with its sum.

    The fewest terms that leave no more than `tolerance` of the kernel's root mean square; before the sum is restored.
    """
    u, s, v = np.linalg.svd(kernel)
    left = np.sqrt(np.append(np.cumsum(s[::-1] ** 2)[::-1], 0.0) / (s**2).sum())
    rank = max(int(np.argmax(left <= tolerance)), 1)
    along_x, along_z = u.T[:rank] * s[:rank, None], v[:rank]
    total = along_x.sum(axis=1) @ along_z.sum(axis=1)
    return along_x * (kernel.sum() / total), along_z


def banded(profile: np.ndarray, size: int) -> np.ndarray:
    """Matrix (size, size) that convolves with a centred profile (2 a + 1,); what leaves the grid is lost."""
    reach = profile.size // 2
    wide = np.zeros(2 * max(size, reach) + 1)
    middle = wide.size // 2
    wide[middle - reach : middle + reach + 1] = profile
    return wide[np.arange(size)[:, None] - np.arange(size)[None, :] + middle]


@lru_cache(maxsize=1024)
def _layer(
    camera: Camera, nuclide: Nuclide, distance_mm: float, pixel_mm: tuple[float, float], penetration: bool
) -> tuple[np.ndarray, np.ndarray]:
    """Profiles of one layer; kept, because projectors of one geometry are often set up again."""
    return separable(layer_kernel(camera, nuclide, distance_mm, pixel_mm, penetration))


def blur_terms(
    camera: Camera,
    nuclide: Nuclide,
    distances_mm: np.ndarray,
    pixel_mm: tuple[float, float],
    shape: tuple[int, int],
    penetration: bool,
) -> list[Term]:
    """Terms of the blur of all depth layers in one view.

    Parameters
    ----------
    camera : Camera
    nuclide : Nuclide
        Its photopeak is imaged.
    distances_mm : (J,) float
        From each layer to the face, not negative.
    pixel_mm : (x, z) float
    shape : (I, K)
        Of the layers and of the image.
    penetration : bool

    Returns
    -------
    list of Term
        The first covers all layers; a later one the range of layers that need it, with zeros where one does not.
    """
    profiles = [_layer(camera, nuclide, float(d), pixel_mm, penetration) for d in distances_mm]
    ranks = np.array([len(x) for x, _ in profiles])
    terms = []
    for r in range(ranks.max()):
        used = np.flatnonzero(ranks > r)
        layers = slice(int(used[0]), int(used[-1]) + 1)
        across, along = (np.zeros((layers.stop - layers.start, n, n)) for n in shape)
        for j in used:
            across[j - layers.start] = banded(profiles[j][0][r], shape[0])
            along[j - layers.start] = banded(profiles[j][1][r], shape[1])
        terms.append(Term(layers, across, along))
    return terms
