"""What voxels of one grid share with those of another: maps and regions brought to another grid without loss."""

import numpy as np
from scipy import ndimage

from planardose.image import Grid
from planardose.units import MM3_PER_ML


def _overlap_mm(target: Grid, source: Grid, axis: int) -> np.ndarray:
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
        out = np.moveaxis(np.tensordot(_overlap_mm(target, source, axis), out, axes=(1, axis)), 0, axis)
    return out / MM3_PER_ML


def most_covered(cover: np.ndarray) -> np.ndarray:
    """As many voxels as `cover` sums up to, those with most of it; among equals those with most around them."""
    total = float(cover.sum(dtype=np.float64))
    inside = cover > 1 - 1e-4
    missing = (max(1, round(total)) if total > 1e-6 else 0) - np.count_nonzero(inside)
    if missing > 0:
        rank = cover + 1e-3 * ndimage.uniform_filter(cover, 3, mode="constant")
        border = np.flatnonzero((cover > 0) & ~inside)
        chosen = border[np.argsort(-rank.ravel()[border], kind="stable")[:missing]]
        inside.ravel()[chosen] = True
    return inside
