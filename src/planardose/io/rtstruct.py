"""Read the closed contours of a DICOM structure set (RTSTRUCT)."""

import numpy as np
from pydicom.dataset import Dataset
from pydicom.tag import Tag

from planardose.frames import ras_from_lps
from planardose.io.dicom_read import understood
from planardose.io.dicom_regions import Naming, Outline, text_of

CLOSED = ("CLOSED_PLANAR", "CLOSEDPLANAR_XOR")
FEWEST_POINTS = 3
CONTOUR_DATA = Tag("ContourData")


def read_outlines(ds: Dataset, where: str) -> tuple[list[Outline], set[str]]:
    """Every ROI of a structure set, in its order, and the frames of reference of those with contours.

    Points, open contours, and contours of fewer than three points are left out.

    Parameters
    ----------
    ds : Dataset
        RT Structure Set.
    where : str
        Sheet row and column, for errors.

    Raises
    ------
    InputError
        A header that cannot be understood.
    """
    with understood(where):
        contours = {int(r.ReferencedROINumber): _closed(r) for r in ds.get("ROIContourSequence") or ()}
        kinds = {
            int(r.ReferencedROINumber): text_of(r.get("RTROIInterpretedType")).upper()
            for r in ds.get("RTROIObservationsSequence") or ()
        }
        outlines, frames = [], set()
        for roi in ds.get("StructureSetROISequence") or ():
            number = int(roi.ROINumber)
            naming = Naming(number, text_of(roi.get("ROIName")), kinds.get(number, ""))
            outlines.append(Outline(naming, contours.get(number, [])))
            if outlines[-1].contours:
                frames.add(text_of(roi.get("ReferencedFrameOfReferenceUID")))
    return outlines, frames


def _closed(roi: Dataset) -> list[np.ndarray]:
    """Closed contours of an item of ROIContourSequence, each (N, 3) RAS mm."""
    found = []
    for contour in roi.get("ContourSequence") or ():
        points = _numbers(contour).reshape(-1, 3)
        if text_of(contour.get("ContourGeometricType")).upper() in CLOSED and len(points) >= FEWEST_POINTS:
            if not np.isfinite(points).all():
                raise ValueError("a point of a contour is no number")
            found.append(points @ ras_from_lps[:3, :3])
    return found


def _numbers(contour: Dataset) -> np.ndarray:
    """ContourData; from the bytes where pydicom has not yet made a hundred thousand objects of them."""
    if CONTOUR_DATA not in contour:
        return np.zeros(0)
    value = contour.get_item(CONTOUR_DATA).value
    return np.array(value.split(b"\\") if isinstance(value, bytes) else value or [], dtype=np.float64)
