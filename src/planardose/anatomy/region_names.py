"""What a region of a DICOM structure set or segmentation is, by its name, type and codes: organ, lesion, neither."""

import re
import unicodedata
from dataclasses import dataclass
from functools import cache

import yaml

from planardose.data_table import DATA
from planardose.errors import InputError
from planardose.io.dicom_regions import Naming
from planardose.organ_codes import ALTERED, LESIONS, known_codes, organ_of_code
from planardose.organs import label_of_name

ORGAN_KINDS, LESION_KINDS = ("ORGAN", "AVOIDANCE"), ("GTV",)
# the other terms of RTROIInterpretedType (PS3.3 C.8.8.8.1): beams, devices, margins around what is treated
OTHER_KINDS = (
    "EXTERNAL", "PTV", "CTV", "TREATED_VOLUME", "IRRAD_VOLUME", "BOLUS", "MARKER", "REGISTRATION", "ISOCENTER",
    "CONTRAST_AGENT", "CAVITY", "BRACHY_CHANNEL", "BRACHY_ACCESSORY", "BRACHY_SRC_APP", "BRACHY_CHNL_SHLD", "SUPPORT",
    "FIXATION", "DOSE_REGION", "CONTROL", "DOSE_MEASUREMENT", "DEVICE",
)  # fmt: skip
KINDS = (*ORGAN_KINDS, *LESION_KINDS, *OTHER_KINDS)
ORGAN, LESION, OTHER, NOTHING, UNKNOWN = "organ", "lesion", "other", "nothing", "unknown"


@dataclass(frozen=True)
class Meaning:
    """What a region is.

    Parameters
    ----------
    role : str
        `ORGAN`, `LESION`, `OTHER` (known to be neither), `NOTHING` (a name that says nothing), or `UNKNOWN`.
    organ : str
        TotalSegmentator's name; empty for an organ that has none, and for all else.
    """

    role: str
    organ: str = ""


def meaning_of(naming: Naming, where: str) -> Meaning:
    """What a region is: by its type where that decides, then by the name, then by the codes.

    Raises
    ------
    InputError
        Name and codes tell different organs.
    """
    if naming.kind in LESION_KINDS:
        return Meaning(LESION)
    if naming.kind in OTHER_KINDS:
        return Meaning(OTHER)
    by_name, coded = organ_of_name(naming.name), organ_of_code(*naming.codes[1:]) if naming.codes else None
    if by_name and coded and by_name != coded:
        raise InputError(where, f"segment {naming.number} is called {by_name} and coded as {coded}", "one organ",
                         "correct its label or its codes")  # fmt: skip
    if by_name:
        return Meaning(ORGAN, by_name)
    if _is_without(naming.name):
        return Meaning(UNKNOWN)
    role = _role_of(naming.name)
    if role in (LESION, OTHER):
        return Meaning(role)
    if coded:
        return Meaning(ORGAN, coded)
    if naming.codes and _is_lesion(*naming.codes[:2]):
        return Meaning(LESION)
    return Meaning(ORGAN) if naming.kind in ORGAN_KINDS else Meaning(role)


def organ_of_name(name: str) -> str | None:
    """TotalSegmentator's name of an organ that is called so: any case, order of words and place of the side."""
    for split_case in (False, True):
        organ = _organs().get(_key(_words(name, split_case)))
        if organ:
            return organ
    return None


def _is_lesion(category: str, kind: str) -> bool:
    """By codes: a lesion's, or any other change of matter than the cysts that are organs' labels."""
    return kind in LESIONS or (category == ALTERED[0] and kind not in known_codes())


def _is_without(name: str) -> bool:
    """Whether a name tells an organ less something, ``Liver-GTV``, as planners draw."""
    organ, hyphen, rest = name.partition("-")
    return bool(hyphen and rest.strip() and organ_of_name(organ))


def _role_of(name: str) -> str:
    plain = {re.sub(r"\d+", "", w) for split_case in (False, True) for w in _words(name, split_case)} - {""}
    whole = {w for w in (re.sub(r"\d+", "", w) for w in _words(name, False)) if w}
    lists = _lists()
    if plain & lists["margin"]:
        return OTHER
    if plain & lists["lesion"]:
        return LESION
    if plain & lists["outline"]:
        return OTHER
    return NOTHING if whole <= lists["nothing"] else UNKNOWN


def _words(name: str, split_case: bool) -> list[str]:
    """Words in lower case without accents, numbers without leading zeros.

    `split_case` takes ``SpinalCord``, ``LKidney`` and ``Rib01`` for two.
    """
    plain = "".join(c for c in unicodedata.normalize("NFKD", name) if not unicodedata.combining(c))
    if split_case:
        plain = re.sub(r"(?<=[a-z])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])|(?<=[A-Za-z]{3})(?=\d)", " ", plain)
    plain = re.sub(r"(?<!\d)0+(?=\d)", "", plain)
    return re.findall(r"[^\W_]+", plain.lower())


def _key(words: list[str]) -> tuple[tuple[str, ...], str]:
    """Words in order of the alphabet, and the side; two sides are none that is known."""
    instead, side_of = _file()["instead"], _sides()
    sides = [side_of[w] for w in words if w in side_of]
    return tuple(sorted(instead.get(w, w) for w in words if w not in side_of)), " ".join(sides)


@cache
def _organs() -> dict[tuple, str]:
    """Key of a name -> organ."""
    known = {_key(organ.lower().split("_")): organ for organ in label_of_name()}
    for words, organ in _file()["organs"].items():
        for side in ("left", "right") if "*" in organ else ("",):
            known[_key([*words.split(), *filter(None, [side])])] = organ.replace("*", side)
    return known


@cache
def _sides() -> dict[str, str]:
    """Word -> side."""
    return {word: side for side, words in _file()["sides"].items() for word in words}


@cache
def _file() -> dict:
    return yaml.safe_load((DATA / "region_words.yaml").read_text())


@cache
def _lists() -> dict[str, frozenset[str]]:
    return {key: frozenset(_file()[key]) for key in ("lesion", "nothing", "margin", "outline")}
