"""NIfTI in and out. NIfTI's world is RAS+ mm, as ours."""

from pathlib import Path

import nibabel as nib
import numpy as np

from planardose.errors import InputError
from planardose.image import Grid, Volume
from planardose.io.files import atomic


def read_volume(path: Path, quantity: str, unit: str, where: str, dtype=np.float32) -> Volume:
    """Read a 3D NIfTI; faults name `where` (pseudonymous), never the path."""
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
    return Volume(data.astype(dtype, copy=False), grid, quantity, unit)


def write_volume(path: Path, volume: Volume, dtype=np.float32) -> None:
    """Write a NIfTI atomically, world RAS+ mm, codes set to 'scanner', without a time stamp in the gzip header."""
    image = nib.Nifti1Image(np.asarray(volume.data, dtype=dtype), volume.grid.ras_from_voxel)
    image.set_sform(volume.grid.ras_from_voxel, 1)
    image.set_qform(volume.grid.ras_from_voxel, 1)
    image.header.set_xyzt_units("mm")
    image.header["descrip"] = f"{volume.quantity} [{volume.unit}]".encode()[:79]
    with atomic(path) as temporary:
        nib.save(image, temporary)
