"""Read the segments of a DICOM segmentation (SEG): binary, fractional, or as a label map."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from pydicom.dataset import Dataset
from pydicom.pixels import iter_pixels
from pydicom.sr.coding import Code

from planardose.errors import InputError
from planardose.frames import ras_from_lps
from planardose.image import Grid
from planardose.io.dicom_common import numbers, understood
from planardose.io.dicom_regions import Naming, Segment, text_of
from planardose.organ_codes import known_codes

RASTER = ("1.2.840.10008.5.1.4.1.1.66.4", "1.2.840.10008.5.1.4.1.1.66.7")  # Segmentation, Label Map Segmentation
TYPES = ("BINARY", "FRACTIONAL", "LABELMAP")
FORMER = ("SRT", "99SDM", "SNM3")  # designators of SNOMED-RT
OFF, OFF_MM = 0.1, 0.1  # of a voxel, and mm more: what a series of slices may be off its regular grid
RESAMPLE = "resample the segmentation onto the CT, or export it as RTSTRUCT"
THICK = 1.5  # of the CT's slices: thicker ones are another series'


@dataclass(frozen=True)
class _Part:
    """Pixels of one frame on the grid, cropped to what is set; `axis` is the grid's that it is a slice of.

    `thickness_mm`: from slice to slice as the header tells it; NaN where it does not.
    """

    box: tuple[slice, slice, slice]
    inside: np.ndarray
    axis: int
    thickness_mm: float


def read_segments(ds: Dataset, grid: Grid, where: str) -> tuple[list[Segment], set[str]]:
    """Every segment in its order, and the frame of reference.

    Frames may lie in any order and orientation, and only where something is set, as long as their pixels are the
    grid's voxels. A fractional segment holds the voxels with half of the largest value or more.

    Parameters
    ----------
    ds : Dataset
        Segmentation Storage or Label Map Segmentation Storage.
    grid : Grid
        The CT's.
    where : str
        Sheet row and column, for errors.

    Raises
    ------
    InputError
        Surfaces, another grid, pixels that cannot be decoded, a header that cannot be understood.
    """
    kind = text_of(ds.get("SegmentationType")).upper()
    if text_of(ds.get("SOPClassUID")) not in RASTER or kind not in TYPES:
        raise InputError(where, "a DICOM segmentation that is no raster of frames", "SEG, binary, fractional or label "
                         "map", "export it as SEG, RTSTRUCT or NIfTI")  # fmt: skip
    with understood(where):
        namings = [_naming(item) for item in ds.SegmentSequence]
        namings = [n for n in namings if n.number > 0]  # 0 is a label map's background
        parts: dict[int, list[_Part]] = {n.number: [] for n in namings}
        for number, part in _parts(ds, kind, grid, where):
            if number in parts:
                parts[number].append(part)
        _check_slices([p for own in parts.values() for p in own if p.inside.size], grid, where)
        return [_joined(n, parts[n.number]) for n in namings], {text_of(ds.get("FrameOfReferenceUID"))}


def _check_slices(parts: list[_Part], grid: Grid, where: str) -> None:
    """Refuse frames of thicker slices than the CT's, which would fill every second or third of its slices alone."""
    for axis in {p.axis for p in parts}:
        frames = [p for p in parts if p.axis == axis]
        step_mm, gaps = grid.spacing_mm[axis], np.diff(np.unique([p.box[axis].start for p in frames]))
        told_mm = np.array([p.thickness_mm for p in frames])
        if gaps.size and gaps.min() > 1 and not (told_mm < THICK * step_mm).any():
            found = f"frames {gaps.min() * step_mm:.3g} mm apart on a CT with slices every {step_mm:.3g} mm"
            raise InputError(where, found, "the CT's slices", RESAMPLE)


def _naming(item: Dataset) -> Naming:
    kind = (item.get("SegmentedPropertyTypeCodeSequence") or [Dataset()])[0]
    modifier = kind.get("SegmentedPropertyTypeModifierCodeSequence")
    codes = (_snomed(item.get("SegmentedPropertyCategoryCodeSequence")), _snomed([kind]), _snomed(modifier))
    return Naming(int(item.SegmentNumber), text_of(item.get("SegmentLabel")), "", codes)


def _snomed(sequence) -> str:
    """SNOMED CT code of a sequence's first item, also where it is given as SNOMED-RT; empty where it is none."""
    item = (sequence or [Dataset()])[0]
    value, scheme = text_of(item.get("CodeValue")), text_of(item.get("CodingSchemeDesignator")).upper()
    if scheme == "SCT":
        return value
    older = Code(value, "SRT" if scheme in FORMER else scheme, "")  # pydicom takes equal concepts of both for equal
    return next((c for c in known_codes() if older == Code(c, "SCT", "")), "")


def _parts(ds: Dataset, kind: str, grid: Grid, where: str) -> Iterator[tuple[int, _Part]]:
    """(segment number, pixels) of each frame; of a label map, of each segment that the frame holds."""
    shared = (ds.get("SharedFunctionalGroupsSequence") or [Dataset()])[0]
    frames = ds.PerFrameFunctionalGroupsSequence
    half = int(ds.MaximumFractionalValue) / 2 if kind == "FRACTIONAL" else 0.5
    for group, image in zip(frames, _images(ds, where), strict=True):
        if not image.any():
            continue
        if kind == "LABELMAP":
            held = {int(n): image == n for n in np.unique(image) if n}
        else:
            number = int(_group(shared, group, "SegmentIdentificationSequence").ReferencedSegmentNumber)
            held = {number: image >= half}
        for number, inside in held.items():
            if inside.any():
                yield number, _placed(inside, shared, group, grid, where)


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


def _placed(inside: np.ndarray, shared: Dataset, frame: Dataset, grid: Grid, where: str) -> _Part:
    """Pixels (rows, columns) of a frame on the grid; what lies beyond it is cut off."""
    rows, columns = (np.flatnonzero(inside.any(axis=a)) for a in (1, 0))
    first, size = (rows[0], columns[0]), (rows[-1] - rows[0] + 1, columns[-1] - columns[0] + 1)
    inside = inside[first[0] : first[0] + size[0], first[1] : first[1] + size[1]]
    measures = _group(shared, frame, "PixelMeasuresSequence")
    spacing = numbers(measures, "PixelSpacing", 2, where)
    at = numbers(_group(shared, frame, "PlanePositionSequence"), "ImagePositionPatient", 3, where)
    turned = numbers(_group(shared, frame, "PlaneOrientationSequence"), "ImageOrientationPatient", 6, where)
    lps = np.array(turned).reshape(2, 3)[::-1] * np.array(spacing)[:, None]  # steps down the rows, along the columns
    step = np.linalg.solve(grid.ras_from_voxel[:3, :3], ras_from_lps[:3, :3] @ lps.T)
    origin = np.linalg.solve(grid.ras_from_voxel, ras_from_lps @ (*at, 1.0))[:3] + step @ first
    axes = [int(a) for a in np.abs(step).argmax(axis=0)]
    whole = np.zeros((3, 2))
    whole[axes, (0, 1)] = np.sign(step[axes, (0, 1)])
    corner = np.rint(origin + (step - whole) @ (np.array(size) - 1) / 2)
    ends = [(r * (size[0] - 1), c * (size[1] - 1)) for r in (0, 1) for c in (0, 1)]
    off = [np.abs(origin - corner + (step - whole) @ end) for end in ends]
    if axes[0] == axes[1] or (np.max(off, axis=0) * grid.spacing_mm > OFF * grid.spacing_mm + OFF_MM).any():
        found = f"{spacing[0]:.3g}x{spacing[1]:.3g} mm at {', '.join(f'{x:.2f}' for x in at)} mm"
        ours = "x".join(f"{s:.3g}" for s in grid.spacing_mm)
        raise InputError(
            where, f"frames whose pixels are not the CT's voxels: {found}", f"the CT's grid ({ours} mm)", RESAMPLE
        )
    told = measures.get("SpacingBetweenSlices") or measures.get("SliceThickness") or np.nan
    return _clipped(inside, corner.astype(int), axes, whole, grid, abs(float(told)))


def _clipped(
    inside: np.ndarray, corner: np.ndarray, axes: list[int], whole: np.ndarray, grid: Grid, thickness_mm: float
) -> _Part:
    """Pixels turned into the grid's axes, from the voxel of pixel (0, 0), within the grid."""
    low = corner.copy()
    for n, axis in enumerate(axes):
        if whole[axis, n] < 0:
            inside = np.flip(inside, n)
            low[axis] -= inside.shape[n] - 1
    third = 3 - sum(axes)
    inside = np.expand_dims(inside if axes[0] < axes[1] else inside.T, third)
    start = np.clip(low, 0, grid.shape)
    stop = np.clip(low + inside.shape, start, grid.shape)
    cut = tuple(slice(int(a), int(b)) for a, b in zip(start - low, stop - low, strict=True))
    box = tuple(slice(int(a), int(b)) for a, b in zip(start, stop, strict=True))
    return _Part(box, inside[cut], third, thickness_mm)


def _joined(naming: Naming, parts: list[_Part]) -> Segment:
    """All frames of a segment in one box."""
    parts = [p for p in parts if p.inside.size]
    if not parts:
        return Segment(naming, (slice(0, 0),) * 3, np.zeros((0, 0, 0), dtype=bool))
    low = np.min([[s.start for s in p.box] for p in parts], axis=0)
    high = np.max([[s.stop for s in p.box] for p in parts], axis=0)
    inside = np.zeros(high - low, dtype=bool)
    for p in parts:
        inside[tuple(slice(s.start - a, s.stop - a) for s, a in zip(p.box, low, strict=True))] |= p.inside
    return Segment(naming, tuple(slice(int(a), int(b)) for a, b in zip(low, high, strict=True)), inside)
