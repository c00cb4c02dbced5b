"""The validation page: what is checked, how well, on which machine, and how to make it again."""

import platform
from collections.abc import Iterable
from datetime import date
from importlib.metadata import version
from itertools import groupby
from pathlib import Path

import warp as wp

from planardose.io.files import write_text
from planardose.machine import processor
from planardose.physics.warp_runtime import start_warp
from planardose.validation import table
from planardose.validation.check import Check, Effort
from planardose.validation.figures import FIGURES, draw

PACKAGES = ("planardose", "numpy", "scipy", "xraylib", "warp-lang")
INTRODUCTION = """# Validation of the physics

Every number on which the gamma camera and the dose rest, beside a reference that does not come from the same code: a
closed form, a published table, another Monte Carlo, or a separate calculation. No factor anywhere is fitted to a row of
this page. For every row a test plants a fault in the code that the row exercises, and sees the row fail
(`tests/validation`).

**How to read it.** *Ours* is what this version computes, with the standard uncertainty (k = 1) that finite histories
leave. *Tolerance* is the largest difference from the reference that passes: a share of the reference, an amount in the
row's unit, or a multiple of the statistical error σ. Tolerances follow from the digits that the reference is given to,
from statistics, or from the spread of published values; they are not widened when a row fails. A row that fails stays,
with its analysis. References and tolerances stand in `src/planardose/data/validation/checks.tsv`.
"""
GROUPS = {
    "matter": ("Matter", "Total attenuation coefficients, coherent scattering included, at nominal density."),
    "compton": (
        "Compton scattering",
        "Moments of the Klein-Nishina cross section by quadrature, and the energy of backscatter.",
    ),
    "samplers": (
        "Samplers",
        "What the transport kernel draws, against densities that are computed for this page from xraylib's elements. A "
        "chi-square has the number of its degrees of freedom as expectation; too small a value fails as well.",
    ),
    "transport": (
        "Transport",
        "Tracking through voxels, the photon balance, the same bits whatever the threads, and the statistics that an "
        "image states.",
    ),
    "crystal": (
        "Crystal and absolute scale",
        "Detection in NaI, and the sensitivity in air in the set-up of a published simulation. Measured sensitivities "
        "(9.0 to 9.4 cps/MBq per head) are not a target: a site's calibration sets the scale of real data.",
    ),
    "collimator": ("Collimator", "Hole efficiency, line width, septal penetration and scatter in lead."),
    "camera": ("Camera", "From an activity to counts in the pixels of both views."),
    "dose": ("Dose", "Photon energy absorbed in spheres of water."),
}


def machine() -> list[str]:
    """Processor, cores, GPU and versions, one a line."""
    start_warp()
    cuda = [d.name for d in wp.get_cuda_devices()] if wp.is_cuda_available() else []
    versions = ", ".join(f"{p} {version(p)}" for p in PACKAGES)
    return [
        f"{processor()}, {platform.system()}",
        f"GPU: {', '.join(cuda) or 'none'}; the rows ran on the CPU",
        f"Python {platform.python_version()}, {versions}",
    ]


def _table(checks: Iterable[Check]) -> list[str]:
    columns = ("", "quantity", "unit", "ours", "reference", "tolerance", "source of the reference", "row")
    rows = [columns, ("---",) * len(columns)]
    for c in checks:
        d = c.demand
        mark = "pass" if c.passed else "**FAIL**"
        found = (table.ours(c), table.number(c.reference), table.tolerance(c))
        rows.append((mark, d.quantity, d.unit, *found, d.source, f"`{d.name}`"))
    return [f"| {' | '.join(cells)} |" for cells in rows]


def _failures(checks: list[Check]) -> list[str]:
    failing = [c for c in checks if not c.passed]
    if not failing:
        return []
    told = [f"- `{c.demand.name}`: {c.demand.analysis or 'not analysed yet.'}" for c in failing]
    return ["## Rows that fail", "", *told, ""]


def write_page(folder: Path, checks: list[Check], effort: Effort, command: str) -> Path:
    """Write ``index.md`` and its figures into a folder; returns the page's path."""
    made = f"**{table.summary(checks)}.** Made on {date.today().isoformat()} by"
    lines = [INTRODUCTION, made, "", f"    {command}", ""]
    lines += [f"- {x}" for x in machine()] + ["", *_failures(checks)]
    for group, members in groupby(checks, key=lambda c: c.demand.group):
        title, about = GROUPS[group]
        lines += [f"## {title}", "", about, "", *_table(members), ""]
        for figure in FIGURES.get(group, ()):
            path = draw(figure, folder, effort)
            lines += [f"![{figure.caption}]({path.name})", "", f"*{figure.caption}*", ""]
    page = folder / "index.md"
    write_text(page, "\n".join(lines).rstrip() + "\n")
    return page
