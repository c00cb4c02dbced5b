"""Read the segments of a DICOM segmentation (SEG): binary, fractional, or as a label map."""

from dataclasses import dataclass

import numpy as np
from pydicom.dataset import Dataset
from pydicom.sr.coding import Code

from planardose.errors import InputError
from planardose.image import Grid
from planardose.io.dicom_read import understood
from planardose.io.dicom_regions import Naming, Segment, text_of
from planardose.io.dicom_seg_frames import Frame, frames_of
from planardose.io.dicom_seg_resample import resampled
from planardose.organ_codes import known_codes

RASTER = ("1.2.840.10008.5.1.4.1.1.66.4", "1.2.840.10008.5.1.4.1.1.66.7")  # Segmentation, Label Map Segmentation
TYPES = ("BINARY", "FRACTIONAL", "LABELMAP")
FORMER = ("SRT", "99SDM", "SNM3")  # designators of SNOMED-RT
OFF, OFF_MM = 0.1, 0.1  # of a voxel, and mm more: what a series of slices may be off its regular grid
THICK = 1.5  # of the CT's slices: thicker ones are another series'


@dataclass(frozen=True)
class _Part:
    """Pixels of one frame on the grid; `axis` is the grid's that it is a slice of."""

    frame: Frame
    box: tuple[slice, slice, slice]
    inside: np.ndarray
    axis: int


def read_segments(ds: Dataset, grid: Grid, in_its_frame: bool, where: str) -> tuple[list[Segment], str | None]:
    """Every segment in its order, and a note where they lie on another grid.

    Frames may lie in any order and orientation, and only where something is set. Where their pixels are the grid's
    voxels they are taken as they are; else they are resampled, if they are known to lie in its frame of reference.

    Parameters
    ----------
    ds : Dataset
        Segmentation Storage or Label Map Segmentation Storage.
    grid : Grid
        The CT's.
    in_its_frame : bool
        Whether the segmentation has the CT's frame of reference.
    where : str
        Sheet row and column, for errors.

    Raises
    ------
    InputError
        Surfaces, another grid that cannot be resampled, pixels that cannot be decoded, a header that cannot be
        understood.
    """
    kind = text_of(ds.get("SegmentationType")).upper()
    if text_of(ds.get("SOPClassUID")) not in RASTER or kind not in TYPES:
        raise InputError(where, "a DICOM segmentation that is no raster of frames", "SEG, binary, fractional or label "
                         "map", "export it as SEG, RTSTRUCT or NIfTI")  # fmt: skip
    with understood(where):
        namings = [_naming(item) for item in ds.SegmentSequence]
        namings = [n for n in namings if n.number > 0]  # 0 is a label map's background
        known = {n.number for n in namings}
        frames = [f for f in frames_of(ds, kind, where) if f.number in known]
        parts = [_placed(f, grid) for f in frames]
        found = next((_other_pixels(p.frame, grid) for p in parts if p.axis < 0), None) or _other_slices(parts, grid)
        if found is None:
            return [_joined(n, [p for p in parts if p.frame.number == n.number]) for n in namings], None
        if not in_its_frame:
            raise InputError(where, found, "the CT's grid", "resample the segmentation onto the CT, or export it as "
                             "RTSTRUCT")  # fmt: skip
        segments = resampled(frames, namings, grid, where)
        return segments, f"{found}: resampled onto it, every segment's volume kept"


def frame_of_reference(ds: Dataset) -> str:
    """FrameOfReferenceUID; empty where there is none."""
    return text_of(ds.get("FrameOfReferenceUID"))


def _other_pixels(frame: Frame, grid: Grid) -> str:
    ours = "x".join(f"{s:.3g}" for s in grid.spacing_mm)
    return f"frames whose pixels are not the CT's voxels ({frame.told}, on a grid of {ours} mm)"


def _other_slices(parts: list[_Part], grid: Grid) -> str | None:
    """What is told of frames of thicker slices than the CT's, which would fill every second or third of its alone."""
    parts = [p for p in parts if p.inside.size]
    for axis in {p.axis for p in parts}:
        frames = [p for p in parts if p.axis == axis]
        step_mm, gaps = grid.spacing_mm[axis], np.diff(np.unique([p.box[axis].start for p in frames]))
        told_mm = np.array([p.frame.thickness_mm for p in frames])
        if gaps.size and gaps.min() > 1 and not (told_mm < THICK * step_mm).any():
            return f"frames {gaps.min() * step_mm:.3g} mm apart on a CT with slices every {step_mm:.3g} mm"
    return None


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


def _placed(frame: Frame, grid: Grid) -> _Part:
    """Pixels of a frame on the grid, without what lies beyond it; axis -1 where they are not the grid's voxels."""
    step = np.linalg.solve(grid.ras_from_voxel[:3, :3], frame.step_mm)
    origin = np.linalg.solve(grid.ras_from_voxel, (*frame.origin_mm, 1.0))[:3]
    size = frame.inside.shape
    axes = [int(a) for a in np.abs(step).argmax(axis=0)]
    whole = np.zeros((3, 2))
    whole[axes, (0, 1)] = np.sign(step[axes, (0, 1)])
    corner = np.rint(origin + (step - whole) @ (np.array(size) - 1) / 2)
    ends = [(r * (size[0] - 1), c * (size[1] - 1)) for r in (0, 1) for c in (0, 1)]
    off = [np.abs(origin - corner + (step - whole) @ end) for end in ends]
    if axes[0] == axes[1] or (np.max(off, axis=0) * grid.spacing_mm > OFF * grid.spacing_mm + OFF_MM).any():
        return _Part(frame, (slice(0, 0),) * 3, np.zeros((0, 0, 0), dtype=bool), -1)
    return _clipped(frame, corner.astype(int), axes, whole, grid)


def _clipped(frame: Frame, corner: np.ndarray, axes: list[int], whole: np.ndarray, grid: Grid) -> _Part:
    """Pixels turned into the grid's axes, from the voxel of pixel (0, 0), within the grid."""
    low, inside = corner.copy(), frame.inside
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
    return _Part(frame, box, inside[cut], third)


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
