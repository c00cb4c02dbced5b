"""What a reconstruction starts from: photopeak counts on the model's grid with an estimate of the scatter in them.

Virtual and real acquisitions take the same way through `acquired_from`.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, field, replace

import numpy as np
from scipy.ndimage import gaussian_filter

from planardose.errors import InputError
from planardose.library import Camera, Nuclide
from planardose.physics.scatter_windows import neighbours, primary_weights, triple_energy_window
from planardose.physics.sweep import recorded_share
from planardose.planar import EnergyWindow, PlanarPair
from planardose.recon.scatter import parameters as scatter_parameters

SCATTER_SMOOTHING_MM = 20.0  # standard deviation; scatter is broad, the side windows are noisy
BEYOND_FIELD = 1e-3  # of the counts: with more beyond the camera's field the image is not its field


@dataclass(frozen=True)
class Acquired:
    """Counts of one acquisition, collected on the columns and slices of the model's grid.

    Parameters
    ----------
    counts : (V, I, K) float64
        Photopeak counts: of the anterior and posterior view, or of any views (`recon.angles`).
    scatter : (V, I, K) float64 or None
        Estimated counts among them that scattered in the patient (triple energy window); None where the acquisition has
        no scatter window (`telling_windows`).
    exposure_s : float
        Seconds that each point was in the field of view.
    of_body : (V, I, K) bool or None
        Cells that fits look at (`CameraViews.of_body`); None: all. OSEM always takes all.
    """

    counts: np.ndarray = field(repr=False)
    scatter: np.ndarray | None = field(repr=False)
    exposure_s: float
    of_body: np.ndarray | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        shapes = {x.shape for x in (self.counts, self.scatter, self.of_body) if x is not None}
        if len(shapes) != 1 or self.counts.ndim != 3:
            raise ValueError(f"counts, scatter and of_body must be (V, I, K), got {sorted(shapes)}")
        if not self.exposure_s > 0:
            raise ValueError(f"exposure_s must be positive, got {self.exposure_s}")


def within_field(pair: PlanarPair, camera: Camera) -> PlanarPair:
    """The pixels of a static pair that lie whole in the camera's field: beyond it nothing is measured. A sweep stays.

    The field lies in the middle of the matrix. Images with counts beyond it (a zoom, a field off the middle) stay. A
    pixel on its edge sees a part of its area, which is no lack of activity there.
    """
    if pair.is_swept:
        return pair
    total = pair.counts.sum(dtype=np.float64)
    for field_mm in (camera.field_mm, camera.field_mm[::-1]):
        sides = zip(pair.counts.shape[2:], pair.pixel_mm, field_mm, strict=True)
        margins = [max((n - f / p) / 2, 0.0) for n, p, f in sides]  # pixels on each side beyond the field
        if pair.counts[_without(margins, math.floor)].sum(dtype=np.float64) >= (1 - BEYOND_FIELD) * total:
            inner = _without(margins, math.ceil)
            more = None if pair.more is None else replace(pair.more, counts=pair.more.counts[inner])
            return replace(pair, counts=pair.counts[inner], more=more)
    return pair


def _without(margins: list[float], whole: Callable[[float], int]) -> tuple:
    """Index of images (..., rows, columns) less their margins of (row, column) pixels, each made whole by `whole`."""
    return (..., *(slice(c, -c or None) for c in map(whole, margins)))


def without_dead_time(pair: PlanarPair, camera: Camera, nuclide: Nuclide) -> PlanarPair:
    """The pair with the counts that a camera without dead time would have: paralysable, along the sweep.

    Parameters
    ----------
    pair : PlanarPair
    camera : Camera
        Without a dead time the pair comes back as it is.
    nuclide : Nuclide
        The rate of the window with its imaged line counts, less the scatter in it.
    """
    tau_us = camera.tau_in(pair.windows[nuclide.peak_index(pair.windows)], nuclide)
    if tau_us is None:
        return pair
    in_field = rows_in_field(pair, camera)

    def true(counts: np.ndarray) -> np.ndarray:
        share = recorded_share(primary_rows_cps(pair, counts, nuclide), tau_us, in_field)
        return (counts / share[:, None, :, None]).astype(np.float32)

    more = None if pair.more is None else replace(pair.more, counts=true(pair.more.counts))
    return replace(pair, counts=true(pair.counts), more=more)


def primary_rows_cps(pair: PlanarPair, counts: np.ndarray, nuclide: Nuclide) -> np.ndarray:
    """(V, rows) rate to which a dead time belongs: the photopeak's less the scatter that the windows beside it tell.

    `counts` (V, W, rows, columns) are in the windows and of the exposure of `pair`.
    """
    weights = primary_weights(pair.windows, nuclide.peak_index(pair.windows), nuclide)
    rows = np.einsum("w,vwr->vr", weights, counts.sum(axis=-1, dtype=np.float64)) / pair.exposure_s
    return np.maximum(rows, 0.0)


def rows_in_field(pair: PlanarPair, camera: Camera) -> int | None:
    """Rows that the camera's field holds in a sweep; None for a static pair, which is in the field as a whole."""
    return round(camera.field_mm[0] / pair.pixel_mm[0]) if pair.is_swept else None


def telling_windows(windows: tuple[EnergyWindow, ...], peak: int, nuclide: Nuclide) -> list[int]:
    """`neighbours`, where it is known how they tell the nuclide's scatter; else none."""
    return neighbours(windows, peak, nuclide) if nuclide.name in scatter_parameters().energy_window_share else []


def scatter_gain(windows: tuple[EnergyWindow, ...], peak: int, nuclide: Nuclide) -> float:
    """Scatter in the photopeak that a count of a window beside it stands for, at most; 0 without `telling_windows`."""
    beside = telling_windows(windows, peak, nuclide)
    if not beside:
        return 0.0
    share = scatter_parameters().energy_window_share[nuclide.name]
    return share * windows[peak].width_kev / (2 * min(windows[n].width_kev for n in beside))


def acquired_from(
    counts: np.ndarray,
    windows: tuple[EnergyWindow, ...],
    exposure_s: float,
    nuclide: Nuclide,
    step_mm: tuple[float, float] | float,
    where: str = "planar",
) -> Acquired:
    """Photopeak counts and smoothed triple-energy-window scatter (where there is a window for it) of an acquisition.

    The trapezoid overestimates the scatter of 177Lu; it is scaled by the share found with the Monte Carlo
    (``data/physics/patient_scatter.yaml``). A nuclide without a share there has no such scatter.

    Parameters
    ----------
    counts : (2, W, I, K) float
        Counts per window, on the model's grid (`PlanarPair.rebinned`), or expected rates x exposure.
    windows : tuple of EnergyWindow
        In any order.
    exposure_s : float
    nuclide : Nuclide
    step_mm : (x, z) or float
        Pixel size, mm.
    where : str
        For the error.

    Raises
    ------
    InputError
        If no window holds the nuclide's imaged line.
    """
    try:
        peak = nuclide.peak_index(windows)
    except KeyError as energy:
        raise InputError(
            f"{where} windows_kev",
            f"{', '.join(f'{w.low_kev:g}-{w.high_kev:g}' for w in windows)} keV",
            f"a window with {energy.args[0]:g} keV ({nuclide.name})",
            "check the column nuclide",
        ) from None
    photopeak = np.array(counts[:, peak], dtype=np.float64)
    beside = telling_windows(windows, peak, nuclide)
    if not beside:
        return Acquired(photopeak, None, float(exposure_s))
    share = scatter_parameters().energy_window_share[nuclide.name]
    scatter = share * triple_energy_window(np.asarray(counts, dtype=np.float64), windows, peak, beside)
    return Acquired(photopeak, as_windows_tell(scatter, step_mm), float(exposure_s))


def as_windows_tell(scatter: np.ndarray, step_mm: tuple[float, float] | float) -> np.ndarray:
    """Images (..., I, K) of scatter as the energy windows estimate it: as much, but smooth, without peaks on organs."""
    sigma = SCATTER_SMOOTHING_MM / np.broadcast_to(np.asarray(step_mm, dtype=float), 2)
    return gaussian_filter(scatter, sigma, mode="constant", axes=(-2, -1))
