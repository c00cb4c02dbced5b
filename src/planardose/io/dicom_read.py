"""Read DICOM files and folders, pixels, and attributes as headers hold them: missing, single, many or broken."""

import logging
import math
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pydicom.dataset import Dataset

from planardose.errors import InputError, no_such_file
from planardose.io.dicom_new import CT_IMAGE_STORAGE, NM_IMAGE_STORAGE
from planardose.io.dicom_open import files_below, looks_like_dicom, open_dicom

log = logging.getLogger(__name__)
SECONDARY_CAPTURE = "1.2.840.10008.5.1.4.1.1.7"  # a picture of a page or screen; its multi-frame kinds are below
PIXELS = ("PixelData", "FloatPixelData", "DoubleFloatPixelData")  # the latter of parametric maps
IMAGE_STORAGE = (CT_IMAGE_STORAGE, NM_IMAGE_STORAGE)


def read_datasets(path: Path, where: str) -> list[Dataset]:
    """All DICOM objects of a file or of a folder and its subfolders (img9 before img10), pixels not yet decoded.

    Files that are no DICOM at all (notes, DICOMDIR, what is hidden) are left out of a folder, with a warning of empty
    ones; a broken DICOM file is refused, an empty one that is called as images are, and a link to a file that is not
    there.

    Raises
    ------
    InputError
        When there is no such path, no DICOM in it, or a file is empty, truncated or not where a link says.
    """
    if not path.exists():
        raise no_such_file(where, "an existing path")
    if path.is_file():
        return [_read(path, where)]
    files = files_below(path)
    lost = [f for f in files if f.is_symlink() and not f.exists()]
    if lost:
        raise InputError(where, f"{len(lost)} of {len(files)} entries of the folder are links to files that are not "
                         "there", "complete DICOM files", "copy the images again, or remove the links")  # fmt: skip
    found = [_read(f, where) for f in files if looks_like_dicom(f)]
    if not found:
        raise InputError(where, f"no DICOM file among {len(files)} files of the folder", "a folder of DICOM files")
    empty = sum(f.stat().st_size == 0 for f in files)
    if empty:
        log.warning("%s: %d empty file%s, by name no image%s, left out", where, empty, *["s" * (empty > 1)] * 2)
    return found


def _read(path: Path, where: str) -> Dataset:
    if path.stat().st_size == 0:
        raise InputError(where, "an empty DICOM file (0 bytes)", "complete DICOM files",
                         "copy the images again, or remove the file if it is no image")  # fmt: skip
    try:
        ds = open_dicom(path)
        ds.get("PixelData")
    except OSError:
        raise  # no permission, a failing disk: `readable` tells
    except Exception as fault:
        raise InputError(
            where,
            f"a file is not readable as DICOM ({type(fault).__name__})",
            "complete DICOM files",
            "copy the images again, convert other formats to DICOM or NIfTI, or remove the file if it is no image",
        ) from None
    is_image = "Rows" in ds or ds.file_meta.get("MediaStorageSOPClassUID") in IMAGE_STORAGE
    if is_image and not any(name in ds for name in PIXELS):
        raise InputError(
            where,
            "a truncated DICOM file: its header says that it holds an image, but no pixels follow",
            "complete DICOM files",
            "copy the images again",
        )
    return ds


def pixels(ds: Dataset, where: str):
    """Decoded pixels of a data set; a truncated or undecodable image raises `InputError`."""
    if ds.get("NumberOfFrames") not in (None, "") and int(ds.NumberOfFrames) < 1:
        raise InputError(where, "NumberOfFrames is 0", "at least one frame", "export the images again")
    try:
        return ds.pixel_array
    except Exception as fault:
        raise InputError(
            where,
            f"the pixels of a DICOM file cannot be decoded ({type(fault).__name__}): "
            "truncated, or of an unknown compression",
            "complete DICOM files",
            "copy the images again",
        ) from None


def listed(value: object) -> list:
    """The values of an attribute that may be missing, single or many: pydicom gives a single one alone."""
    if value is None or value == "":
        return []
    return [value] if isinstance(value, str) or not hasattr(value, "__iter__") else list(value)


def words_of(ds: Dataset, name: str) -> list[str]:
    """Values of an attribute, as ImageType, in upper case."""
    return [str(x).upper() for x in listed(ds.get(name))]


def is_picture(ds: Dataset) -> bool:
    """Whether an image shows a screen or a page rather than what was measured, as far as the header says."""
    sop_class = str(ds.get("SOPClassUID") or "")
    captured = sop_class == SECONDARY_CAPTURE or sop_class.startswith(f"{SECONDARY_CAPTURE}.")
    return captured or int(ds.get("SamplesPerPixel") or 1) != 1 or "SCREEN SAVE" in words_of(ds, "ImageType")


def numbers(ds: Dataset, name: str, count: int, where: str) -> tuple[float, ...]:
    """The `count` finite numbers of an attribute; `InputError` where it is missing, of another length or no number."""
    value = ds.get(name)
    try:
        found = tuple(float(x) for x in listed(value))
    except (TypeError, ValueError):
        found = ()
    if len(found) != count or not all(math.isfinite(x) for x in found):
        raise InputError(
            where,
            f"{name} is {'missing' if value in (None, '') else 'not understood'}",
            f"{count} number{'s' * (count > 1)}",
            "export the images again",
        )
    return found


def number(ds: Dataset, name: str, where: str) -> float | None:
    """The number of an attribute, which some repeat for every head or pass; None where there is none.

    Raises
    ------
    InputError
        When it is no finite number, or several different ones.
    """
    try:
        found = {float(x) for x in listed(ds.get(name)) if x not in (None, "")}
    except (TypeError, ValueError):
        found = {math.nan}
    if len(found) > 1 or not all(map(math.isfinite, found)):
        told = f"{name} has {len(found)} different values" if len(found) > 1 else f"{name} is not understood"
        raise InputError(where, told, "one number", "export the images again")
    return found.pop() if found else None


def rescale(ds: Dataset, where: str) -> tuple[float, float]:
    """Slope and intercept from stored to real values: 1 and 0 where the header has none.

    Raises
    ------
    InputError
        When one of them is no number, or the slope is not above 0.
    """
    slope = numbers(ds, "RescaleSlope", 1, where)[0] if ds.get("RescaleSlope") not in (None, "") else 1.0
    intercept = numbers(ds, "RescaleIntercept", 1, where)[0] if ds.get("RescaleIntercept") not in (None, "") else 0.0
    if slope <= 0:
        raise InputError(where, f"RescaleSlope {slope:g}", "a number above 0", "export the images again")
    return slope, intercept


@contextmanager
def understood(where: str) -> Iterator[None]:
    """Turn what a reader trips over in a malformed header (a word for a number, a missing item) into `InputError`."""
    try:
        yield
    except (ValueError, TypeError, AttributeError, KeyError, IndexError, OverflowError, NotImplementedError) as fault:
        raise InputError(
            where,
            f"a DICOM header that cannot be understood ({type(fault).__name__})",
            "valid values in every attribute",
            "export the images again",
        ) from fault
