"""From a map to organ rows: disjoint, and together the map's total."""

from collections.abc import Callable

import numpy as np

from planardose.organs import REMAINDER
from planardose.patient_model import PatientModel


def split_map(activity: np.ndarray, model: PatientModel, concentrations: np.ndarray) -> np.ndarray:
    """Activity of each organ in a map.

    A voxel shared by organs is split by fraction x concentration of the organ-wise fit, so that a hot organ keeps what
    its border voxels hold of it.

    Parameters
    ----------
    activity : (..., I, J, K) float
        MBq per voxel on ``model.grid``: a map or several.
    model : PatientModel
    concentrations : (O,) float
        MBq/mL.

    Returns
    -------
    (..., O) float64
        MBq; sums to the map's total. What lies in no organ at all counts as `remainder`.
    """
    floor = 1e-6 * max(float(np.max(concentrations)), 1e-12)
    weights = model.fractions * (np.maximum(concentrations, 0.0) + floor)[:, None, None, None]
    total = weights.sum(axis=0)
    share = np.divide(activity, total, out=np.zeros(activity.shape), where=total > 0)
    rows = share.reshape(*activity.shape[:-3], -1) @ weights.reshape(len(weights), -1).T
    rows[..., model.organs.index(REMAINDER)] += activity[..., total <= 0].sum(axis=-1)
    return rows


TURNS = 6
LARGEST_FACTOR = 2.0  # of an organ in one turn: an organ that is nearly empty must not lift what it shares voxels with


def with_totals(
    activity: np.ndarray, model: PatientModel, rows_of: Callable[[np.ndarray], np.ndarray], wanted: np.ndarray
) -> np.ndarray:
    """The map with other organ totals; the pattern inside organs stays.

    Every organ gets a factor; a voxel of several organs gets their mean by fraction, hence more than one turn.

    Parameters
    ----------
    activity : (I, J, K) float
        MBq per voxel, not negative.
    model : PatientModel
    rows_of : callable
        Organ totals (O,) MBq of a map.
    wanted : (O,) float
        MBq.

    Returns
    -------
    (I, J, K) float64
        Where an organ is empty it stays empty.
    """
    whole = model.fractions.sum(axis=0, dtype=np.float64)
    for _ in range(TURNS):
        found = rows_of(activity)
        factors = np.divide(wanted, found, out=np.ones(len(found)), where=found > 0)
        factors = factors.clip(1 / LARGEST_FACTOR, LARGEST_FACTOR)
        mixed = np.tensordot(factors, model.fractions, axes=1)
        activity = activity * np.divide(mixed, whole, out=np.ones(whole.shape), where=whole > 0)
    return activity


def in_ct(model: PatientModel, activity: np.ndarray) -> np.ndarray:
    """The map (I, J, K') without the slices beyond the CT."""
    return activity[:, :, model.ct_slices]
