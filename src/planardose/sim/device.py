"""What imaging and dose share on a device: the upload of source and matter, bounded launches, memory that is short."""

import re
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import warp as wp

from planardose.errors import InputError
from planardose.library import Line
from planardose.physics.form_factors import STEP, FormFactors
from planardose.physics.warp_arrays import scalars, vectors
from planardose.sim.montecarlo_kernel import Tables
from planardose.sim.montecarlo_tables import emission_tables

LARGEST_LAUNCH = 2**24  # histories; a longer one may hold a display's GPU until its watchdog ends it
_SHORT = re.compile(r"Failed to allocate \d+ bytes.* on device '([^']+)'")


def source_and_matter(
    density: np.ndarray, source: np.ndarray, spacing_mm: np.ndarray, lines: tuple[Line, ...], factors: FormFactors,
    device: str,
) -> Tables:  # fmt: skip
    """The kernels' tables but for cross sections: where photons of which energy start, and how they scatter.

    `density` (I, J, K, 3) g/mL, `source` (I, J, K) in any unit.
    """
    voxel, cumulative, guide = emission_tables(source)
    share = np.cumsum([x.per_decay for x in lines])
    t = Tables()
    t.density, t.spacing = vectors(density, device), wp.vec3(*(float(s) for s in spacing_mm))
    t.voxel = wp.array(voxel, dtype=wp.int32, device=device)
    t.cumulative = wp.array(cumulative, dtype=wp.float64, device=device)
    t.guide = wp.array(guide, dtype=wp.int32, device=device)
    t.line_kev, t.line_cumulative = scalars([x.energy_kev for x in lines], device), scalars(share / share[-1], device)
    t.x_step = STEP
    t.incoherent, t.coherent = scalars(factors.incoherent, device), scalars(factors.coherent, device)
    t.coherent_integral = scalars(factors.coherent_integral, device)
    return t


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
