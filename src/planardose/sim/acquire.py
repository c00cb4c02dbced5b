"""A virtual acquisition: count rates on the simulation's grid become counts in the pixels of a camera."""

from dataclasses import dataclass

import numpy as np
from scipy.ndimage import map_coordinates

from planardose.frames import PlanarPose
from planardose.image import Grid
from planardose.physics.sweep import live_share
from planardose.planar import PlanarPair

SAMPLES = 3  # points per pixel and axis at which the rate is read


@dataclass(frozen=True)
class DeadTime:
    """Paralysable dead time of each head.

    Parameters
    ----------
    tau_us : float
    weights : (W,) tuple of float
        Of the windows in the rate that `tau_us` belongs to (`physics.scatter_windows.primary_weights`).
    field_mm : float or None
        Axial length of the field in a sweep; None for a static image.
    """

    tau_us: float
    weights: tuple[float, ...]
    field_mm: float | None = None


def rates_on_pixels(
    rate: np.ndarray, grid: Grid, pixel_mm: tuple[float, float], matrix: tuple[int, int], pose: PlanarPose
) -> np.ndarray:
    """Rates of a camera's pixels, read from rates on a grid by cubic splines (bilinear ones would blur), cut at zero.

    Parameters
    ----------
    rate : (2, W, I, K) array
        cps per column and slice of `grid`.
    grid : Grid
        RAS-aligned.
    pixel_mm : (row, column) float
    matrix : (rows, columns) int
    pose : PlanarPose
        Where the centre of the matrix lies.

    Returns
    -------
    (2, W, x, z) float64
        Camera pixels in RAS order (x to the patient's right, z to the head). The sum is that of `rate` within 0.5 %
        where the matrix covers the grid, for images no sharper than a pixel.
    """
    parts = (np.arange(SAMPLES) + 0.5) / SAMPLES - 0.5
    rows, columns = matrix
    u = ((np.arange(columns) - (columns - 1) / 2)[:, None] + parts).ravel() * pixel_mm[1]
    v = ((np.arange(rows) - (rows - 1) / 2)[:, None] + parts).ravel() * pixel_mm[0]
    x, z = pose.to_ras(*np.meshgrid(u, v, indexing="ij"))
    where = [(x - grid.axis_mm(0)[0]) / grid.spacing_mm[0], (z - grid.axis_mm(2)[0]) / grid.spacing_mm[2]]
    share = pixel_mm[0] * pixel_mm[1] / (grid.spacing_mm[0] * grid.spacing_mm[2])
    out = np.empty((*rate.shape[:2], columns, rows))
    for view in range(rate.shape[0]):
        for window in range(rate.shape[1]):
            points = np.maximum(map_coordinates(rate[view, window], where, order=3, mode="grid-constant"), 0.0)
            out[view, window] = share * points.reshape(columns, SAMPLES, rows, SAMPLES).mean(axis=(1, 3))
    return out


def acquire(
    rate: np.ndarray,
    grid: Grid,
    pixel_mm: tuple[float, float],
    matrix: tuple[int, int],
    pose: PlanarPose,
    exposure_s: float,
    rng: np.random.Generator | None,
    dead_time: DeadTime | None = None,
) -> np.ndarray:
    """Counts of both views as the camera sees them.

    Parameters
    ----------
    rate, grid, pixel_mm, matrix, pose
        As `rates_on_pixels`.
    exposure_s : float
        Seconds during which each point is in the field of view.
    rng : numpy Generator or None
        Draws Poisson counts; None gives the expected ones.
    dead_time : DeadTime or None
        None loses nothing. The windows of a view lose the same share.

    Returns
    -------
    (2, W, rows, columns) float32
        In camera order (`planar.PlanarPair`).
    """
    expected = rates_on_pixels(rate, grid, pixel_mm, matrix, pose)
    if dead_time is not None:
        in_field = None if dead_time.field_mm is None else round(dead_time.field_mm / pixel_mm[0])
        rows_cps = np.maximum(np.einsum("w,vwxz->vz", dead_time.weights, expected), 0.0)
        share = live_share(rows_cps, dead_time.tau_us, in_field)
        expected *= share[:, None, None, :]
    expected *= exposure_s
    counts = expected if rng is None else rng.poisson(expected)
    return PlanarPair.counts_from_ras(counts.astype(np.float32))
