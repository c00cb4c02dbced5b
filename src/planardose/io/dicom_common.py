"""What the DICOM readers and writers share: identity, deterministic UIDs, dates, and reading a file or folder."""

import hashlib
import logging
import math
import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pydicom
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian

from planardose.errors import InputError, no_such_file
from planardose.io.dicom_open import files_below, looks_like_dicom, open_dicom
from planardose.io.files import atomic

log = logging.getLogger(__name__)
# pydicom warns about odd values with the value itself, a name or a birth date: not into our logs
pydicom.config.settings.reading_validation_mode = pydicom.config.IGNORE
# and of broken pixels with the file's path and tracebacks: what is wrong is told by `InputError`
logging.getLogger("pydicom").setLevel(logging.CRITICAL + 1)
warnings.filterwarnings("ignore", module=r"pydicom(\..*)?")
CT_IMAGE_STORAGE = "1.2.840.10008.5.1.4.1.1.2"
NM_IMAGE_STORAGE = "1.2.840.10008.5.1.4.1.1.20"
SECONDARY_CAPTURE = "1.2.840.10008.5.1.4.1.1.7"  # a picture of a page or screen; its multi-frame kinds are below
PIXELS = ("PixelData", "FloatPixelData", "DoubleFloatPixelData")  # the latter of parametric maps
IMAGE_STORAGE = (CT_IMAGE_STORAGE, NM_IMAGE_STORAGE)
STARTS = (  # where a start may stand, beside AcquisitionDateTime; the last are of processing rather than of acquisition
    ("AcquisitionDate", "AcquisitionTime"), ("SeriesDate", "AcquisitionTime"), ("ContentDate", "ContentTime"),
    ("SeriesDate", "SeriesTime"),
)  # fmt: skip
MOMENT = re.compile(r"(\d{4})\.?(\d{2})\.?(\d{2})(\d{2})(\d{2})(?:(\d{2})(?:\.(\d+))?)?")
OFFSET = re.compile(r"([+-])(0\d|1[0-4])([0-5]\d)$")
IMPLEMENTATION_UID = "2.25.190384711057266430122917338467255610293"


@dataclass(frozen=True)
class Identity:
    """Who a DICOM file says the patient is. Our own files carry the pseudonym; the demo plants a name here."""

    name: str = "Anonymous"
    patient_id: str = "ANON"
    birth_date: str = ""
    sex: str = ""
    institution: str = ""


ANONYMOUS = Identity()


def uid_of(*parts: object) -> str:
    """A UID below 2.25 (UUID-derived root) that depends on `parts` only."""
    digest = hashlib.sha256("/".join(str(p) for p in parts).encode()).digest()
    return f"2.25.{int.from_bytes(digest[:16])}"


def new_dataset(sop_class: str, instance_uid: str, identity: Identity, at: datetime) -> FileDataset:
    """A data set with file meta, patient and study modules.

    Parameters
    ----------
    sop_class, instance_uid : str
        UIDs of the kind of object and of this one.
    identity : Identity
        Written into the patient module.
    at : datetime
        Start of the acquisition, written as the date and time of study, series, acquisition and content.
    """
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = sop_class
    meta.MediaStorageSOPInstanceUID = instance_uid
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    meta.ImplementationClassUID = IMPLEMENTATION_UID
    ds = FileDataset(None, Dataset(), file_meta=meta, preamble=b"\0" * 128)
    ds.SpecificCharacterSet = _character_set(identity)
    ds.SOPClassUID, ds.SOPInstanceUID = sop_class, instance_uid
    for stem in ("Study", "Series", "Acquisition", "Content"):
        setattr(ds, f"{stem}Date", at.strftime("%Y%m%d"))
        setattr(ds, f"{stem}Time", at.strftime("%H%M%S.%f"))
    ds.AccessionNumber = ds.ReferringPhysicianName = ""
    ds.StudyID = "1"
    ds.PatientName, ds.PatientID = identity.name, identity.patient_id
    ds.PatientBirthDate, ds.PatientSex = identity.birth_date, identity.sex
    if identity.institution:
        ds.InstitutionName = identity.institution
    return ds


def _character_set(identity: Identity) -> str:
    """Latin 1 where it holds what is written, else UTF-8 (PS3.3 C.12.1.1.2)."""
    try:
        "".join((identity.name, identity.patient_id, identity.institution)).encode("iso8859-1")
    except UnicodeEncodeError:
        return "ISO_IR 192"
    return "ISO_IR 100"


def save_dataset(path: Path, ds: FileDataset) -> None:
    """Write a data set atomically in the DICOM file format."""
    with atomic(path) as temporary:
        ds.save_as(temporary, enforce_file_format=True)


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


def earliest(datasets: list[Dataset]) -> datetime | None:
    """Earliest start of the acquisitions, as far as their headers tell."""
    return min(on_one_clock([s for s in map(datetime_of, datasets) if s is not None]), default=None)


def on_one_clock(starts: list[datetime]) -> list[datetime]:
    """Starts that all carry a zone, or none: where only some files name it, they share the clock."""
    return starts if all(s.tzinfo for s in starts) else [s.replace(tzinfo=None) for s in starts]


def utc_offset_of(ds: Dataset) -> timedelta | None:
    """TimezoneOffsetFromUTC (0008,0201), ``+HHMM``; None where the header has none that can be read."""
    found = OFFSET.fullmatch(str(ds.get("TimezoneOffsetFromUTC") or "").strip())
    return _offset(*found.groups()) if found else None


def _offset(sign: str, hours: str, minutes: str) -> timedelta:
    size = timedelta(hours=int(hours), minutes=int(minutes))
    return -size if sign == "-" else size


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


def datetime_of(ds: Dataset) -> datetime | None:
    """Start of the acquisition by the first of `STARTS` that can be read; None without any.

    The time is that of the camera's clock; it carries the offset from UTC where the header names one, in the date and
    time itself or in TimezoneOffsetFromUTC.
    """
    return _start_of(ds)[1]


def odd_source_of_start(ds: Dataset) -> str:
    """What `datetime_of` was read from, where it is not the acquisition's own date and time; else empty."""
    source, found = _start_of(ds)
    return "" if found is None or source.startswith("Acquisition") else source


def between_starts_s(ds: Dataset) -> float:
    """Seconds between AcquisitionDateTime and AcquisitionDate with AcquisitionTime; 0 where they cannot be compared.

    Only one of them may be shifted by an anonymiser. With a zone in one alone the difference may be the zone's.
    """
    offset = utc_offset_of(ds)
    parts = [str(ds.get(name) or "") for name in STARTS[0]]
    first, second = moment(str(ds.get("AcquisitionDateTime") or ""), offset), moment("".join(parts), offset)
    if first is None or second is None or (first.tzinfo is None) != (second.tzinfo is None):
        return 0.0
    return abs((first - second).total_seconds())


def _start_of(ds: Dataset) -> tuple[str, datetime | None]:
    stamps = [("AcquisitionDateTime", str(ds.get("AcquisitionDateTime") or ""))]
    for date, time in STARTS:
        parts = [str(ds.get(name) or "").strip() for name in (date, time)]
        stamps.append((f"{date} and {time}", "".join(parts) if all(parts) else ""))
    for source, stamp in stamps:
        if (found := moment(stamp, utc_offset_of(ds))) is not None:
            return source, found
    return "", None


def moment(stamp: str, offset: timedelta | None) -> datetime | None:
    """Date and time as DICOM writes them; None where the minute is missing: an hour is no time of an acquisition."""
    stamp = stamp.replace(":", "").strip()
    if suffix := OFFSET.search(stamp):
        stamp, offset = stamp[: suffix.start()].strip(), _offset(*suffix.groups())
    if not (found := MOMENT.fullmatch(stamp)):
        return None
    *date, hour, minute, second, fraction = found.groups()
    try:
        at = datetime(*map(int, date), int(hour), int(minute), min(int(second or 0), 59))  # 60: a leap second
    except ValueError:
        return None
    at += timedelta(microseconds=int((fraction or "0")[:6].ljust(6, "0")))
    return at if offset is None else at.replace(tzinfo=timezone(offset))
