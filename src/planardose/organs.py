"""The organ table: labels, names, merged classes, mass densities, colours. Light: no numpy, no torch.

`data/organs.tsv` has one row per label. Labels 1-117 are TotalSegmentator's `total`; 200 + n is class n of its
`head_glands_cavities`; lesion n is 1000 + n. The column `source` is the class that the chain fits, reports and doses:
several labels may share it (all bones are `skeleton`, all lung lobes `lungs`).
"""

from dataclasses import dataclass
from functools import cache

from planardose.data_table import data_table

LESION_BASE = 1000
REMAINDER = "remainder"
OUTSIDE_CT = "outside_ct"


@dataclass(frozen=True)
class Organ:
    """One row of the table: `density_g_ml` overrides the CT's where contrast or metal corrupts it."""

    label: int
    name: str
    source: str
    density_g_ml: float
    colour: str


@cache
def organ_table() -> tuple[Organ, ...]:
    """All rows of ``data/organs.tsv``."""
    return tuple(
        Organ(int(r["label"]), r["name"], r["source"], float(r["density_g_ml"]), r["colour"])
        for r in data_table("organs.tsv")
    )


@cache
def name_of_label() -> dict[int, str]:
    """Label -> TotalSegmentator's name; without lesions."""
    return {o.label: o.name for o in organ_table()}


@cache
def label_of_name() -> dict[str, int]:
    """Inverse of `name_of_label`."""
    return {o.name: o.label for o in organ_table()}


@cache
def source_of_label() -> dict[int, str]:
    """Label -> source class, which several labels may share; without lesions (`source_name`)."""
    return {o.label: o.source for o in organ_table()}


def sources() -> tuple[str, ...]:
    """Source classes in table order, without lesions, `remainder` and `outside_ct`."""
    return tuple(dict.fromkeys(o.source for o in organ_table()))


def lesion_name(number: int) -> str:
    """``lesion_3`` for number 3 (label 1003)."""
    return f"lesion_{number}"


def is_lesion(name: str) -> bool:
    """Whether a source class is a lesion of the sheet's `lesions` map."""
    return name.startswith("lesion_")


def source_name(label: int) -> str:
    """Source class of any label of a label map; unknown labels raise KeyError."""
    return lesion_name(label - LESION_BASE) if label > LESION_BASE else source_of_label()[label]


def colour_of(source: str) -> str:
    """Hex colour of a source class, for figures."""
    if is_lesion(source):
        return "#d62728"
    return next((o.colour for o in organ_table() if o.source == source), "#9a9a9a")
