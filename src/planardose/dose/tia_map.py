"""Voxel map of time-integrated activity.

Every voxel is integrated by the curve of its organ with its own amplitude, the weighted least-squares fit of its
values over the time points. Two planar views do not resolve a half-life voxel by voxel: a two-parameter fit per voxel
would turn noise into dose. A voxel shared by organs is split as the reconstruction splits it for the organ table (by
fraction x concentration of the organ-wise fit), so that map and table hold the same decays.
"""

import numpy as np

SPLIT_FLOOR = 1e-6  # of the largest concentration, as in the reconstruction: an empty organ still takes its voxels


def integrate_maps(
    maps: np.ndarray, fractions: np.ndarray, concentrations: np.ndarray, weights: np.ndarray, remainder: int
) -> np.ndarray:
    """Time-integrated activity concentration of one cycle.

    Parameters
    ----------
    maps : (T, I, J, K) array
        Activity concentration at the time points, MBq/mL.
    fractions : (O, I, J, K) array
        Fraction of each voxel that belongs to each organ.
    concentrations : (T, O) array
        Concentrations by which the reconstruction split shared voxels, MBq/mL.
    weights : (O, T) array
        Integral weights of each organ, h (`curve.integral_weights`).
    remainder : int
        Organ whose weight holds where there is no organ at all.

    Returns
    -------
    (I, J, K) float64, MBq h/mL
    """
    out = np.zeros(maps.shape[1:], dtype=np.float64)
    for n, activity in enumerate(maps):
        split = np.maximum(concentrations[n], 0.0)
        split = split + SPLIT_FLOOR * max(float(split.max()), 1e-12)
        held = np.tensordot(split, fractions, axes=1)
        weighted = np.tensordot(split * weights[:, n], fractions, axes=1)
        hours = np.divide(weighted, held, out=np.full(held.shape, weights[remainder, n]), where=held > 0)
        out += hours * activity
    return out
