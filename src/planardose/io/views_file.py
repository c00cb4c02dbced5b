"""Measured counts of an acquisition on the model's grid, and what each method's map should have given."""

from pathlib import Path

import numpy as np

from planardose.io.files import atomic

MEASURED, EXPECTED = "measured", "expected_"


def save_views(path: Path, measured: np.ndarray, expected: dict[str, np.ndarray]) -> None:
    """Write photopeak counts (2, I, K) float32 atomically: measured, and expected by method."""
    arrays = {MEASURED: measured} | {EXPECTED + method: counts for method, counts in expected.items()}
    with atomic(path) as temporary:
        np.savez_compressed(temporary, **{name: a.astype(np.float32) for name, a in arrays.items()})


def load_views(path: Path, method: str) -> tuple[np.ndarray, np.ndarray]:
    """Measured counts and those of a method's map, each (2, I, K) float64."""
    with np.load(path, allow_pickle=False) as z:
        return z[MEASURED].astype(np.float64), z[EXPECTED + method].astype(np.float64)
