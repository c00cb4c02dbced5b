"""The study that our DICOM outputs join: that of the patient's CT, or one of their own where the CT is no DICOM."""

import hashlib
import re
from dataclasses import dataclass
from datetime import datetime
from io import BytesIO
from pathlib import Path

from pydicom.dataset import Dataset, FileDataset
from pydicom.sequence import Sequence
from pydicom.uid import UID

from planardose.errors import InputError, readable
from planardose.io.dicom_ct_read import read_ct_slices
from planardose.io.dicom_new import Identity, uid_of
from planardose.io.dicom_read import understood
from planardose.io.files import is_nifti, sha256_of

SLICE = ("SeriesInstanceUID", "SOPClassUID", "SOPInstanceUID")
LATER = "0"  # a content's UIDs are made of the content without them
STAMPS = {"StudyDate": re.compile(r"\d{8}"), "StudyTime": re.compile(r"\d{2,6}(\.\d{1,6})?")}


@dataclass(frozen=True)
class Study:
    """UIDs that outputs share with their CT, who they say the patient is, and the CT's slices that they refer to.

    Parameters
    ----------
    uid, frame_uid : str
        StudyInstanceUID and FrameOfReferenceUID.
    identity : Identity
        Name and id; never a birth date, a sex or an institution.
    started : tuple of str
        StudyDate and StudyTime, which all objects of a study share: the CT's, empty where its header has none.
    slices : tuple of (str, str, str)
        SeriesInstanceUID, SOPClassUID and SOPInstanceUID of each slice; none where the CT is no DICOM.
    """

    uid: str
    frame_uid: str
    identity: Identity
    started: tuple[str, str]
    slices: tuple[tuple[str, str, str], ...] = ()

    def take(self, ds: FileDataset) -> None:
        """Put a data set that is complete but for its place among others into the study, and name it.

        UIDs of the series and of the instance are made of all the rest: equal contents have equal ones, and no two
        contents share them.
        """
        ds.StudyInstanceUID, ds.FrameOfReferenceUID, ds.PositionReferenceIndicator = self.uid, self.frame_uid, ""
        ds.StudyDate, ds.StudyTime = self.started
        ds.StudyID = ""  # the CT's is the site's own number
        if self.slices:
            ds.ReferencedImageSequence = self.references()
            series = dict.fromkeys(s[0] for s in self.slices)
            ds.ReferencedSeriesSequence = Sequence([self._series(uid) for uid in series])
        ds.SeriesInstanceUID = ds.SOPInstanceUID = ds.file_meta.MediaStorageSOPInstanceUID = LATER
        written = BytesIO()
        ds.save_as(written, enforce_file_format=True)
        content = hashlib.sha256(written.getvalue()).hexdigest()
        ds.SeriesInstanceUID = uid_of(content, "series")
        ds.SOPInstanceUID = ds.file_meta.MediaStorageSOPInstanceUID = uid_of(content, "instance")

    def references(self, series: str | None = None) -> Sequence:
        """References to the CT's slices, or to those of one of its series."""
        return Sequence([_reference(*s[1:]) for s in self.slices if series in (None, s[0])])

    def _series(self, uid: str) -> Dataset:
        item = Dataset()
        item.SeriesInstanceUID = uid
        item.ReferencedInstanceSequence = self.references(uid)
        return item


def study_of(ct: Path, pseudonym: Identity, from_ct: bool, at: datetime, where: str) -> Study:
    """Study of the outputs that belong to a CT.

    Parameters
    ----------
    ct : Path
        DICOM file or folder, or NIfTI: then the UIDs are made of the file's content, the same for all outputs.
    pseudonym : Identity
        Written into the outputs, unless `from_ct`.
    from_ct : bool
        Copy name and id of the CT's header.
    at : datetime
        When a study of our own started.
    where : str
        Sheet row and column, for errors.

    Raises
    ------
    InputError
        As `read_ct_slices`; `from_ct` where the CT is no DICOM, or names nobody.
    """
    day = (at.strftime("%Y%m%d"), at.strftime("%H%M%S"))
    with readable(where):
        if ct.is_file() and is_nifti(ct):
            if from_ct:
                raise InputError("--identity from-ct", f"{where} is a NIfTI, which names nobody", "a DICOM CT",
                                 "leave --identity out: the pseudonym is written")  # fmt: skip
            return Study(*_own(sha256_of(ct)), pseudonym, day)
        slices = read_ct_slices(ct, where)
    first = slices[0]
    with understood(where):
        identity = _named(first, where) if from_ct else pseudonym
        theirs = [_of_all(slices, k) for k in ("StudyInstanceUID", "FrameOfReferenceUID")]
        told = (tuple(str(s.get(k) or "") for k in SLICE) for s in slices)
        known = tuple(dict.fromkeys(uids for uids in told if all(map(_is_uid, uids))))
        started = tuple(_matching(p, str(first.get(k) or "")) for k, p in STAMPS.items())
    ours = theirs if all(map(_is_uid, theirs)) else _own(sha256_of(ct))
    uid, frame = (a if _is_uid(a) else b for a, b in zip(theirs, ours, strict=True))
    return Study(uid, frame, identity, started if uid == theirs[0] else day, known)


def _own(content: str) -> tuple[str, str]:
    return uid_of("study", content), uid_of("frame", content)


def _of_all(slices: list[Dataset], keyword: str) -> str:
    """The UID that all slices share; empty where each has its own, as some anonymisers leave them."""
    found = {str(s.get(keyword) or "") for s in slices}
    return found.pop() if len(found) == 1 else ""


def _is_uid(text: str) -> bool:
    return bool(text) and UID(text).is_valid


def _matching(pattern: re.Pattern, text: str) -> str:
    return text if pattern.fullmatch(text) else ""


def _named(ds: Dataset, where: str) -> Identity:
    """Name and id, and nothing else, of a CT's header."""
    identity = Identity(str(ds.get("PatientName") or "").strip(), str(ds.get("PatientID") or "").strip())
    if not identity.name and not identity.patient_id:
        raise InputError("--identity from-ct", f"{where} has neither PatientName nor PatientID", "a CT that names the "
                         "patient", "leave --identity out: the pseudonym is written")  # fmt: skip
    return identity


def _reference(sop_class: str, instance: str) -> Dataset:
    item = Dataset()
    item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID = sop_class, instance
    return item
