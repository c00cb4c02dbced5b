"""Write planar views as an NM multi-frame DICOM file, one detector each: a whole-body sweep, or a static image."""

from pathlib import Path

import numpy as np
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence
from pydicom.tag import Tag

from planardose.frames import lps_from_ras
from planardose.io.dicom_new import ANONYMOUS, NM_IMAGE_STORAGE, Identity, new_dataset, save_dataset, uid_of
from planardose.io.dicom_study import Study
from planardose.library import Camera
from planardose.planar import VIEWS, PlanarPair, columns_to

ANGLES_DEG = {"anterior": 0.0, "posterior": 180.0}  # of a pair; DICOM counts from the back (PS3.3 C.8.4.11)
VIEW_CODES = {  # PS3.16 CID 26
    "anterior": ("399321004", "Anterior projection"),
    "posterior": ("399001007", "Posterior projection"),
}
ROWS_TO_FEET = (0.0, 0.0, -1.0)  # LPS
NUCLIDE_CODES = {  # PS3.16 CID 18, which has none of 161Tb
    "111In": ("56609000", "^111^Indium"),
    "123I": ("21572004", "^123^Iodine"),
    "131I": ("1368003", "^131^Iodine"),
    "177Lu": ("447553000", "^177^Lutetium"),
    "99mTc": ("72454006", "^99m^Technetium"),
}


def write_planar(
    path: Path,
    pair: PlanarPair,
    camera: Camera,
    nuclide: str = "177Lu",
    identity: Identity = ANONYMOUS,
    seed: int = 0,
    study: Study | None = None,
    centre_mm: tuple[float, float, float] = (0.0, 0.0, 0.0),
) -> None:
    """Write NM Image Storage: frames window by window, in each the anterior, the posterior, and any further head.

    Parameters
    ----------
    path : Path
    pair : PlanarPair
        Counts rounded to integers. A sweep when `duration_s` exceeds `exposure_s`, else a static image.
    camera : Camera
        Its axial field over the exposure is the scan velocity.
    nuclide : str
        Catalogue name.
    identity : Identity
        Patient and institution written into the header.
    seed : int
        With the patient id and the acquisition time, the root of the UIDs.
    study : Study or None
        Of the CT that the views belong to; it has the last word on UIDs and identity.
    centre_mm : tuple of float
        Centre of the matrix in the frame of reference, RAS mm.

    Raises
    ------
    ValueError
        If a pixel exceeds 16 bits.
    """
    identity = study.identity if study else identity
    counts = np.rint(pair.counts if pair.more is None else np.concatenate([pair.counts, pair.more.counts]))
    if counts.max() > np.iinfo(np.uint16).max:
        raise ValueError(f"{counts.max():g} counts in a pixel do not fit 16 bits")
    root = ("nm", seed, identity.patient_id, pair.acquired_at.isoformat())
    ds = new_dataset(NM_IMAGE_STORAGE, uid_of(*root, "image"), identity, pair.acquired_at)
    ds.StudyInstanceUID, ds.SeriesInstanceUID = uid_of(*root, "study"), uid_of(*root, "series")
    ds.FrameOfReferenceUID, ds.PositionReferenceIndicator = uid_of(*root, "frame"), ""
    ds.Modality, ds.Manufacturer, ds.ManufacturerModelName = "NM", camera.vendor, camera.name
    ds.BodyPartExamined = "WHOLEBODY"
    ds.SeriesNumber, ds.InstanceNumber = 1, 1
    _acquisition(ds, pair, camera)
    _frames(ds, counts)
    _windows(ds, pair)
    _detectors(ds, pair, camera, lps_from_ras[:3, :3] @ centre_mm)
    _patient(ds)
    put_nuclide(ds, nuclide)
    if study:
        study.take(ds)
    save_dataset(path, ds)


def _acquisition(ds: Dataset, pair: PlanarPair, camera: Camera) -> None:
    """Type of the image and how long it took; durations are in ms, lengths in mm (PS3.3 C.8.4.9, C.8.4.10)."""
    swept = pair.is_swept
    ds.ImageType = ["ORIGINAL", "PRIMARY", "WHOLE BODY" if swept else "STATIC", "EMISSION"]
    ds.ActualFrameDuration = round(pair.duration_s * 1000)
    ds.AcquisitionTerminationCondition = "TIME"
    if swept:
        velocity = camera.field_mm[0] / pair.exposure_s
        ds.ScanVelocity = f"{velocity:.12g}"
        ds.ScanLength = round(velocity * pair.duration_s)
        ds.WholeBodyTechnique = "1PS"


def _frames(ds: Dataset, counts: np.ndarray) -> None:
    """Pixels of (view, window, row, column) counts as frames with their vectors."""
    views, windows, rows, columns = counts.shape
    ds.SamplesPerPixel, ds.PhotometricInterpretation = 1, "MONOCHROME2"
    ds.Rows, ds.Columns, ds.NumberOfFrames = rows, columns, views * windows
    ds.BitsAllocated, ds.BitsStored, ds.HighBit, ds.PixelRepresentation = 16, 16, 15, 0
    ds.FrameIncrementPointer = [Tag("EnergyWindowVector"), Tag("DetectorVector")]
    ds.EnergyWindowVector = [w + 1 for w in range(windows) for _ in range(views)]
    ds.DetectorVector = [v + 1 for _ in range(windows) for v in range(views)]
    ds.NumberOfEnergyWindows, ds.NumberOfDetectors = windows, views
    ds.CountsAccumulated = int(counts.sum())
    ds.SmallestImagePixelValue, ds.LargestImagePixelValue = int(counts.min()), int(counts.max())
    ds.PixelData = counts.transpose(1, 0, 2, 3).astype("<u2").tobytes()


def _windows(ds: Dataset, pair: PlanarPair) -> None:
    items = []
    for n, window in enumerate(pair.windows):
        limits = Dataset()
        limits.EnergyWindowLowerLimit, limits.EnergyWindowUpperLimit = f"{window.low_kev:.9g}", f"{window.high_kev:.9g}"
        item = Dataset()
        item.EnergyWindowRangeSequence, item.EnergyWindowName = Sequence([limits]), f"WINDOW{n + 1}"
        items.append(item)
    ds.EnergyWindowInformationSequence = Sequence(items)


def _detectors(ds: Dataset, pair: PlanarPair, camera: Camera, centre: np.ndarray) -> None:
    ds.PixelSpacing = [f"{x:.9g}" for x in pair.pixel_mm]
    more, faces = pair.more, pair.detector_distance_mm
    heads = [(ANGLES_DEG[v], None if faces is None else faces[n], VIEW_CODES[v]) for n, v in enumerate(VIEWS)]
    if more is not None:
        distances = more.distance_mm or (None,) * len(more.angles_deg)
        heads += [(a, d, None) for a, d in zip(more.angles_deg, distances, strict=True)]
    ds.DetectorInformationSequence = Sequence([_detector(pair, camera, centre, *head) for head in heads])


def _detector(
    pair: PlanarPair,
    camera: Camera,
    centre: np.ndarray,
    angle_deg: float,
    distance_mm: float | None,
    code: tuple[str, str] | None,
) -> Dataset:
    """Item of a head; `centre` (3,) is that of the matrix, LPS mm."""
    item = Dataset()
    item.CollimatorType, item.CollimatorGridName, item.FocalDistance = "PARA", camera.collimator, 0
    item.FieldOfViewShape = "RECTANGLE"
    item.FieldOfViewDimensions = [round(camera.field_mm[1]), round(camera.field_mm[0])]
    item.StartAngle = f"{(angle_deg + 180.0) % 360.0:.9g}"
    if distance_mm is not None:
        item.RadialPosition = f"{distance_mm:.9g}"
    across, (rows, columns) = lps_from_ras[:3, :3] @ columns_to(angle_deg), pair.counts.shape[2:]
    half_mm = (columns - 1) / 2 * pair.pixel_mm[1], (rows - 1) / 2 * pair.pixel_mm[0]
    first = centre - half_mm[0] * across - half_mm[1] * np.array(ROWS_TO_FEET)
    item.ImagePositionPatient = [f"{x + 0.0:.9g}" for x in np.round(first, 6)]
    item.ImageOrientationPatient = [f"{x + 0.0:.9g}" for x in (*np.round(across, 9), *ROWS_TO_FEET)]
    if code is not None:
        item.ViewCodeSequence = Sequence([code_item(*code)])
    return item


def _patient(ds: Dataset) -> None:
    """Recumbent, supine, head first."""
    recumbent = code_item("102538003", "recumbent")
    recumbent.PatientOrientationModifierCodeSequence = Sequence([code_item("40199007", "supine")])
    ds.PatientOrientationCodeSequence = Sequence([recumbent])
    ds.PatientGantryRelationshipCodeSequence = Sequence([code_item("102540008", "headfirst")])


def put_nuclide(ds: Dataset, nuclide: str) -> None:
    """Put the nuclide of the catalogue, by its code where the standard has one."""
    item = Dataset()
    item.RadionuclideCodeSequence = Sequence([code_item(*NUCLIDE_CODES[nuclide])] if nuclide in NUCLIDE_CODES else [])
    item.Radiopharmaceutical = nuclide
    ds.RadiopharmaceuticalInformationSequence = Sequence([item])


def code_item(value: str, meaning: str, scheme: str = "SCT") -> Dataset:
    """Item of a sequence of codes."""
    item = Dataset()
    item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = value, scheme, meaning
    return item
