"""Find and open DICOM files, also as old cameras and archives write them: without preamble, meta or transfer syntax."""

import re
from pathlib import Path

import pydicom
from pydicom.dataset import FileDataset
from pydicom.uid import ExplicitVRLittleEndian, ImplicitVRLittleEndian

from planardose.io import dicom_quiet  # noqa: F401

NAMES = (".dcm", ".ima", ".dicom")
FIRST_GROUPS = (b"\x02\x00", b"\x08\x00")  # file meta, identification; little endian
LONGEST_FIRST = 1024  # bytes: longer than any first element, a group length or a character set
NUMBERED = re.compile(r"(?=.*\d)(?!.*\.[a-z]\w*$)", re.IGNORECASE | re.DOTALL)  # IM0012, 1.2.840.17: not IM12.bak, Icon


def files_below(folder: Path) -> list[Path]:
    """Files and links below a folder (img9 before img10), but for DICOMDIR and what systems hide: names with a dot."""
    seen = [f for f in folder.rglob("*") if not any(part.startswith(".") for part in f.relative_to(folder).parts)]
    return sorted((f for f in seen if (f.is_file() or not f.exists()) and f.name != "DICOMDIR"), key=_natural)


def _natural(path: Path) -> list:
    """Key that sorts img9 before img10."""
    return [(int(x), "") if x.isdecimal() else (-1, x) for x in re.split(r"(\d+)", str(path))]


def looks_like_dicom(path: Path) -> bool:
    """Whether a file of a folder claims to be DICOM: by preamble, by its first element, by name.

    An empty one does by a number without a suffix, too: it may be an image that was not copied to its end.
    """
    with path.open("rb") as f:
        head = f.read(132)
    named = path.suffix.lower() in NAMES
    return head[128:132] == b"DICM" or _is_bare(head) or named or (not head and bool(NUMBERED.match(path.name)))


def open_dicom(path: Path, **options) -> FileDataset:
    """`pydicom.dcmread` (with its options) that reads a bare data set too, and names its transfer syntax.

    Raises
    ------
    pydicom.errors.InvalidDicomError
        When the file neither has a preamble nor begins as a data set does.
    """
    with path.open("rb") as f:
        bare = _is_bare(f.read(8))
    ds = pydicom.dcmread(path, force=bare, **options)
    if not ds.file_meta.get("TransferSyntaxUID"):  # without it the pixels are not decoded
        implicit, _ = ds.original_encoding
        ds.file_meta.TransferSyntaxUID = ImplicitVRLittleEndian if implicit else ExplicitVRLittleEndian
    return ds


def _is_bare(head: bytes) -> bool:
    """Whether a file begins with a first element of a data set: (0002,eeee) or (0008,eeee), then its VR or length."""
    if len(head) < 8 or head[:2] not in FIRST_GROUPS or head[3]:
        return False
    explicit = head[4:6].isalpha() and head[4:6].isupper()
    return explicit or int.from_bytes(head[4:8], "little") <= LONGEST_FIRST
