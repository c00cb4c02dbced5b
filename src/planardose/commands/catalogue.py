"""What ``planardose list`` shows."""

import json
from collections.abc import Iterator
from typing import get_args

from pydantic import BaseModel

from planardose import library, organs
from planardose.commands.columns import columns
from planardose.config import Config, Hand, Method
from planardose.errors import InputError
from planardose.planar import EnergyWindow
from planardose.sim.tracer import load_tracer
from planardose.units import HOURS_PER_DAY

METHODS = {
    "conjugate_view": "organ totals from the geometric mean of both views, without a map",
    "qplanar": "organ concentrations that reproduce both views best (penalised likelihood), uniform in each organ",
    "qplanar_mlem": "qplanar as the starting point of a few MLEM iterations within the body",
    "mlem": "MLEM of the two views from a uniform body, without organs",
    "unet": "3D network on top of qplanar: the population's, checked on the patient's virtual data, or trained on them",
    "diffusion": "mean of draws around the unet's map that explain both views, with their spread per voxel",
}
STRONG = 0.01  # photons per decay: weaker lines are not listed
LISTED_FROM_KEV = 30.0


def _camera(name: str) -> tuple[str, ...]:
    c = library.load_camera(name)
    known = *c.tau_by_kev, *c.tau_computed_by_kev
    dead_time = ", ".join(f"{tau:g} us of {n} at {e:.0f} keV" for n, e, tau in known) or (
        "-" if c.tau_us is None else f"{c.tau_us:g} us"
    )
    return (name, c.vendor, c.collimator, f"{c.hole_mm:g} / {c.septum_mm:g} / {c.length_mm:g}", f"{c.crystal_mm:g}",
            f"{c.front_mm + c.cover_mm:g}", f"{c.backscatter_mm:g}", f"{c.field_mm[0]:g} x {c.field_mm[1]:g}",
            dead_time)  # fmt: skip


def _nuclide(name: str) -> tuple[str, ...]:
    n = library.load_nuclide(name)
    days = n.half_life_h / HOURS_PER_DAY
    half_life = f"{days:.3f} d" if days > 2 else f"{n.half_life_h:.2f} h"
    strong = [x for x in n.lines if x.per_decay >= STRONG and x.energy_kev >= LISTED_FROM_KEV]
    strong.sort(key=lambda x: -x.per_decay)
    lines = ", ".join(f"{x.energy_kev:.1f} ({100 * x.per_decay:.3g})" for x in strong)
    return name, half_life, _kev(n.photopeak), "; ".join(map(_kev, n.scatter_windows)), f"{n.electron_kev:g}", lines


def _tracer(name: str) -> tuple[str, ...]:
    t = load_tracer(name)
    half_lives = ", ".join(f"{g.name} {g.biological_h[0]:g}" for g in t.groups)
    return name, f"{t.reference_h:g}", half_lives


def _kev(window: EnergyWindow) -> str:
    return f"{window.low_kev:g}-{window.high_kev:g}"


KINDS = {  # heading and the row of an entry
    "cameras": (("camera", "vendor", "collimator", "hole / septum / length, mm", "NaI, mm", "Al, mm", "behind, mm",
                 "field, mm", "dead time"), _camera),
    "nuclides": (("nuclide", "half-life", "photopeak, keV", "scatter windows, keV", "electrons, keV",
                  f"lines from {LISTED_FROM_KEV:g} keV and {100 * STRONG:g} %: keV (%)"), _nuclide),
    "tracers": (("tracer", "at, h", "groups with their median biological half-life, h"), _tracer),
}  # fmt: skip


def _catalogue(kind: str) -> Iterator[str]:
    """A table of a kind; a file that cannot be read keeps its line, with what is wrong."""
    heading, row_of = KINDS[kind]
    rows, faults = [heading], []
    for name in library.names(kind):
        try:
            rows.append(row_of(name))
        except InputError as fault:
            faults.append(f"{name}: {fault}")
    yield from columns(rows)
    yield from faults
    if kind == "nuclides":
        yield "not imaged with this package:"
        yield from (f"  {name}: {why}" for name, why in library.not_imaged().items())


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
