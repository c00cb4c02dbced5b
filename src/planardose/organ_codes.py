"""SNOMED CT codes of organs and lesions, by which DICOM segments are named. Light: no numpy, no torch."""

from functools import cache

from planardose.data_table import data_table

LEFT, RIGHT = ("7771000", "Left"), ("24028007", "Right")
ANATOMY, ALTERED = ("123037004", "Anatomical Structure"), ("49755003", "Morphologically Altered Structure")
LESION = ("52988006", "Lesion")
# PS3.16 CID 7159 (lesion types) and the neoplasms that exporters use
LESIONS = (LESION[0], "108369006", "86049000", "372087000", "14799000", "128462008", "4147007", "27925004")


@cache
def codes_of_organ() -> dict[str, tuple[tuple[str, str], ...]]:
    """Organ -> (code, meaning), the one that is written first."""
    found: dict[str, tuple[tuple[str, str], ...]] = {}
    for row in data_table("organ_codes.tsv"):
        found[row["name"]] = (*found.get(row["name"], ()), (row["code"], row["meaning"]))
    return found


def side_of(organ: str) -> tuple[str, str] | None:
    """Code and meaning of the side in an organ's name."""
    words = organ.split("_")
    return LEFT if "left" in words else RIGHT if "right" in words else None


def organ_of_code(code: str, modifier: str) -> str | None:
    """Organ of a segment's type and its modifier; None where they do not tell one."""
    named = [o for o, codes in codes_of_organ().items() if any(code == c for c, _ in codes)]
    sided = [o for o in named if (side_of(o) or ("", ""))[0] == modifier]
    found = sided if modifier in (LEFT[0], RIGHT[0]) and len(named) > 1 else named
    return found[0] if len(found) == 1 else None


@cache
def known_codes() -> frozenset[str]:
    """Every code that means something here."""
    organs = {code for codes in codes_of_organ().values() for code, _ in codes}
    return frozenset({*organs, *LESIONS, LEFT[0], RIGHT[0], ANATOMY[0], ALTERED[0]})
