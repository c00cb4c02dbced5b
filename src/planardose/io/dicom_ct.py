"""CT in DICOM: write a series from a volume."""

from datetime import datetime
from pathlib import Path

import numpy as np

from planardose.frames import lps_from_ras
from planardose.image import Volume
from planardose.io.dicom_common import ANONYMOUS, CT_IMAGE_STORAGE, Identity, new_dataset, save_dataset, uid_of

STORED_INTERCEPT = -8192  # unsigned 16-bit storage then holds any HU from -8192 to 57343
DEFAULT_TIME = datetime(2026, 1, 5, 9, 0)


def write_ct(
    folder: Path, volume: Volume, identity: Identity = ANONYMOUS, seed: int = 0, at: datetime = DEFAULT_TIME
) -> None:
    """Write a volume in HU as a series of axial (or oblique) CT Image Storage files, one per slice.

    Parameters
    ----------
    folder : Path
        Created; files are ``CT0001.dcm``... in the order of k.
    volume : Volume
        (I, J, K) in HU, rounded to integers. Any orientation whose three axes are perpendicular.
    identity : Identity
        Patient and institution written into the headers.
    seed : int
        With the patient id, the root of all UIDs: equal seeds give equal files.
    at : datetime
        Date and time of the acquisition.

    Raises
    ------
    ValueError
        If HU do not fit 16 bits.
    """
    data, affine = towards_left_posterior(volume)
    stored = np.rint(data) - STORED_INTERCEPT
    if stored.min() < 0 or stored.max() > np.iinfo(np.uint16).max:
        raise ValueError(f"HU from {data.min():g} to {data.max():g} do not fit 16 bits")
    spacing = np.linalg.norm(affine[:3, :3], axis=0)
    for k in range(data.shape[2]):
        ds = _slice_header(identity, seed, at, k)
        ds.ImagePositionPatient = decimals(affine[:3, 3] + k * affine[:3, 2])
        ds.ImageOrientationPatient = decimals(np.concatenate([affine[:3, 0] / spacing[0], affine[:3, 1] / spacing[1]]))
        ds.PixelSpacing = decimals(spacing[[1, 0]])
        ds.SliceThickness = decimals(spacing[2:])[0]
        ds.Columns, ds.Rows = data.shape[:2]
        ds.PixelData = stored[:, :, k].T.astype("<u2").tobytes()
        save_dataset(folder / f"CT{k + 1:04d}.dcm", ds)


def towards_left_posterior(volume: Volume) -> tuple[np.ndarray, np.ndarray]:
    """Data and LPS affine with i, j flipped where needed so that columns run to the left and rows to the back."""
    data, affine = volume.data, lps_from_ras @ volume.grid.ras_from_voxel
    for axis in (0, 1):
        if affine[axis, axis] < 0:
            data = np.flip(data, axis)
            affine[:3, 3] += (data.shape[axis] - 1) * affine[:3, axis]
            affine[:3, axis] *= -1
    return data, affine


def _slice_header(identity: Identity, seed: int, at: datetime, k: int):
    root = ("ct", seed, identity.patient_id)
    ds = new_dataset(CT_IMAGE_STORAGE, uid_of(*root, "slice", k), identity, at)
    ds.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL"]
    ds.Modality, ds.Manufacturer, ds.BodyPartExamined = "CT", "", "WHOLEBODY"
    ds.StudyInstanceUID, ds.SeriesInstanceUID = uid_of(*root, "study"), uid_of(*root, "series")
    ds.FrameOfReferenceUID, ds.PositionReferenceIndicator = uid_of(*root, "frame"), ""
    ds.PatientPosition, ds.SeriesNumber, ds.AcquisitionNumber, ds.InstanceNumber = "HFS", 1, 1, k + 1
    ds.KVP = "120"
    ds.SamplesPerPixel, ds.PhotometricInterpretation = 1, "MONOCHROME2"
    ds.BitsAllocated, ds.BitsStored, ds.HighBit, ds.PixelRepresentation = 16, 16, 15, 0
    ds.RescaleIntercept, ds.RescaleSlope, ds.RescaleType = str(STORED_INTERCEPT), "1", "HU"
    return ds


def decimals(values: np.ndarray) -> list[str]:
    """Decimal strings of at most 16 characters, as DICOM's DS asks."""
    return [f"{v:.9g}" for v in np.where(np.abs(values) < 1e-9, 0.0, values)]
