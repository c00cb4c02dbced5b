"""The patient's body in a CT: without couch, clothes and air around, holes filled."""

import numpy as np
from scipy import ndimage

from planardose.errors import InputError
from planardose.image import Volume

SKIN_HU = -500.0  # half way between air and tissue
COARSE_MM = 4.0  # resolution at which the couch is told from the body
SMALLEST_PART = 0.05  # of the largest part: arms and legs apart from the trunk are kept
CUBE = np.ones((3, 3, 3), dtype=bool)


def _coarse_occupancy(hu: np.ndarray, factors: np.ndarray) -> np.ndarray:
    """Share of voxels above `SKIN_HU` in blocks of `factors` voxels; the last block of an axis may be smaller."""
    starts = [np.arange(0, n, f) for n, f in zip(hu.shape, factors, strict=True)]
    out = np.zeros([len(s) for s in starts], dtype=np.float32)
    for k in range(hu.shape[2]):
        above = (hu[:, :, k] > SKIN_HU).astype(np.float32)
        out[:, :, k // factors[2]] += np.add.reduceat(np.add.reduceat(above, starts[0], axis=0), starts[1], axis=1)
    sizes = [np.diff(np.append(s, n)) for s, n in zip(starts, hu.shape, strict=True)]
    return out / np.einsum("i,j,k->ijk", *sizes)


def _coarse_body(occupied: np.ndarray) -> np.ndarray:
    """The large connected parts that remain when sheets thinner than three voxels (the couch) are opened away."""
    # the body goes on beyond the volume's faces, so erosion does not start there
    opened = ndimage.binary_dilation(ndimage.binary_erosion(occupied, CUBE, border_value=1), CUBE) & occupied
    parts, number = ndimage.label(opened)
    if number == 0:
        return opened
    sizes = np.bincount(parts.ravel())
    sizes[0] = 0
    return (sizes >= SMALLEST_PART * sizes.max())[parts]


def body_mask(ct: Volume, where: str = "ct") -> np.ndarray:
    """Voxels of the body.

    The couch is found at about 4 mm: what is thinner than 12 mm and hangs on the body by less is cut off. The surface
    is then followed at the CT's own resolution. Holes (lung, bowel gas, trachea) are filled slice by slice.

    Parameters
    ----------
    ct : Volume
        CT in HU, axes nearest to RAS (`orient.closest_ras`).
    where : str
        For the error.

    Returns
    -------
    (I, J, K) bool

    Raises
    ------
    InputError
        If nothing in the volume is a body.
    """
    factors = np.maximum(1, np.rint(COARSE_MM / ct.grid.spacing_mm)).astype(int)
    occupied = _coarse_occupancy(ct.data, factors) > 0.5
    core = _coarse_body(occupied)
    if not core.any():
        raise InputError(where, f"no body found above {SKIN_HU:g} HU", "a CT of a patient in Hounsfield units")
    near = ndimage.binary_dilation(core, CUBE)
    filled = core | (near & occupied)
    for k in range(filled.shape[2]):
        filled[:, :, k] = ndimage.binary_fill_holes(filled[:, :, k])
    inside = ndimage.binary_erosion(filled, CUBE, border_value=1)
    i, j = np.arange(ct.data.shape[0]) // factors[0], np.arange(ct.data.shape[1]) // factors[1]
    mask = np.empty(ct.data.shape, dtype=bool, order="F")
    for k in range(ct.data.shape[2]):
        c = k // factors[2]
        fine_near = near[:, :, c][i][:, j]
        mask[:, :, k] = inside[:, :, c][i][:, j] | (fine_near & (ct.data[:, :, k] > SKIN_HU))
    return mask
