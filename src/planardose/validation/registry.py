"""Every row of the validation table, by group, in the order in which the table shows them."""

import time
from collections.abc import Callable, Iterable, Iterator
from fnmatch import fnmatch

from planardose.errors import InputError
from planardose.validation import camera, collimator, crystal, dose, matter, samplers, transport
from planardose.validation.check import Check, Effort, Measured, demands

Row = Callable[[Effort], Measured]
ROWS: dict[str, Row] = {
    **matter.ROWS,
    **samplers.ROWS,
    **transport.ROWS,
    **crystal.ROWS,
    **collimator.ROWS,
    **camera.ROWS,
    **dose.ROWS,
}


def chosen(patterns: Iterable[str]) -> list[str]:
    """Names of the rows in the order of ``checks.tsv``; `patterns` are names, groups or shell patterns, none for all.

    Raises
    ------
    InputError
        If a pattern meets no row.
    """
    known = demands()
    patterns = list(patterns)
    for pattern in patterns:
        if not any(fnmatch(d.name, pattern) or d.group == pattern for d in known.values()):
            groups = ", ".join(dict.fromkeys(d.group for d in known.values()))
            raise InputError(
                f"--only {pattern}", "meets no row", f"a row's name, a pattern such as 'mu_*', or a group of {groups}"
            )
    return [
        d.name
        for d in known.values()
        if not patterns or any(fnmatch(d.name, p) or d.group == p for p in patterns)
    ]  # fmt: skip


def run(names: Iterable[str], effort: Effort) -> Iterator[Check]:
    """Measure rows one by one, each yielded as soon as it is done."""
    for name in names:
        started = time.perf_counter()
        found = ROWS[name](effort)
        yield Check(demands()[name], found, time.perf_counter() - started)
