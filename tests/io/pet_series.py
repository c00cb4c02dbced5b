"""A PET series as a scanner writes it: planardose reads them and writes none."""

from datetime import datetime
from pathlib import Path

import numpy as np

from planardose.image import Volume
from planardose.io.dicom_ct import DEFAULT_TIME
from planardose.io.dicom_new import ANONYMOUS, Identity, new_dataset, save_dataset, uid_of
from planardose.io.dicom_slices_write import Slices

PET_IMAGE_STORAGE = "1.2.840.10008.5.1.4.1.1.128"
LARGEST = np.iinfo(np.int16).max


def write_pet(folder: Path, volume: Volume, identity: Identity = ANONYMOUS, at: datetime = DEFAULT_TIME) -> None:
    """Write a volume in Bq/mL as a PET series (PS3.3 C.8.9): one file per slice, each with its own rescale slope."""
    slices, root = Slices.of(volume), ("pet", identity.patient_id)
    for k, image in enumerate(slices.frames):
        ds = new_dataset(PET_IMAGE_STORAGE, uid_of(*root, "slice", k), identity, at)
        ds.ImageType, ds.Modality, ds.Manufacturer = ["ORIGINAL", "PRIMARY"], "PT", ""
        ds.StudyInstanceUID, ds.SeriesInstanceUID = uid_of(*root, "study"), uid_of(*root, "series")
        ds.FrameOfReferenceUID, ds.PositionReferenceIndicator = uid_of(*root, "frame"), ""
        ds.SeriesNumber, ds.InstanceNumber, ds.PatientPosition = 1, k + 1, "HFS"
        ds.SeriesType, ds.Units, ds.CountsSource = ["WHOLE BODY", "IMAGE"], "BQML", "EMISSION"
        ds.DecayCorrection, ds.CorrectedImage = "START", ["DECY", "ATTN", "SCAT"]
        ds.NumberOfSlices, ds.ImageIndex = slices.count, k + 1
        ds.ImagePositionPatient, ds.ImageOrientationPatient = slices.position(k), slices.orientation
        slices.put_size(ds)
        ds.SamplesPerPixel, ds.PhotometricInterpretation = 1, "MONOCHROME2"
        ds.Rows, ds.Columns = image.shape
        ds.BitsAllocated, ds.BitsStored, ds.HighBit, ds.PixelRepresentation = 16, 16, 15, 1
        slope = f"{max(float(image.max()), 1e-12) / LARGEST:.9e}"
        ds.PixelData = np.clip(np.rint(image / float(slope)), 0, LARGEST).astype("<i2").tobytes()
        ds.RescaleIntercept, ds.RescaleSlope = "0", slope
        save_dataset(folder / f"PT{k + 1:04d}.dcm", ds)
