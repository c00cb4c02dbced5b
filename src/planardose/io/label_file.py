"""What a label map's path holds where it is no label map: a folder of masks, DICOM contours or segments."""

from pathlib import Path

import pydicom

from planardose.errors import InputError, readable
from planardose.io.files import is_nifti

DICOM_KINDS = {"SEG": "a DICOM segmentation (SEG)", "RTSTRUCT": "DICOM contours (RTSTRUCT)"}


def refuse_no_label_map(path: Path, where: str) -> None:
    """Refuse folders and DICOM, which no reader of label maps understands, with what to do about them."""
    expected = "one NIfTI label map on the CT's grid"
    with readable(where):
        files = sorted(f for f in path.rglob("*") if f.is_file()) if path.is_dir() else [path]
        masks = [f for f in files if is_nifti(f)]
        if path.is_dir() and masks:
            raise InputError(where, f"a folder of {len(masks)} NIfTI files", expected,
                             "give one file with a number for each: TotalSegmentator --ml")  # fmt: skip
        kind = next((k for k in map(_kind, files) if k), None)
    if kind is not None:
        found = DICOM_KINDS.get(kind, f"DICOM ({kind})")
        raise InputError(where, found, expected, "convert it to a NIfTI label map, or leave the cell empty")
    if path.is_dir():
        raise InputError(where, "a folder without NIfTI files", expected)


def _kind(path: Path) -> str | None:
    """Modality of a DICOM file, ``?`` where it has none; None for other files."""
    with path.open("rb") as f:
        if f.read(132)[128:] != b"DICM":
            return None
    try:
        return str(pydicom.dcmread(path, stop_before_pixels=True, specific_tags=["Modality"]).get("Modality") or "?")
    except Exception:  # broken: DICOM all the same
        return "?"
