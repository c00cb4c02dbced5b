"""New DICOM files: whose they are, deterministic UIDs, the modules that all of ours share."""

import hashlib
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian

from planardose.io import dicom_quiet  # noqa: F401
from planardose.io.files import atomic

CT_IMAGE_STORAGE = "1.2.840.10008.5.1.4.1.1.2"
NM_IMAGE_STORAGE = "1.2.840.10008.5.1.4.1.1.20"
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
