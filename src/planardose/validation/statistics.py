"""Chi-square of draws against a density that the transport does not share."""

from collections.abc import Callable

import numpy as np

from planardose.validation.check import Measured


def chi_square(counts: np.ndarray, shares: np.ndarray) -> Measured:
    """Chi-square of counts (N,) against expected shares (N,), with its expectation N - 1 and deviation sqrt(2 (N - 1)).

    Too small a value fails a check in sigma as well: draws that are evenly spread are not random.
    """
    expected = counts.sum() * shares / shares.sum()
    value = ((counts - expected) ** 2 / expected).sum()
    return Measured(float(value), float(np.sqrt(2 * (counts.size - 1))), counts.size - 1)


def equal_share_edges(density: Callable[[np.ndarray], np.ndarray], bins: int) -> np.ndarray:
    """Edges (bins + 1,) between which a density on [0, 1] has equal integrals (midpoint rule, 20 000 cells)."""
    fine = np.linspace(0.0, 1.0, 20_001)
    cumulative = np.concatenate([[0.0], np.cumsum(density(0.5 * (fine[1:] + fine[:-1])))])
    return np.interp(np.linspace(0.0, 1.0, bins + 1), cumulative / cumulative[-1], fine)
