"""Organs and lesions of a DICOM segmentation (SEG) or structure set (RTSTRUCT) as labels on the CT's grid.

Names may hold a person's, and so may types that the standard does not have: messages tell a region by its number, its
type where it is one, and its volume.
"""

import logging
import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from planardose.anatomy.contours import rasterise, stacking_axis, usual_step_mm
from planardose.anatomy.region_names import KINDS, LESION, NOTHING, ORGAN, OTHER, UNKNOWN, meaning_of
from planardose.errors import InputError, readable
from planardose.image import Grid
from planardose.io.dicom_read import read_datasets
from planardose.io.dicom_regions import Naming, Outline, Segment, check_frame
from planardose.io.dicom_seg import frame_of_reference, read_segments
from planardose.io.rtstruct import read_outlines
from planardose.organs import LESION_BASE, label_of_name, lesion_name, name_of_label, source_name

log = logging.getLogger(__name__)
LISTED = 6  # regions that a message tells one by one
SHARED = 0.1  # of the smaller of two regions: more in common is told
LUNGS = "lungs"
OWN_LESION = re.compile(r"lesion_([1-9]\d{0,3})")  # as export-dicom names its segments


@dataclass(frozen=True)
class Regions:
    """All regions of an object, on one grid."""

    segments: list[Segment]
    grid: Grid
    where: str

    def told(self, segments: list[Segment]) -> str:
        """Regions for a message: number, type, volume."""
        parts = []
        for s in segments[:LISTED]:
            kind = [s.naming.kind] if s.naming.kind in KINDS else []
            ml = np.count_nonzero(s.inside) * self.grid.voxel_ml
            parts.append(f"number {s.naming.number} ({', '.join([*kind, f'{ml:.3g} mL'])})")
        return ", ".join(parts) + ", ..." * (len(segments) > LISTED)


def read_regions(
    file: Path, modality: str, grid: Grid, ct: Path | None, where: str, notes: list[str]
) -> Regions:
    """Every region of a SEG or RTSTRUCT in voxels; those that name beams, devices or the body are left out.

    Parameters
    ----------
    file : Path
    modality : str
        From `regions_file`.
    grid : Grid
        The CT's.
    ct : Path or None
        The sheet's CT, whose frame of reference the regions must have; None: not compared.
    where : str
        Pseudonymous place, for errors and notes.
    notes : list of str
        Takes what is told.

    Raises
    ------
    InputError
        As the readers and `check_frame`; nothing in it, or nothing on the CT.
    """
    read = _read(file, modality, grid, ct, where, notes)
    is_other = [meaning_of(r.naming, where).role == OTHER for r in read]
    wanted = [r for r, other in zip(read, is_other, strict=True) if not other]
    others = [r.naming for r, other in zip(read, is_other, strict=True) if other]
    if wanted and others:
        told = f"{len(others)} of {len(read)} regions are the body's outline, margins, beams or devices"
        _tell(notes, where, f"{told} and left out: {_numbers(others)}")
    if not wanted:
        raise InputError(where, f"{len(read)} regions, all of them outlines of the body, beams or devices",
                         "organs or lesions", "name and type them as what they are")  # fmt: skip
    segments = _rasterised(wanted, grid, where) if modality == "RTSTRUCT" else wanted
    empty = [s for s in segments if not s.inside.any()]
    if len(empty) == len(segments):
        raise InputError(where, f"none of {len(empty)} regions ({modality}) lies on the CT", "regions of this CT")
    if empty:
        told = _numbers([s.naming for s in empty])
        _tell(notes, where, f"{len(empty)} of {len(segments)} regions hold nothing on the CT: {told}")
    return Regions([s for s in segments if s.inside.any()], grid, where)


def _read(
    file: Path, modality: str, grid: Grid, ct: Path | None, where: str, notes: list[str]
) -> list[Outline] | list[Segment]:
    """Every region, known to lie in the CT's frame of reference as far as `check_frame` tells."""
    with readable(where):
        (ds,) = read_datasets(file, where)
    outlines, frames = read_outlines(ds, where) if modality == "RTSTRUCT" else ([], {frame_of_reference(ds)})
    if not frames:
        found = f"no closed contour ({modality})" if outlines else f"no region ({modality})"
        raise InputError(where, found, "organs or lesions", "export it again")
    unknown = check_frame(frames, ct, where)
    if modality == "RTSTRUCT":
        read, resampled = outlines, None
    else:
        read, resampled = read_segments(ds, grid, ct is not None and unknown is None, where)
    if not read:
        raise InputError(where, f"no region ({modality})", "organs or lesions", "export it again")
    for note in filter(None, (unknown, resampled)):
        _tell(notes, where, note)
    return read


def _numbers(namings: list[Naming]) -> str:
    return f"number {', '.join(str(n.number) for n in namings[: 2 * LISTED])}" + ", ..." * (len(namings) > 2 * LISTED)


def _rasterised(outlines: list[Outline], grid: Grid, where: str) -> list[Segment]:
    """Outlines in voxels; all of them together tell the distance of their slices to one that does not."""
    nothing = ((slice(0, 0),) * 3, np.zeros((0, 0, 0), dtype=bool))
    contours = [c for o in outlines for c in o.contours]
    if not contours:
        return [Segment(o.naming, *nothing) for o in outlines]
    axis = stacking_axis(contours, grid, where)
    step = usual_step_mm(contours, grid, axis)
    parts = [rasterise(o.contours, grid, axis, step) if o.contours else nothing for o in outlines]
    return [Segment(o.naming, *part) for o, part in zip(outlines, parts, strict=True)]


def organ_labels(regions: Regions, notes: list[str]) -> np.ndarray:
    """Labels of the organs, (I, J, K) int16, in our numbering; a segment ``lesion_3`` of our own export is 1003.

    A voxel of several organs belongs to the smallest of them. Regions that are no organ count to the rest of the body.

    Raises
    ------
    InputError
        No region is an organ that is known, or two are the same organ.
    """
    where = regions.where
    labels: list[tuple[int, Segment]] = []
    left, lesions = [], []
    for s in regions.segments:
        meaning, own = meaning_of(s.naming, where), OWN_LESION.fullmatch(s.naming.name)
        if own or meaning.organ:
            labels.append((LESION_BASE + int(own[1]) if own else label_of_name()[meaning.organ], s))
        elif meaning.role == LESION:
            lesions.append(s)
        else:
            left.append(s)
    _check_twice(regions, labels)
    if not labels:
        raise InputError(where, f"none of {len(regions.segments)} regions is an organ that is known by its name or "
                         f"codes: {regions.told(regions.segments)}", "names as TotalSegmentator's (kidney_left) or "
                         "TG-263's (Kidney_L)", "rename them")  # fmt: skip
    if left:
        told = f"{len(left)} of {len(regions.segments)} regions have no name of an organ that is known and count to the"
        _tell(notes, where, f"{told} rest of the body: {regions.told(left)}")
    if lesions:
        many = f"{len(lesions)} regions are lesions, which" if len(lesions) > 1 else "a region is a lesion, which"
        _tell(notes, where, f"{many} this column does not take: {regions.told(lesions)}")
    return _painted(regions, labels, notes).astype(np.int16)


def lesion_numbers(regions: Regions, notes: list[str]) -> np.ndarray:
    """Lesions, (I, J, K) int32, numbered from 1 in the object's order; the smallest of several takes a voxel.

    Raises
    ------
    InputError
        Regions of which it is not known whether they are lesions; none that is one.
    """
    where = regions.where
    roles = [meaning_of(s.naming, where).role for s in regions.segments]
    unknown, organs = ([s for s, r in zip(regions.segments, roles, strict=True) if r == x] for x in (UNKNOWN, ORGAN))
    lesions = [s for s, r in zip(regions.segments, roles, strict=True) if r in (LESION, NOTHING)]
    expected = "lesions that are called so (lesion, GTV, tumour, metastasis...) or have the type GTV or a lesion's code"
    if unknown:
        found = f"{len(unknown)} of {len(roles)} regions may be lesions or not, by name, type and codes"
        raise InputError(where, f"{found}: {regions.told(unknown)}", expected, "rename them, or export lesions alone")
    if not lesions:
        raise InputError(where, f"none of {len(roles)} regions is a lesion: {regions.told(organs)}", expected,
                         "rename them, or empty the cell")  # fmt: skip
    if organs:
        _tell(notes, where, f"{len(organs)} of {len(roles)} regions are organs and no lesions: {regions.told(organs)}")
    return _painted(regions, list(enumerate(lesions, start=1)), notes)


def _check_twice(regions: Regions, labels: list[tuple[int, Segment]]) -> None:
    """Refuse two regions of one organ; those of the lungs may be lobes, a side and the whole."""
    first: dict[int, Segment] = {}
    for label, s in labels:
        other = first.setdefault(label, s)
        if other is not s and source_name(label) != LUNGS:
            name = lesion_name(label - LESION_BASE) if label > LESION_BASE else name_of_label()[label]
            raise InputError(regions.where, f"{name} twice: {regions.told([other, s])}", "one region for an organ",
                             "remove or rename one of them")  # fmt: skip


def _painted(regions: Regions, labels: list[tuple[int, Segment]], notes: list[str]) -> np.ndarray:
    """Labels on the grid, the largest region first; what two share is told where it is much of the smaller."""
    order = sorted(labels, key=lambda item: -np.count_nonzero(item[1].inside))
    owner = np.zeros(regions.grid.shape, dtype=np.int16)  # place in the order, from 1
    shared = []
    for n, (_, s) in enumerate(order, start=1):
        part, size = owner[s.box], np.count_nonzero(s.inside)
        beneath = np.bincount(part[s.inside])
        beneath[0] = 0
        if beneath.max() > SHARED * size:
            other = order[int(beneath.argmax()) - 1][1]
            shared.append(f"{beneath.max() / size:.0%} of number {s.naming.number} lie in {other.naming.number}")
        part[s.inside] = n
    if shared:
        text = ", ".join(shared[:LISTED]) + ", ..." * (len(shared) > LISTED)
        _tell(notes, regions.where, f"regions overlap, and the smaller takes what they share: {text}")
    return np.array([0, *(label for label, _ in order)], dtype=np.int32)[owner]


def _tell(notes: list[str], where: str, note: str) -> None:
    log.warning("%s: %s", where, note)
    notes.append(f"{where.split()[-1]}: {note}")


