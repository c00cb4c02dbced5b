"""Arrays on Warp's devices, and work shared among CPU threads."""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import warp as wp


def scalars(values: np.ndarray, device: str) -> wp.array:
    """Values of any shape as (N,) float32."""
    return wp.array(np.ascontiguousarray(values, dtype=np.float32).ravel(), dtype=wp.float32, device=device)


def vectors(values: np.ndarray, device: str) -> wp.array:
    """(..., 3) float32 as (...) vectors; on the CPU big arrays of this type are used in place."""
    return wp.array(np.ascontiguousarray(values, dtype=np.float32), dtype=wp.vec3, device=device, copy=False)


def in_threads(run: Callable, pieces: Sequence) -> None:
    """Call ``run(piece)`` for every piece, in as many threads."""
    if len(pieces) == 1:
        run(pieces[0])
        return
    with ThreadPoolExecutor(len(pieces)) as pool:
        list(pool.map(run, pieces))
