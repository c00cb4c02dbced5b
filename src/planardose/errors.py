"""The one exception that a user's input can cause."""

import re
from collections.abc import Iterator
from contextlib import contextmanager

NUMBER_WITH_UNIT = re.compile(r"[\d.,]+ *(cps|cpm|counts|[kMG]?Bq)/([kMG]?Bq|s|min|h|mL)", re.IGNORECASE)


@contextmanager
def readable(where: str) -> Iterator[None]:
    """Turn the system's refusal to read an input (no permission, a failing disk) into `InputError` without its path."""
    try:
        yield
    except FileNotFoundError as fault:
        raise no_such_file(where, "a file or folder that is there") from fault
    except OSError as fault:
        raise InputError(
            where, fault.strerror or type(fault).__name__, "a file or folder that can be read", "check its permissions"
        ) from fault


def shown(text: str) -> str:
    """A user's text for a message; what looks like a path is not repeated, as paths hold names."""
    path = len(text) > 8 and ("/" in text or "\\" in text) and not NUMBER_WITH_UNIT.fullmatch(text)
    return "a path" if path else f"'{text[:60]}'"


class InputError(Exception):
    """Bad input, told in one line: where, what, what was expected, what to do.

    Parameters
    ----------
    where : str
        Pseudonymous place, e.g. ``"P01 t24 planar"`` (sheet row and column) or ``"config train.steps"``. Never a path.
    problem : str
        What was found, with the value.
    expected : str
        What should stand there.
    do : str
        What the user can do about it.
    """

    def __init__(self, where: str, problem: str, expected: str = "", do: str = ""):
        self.where, self.problem, self.expected, self.do = where, problem, expected, do
        self.others: tuple[InputError, ...] = ()  # further faults that were found with this one
        parts = [f"{where}: {problem}", f"expected {expected}" if expected else "", do]
        super().__init__("; ".join(" ".join(p.split()) for p in parts if p))


def no_such_file(where: str, expected: str) -> InputError:
    """The fault of a path that leads nowhere, as a typing error or a path of another system does."""
    do = "write '/' between folders; paths in a sheet start from the sheet's folder"
    return InputError(where, "no such file or folder", expected, do)
