"""NIfTI in and out. NIfTI's world is RAS+ mm, as ours."""

import logging
from pathlib import Path

import nibabel as nib
import numpy as np
from nibabel.spatialimages import HeaderDataError

from planardose.errors import InputError
from planardose.image import Grid, Volume
from planardose.io.files import atomic

log = logging.getLogger(__name__)
ROUNDING_MM = 1.0  # at a corner: a quaternion of 32 bits turns by up to 0.0007


def read_volume(path: Path, quantity: str, unit: str, where: str, dtype=np.float32) -> Volume:
    """Read a 3D NIfTI, placed by its sform where it has one, else by its qform.

    Parameters
    ----------
    path : Path
    quantity, unit : str
        What the values are, e.g. ``"CT number"`` and ``"HU"``: a NIfTI does not say.
    where : str
        Sheet row and column (pseudonymous), which faults name in place of the path.
    dtype : dtype
        Of the volume's data.

    Raises
    ------
    InputError
        Unreadable, no numbers, not three axes, no orientation in the header, or an affine that is none.
    """
    try:
        image = nib.load(path)
        told = image.header["sform_code"] != 0 or image.header["qform_code"] != 0
        data = np.asarray(image.dataobj)
    except Exception as fault:
        raise InputError(
            where, f"not a readable NIfTI file ({type(fault).__name__})", "a .nii or .nii.gz file"
        ) from None
    if data.dtype.kind not in "fiu":
        raise InputError(
            where, f"values of type {data.dtype}", "integers or real numbers", "convert to a grey-value image"
        )
    if data.ndim == 4 and data.shape[3] == 1:
        data = data[..., 0]
    if data.ndim != 3:
        raise InputError(where, f"{data.ndim} dimensions, shape {data.shape}", "a 3D image")
    if image.affine is None or not told:
        raise InputError(
            where, "no orientation in the header (sform and qform codes are 0)", "a NIfTI with sform or qform"
        )
    try:
        grid = Grid(data.shape, image.affine)
    except ValueError as fault:
        raise InputError(where, str(fault), "a valid affine") from None
    _note_other_place(image.header, grid, where)
    return Volume(data.astype(dtype, copy=False), grid, quantity, unit)


def read_grid(path: Path) -> Grid:
    """Grid of a NIfTI of the results, without its voxels."""
    image = nib.load(path)
    return Grid(image.shape, image.affine)


def _note_other_place(header: nib.Nifti1Header, grid: Grid, where: str) -> None:
    """Tell where the qform puts the image elsewhere than the sform; both are right where the sform is a registration.

    A qform holds no shear (of a tilted gantry): what is compared is the one that belongs to the sform.
    """
    codes = {name: int(header[f"{name}_code"]) for name in ("sform", "qform")}
    if not all(codes.values()):
        return
    ours = header.copy()
    ours.set_qform(grid.ras_from_voxel)
    try:
        between = ours.get_qform() - header.get_qform()
    except HeaderDataError:  # no rotation in the qform
        return
    corners = np.array(list(np.ndindex(2, 2, 2))) * (np.array(grid.shape) - 1)
    off = np.linalg.norm(corners @ between[:3, :3].T + between[:3, 3], axis=1).max()
    if off > ROUNDING_MM:
        told = "%s: sform (code %d) and qform (code %d) disagree by up to %.0f mm; sform is used, check left and right"
        log.warning(told, where, *codes.values(), off)


def write_volume(path: Path, volume: Volume, dtype=np.float32) -> None:
    """Write a NIfTI atomically, world RAS+ mm, codes set to 'scanner', without a time stamp in the gzip header."""
    image = nib.Nifti1Image(np.asarray(volume.data, dtype=dtype), volume.grid.ras_from_voxel)
    image.set_sform(volume.grid.ras_from_voxel, 1)
    image.set_qform(volume.grid.ras_from_voxel, 1)
    image.header.set_xyzt_units("mm")
    image.header["descrip"] = f"{volume.quantity} [{volume.unit}]".encode()[:79]
    with atomic(path) as temporary:
        nib.save(image, temporary)
