"""Structure sets and segmentations for tests: RTSTRUCT by pydicom, SEG by highdicom, an independent writer."""

from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

import highdicom as hd
import numpy as np
import pydicom
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence
from skimage.measure import find_contours

from planardose.image import Grid
from planardose.io.dicom_new import ANONYMOUS, new_dataset, save_dataset

AT = datetime(2026, 3, 2)
STRUCTURE_SET = "1.2.840.10008.5.1.4.1.1.481.3"
ORGAN = hd.sr.CodedConcept("123037004", "SCT", "Anatomical Structure")


@dataclass
class Roi:
    """A region of a structure set: `contours` in RAS mm; `geometry` of each."""

    name: str
    contours: list[np.ndarray]
    kind: str = ""
    geometry: str = "CLOSED_PLANAR"
    number: int = 0
    more: list[tuple[str, np.ndarray]] = field(default_factory=list)


def write_rtstruct(path: Path, rois: list[Roi], frame: str) -> Path:
    """A structure set of ROIs, numbered from 1 where they have no number."""
    ds = new_dataset(STRUCTURE_SET, "2.25.77", ANONYMOUS, AT)
    ds.Modality, ds.StudyInstanceUID, ds.SeriesInstanceUID = "RTSTRUCT", "2.25.78", "2.25.79"
    sets, contours, kinds = [], [], []
    for n, roi in enumerate(rois, start=1):
        item, drawn, kind = Dataset(), Dataset(), Dataset()
        number = roi.number or n
        item.ROINumber, item.ROIName, item.ReferencedFrameOfReferenceUID = number, roi.name, frame
        drawn.ReferencedROINumber = kind.ReferencedROINumber = number
        kind.ObservationNumber, kind.RTROIInterpretedType = number, roi.kind
        every = [*((roi.geometry, c) for c in roi.contours), *roi.more]
        if every:
            drawn.ContourSequence = Sequence([_contour(*c) for c in every])
        sets.append(item)
        contours.append(drawn)
        kinds.append(kind)
    ds.StructureSetROISequence, ds.ROIContourSequence = Sequence(sets), Sequence(contours)
    ds.RTROIObservationsSequence = Sequence(kinds)
    save_dataset(path, ds)
    return path


def _contour(geometry: str, ras: np.ndarray) -> Dataset:
    item = Dataset()
    item.ContourGeometricType, item.NumberOfContourPoints = geometry, len(ras)
    item.ContourData = [f"{x:.6g}" for x in (ras * (-1, -1, 1)).ravel()]
    return item


def contours_of(mask: np.ndarray, grid: Grid, axis: int = 2) -> list[np.ndarray]:
    """Contours of a mask half-way between its voxels' centres and the next, slice by slice, holes by themselves."""
    found = []
    for k in range(mask.shape[axis]):
        for c in find_contours(np.pad(np.take(mask, k, axis), 1).astype(float), 0.5):
            index = np.insert(c[:-1] - 1, axis, k, axis=1)
            found.append(index @ grid.ras_from_voxel[:3, :3].T + grid.ras_from_voxel[:3, 3])
    return found


def circle(centre, radius: float, points: int = 120) -> np.ndarray:
    """(N, 3) RAS mm in an axial plane."""
    t = np.linspace(0, 2 * np.pi, points, endpoint=False)
    return np.stack([centre[0] + radius * np.cos(t), centre[1] + radius * np.sin(t), np.full(points, centre[2])], 1)


def ct_files(folder: Path) -> list[Dataset]:
    """Slices of a CT series in the order of their positions."""
    return sorted((pydicom.dcmread(f) for f in folder.iterdir()), key=lambda ds: float(ds.ImagePositionPatient[2]))


def described(number: int, label: str, code=("85756007", "SCT", "Tissue"), category=ORGAN, side=None):
    """Description of a segment drawn by hand."""
    item = hd.seg.SegmentDescription(
        segment_number=number,
        segment_label=label,
        segmented_property_category=category,
        segmented_property_type=hd.sr.CodedConcept(*code),
        algorithm_type="MANUAL",
    )
    if side:
        modifier = Dataset()
        modifier.CodeValue, modifier.CodingSchemeDesignator, modifier.CodeMeaning = side
        item.SegmentedPropertyTypeCodeSequence[0].SegmentedPropertyTypeModifierCodeSequence = Sequence([modifier])
    return item


def write_seg(path: Path, ct: list[Dataset], pixels, segments: list, kind: str = "BINARY", **more) -> Path:
    """A segmentation of a CT: `pixels` (slices, rows, columns[, segments]), or a highdicom volume."""
    seg = hd.seg.Segmentation(
        source_images=ct, pixel_array=pixels, segmentation_type=kind, segment_descriptions=segments,
        series_instance_uid=hd.UID(), series_number=2, sop_instance_uid=hd.UID(), instance_number=1,
        manufacturer="test", manufacturer_model_name="test", software_versions="1", device_serial_number="1", **more,
    )  # fmt: skip
    path.parent.mkdir(parents=True, exist_ok=True)
    seg.save_as(path)
    return path
