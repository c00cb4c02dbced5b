"""Energy windows beside a photopeak, and the scatter in the photopeak that they tell."""

import numpy as np

from planardose.library import Nuclide
from planardose.planar import EnergyWindow

TOUCHING = 0.03  # of the line's energy: gap or overlap up to which a window lies beside the photopeak
STRONG_LINE = 0.05  # of the imaged line's photons: a window with such a line holds more than scatter


def neighbours(windows: tuple[EnergyWindow, ...], peak: int, nuclide: Nuclide) -> list[int]:
    """Indices of the scatter windows just below and just above window `peak` (one or both may be missing).

    Scatter windows touch the photopeak, where the scatter is as in it, and hold no strong line of the nuclide: another
    photopeak (113 keV beside 208 keV of 177Lu) is none.
    """
    line, top = nuclide.imaged_line(), windows[peak]
    strong = [x.energy_kev for x in nuclide.lines if x.per_decay > STRONG_LINE * line.per_decay]
    free = [n for n, w in enumerate(windows) if not any(w.contains(e) for e in strong)]
    apart = TOUCHING * line.energy_kev
    below = [n for n in free if abs(top.low_kev - windows[n].high_kev) <= apart]
    above = [n for n in free if abs(windows[n].low_kev - top.high_kev) <= apart]
    nearest = [max(below, key=lambda n: windows[n].high_kev)] if below else []
    return nearest + ([min(above, key=lambda n: windows[n].low_kev)] if above else [])


def triple_energy_window(
    counts: np.ndarray, windows: tuple[EnergyWindow, ...], peak: int, beside: list[int]
) -> np.ndarray:
    """Scatter counts in window `peak` by the trapezoid below it (Ogawa 1991): (..., I, K) from (..., W, I, K).

    With one window in `beside` (`neighbours`) only, the other side counts as empty (Ichihara's variant for the lower
    window).
    """
    width = windows[peak].width_kev
    return sum(counts[..., n, :, :] / windows[n].width_kev for n in beside) * (width / 2)


def primary_weights(windows: tuple[EnergyWindow, ...], peak: int, nuclide: Nuclide) -> np.ndarray:
    """(W,) weights of the windows whose counts add up to the photopeak's less its `triple_energy_window` scatter.

    Without `neighbours` the photopeak's counts, scatter included.
    """
    weights = np.zeros(len(windows))
    weights[peak] = 1.0
    for n in neighbours(windows, peak, nuclide):
        weights[n] = -0.5 * windows[peak].width_kev / windows[n].width_kev
    return weights
