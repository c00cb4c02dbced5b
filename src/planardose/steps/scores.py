"""Scores of a map against the truth, and the truth brought to the map's grid without loss."""

import numpy as np
from scipy import ndimage

from planardose.image import Grid
from planardose.units import MM3_PER_ML

SSIM_WINDOW = 7  # voxels, uniform
SSIM_K = (0.01, 0.03)  # Wang et al. 2004
SSIM_SETTINGS = f"uniform {SSIM_WINDOW}-voxel window, range max(truth), map's box"


def overlap_mm(target: Grid, source: Grid, axis: int) -> np.ndarray:
    """(T, S) length in mm that each voxel of the target shares with each of the source along an axis of both grids."""
    edges = []
    for grid in (target, source):
        centre, half = grid.axis_mm(axis), 0.5 * grid.spacing_mm[axis]
        edges.append((centre - half, centre + half))
    (t_low, t_high), (s_low, s_high) = edges
    return np.clip(np.minimum(t_high[:, None], s_high) - np.maximum(t_low[:, None], s_low), 0.0, None)


def interval_overlap(target: np.ndarray, source: np.ndarray) -> np.ndarray:
    """(T, S) length that each interval between ascending edges (T + 1,) shares with each between (S + 1,)."""
    high = np.minimum(target[1:, None], source[None, 1:])
    return np.clip(high - np.maximum(target[:-1, None], source[None, :-1]), 0.0, None)


def collected(per_ml: np.ndarray, source: Grid, target: Grid) -> np.ndarray:
    """What each voxel of `target` holds of a map given per mL on `source`: exact by volume of overlap.

    Parameters
    ----------
    per_ml : (I, J, K) array
        Concentration (or a mask, for volume) on `source`.
    source, target : Grid
        RAS-aligned.

    Returns
    -------
    (I', J', K') float64
        Content per voxel; the total is kept where `target` covers `source`.

    Raises
    ------
    ValueError
        For a grid that is not RAS-aligned.
    """
    if not (source.is_ras_aligned and target.is_ras_aligned):
        raise ValueError("both grids must be RAS-aligned")
    out = np.asarray(per_ml, dtype=np.float64)
    for axis in range(3):
        out = np.moveaxis(np.tensordot(overlap_mm(target, source, axis), out, axes=(1, axis)), 0, axis)
    return out / MM3_PER_ML


def ssim(estimate: np.ndarray, truth: np.ndarray) -> float:
    """Mean structural similarity of two maps (I, J, K), settings as `SSIM_SETTINGS`.

    Windows that stick out of the box are left out.
    """
    value_range = float(truth.max())
    c1, c2 = ((k * value_range) ** 2 for k in SSIM_K)
    n = SSIM_WINDOW**3
    mean_e, mean_t = (ndimage.uniform_filter(x, SSIM_WINDOW) for x in (estimate, truth))
    unbiased = n / (n - 1)
    var_e, var_t, cov = (
        unbiased * (ndimage.uniform_filter(product, SSIM_WINDOW) - means)
        for product, means in (
            (estimate * estimate, mean_e * mean_e), (truth * truth, mean_t * mean_t),
            (estimate * truth, mean_e * mean_t),
        )
    )  # fmt: skip
    index = (2 * mean_e * mean_t + c1) * (2 * cov + c2) / ((mean_e**2 + mean_t**2 + c1) * (var_e + var_t + c2))
    edge = SSIM_WINDOW // 2
    inner = tuple(slice(edge, s - edge) if s > 2 * edge else slice(None) for s in index.shape)
    return float(index[inner].mean())


def map_scores(estimate: np.ndarray, truth: np.ndarray, body: np.ndarray) -> dict[str, float]:
    """MAE and NRMSE over the voxels of `body`, both over the mean truth there, and SSIM in the whole box (I, J, K)."""
    error, mean = (estimate - truth)[body], float(truth[body].mean())
    return {
        "mae": float(np.abs(error).mean()) / mean,
        "nrmse": float(np.sqrt((error**2).mean())) / mean,
        "ssim": ssim(estimate, truth),
    }
