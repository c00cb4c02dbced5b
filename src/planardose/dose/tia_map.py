"""Voxel map of time-integrated activity.

Every voxel is integrated by a mono-exponential with its own amplitude, the weighted least-squares fit of its values
over the time points, and the half-life of its organ. Two planar views do not resolve a half-life voxel by voxel: a
two-parameter fit per voxel would turn noise into dose. A voxel shared by organs is split as the reconstruction splits
it for the organ table, so that the map and the table hold the same number of decays.
"""

import numpy as np

BODY_SHARE = 1e-6


def organ_shares(fractions: np.ndarray) -> np.ndarray:
    """(O, I, J, K) float32: each voxel's activity split over its organs by volume; sums to 1 within the body.

    Voxels without any organ go to the last one (`remainder` or `outside_ct` stand last).
    """
    total = fractions.sum(axis=0)
    shares = fractions / np.maximum(total, BODY_SHARE)
    shares[-1][total < BODY_SHARE] = 1.0
    return shares


def integrate_maps(maps: np.ndarray, shares: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Time-integrated activity concentration.

    Parameters
    ----------
    maps : (T, I, J, K) array
        Activity concentration at the time points of one cycle, MBq/mL.
    shares : (O, I, J, K) array
        Split of a voxel's activity over the organs.
    weights : (O, T) array
        Integral weights of each organ, h (`kinetics.integral_weights`).

    Returns
    -------
    (I, J, K) float64, MBq h/mL
    """
    out = np.zeros(maps.shape[1:], dtype=np.float64)
    for n, activity in enumerate(maps):
        hours = np.tensordot(weights[:, n], shares.astype(np.float64), axes=1)
        out += hours * activity
    return out
