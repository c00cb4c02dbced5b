"""The directions, rings and channels of a collimator's response table, apart from the kernels that fill it.

Light: a table that is cached is read without loading Warp.
"""

from dataclasses import dataclass

import numpy as np

from planardose.library import Camera

TANGENT_LAST = 6.0  # directions and rings are kept up to 80.5 degrees from the axis
CORE = 3.0
SHIFTS = 100  # bins of the Compton shift, rest (1/E' - 1/E): 1 - cos(angle) for one scattering; see `shift_channel`
LAST_SHIFT = 4.0  # what is shifted more (below 79 keV from 208) counts in the last bin


@dataclass(frozen=True)
class Settings:
    """How finely a table is traced; defaults: 0.1 % on unscattered, 2 % on all lead-scattered photons."""

    tangents: int = 256  # inclinations traced
    azimuths: int = 32  # over 30 degrees: the lattice's symmetry gives the rest
    entries: int = 129  # points of entry per direction, a multiple of 3
    core_entries: int = 2064  # the same within `CORE` hole widths per length of the axis, where rays cross few septa
    histories: int = 2**18  # photons followed for the scatter
    batches: int = 8  # groups of them, whose spread gives the errors
    rings: int = 64  # radial bins of the scatter's image
    distances_mm: tuple[float, ...] = (0.0, 25.0, 50.0, 100.0, 150.0, 200.0, 300.0, 450.0)


def radius_at(camera: Camera, share: np.ndarray) -> np.ndarray:
    """Tangent at a share (0 to 1) of the logarithmic scale from 0 to `TANGENT_LAST`, even at first, then stretching."""
    scale = camera.hole_mm / camera.length_mm
    return scale * np.expm1(share * np.log1p(TANGENT_LAST / scale))


def share_at(camera: Camera, tangent: np.ndarray) -> np.ndarray:
    """Inverse of `radius_at`."""
    scale = camera.hole_mm / camera.length_mm
    return np.log1p(tangent / scale) / np.log1p(TANGENT_LAST / scale)


def tangent_nodes(camera: Camera, count: int) -> np.ndarray:
    """(count,) middles of even steps on the scale of `radius_at`."""
    return radius_at(camera, (np.arange(count) + 0.5) / count)


def azimuth_nodes(count: int) -> np.ndarray:
    """(count,) middles of even steps over 0 to 30 degrees, after which the lattice repeats or mirrors itself."""
    return np.pi / 6 * (np.arange(count) + 0.5) / count


def solid_angle_share(camera: Camera, count: int) -> np.ndarray:
    """(count,) share of all 4 pi around each of the `tangent_nodes`, all azimuths together."""
    inner, outer = (radius_at(camera, (np.arange(count) + n) / count) for n in (0, 1))
    return 0.5 * (1.0 / np.sqrt(1.0 + inner**2) - 1.0 / np.sqrt(1.0 + outer**2))
