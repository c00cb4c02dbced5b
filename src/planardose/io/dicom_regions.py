"""Regions that a DICOM object outlines, as its author named them, and the one such object of a sheet's cell."""

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pydicom

from planardose.errors import InputError, readable
from planardose.io.dicom_ct_read import read_ct_slices
from planardose.io.dicom_open import files_below
from planardose.io.dicom_read import listed
from planardose.io.dicom_terms import MODALITIES, term
from planardose.io.files import is_nifti

EXPECTED = "a NIfTI label map on the CT's grid, one DICOM segmentation (SEG) or structure set (RTSTRUCT)"
KINDS = {"SEG": "segmentation (SEG)", "RTSTRUCT": "contours (RTSTRUCT)"}


@dataclass(frozen=True)
class Naming:
    """What an object says a region is. Its name may hold a person's, and goes into no output.

    Parameters
    ----------
    number : int
        ROINumber or SegmentNumber.
    name : str
        ROIName or SegmentLabel.
    kind : str
        RTROIInterpretedType, upper case; empty where there is none.
    codes : tuple of str
        SNOMED CT codes of a segment's category, type and modifier (``""`` where there is none); none of a contour.
    """

    number: int
    name: str = field(repr=False)
    kind: str = ""
    codes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Segment:
    """A region in voxels: `inside` is the part `box` of the CT's grid, empty slices where nothing lies on it."""

    naming: Naming
    box: tuple[slice, slice, slice]
    inside: np.ndarray = field(repr=False)


@dataclass(frozen=True)
class Outline:
    """A region by its closed contours, each (N, 3) RAS mm; none where it is empty."""

    naming: Naming
    contours: list[np.ndarray] = field(repr=False)


def regions_file(path: Path, where: str) -> tuple[Path, str] | None:
    """The SEG or RTSTRUCT that a file or folder holds, with its modality; None for a file that is no DICOM.

    Images beside it in a folder do not matter.

    Raises
    ------
    InputError
        A folder of NIfTI masks, of several such objects, or of none; another DICOM object.
    """
    with readable(where):
        files = [f for f in files_below(path) if f.is_file()] if path.is_dir() else [path]
        masks = [f for f in files if is_nifti(f)]
        if path.is_dir() and masks:
            raise InputError(where, f"a folder of {len(masks)} NIfTI files", EXPECTED,
                             "give one file with a number for each: TotalSegmentator --ml")  # fmt: skip
        kinds = {f: kind for f in files if (kind := _modality(f))}
    found = [f for f, kind in kinds.items() if kind in KINDS]
    if len(found) > 1:
        raise InputError(where, f"{len(found)} objects SEG or RTSTRUCT in one folder", EXPECTED, "name the file")
    if found:
        return found[0], kinds[found[0]]
    if kinds:
        kind = term(next(iter(kinds.values())), MODALITIES)
        raise InputError(where, f"DICOM ({kind})", EXPECTED, "correct or empty the cell")
    if path.is_dir():
        raise InputError(where, "a folder without NIfTI or DICOM files", EXPECTED)
    return None


def _modality(path: Path) -> str | None:
    """Modality of a DICOM file, ``?`` where it has none; None for other files."""
    with path.open("rb") as f:
        if f.read(132)[128:] != b"DICM":
            return None
    try:
        return str(pydicom.dcmread(path, stop_before_pixels=True, specific_tags=["Modality"]).get("Modality") or "?")
    except Exception:  # broken: DICOM all the same
        return "?"


def check_frame(theirs: set[str], ct: Path | None, where: str) -> str | None:
    """Refuse regions in another frame of reference than the CT's; the note to tell where a NIfTI CT names none.

    Parameters
    ----------
    theirs : set of str
        FrameOfReferenceUIDs that the regions lie in.
    ct : Path or None
        The sheet's; None: nothing to compare with.
    where : str
        Pseudonymous place, for errors.

    Raises
    ------
    InputError
        Another frame, none, or several; the CT is a DICOM series without one, or with one for every slice.
    """
    if ct is None:
        return None
    if is_nifti(ct):
        return (
            "the CT is a NIfTI and names no frame of reference: the regions are taken to lie in it; "
            "look whether the outlines fit it"
        )
    with readable(where):
        ours = {str(ds.get("FrameOfReferenceUID") or "") for ds in read_ct_slices(ct, where)}
    if len(ours) == 1 and "" not in ours and theirs == ours:
        return None
    if len(ours) > 1:
        found = f"the CT's slices name {len(ours)} FrameOfReferenceUIDs, which tell nothing about the regions' place"
    elif "" in theirs | ours:
        found = "no FrameOfReferenceUID: drawn on other images?"
    else:
        found = "another FrameOfReferenceUID than the CT's: drawn on other images?"
    raise InputError(
        where,
        found,
        "regions drawn on this CT",
        "transfer them to this CT and export them again, or give a NIfTI label map on its grid",
    )


def text_of(value: object) -> str:
    """One string of an attribute that may be missing."""
    return " ".join(map(str, listed(value))).strip()
