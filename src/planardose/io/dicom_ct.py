"""CT in DICOM: write a series from a volume."""

from datetime import datetime
from pathlib import Path

import numpy as np

from planardose.image import Volume
from planardose.io.dicom_new import ANONYMOUS, CT_IMAGE_STORAGE, Identity, new_dataset, save_dataset, uid_of
from planardose.io.dicom_slices_write import Slices

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
    slices = Slices.of(volume)
    stored = np.rint(slices.frames) - STORED_INTERCEPT
    if stored.min() < 0 or stored.max() > np.iinfo(np.uint16).max:
        raise ValueError(f"HU from {volume.data.min():g} to {volume.data.max():g} do not fit 16 bits")
    for k, image in enumerate(stored):
        ds = _slice_header(identity, seed, at, k)
        ds.ImagePositionPatient, ds.ImageOrientationPatient = slices.position(k), slices.orientation
        slices.put_size(ds)
        ds.Rows, ds.Columns = image.shape
        ds.PixelData = image.astype("<u2").tobytes()
        save_dataset(folder / f"CT{k + 1:04d}.dcm", ds)


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
