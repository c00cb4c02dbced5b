"""Who and in which zone: what a DICOM input's header says about the patient and the clock. Stays in memory.

Identities are compared and forgotten: nothing here is written, logged or put into a message.
"""

import logging
import re
import unicodedata
from dataclasses import dataclass, field
from datetime import timedelta
from itertools import combinations, permutations
from pathlib import Path

from pydicom.dataset import Dataset

from planardose.errors import InputError
from planardose.io.dicom_open import files_below, open_dicom
from planardose.io.dicom_times import utc_offset_of

log = logging.getLogger(__name__)
TAGS = ["PatientID", "PatientName", "PatientBirthDate", "Modality", "TimezoneOffsetFromUTC", "SpecificCharacterSet"]
MOST_WORDS = 10  # in two names that are compared joined in every order
ANOTHER_NAME = "PatientID and PatientBirthDate agree: another spelling, or another name of one person?"
DUMMY_NAMES = frozenset({"ANONYMOUS", "ANONYMIZED", "ANONYMISED", "ANON", "UNKNOWN", "PATIENT", "NONAME", "NAME", "NO"})


@dataclass(frozen=True)
class Header:
    """Identity of one input, normalised for comparison, and the offset of its clock from UTC (None where unsaid).

    Empty identifiers, and what anonymisers write into them, are empty strings; they agree with everything.
    """

    patient_id: str = field(repr=False)
    name: frozenset[str] = field(repr=False)
    birth_date: str = field(repr=False)
    utc_offset: timedelta | None

    def difference(self, other: "Header") -> str | None:
        """DICOM keyword of the first identifier that both have and that differs; None where they agree.

        Ids are equal whatever their case, blanks and leading zeros. A name counts only where id or birth date is
        missing: with both, another one is a spelling or a married name (`same_name`).
        """
        if self.patient_id and other.patient_id and self.patient_id != other.patient_id:
            return "PatientID"
        if self.birth_date and other.birth_date and self.birth_date != other.birth_date:
            return "PatientBirthDate"
        vouched = all((self.patient_id, other.patient_id, self.birth_date, other.birth_date))
        return None if vouched or self.same_name(other) else "PatientName"

    def same_name(self, other: "Header") -> bool:
        """Whether the names agree, as far as both have one.

        They are sets of words without case, accents, umlauts, punctuation and order. One may hold more words than the
        other (a middle name, a title), or join them otherwise (Anna-Maria, Annamaria).
        """
        if self.name <= other.name or other.name <= self.name:
            return True
        if sorted("".join(self.name)) != sorted("".join(other.name)) or len(self.name | other.name) > MOST_WORDS:
            return False
        # the same letters: the same name joined otherwise, or an anagram (Noel, Leon), which is another one
        ours, theirs = ({"".join(words) for words in permutations(h.name)} for h in (self, other))
        return not ours.isdisjoint(theirs)


def _plain(text: object) -> str:
    """Upper case without accents."""
    decomposed = unicodedata.normalize("NFKD", str(text or ""))
    return "".join(c for c in decomposed if not unicodedata.combining(c)).upper()


def _words(name: object) -> frozenset[str]:
    """Words of a person's name, Mueller as Müller; the words that anonymisers write do not count."""
    joined = re.sub("['`\N{RIGHT SINGLE QUOTATION MARK}]", "", _plain(name))
    letters = "".join(c if c.isalnum() else " " for c in joined)
    return frozenset(re.sub(r"([AOU])E", r"\1", word) for word in set(letters.split()) - DUMMY_NAMES)


def _header(ds: Dataset) -> Header:
    patient_id = "".join(_plain(ds.get("PatientID")).split()).lstrip("0")
    patient_id = "" if patient_id in DUMMY_NAMES else patient_id
    birth = "".join(c for c in str(ds.get("PatientBirthDate") or "") if c.isdigit())
    return Header(patient_id, _words(ds.get("PatientName")), birth, utc_offset_of(ds))


def _files(path: Path) -> list[Path]:
    try:
        return [path] if path.is_file() else files_below(path)
    except OSError:
        return []


def header_of(path: Path, *modalities: str) -> Header | None:
    """Header of the first image of these modalities in a file or folder; None for NIfTI, NPZ and what cannot be read.

    Whether the files of one folder agree among themselves is asked by its reader (`check_one_patient`).
    """
    for file in _files(path):
        try:
            ds = open_dicom(file, stop_before_pixels=True, specific_tags=TAGS)
            if str(ds.get("Modality") or modalities[0]) not in modalities:
                continue
            return _header(ds)
        except Exception:  # the step that reads the images tells what is wrong with the file
            continue
    return None


def check_one_patient(datasets: list[Dataset], where: str) -> None:
    """Refuse files of several patients, by the rule for inputs of several rows (`Header.difference`)."""
    another_name = False
    for one, other in combinations(dict.fromkeys(map(_header, datasets)), 2):
        differs = one.difference(other)
        if differs:
            raise InputError(
                where,
                f"the files are of several patients ({differs} differs)",
                "the files of one patient",
                "keep each patient's files in a folder of its own",
            )
        another_name |= not one.same_name(other)
    if another_name:
        log.warning("%s: PatientName differs between its files, where %s", where, ANOTHER_NAME)
