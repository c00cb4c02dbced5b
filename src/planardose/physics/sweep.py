"""Dead time along an acquisition: at each moment the rate of the whole field in view decides what is lost.

A static image has one field. In a sweep the field passes the patient: a row is seen from the time its place enters the
field until it leaves, and loses the mean of what the camera loses meanwhile.
"""

import numpy as np

from planardose.physics.dead_time import paralysable, true_rate


def _box_mean(values: np.ndarray, width: int) -> np.ndarray:
    """(..., n + width - 1) means over windows of `width`, from the first that touches the values to the last."""
    padded = np.pad(values, [(0, 0)] * (values.ndim - 1) + [(width, width - 1)])
    sums = np.cumsum(padded, axis=-1)
    return (sums[..., width:] - sums[..., :-width]) / width


def _seen_mean(shares: np.ndarray, width: int) -> np.ndarray:
    """(..., n): mean over the positions of the field in which each row is seen."""
    sums = np.cumsum(np.pad(shares, [(0, 0)] * (shares.ndim - 1) + [(1, 0)]), axis=-1)
    return (sums[..., width:] - sums[..., :-width]) / width


def _by_position(rows_cps: np.ndarray, rows_in_field: int | None, share_of) -> np.ndarray:
    """(..., R) mean, over what of the field a row is in, of the share that is left of the whole field's rate."""
    rows = np.asarray(rows_cps, dtype=np.float64)
    if rows_in_field is None:
        return np.broadcast_to(share_of(rows.sum(axis=-1, keepdims=True)), rows.shape)
    width = max(1, int(rows_in_field))
    return _seen_mean(share_of(_box_mean(rows, width) * width), width)


def highest_in_field(rows_cps: np.ndarray, rows_in_field: int | None) -> float:
    """Highest rate of the whole field, counts/s, of rates per row (..., R): of any position of a sweep's field.

    `rows_in_field` is as in `live_share`.
    """
    rows = np.asarray(rows_cps, dtype=np.float64)
    if rows_in_field is None:
        return float(rows.sum(axis=-1).max())
    width = max(1, int(rows_in_field))
    return float(_box_mean(rows, width).max() * width)


def live_share(rows_cps: np.ndarray, tau_us: float, rows_in_field: int | None) -> np.ndarray:
    """Share of the counts of every row that a paralysable camera records.

    Parameters
    ----------
    rows_cps : (..., R) array
        True rate per row that tau belongs to, all columns together.
    tau_us : float
    rows_in_field : int or None
        Rows that the field holds in a sweep; None for a static image, which is in the field as a whole.

    Returns
    -------
    (..., R) float64, at most 1
    """

    def share(field_cps: np.ndarray) -> np.ndarray:
        return np.where(field_cps > 0, paralysable(field_cps, tau_us) / np.maximum(field_cps, 1e-12), 1.0)

    return _by_position(rows_cps, rows_in_field, share)


def recorded_share(rows_cps: np.ndarray, tau_us: float, rows_in_field: int | None) -> np.ndarray:
    """As `live_share`, but from the rates (..., R) that were recorded: dividing by it gives the true ones.

    Raises
    ------
    InputError
        On a rate that no camera of this dead time records.
    """

    def share(field_cps: np.ndarray) -> np.ndarray:
        return np.where(field_cps > 0, field_cps / np.maximum(true_rate(field_cps, tau_us), 1e-12), 1.0)

    return _by_position(rows_cps, rows_in_field, share)
