"""A SPECT on the patient model's grid: resampled with what it covers, its resolution estimated from the CT's organs."""

from dataclasses import dataclass
from functools import cache

import numpy as np
from scipy.ndimage import gaussian_filter, map_coordinates

from planardose.image import Grid, Volume
from planardose.patient_model import PatientModel
from planardose.recon.qplanar import nonnegative_solution
from planardose.units import FWHM_PER_SIGMA

PARTS = 3  # points per voxel and axis
FWHM_MM = (0.0, 30.0)  # searched
FWHM_STEP_MM = 1.0


@dataclass(frozen=True)
class OnGrid:
    """Concentration on the grid, and which voxels lie wholly in the image's field."""

    per_ml: np.ndarray
    covered: np.ndarray


def on_grid(image: Volume, grid: Grid, image_from_grid: np.ndarray | None = None) -> OnGrid:
    """Mean of an image over each voxel of a grid, by `PARTS` cubed points interpolated linearly.

    Parameters
    ----------
    image : Volume
        Concentration, any orientation.
    grid : Grid
    image_from_grid : (4, 4) or None
        Takes a point of the grid's frame (RAS mm) to the image's; None where the frames are one.
    """
    matrix = np.eye(4) if image_from_grid is None else image_from_grid
    index = np.linalg.inv(image.grid.ras_from_voxel) @ matrix @ grid.ras_from_voxel
    base = index[:3, :3] @ np.indices(grid.shape).reshape(3, -1) + index[:3, 3:]
    limits = np.array(image.data.shape)[:, None] - 0.5
    total, covered = np.zeros(base.shape[1]), np.ones(base.shape[1], dtype=bool)
    data = image.data.astype(np.float64)
    # a coarse image is read at the voxels' parts, a fine one needs smoothing so that none of it is skipped
    sigma = 0.3 * np.maximum(grid.spacing_mm.min() / PARTS / image.grid.spacing_mm - 1, 0.0)
    data = gaussian_filter(data, sigma, mode="nearest")
    offsets = (np.arange(PARTS) + 0.5) / PARTS - 0.5
    for offset in np.stack(np.meshgrid(offsets, offsets, offsets, indexing="ij"), axis=-1).reshape(-1, 3):
        points = base + (index[:3, :3] @ offset)[:, None]
        covered &= ((points >= -0.5) & (points <= limits)).all(axis=0)
        total += map_coordinates(data, points, order=1, mode="nearest")
    per_ml = np.where(covered, total / PARTS**3, 0.0)
    return OnGrid(per_ml.reshape(grid.shape), covered.reshape(grid.shape))


def smoothed(image: np.ndarray, fwhm_mm: float, grid: Grid) -> np.ndarray:
    """(I, J, K) float64: an image on the grid, in its own unit, blurred by a Gaussian; nothing lies beyond its box."""
    sigma = fwhm_mm / FWHM_PER_SIGMA / grid.spacing_mm
    return gaussian_filter(np.asarray(image, dtype=np.float64), sigma, mode="constant")


def estimated_fwhm_mm(found: OnGrid, model: PatientModel) -> float:
    """Width of the Gaussian that makes the CT's organs, with free concentrations, explain a SPECT best.

    The planar images take no part. Texture within organs limits it: an upper bound rather than the width of a point.
    """
    inside = found.covered & (model.body[..., model.ct_slices])
    fractions = model.fractions[..., model.ct_slices]
    target = found.per_ml[inside]

    widths = np.arange(FWHM_MM[0], FWHM_MM[1] + FWHM_STEP_MM, FWHM_STEP_MM)

    @cache
    def residual(n: int) -> float:
        rows = np.stack([smoothed(f, float(widths[n]), model.ct_grid)[inside] for f in fractions])
        rows = rows[rows.sum(axis=1) > 1e-3]
        normal, right = rows @ rows.T, rows @ target
        normal[np.diag_indices_from(normal)] *= 1 + 1e-9
        x = nonnegative_solution(normal, right)
        return float(x @ normal @ x - 2 * right @ x)

    low, high = 0, len(widths) - 1
    while high - low > 2:  # there is one minimum: the list is cut by thirds
        a, b = low + (high - low) // 3, high - (high - low) // 3
        low, high = (low, b) if residual(a) <= residual(b) else (a, high)
    return float(widths[min(range(low, high + 1), key=residual)])
