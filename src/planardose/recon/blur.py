"""Blur of the depth layers by the head, as a short sum of separable kernels.

The head's response (`physics.head_response`) is a two-dimensional kernel per distance. `separable` writes it as
``K[x, z] = sum_r a_r[x] b_r[z]`` with `RANK` terms, which makes the projector a few small matrix products per layer.
What the terms leave out changes primary images of patients by about 0.1 % (root mean square, `benchmarks/projector`).
"""

from functools import lru_cache

import numpy as np

from planardose.library import Camera, Nuclide
from planardose.physics.detector import energy_fwhm_kev
from planardose.physics.head_response import head_efficiency, head_kernel
from planardose.physics.sensitivity import line_sensitivities_cps_per_mbq

RANK = 2
# of the counts in air: a line below it, or so near (relative to its energy) to a stronger one, counts with the kernel
# and attenuation of the nearest that stands for others
MINOR_LINE, NEAR = 5e-3, 0.1
TAILS = 0.25  # power of the marginals that weighs the fit of the later terms: between all alike (0) and relative (0.5)
LEAST_MARGINAL = 1e-7  # of the largest one


def counted_lines(camera: Camera, nuclide: Nuclide, penetration: bool) -> dict[float, float]:
    """Energy (keV) of the lines that stand for all of the photopeak's counts in air, and their shares, which sum to 1.

    High lines that come through lead are weak one by one, 4 % of the counts together (123I, MELP), and pass the patient
    more easily than the imaged line: they count with each other, not with it.
    """
    counts = line_sensitivities_cps_per_mbq(camera, nuclide, nuclide.photopeak, penetration)
    energy, kept = np.array([line.energy_kev for line in nuclide.lines]), []
    for n in np.argsort(-counts, kind="stable"):
        if counts[n] > MINOR_LINE * counts.sum() and (np.abs(energy[kept] / energy[n] - 1.0) > NEAR).all():
            kept.append(n)
    nearest = np.abs(np.log(energy[:, None] / energy[kept])).argmin(axis=1)
    shares = np.bincount(nearest, counts, len(kept))
    return dict(zip(energy[kept].tolist(), (shares / shares.sum()).tolist(), strict=True))


@lru_cache(maxsize=64)
def line_groups(camera: Camera, nuclide: Nuclide, penetration: bool) -> tuple[tuple[dict[float, float], ...], float]:
    """`counted_lines` in groups that are blurred alike, and the energy (keV) that parts them; infinite for one group.

    Photons above the window count by what they leave in lead and crystal, come through lead far from their place and
    pass more of the patient: their share grows with the depth, and so does that of their blur.
    """
    window, lines = nuclide.photopeak, counted_lines(camera, nuclide, penetration)
    edge = window.high_kev + 0.5 * float(energy_fwhm_kev(camera, window.high_kev))
    parts = [{e: s for e, s in lines.items() if (e > edge) == above} for above in (False, True)]
    return (tuple(parts), edge) if all(parts) else ((lines,), np.inf)


def layer_kernel(
    camera: Camera,
    nuclide: Nuclide,
    distance_mm: float,
    pixel_mm: tuple[float, float],
    penetration: bool,
    group: int | None = None,
) -> np.ndarray:
    """(2 a + 1, 2 b + 1) shares of the counts: the head's kernel in the photopeak, mean over lines as counted in air.

    Of all lines or of a group of `line_groups`. What lies beyond the camera's field is lost: 1e-3 at most where little
    comes through lead, 5 % of photons of 450 keV with a collimator for low energies.
    """
    kernels = []
    groups = line_groups(camera, nuclide, penetration)[0]
    lines = counted_lines(camera, nuclide, penetration) if group is None else groups[group]
    for energy, share in lines.items():
        kernel = head_kernel(camera, nuclide.photopeak, energy, distance_mm, pixel_mm, penetration)
        counted = head_efficiency(camera, nuclide.photopeak, energy, penetration)
        kernels.append(kernel * (share / counted / sum(lines.values())))
    size = np.max([k.shape for k in kernels], axis=0)
    return sum(np.pad(k, [((n - m) // 2,) * 2 for n, m in zip(size, k.shape, strict=True)]) for k in kernels)


def separable(kernel: np.ndarray, rank: int = RANK) -> tuple[np.ndarray, np.ndarray]:
    """Profiles along x (rank, A) and z (rank, B) whose outer products add up to nearly the kernel (A, B).

    The first term is the product of the kernel's marginals: it keeps the sum, and how the counts spread along x and
    along z. The others are singular vectors of what it leaves, weighted so that the faint wide tail of penetration
    counts too; their sums along both axes nearly vanish.
    """
    across, along = kernel.sum(axis=1), kernel.sum(axis=0)
    weights = [np.maximum(m, LEAST_MARGINAL * m.max()) ** TAILS for m in (across, along)]
    rest = (kernel - np.outer(across, along) / kernel.sum()) / np.outer(*weights)
    u, s, v = np.linalg.svd(rest)
    profiles = np.zeros((rank, across.size)), np.zeros((rank, along.size))
    profiles[0][0], profiles[1][0] = across / kernel.sum(), along
    more = min(rank - 1, s.size)
    profiles[0][1 : 1 + more] = u.T[:more] * s[:more, None] * weights[0]
    profiles[1][1 : 1 + more] = v[:more] * weights[1]
    return profiles


def banded(profiles: np.ndarray, size: int) -> np.ndarray:
    """Matrices (R, size, size) that convolve with centred profiles (R, 2 a + 1); what leaves the grid is lost."""
    reach = profiles.shape[1] // 2
    wide = np.zeros((len(profiles), 2 * max(size, reach) + 1))
    middle = wide.shape[1] // 2
    wide[:, middle - reach : middle + reach + 1] = profiles
    return wide[:, np.arange(size)[:, None] - np.arange(size)[None, :] + middle]


@lru_cache(maxsize=1024)
def layer_profiles(
    camera: Camera,
    nuclide: Nuclide,
    distance_mm: float,
    pixel_mm: tuple[float, float],
    penetration: bool,
    group: int | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """`separable` of `layer_kernel`; kept, because projectors of one geometry are often set up again."""
    return separable(layer_kernel(camera, nuclide, distance_mm, pixel_mm, penetration, group))
