"""Emission images of the cohort sheet (PET, SPECT), from DICOM or NIfTI, checked to look like activity."""

from dataclasses import replace
from pathlib import Path

import numpy as np

from planardose import plausible
from planardose.errors import InputError, no_such_file, readable
from planardose.image import Volume
from planardose.io.dicom_tomographic import ARBITRARY, QUANTITY, ActivityImage, read_tomographic_dicom
from planardose.io.files import is_nifti
from planardose.io.nifti import read_volume

MOST_NEGATIVE = 0.05  # of the positive sum: filtered back-projection and resampling leave less


def read_activity_image(path: Path, where: str) -> ActivityImage:
    """Read a PET series, a reconstructed SPECT, or a NIfTI of either.

    Parameters
    ----------
    path : Path
        DICOM file or folder, or NIfTI file.
    where : str
        Sheet row and column, for errors.

    Returns
    -------
    ActivityImage
        (I, J, K) float32, any orientation in RAS mm, never negative: small negative values of a reconstruction become
        0. The unit of a NIfTI is not known.

    Raises
    ------
    InputError
        As `read_volume` and `read_tomographic_dicom`; voxels or extent that are no millimetres; no activity at all, or
        so many negative values that it is another kind of image (a CT).
    """
    with readable(where):
        if not path.exists():
            raise no_such_file(where, "a DICOM folder or file, or a NIfTI file")
        nifti = path.is_file() and is_nifti(path)
        image = (
            ActivityImage(read_volume(path, QUANTITY, ARBITRARY, where))
            if nifti
            else read_tomographic_dicom(path, where)
        )
    for size in image.volume.grid.spacing_mm:
        plausible.EMISSION_VOXEL_MM.check(float(size), f"{where} voxel size")
    for size in sorted(image.volume.grid.spacing_mm * image.volume.grid.shape)[1:]:
        plausible.CT_EXTENT_MM.check(float(size), f"{where} extent")
    return replace(image, volume=_activity(image.volume, where))


def _activity(volume: Volume, where: str) -> Volume:
    data = volume.data
    if not np.isfinite(data).all():
        raise InputError(where, f"{np.count_nonzero(~np.isfinite(data))} values are NaN or infinite", "finite numbers")
    positive = float(data[data > 0].sum(dtype=np.float64))
    negative = -float(data[data < 0].sum(dtype=np.float64))
    if positive <= 0:
        raise InputError(where, "no value above 0", "an image with activity", "export it again")
    if negative > MOST_NEGATIVE * positive:
        raise InputError(
            where,
            f"negative values, down to {data.min():g}, make {negative / positive:.0%} of the positive ones",
            "activity, which is not negative",
            "check that the column does not name a CT",
        )
    return replace(volume, data=np.maximum(data, 0.0))
