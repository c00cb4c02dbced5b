"""Measure the physics against its references; optionally write the page that shows it."""

from collections.abc import Callable, Iterable
from pathlib import Path

from planardose.errors import InputError
from planardose.validation.check import Check, Effort
from planardose.validation.page import write_page
from planardose.validation.registry import chosen, run
from planardose.validation.table import heading, line, summary


def validate_physics(
    only: Iterable[str], effort: Effort, output: Path | None, say: Callable[[str], None], command: str
) -> list[Check]:
    """Measure rows, say each as soon as it is done, and write the page.

    Parameters
    ----------
    only : iterable of str
        Names, groups or patterns of rows; none for all.
    effort : Effort
    output : Path or None
        Folder of the page; None writes none.
    say : callable
        Takes one line of the printed table.
    command : str
        What the page names as the command that made it.

    Raises
    ------
    InputError
        If a pattern meets no row, or the folder cannot be made.
    """
    names = chosen(only)
    if output is not None:
        try:
            output.mkdir(parents=True, exist_ok=True)
        except OSError as fault:
            raise InputError("--output", fault.strerror or "cannot be made", "a folder that can be written") from None
    say(heading())
    checks = []
    for check in run(names, effort):
        checks.append(check)
        say(line(check))
    say(summary(checks))
    if output is not None:
        say(f"page: {write_page(output, checks, effort, command)}")
    return checks
