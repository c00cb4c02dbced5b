"""What ``planardose list`` shows."""

import json
from collections.abc import Iterator
from typing import get_args

from pydantic import BaseModel

from planardose import library, organs
from planardose.config import Config, Hand, Method
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


def _keys(section: type[BaseModel], prefix: str = "") -> Iterator[str]:
    for name, entry in section.model_fields.items():
        if isinstance(entry.default, BaseModel):
            yield from _keys(type(entry.default), f"{prefix}{name}.")
        else:
            default = entry.get_default(call_default_factory=True)
            shown = json.dumps(list(default) if isinstance(default, tuple) else default)
            yield f"| `{prefix}{name}` | {entry.description} | `{shown}` |"


def _config_table() -> Iterator[str]:
    yield from ("| key | meaning, unit | default |", "|---|---|---|")
    yield from _keys(Config)
    yield from _keys(Hand, "patients.PATIENT.TIMEPOINT.")


def catalogue(what: str) -> Iterator[str]:
    """Lines about one kind of thing: a kind of the library, ``methods``, ``organs``, ``config`` or ``schema``.

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
    elif what == "config":
        yield from _config_table()
    elif what == "schema":
        yield json.dumps(Config.model_json_schema(), indent=1)
    else:
        raise InputError("list", f"'{what}'", f"one of {', '.join(library.KINDS)}, methods, organs, config, schema")
