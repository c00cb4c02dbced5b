"""The frames of a DICOM segmentation (SEG): what each segment sets in it, and where its pixels lie."""

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
from pydicom.dataset import Dataset
from pydicom.pixels import iter_pixels

from planardose.errors import InputError
from planardose.frames import ras_from_lps
from planardose.io.dicom_read import numbers


@dataclass(frozen=True)
class Frame:
    """Pixels of one segment in one frame, cropped to what is set.

    Parameters
    ----------
    number : int
        Of the segment.
    inside : (rows, columns) bool
    origin_mm : (3,) float64
        RAS position of the centre of pixel (0, 0).
    step_mm : (3, 2) float64
        RAS step down the rows and along the columns.
    thickness_mm : float
        From slice to slice as the header tells it; NaN where it does not.
    """

    number: int
    inside: np.ndarray = field(repr=False)
    origin_mm: np.ndarray
    step_mm: np.ndarray
    thickness_mm: float

    @property
    def told(self) -> str:
        """Pixel size and place of the pixel, LPS as the header tells them, for a message."""
        at = ", ".join(f"{x:.2f}" for x in ras_from_lps[:3, :3] @ self.origin_mm)
        return f"{'x'.join(f'{s:.3g}' for s in np.linalg.norm(self.step_mm, axis=0))} mm at {at} mm"


def frames_of(ds: Dataset, kind: str, where: str) -> Iterator[Frame]:
    """Every segment of every frame; of a label map, each that the frame holds.

    Parameters
    ----------
    ds : Dataset
        Segmentation Storage or Label Map Segmentation Storage.
    kind : str
        SegmentationType. A fractional segment holds the pixels with half of the largest value or more.
    where : str
        Sheet row and column, for errors.
    """
    shared = (ds.get("SharedFunctionalGroupsSequence") or [Dataset()])[0]
    half = int(ds.MaximumFractionalValue) / 2 if kind == "FRACTIONAL" else 0.5
    for group, image in zip(ds.PerFrameFunctionalGroupsSequence, _images(ds, where), strict=True):
        if not image.any():
            continue
        if kind == "LABELMAP":
            held = {int(n): image == n for n in np.unique(image) if n}
        else:
            number = int(_group(shared, group, "SegmentIdentificationSequence").ReferencedSegmentNumber)
            held = {number: image >= half}
        for number, inside in held.items():
            if inside.any():
                yield _frame(number, inside, shared, group, where)


def _images(ds: Dataset, where: str) -> Iterator[np.ndarray]:
    """Stored values of the frames, (rows, columns) each, one by one: all of them at once may fill the memory."""
    try:
        packed = int(ds.BitsAllocated) == 1 and not ds.file_meta.TransferSyntaxUID.is_compressed
        yield from _unpacked(ds) if packed else iter_pixels(ds, raw=True)
    except Exception as fault:
        raise InputError(where, f"frames that cannot be decoded ({type(fault).__name__}): truncated, or of an unknown "
                         "compression", "a complete DICOM file", "export the segmentation again") from None  # fmt: skip


def _unpacked(ds: Dataset) -> Iterator[np.ndarray]:
    """Frames of one bit per pixel. They may begin within a byte, which pydicom 3.0 cannot read frame by frame."""
    data, size = np.frombuffer(ds.PixelData, dtype=np.uint8), int(ds.Rows) * int(ds.Columns)
    for first in range(0, int(ds.NumberOfFrames) * size, size):
        bits = np.unpackbits(data[first // 8 : -(-(first + size) // 8)], bitorder="little")
        yield bits[first % 8 : first % 8 + size].reshape(int(ds.Rows), int(ds.Columns))


def _group(shared: Dataset, frame: Dataset, name: str) -> Dataset:
    """A functional group of a frame: its own, or that of all frames."""
    return (frame.get(name) or shared[name].value)[0]


def _frame(number: int, inside: np.ndarray, shared: Dataset, group: Dataset, where: str) -> Frame:
    rows, columns = (np.flatnonzero(inside.any(axis=a)) for a in (1, 0))
    measures = _group(shared, group, "PixelMeasuresSequence")
    spacing = numbers(measures, "PixelSpacing", 2, where)
    at = numbers(_group(shared, group, "PlanePositionSequence"), "ImagePositionPatient", 3, where)
    turned = numbers(_group(shared, group, "PlaneOrientationSequence"), "ImageOrientationPatient", 6, where)
    lps = np.array(turned).reshape(2, 3)[::-1] * np.array(spacing)[:, None]  # steps down the rows, along the columns
    step = ras_from_lps[:3, :3] @ lps.T
    origin = (ras_from_lps @ (*at, 1.0))[:3] + step @ (rows[0], columns[0])
    told = measures.get("SpacingBetweenSlices") or measures.get("SliceThickness") or np.nan
    cropped = inside[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1].copy()
    return Frame(number, cropped, origin, step, abs(float(told)))
