"""What imaging and dose share on a device: launches of bounded length, and memory that does not suffice."""

import re
from collections.abc import Iterator
from contextlib import contextmanager

from planardose.errors import InputError

LARGEST_LAUNCH = 2**24  # histories; a longer one may hold a display's GPU until its watchdog ends it
_SHORT = re.compile(r"Failed to allocate \d+ bytes.* on device '([^']+)'")


def launches(first: int, last: int) -> Iterator[tuple[int, int]]:
    """First history and number of histories of each launch that follows some of first..last-1."""
    for start in range(first, last, LARGEST_LAUNCH):
        yield start, min(LARGEST_LAUNCH, last - start)


def short_of_memory(fault: RuntimeError) -> str | None:
    """The device (the host's memory: cpu) on which Warp could not allocate; None for any other fault."""
    found = _SHORT.search(str(fault))
    return found[1] if found else None


@contextmanager
def enough_memory(expected: str) -> Iterator[None]:
    """Tell a failed allocation, Warp's or numpy's, as `InputError`, with what would need less."""
    try:
        yield
    except MemoryError as fault:
        raise InputError("device cpu", "not enough memory", expected) from fault
    except RuntimeError as fault:
        device = short_of_memory(fault)
        if device is None:
            raise
        other = "" if device == "cpu" else "or use the device cpu"
        raise InputError(f"device {device}", "not enough memory", expected, other) from fault
