"""The views of a virtual SPECT: heads on a circular orbit, and Poisson counts of the Monte Carlo camera from there."""

from dataclasses import dataclass

import numpy as np

from planardose.heads import Columns, Head
from planardose.image import Grid
from planardose.library import Camera, Nuclide
from planardose.sim.montecarlo import Options, simulate

GAP_MM = 20.0  # from the body's farthest point to the face


@dataclass(frozen=True)
class SpectCounts:
    """Photopeak counts of an orbit.

    Parameters
    ----------
    counts : (V, U, K) float64
    heads : tuple of Head
    columns : Columns
    seconds : float
        Per view.
    """

    counts: np.ndarray
    heads: tuple[Head, ...]
    columns: Columns
    seconds: float


def circular_orbit(
    body: np.ndarray, grid: Grid, views: int, centre_mm: tuple[float, float], field: tuple | None = None
) -> tuple[Head, ...]:
    """Heads at even angles about the line (x, y) = centre, `GAP_MM` from the body's farthest point.

    Parameters
    ----------
    body : (I, J, K) bool
    grid : Grid
    views : int
    centre_mm : (x, y) float
    field : (field_mm, field_centre_mm) or None
        Axial and transverse field and its centre (z, column), as `Head`; None sees all.
    """
    i, j = np.nonzero(body.any(axis=2))
    x, y = grid.axis_mm(0)[i] - centre_mm[0], grid.axis_mm(1)[j] - centre_mm[1]
    radius = float(np.hypot(x, y).max()) + 0.5 * float(np.hypot(*grid.spacing_mm[:2])) + GAP_MM
    heads = []
    for angle in np.arange(views) * (360.0 / views):
        from_origin = radius + float(Head(angle, 0.0).normal[:2] @ np.array(centre_mm))
        heads.append(Head(float(angle), from_origin, *(field or ())))
    return tuple(heads)


def spect_counts(
    partial_density: np.ndarray,
    activity_mbq: np.ndarray,
    grid: Grid,
    camera: Camera,
    nuclide: Nuclide,
    heads: tuple[Head, ...],
    seconds: float,
    histories: float,
    seed: int,
) -> SpectCounts:
    """Poisson counts of the photopeak in every view, columns and slices as wide as the grid's voxels.

    Parameters
    ----------
    partial_density, activity_mbq, grid, camera, nuclide
        As `simulate`.
    heads : tuple of Head
    seconds : float
        Per view.
    histories, seed
        Of the scatter; the counts are drawn from `seed` too.
    """
    options = Options(batches=1)
    views = simulate(
        partial_density, activity_mbq, grid, camera, nuclide, (nuclide.photopeak,), heads, histories, seed, options
    )
    counts = np.random.default_rng(seed).poisson(views.rate[:, 0] * seconds).astype(np.float64)
    return SpectCounts(counts, tuple(heads), Columns.covering(grid, tuple(heads)), seconds)
