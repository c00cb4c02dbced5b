"""What ``planardose list`` shows."""

import json
from collections.abc import Iterator
from typing import get_args

from planardose import library, organs
from planardose.config import Config, Method
from planardose.errors import InputError

METHODS = {
    "conjugate_view": "organ totals from the geometric mean of both views, without a map",
    "qplanar": "organ concentrations that reproduce both views best (penalised likelihood), uniform in each organ",
    "qplanar_mlem": "qplanar as the starting point of a few MLEM iterations within the body",
    "mlem": "MLEM of the two views from a uniform body, without organs",
    "unet": "the patient's own 3D network, trained on Monte Carlo data of this patient, on top of qplanar",
}


def _catalogue(kind: str) -> Iterator[str]:
    for name in library.names(kind):
        source = " ".join(str(library.read_entry(kind, name).get("source", "")).split())
        yield f"{name}\t{source[:100]}"


def _organs() -> Iterator[str]:
    yield "organ\tlabels"
    for source in organs.sources():
        members = [f"{o.label} {o.name}" for o in organs.organ_table() if o.source == source]
        yield f"{source}\t{', '.join(members)}"


def catalogue(what: str) -> Iterator[str]:
    """Lines about one kind of thing: a kind of the library, ``methods``, ``organs`` or ``schema``.

    Raises
    ------
    InputError
        When there is no such kind.
    """
    if what in library.KINDS:
        yield from _catalogue(what)
    elif what == "methods":
        yield from (f"{m}\t{METHODS[m]}" for m in get_args(Method))
    elif what == "organs":
        yield from _organs()
    elif what == "schema":
        yield json.dumps(Config.model_json_schema(), indent=1)
    else:
        raise InputError("list", f"'{what}'", f"one of {', '.join(library.KINDS)}, methods, organs, schema")
