"""From a map to organ rows: disjoint, and together the map's total."""

import numpy as np

from planardose.organs import REMAINDER
from planardose.patient_model import PatientModel


def split_map(activity: np.ndarray, model: PatientModel, concentrations: np.ndarray) -> np.ndarray:
    """Activity of each organ in a map.

    A voxel shared by organs is split by fraction x concentration of the organ-wise fit, so that a hot organ keeps what
    its border voxels hold of it.

    Parameters
    ----------
    activity : (I, J, K) float
        MBq per voxel on ``model.grid``.
    model : PatientModel
    concentrations : (O,) float
        MBq/mL.

    Returns
    -------
    (O,) float64
        MBq; sums to the map's total. What lies in no organ at all counts as `remainder`.
    """
    floor = 1e-6 * max(float(np.max(concentrations)), 1e-12)
    weights = model.fractions * (np.maximum(concentrations, 0.0) + floor)[:, None, None, None]
    total = weights.sum(axis=0)
    share = np.divide(activity, total, out=np.zeros(activity.shape), where=total > 0)
    rows = (weights * share).sum(axis=(1, 2, 3), dtype=np.float64)
    rows[model.organs.index(REMAINDER)] += float(activity[total <= 0].sum())
    return rows


def in_ct(model: PatientModel, activity: np.ndarray) -> np.ndarray:
    """The map (I, J, K') without the slices beyond the CT."""
    return activity[:, :, model.ct_slices]
