"""Write a reconstructed SPECT in DICOM: one NM multi-frame object (RECON TOMO)."""

from datetime import datetime
from pathlib import Path

import numpy as np
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence
from pydicom.tag import Tag

from planardose.image import Volume
from planardose.io.dicom_ct import DEFAULT_TIME
from planardose.io.dicom_new import ANONYMOUS, NM_IMAGE_STORAGE, Identity, new_dataset, save_dataset, uid_of
from planardose.io.dicom_slices_write import Slices

LARGEST = np.iinfo(np.uint16).max  # of what a pixel stores: the slope brings the maximum there


def write_spect(
    path: Path,
    volume: Volume,
    duration_s: float,
    identity: Identity = ANONYMOUS,
    seed: int = 0,
    at: datetime = DEFAULT_TIME,
) -> None:
    """Write a volume as a reconstructed NM image (RECON TOMO, PS3.3 C.8.4.15), slices from the head down.

    As many cameras do, the first frame is the uppermost slice, so that SpacingBetweenSlices is negative. The values are
    in no unit that the header names.

    Parameters
    ----------
    path : Path
    volume : Volume
        (I, J, K), not negative, with axes along the patient's.
    duration_s : float
        Of the acquisition, by two heads of 30 steps each.
    identity : Identity
        Patient and institution written into the header.
    seed : int
        With the patient id and the time, the root of all UIDs.
    at : datetime
        Start of the acquisition.

    Raises
    ------
    ValueError
        If the volume's axes are not those of the patient.
    """
    root = ("spect", seed, identity.patient_id, at.isoformat())
    ds = new_dataset(NM_IMAGE_STORAGE, uid_of(*root, "image"), identity, at)
    ds.Manufacturer, ds.PatientPosition = "", "HFS"
    ds.SeriesNumber = ds.InstanceNumber = 1
    ds.StudyInstanceUID, ds.SeriesInstanceUID = uid_of(*root, "study"), uid_of(*root, "series")
    ds.FrameOfReferenceUID, ds.PositionReferenceIndicator = uid_of(*root, "frame"), ""
    rotation = Dataset()
    rotation.NumberOfFramesInRotation, rotation.ActualFrameDuration = 30, round(duration_s / 30 * 1000)
    put_recon_tomo(ds, volume, rotation, heads=2, downwards=True)
    save_dataset(path, ds)


def put_recon_tomo(ds: Dataset, volume: Volume, rotation: Dataset, heads: int, downwards: bool = False) -> str:
    """Put into a data set what makes a volume a reconstructed NM image; returns the slope of its values.

    Parameters
    ----------
    ds : Dataset
    volume : Volume
        (I, J, K), not negative, with axes along the patient's.
    rotation : Dataset
        Item of RotationInformationSequence.
    heads : int
        Number of detectors.
    downwards : bool
        Slices from the head down, with SpacingBetweenSlices below 0.

    Raises
    ------
    ValueError
        If the volume's axes are not those of the patient.
    """
    if not volume.grid.is_ras_aligned:
        raise ValueError("a reconstructed NM image needs a RAS-aligned volume")
    slices = Slices.of(volume)
    n = slices.count
    first, frames = (n - 1, slices.frames[::-1]) if downwards else (0, slices.frames)
    ds.ImageType, ds.Modality = ["DERIVED", "PRIMARY", "RECON TOMO", "EMISSION"], "NM"
    ds.NumberOfFrames = ds.NumberOfSlices = n
    ds.FrameIncrementPointer, ds.SliceVector = [Tag("SliceVector")], list(range(1, n + 1))
    ds.NumberOfEnergyWindows, ds.NumberOfDetectors, ds.NumberOfRotations = 1, heads, 1
    slices.put_size(ds)
    ds.SpacingBetweenSlices = f"{'-' * downwards}{ds.SliceThickness}"
    detector = Dataset()
    detector.ImagePositionPatient, detector.ImageOrientationPatient = slices.position(first), slices.orientation
    ds.DetectorInformationSequence = Sequence([detector] * heads)
    ds.RotationInformationSequence = Sequence([rotation])
    slope = put_pixels(ds, frames)
    ds.RescaleIntercept, ds.RescaleSlope = "0", slope
    return slope


def put_pixels(ds: Dataset, frames: np.ndarray) -> str:
    """Put pixels (N, rows, columns) as 16-bit numbers, the largest of them `LARGEST`; returns the slope to undo it."""
    slope = f"{max(float(frames.max()), 1e-12) / LARGEST:.9e}"
    ds.SamplesPerPixel, ds.PhotometricInterpretation = 1, "MONOCHROME2"
    ds.Rows, ds.Columns = frames.shape[1:]
    ds.BitsAllocated, ds.BitsStored, ds.HighBit, ds.PixelRepresentation = 16, 16, 15, 0
    ds.PixelData = np.clip(np.rint(frames / float(slope)), 0, LARGEST).astype("<u2").tobytes()
    return slope
