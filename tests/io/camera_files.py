"""NM files as cameras and workstations write them, by pydicom alone: a writer that knows nothing of ours."""

from pathlib import Path

import numpy as np
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.sequence import Sequence
from pydicom.uid import ExplicitVRLittleEndian

NM = "1.2.840.10008.5.1.4.1.1.20"
WINDOWS = ((187.2, 228.8), (166.4, 187.2), (228.8, 249.6))
PIXEL_MM, VELOCITY_MM_S = 4.8, 2.0
NAME, SECRETS = "Zebrowski^Quentin", ("zebrowski", "quentin", "774411", "1948", "obscure")


def counts(rows: int = 128, columns: int = 96) -> np.ndarray:
    """(view, window, row, column) as the camera sees them: a body, an organ on the right, spots in front and behind."""
    seen = np.zeros((2, 3, rows, columns))
    seen[:, :, rows // 10 : -rows // 10, columns // 4 : -columns // 4] = 6
    seen[0, :, rows // 3 : rows // 2, columns // 4 + 3 : columns // 4 + 14] = 60
    seen[1] = seen[0, :, :, ::-1]
    seen[0, :, rows // 5 : rows // 5 + 6, -columns // 3 :][..., :6] = 50
    seen[1, :, rows // 2 : rows // 2 + 6, columns // 3 : columns // 3 + 6] = 50
    return np.random.default_rng(4).poisson(seen)


def blank(number: int, kind: str, rows: int) -> FileDataset:
    """A file with its patient, study and times: kind ``WHOLE BODY`` or ``STATIC``."""
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID = NM, f"2.25.{number}"
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    ds = FileDataset(None, Dataset(), file_meta=meta, preamble=b"\0" * 128)
    ds.SOPClassUID, ds.SOPInstanceUID, ds.Modality, ds.InstanceNumber = NM, f"2.25.{number}", "NM", number
    ds.PatientName, ds.PatientID, ds.PatientBirthDate, ds.InstitutionName = NAME, "774411", "19481231", "Obscure"
    ds.StudyInstanceUID, ds.SeriesInstanceUID, ds.SeriesDescription = "2.25.100", "2.25.101", "WB 24h post Lu"
    for stem in ("Study", "Series", "Acquisition", "Content"):
        setattr(ds, f"{stem}Date", "20260303")
        setattr(ds, f"{stem}Time", "101500.00")
    ds.ImageType = ["ORIGINAL", "PRIMARY", kind, "EMISSION"]
    ds.ActualFrameDuration = 600_000
    if kind == "WHOLE BODY":
        ds.WholeBodyTechnique, ds.ScanVelocity, ds.ScanLength = "1PS", str(VELOCITY_MM_S), round(rows * PIXEL_MM)
        ds.ActualFrameDuration = round(1000 * rows * PIXEL_MM / VELOCITY_MM_S)
    return ds


def fill(ds: Dataset, frames: np.ndarray, dtype: str = "<u2") -> None:
    """Put (frames, rows, columns) into a file."""
    frames = np.ascontiguousarray(frames.astype(dtype))
    ds.NumberOfFrames, ds.Rows, ds.Columns = frames.shape
    ds.BitsAllocated = ds.BitsStored = 8 * frames.dtype.itemsize
    ds.HighBit, ds.PixelRepresentation = ds.BitsStored - 1, int(frames.dtype.kind == "i")
    ds.SamplesPerPixel, ds.PhotometricInterpretation = 1, "MONOCHROME2"
    ds.PixelSpacing = [str(PIXEL_MM)] * 2
    ds.add_new("PixelData", "OB" if ds.BitsAllocated == 8 else "OW", frames.tobytes())
    ds.CountsAccumulated = int(frames.sum())


def name_windows(ds: Dataset, edges) -> None:
    """EnergyWindowInformationSequence of (low, high) pairs."""
    items = []
    for low, high in edges:
        item, kev = Dataset(), Dataset()
        kev.EnergyWindowLowerLimit, kev.EnergyWindowUpperLimit = str(low), str(high)
        item.EnergyWindowRangeSequence = Sequence([kev])
        items.append(item)
    ds.EnergyWindowInformationSequence, ds.NumberOfEnergyWindows = Sequence(items), len(items)


def name_heads(ds: Dataset, angles) -> None:
    """DetectorInformationSequence with a StartAngle for each head; None leaves it out."""
    items = []
    for angle in angles:
        item = Dataset()
        item.CollimatorType = "PARA"
        if angle is not None:
            item.StartAngle = str(angle)
        items.append(item)
    ds.DetectorInformationSequence, ds.NumberOfDetectors = Sequence(items), len(items)


def multi_frame(seen: np.ndarray, kind: str = "WHOLE BODY", windows_first: bool = False, dtype: str = "<u2") -> Dataset:
    """All heads and windows in one file, as Siemens, Philips and Mediso write them; windows or heads change faster."""
    slots = [(d, w) for d in range(2) for w in range(3)]
    if windows_first:
        slots.sort(key=lambda slot: slot[1])
    ds = blank(1, kind, seen.shape[2])
    fill(ds, np.array([seen[slot] for slot in slots]), dtype)
    ds.DetectorVector, ds.EnergyWindowVector = [d + 1 for d, _ in slots], [w + 1 for _, w in slots]
    name_windows(ds, WINDOWS)
    name_heads(ds, (180, 0))
    return ds


def single_frames(
    seen: np.ndarray, kind: str = "WHOLE BODY", words=("ANT", "POST"), angles=(None, None), every_window: bool = False
) -> list[Dataset]:
    """A file per view and window, as Xeleris exports them; `every_window` describes all windows in each."""
    files = []
    for window, view in np.ndindex(3, 2):
        ds = blank(2 * window + view + 1, kind, seen.shape[2])
        fill(ds, seen[view, window][None])
        ds.DetectorVector, ds.EnergyWindowVector = 1, window + 1 if every_window else 1
        name_windows(ds, WINDOWS if every_window else WINDOWS[window : window + 1])
        name_heads(ds, angles[view : view + 1])
        ds.ImageID = f"{words[view]}_{'EM' if window == 0 else 'SC'}"
        files.append(ds)
    return files


def save(folder: Path, files: Dataset | list[Dataset]) -> Path:
    """Write files, and give the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    for n, ds in enumerate([files] if isinstance(files, Dataset) else files):
        ds.save_as(folder / f"IM{n:04d}", enforce_file_format=True)
    return folder
