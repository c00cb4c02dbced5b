"""Gamma-camera views of an activity map: exact primaries, Monte Carlo scatter with forced detection.

Photons that reach a head without interacting are computed in closed form per voxel; scattered ones by the kernel in
`montecarlo_kernel`. Both are kept per depth layer and blurred by the depth-dependent response of the head.
"""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import warp as wp

from planardose.image import Grid
from planardose.library import Camera, Nuclide
from planardose.physics.collimator import geometric_efficiency
from planardose.physics.form_factors import STEP, form_factors
from planardose.physics.warp_runtime import load_kernel
from planardose.planar import VIEWS, EnergyWindow
from planardose.sim import montecarlo_kernel as kernel
from planardose.sim.montecarlo_tables import (
    EnergyTables,
    columns_g_cm2,
    emission_tables,
    energy_tables,
    majorant_per_mm,
)
from planardose.sim.response import image_of_layers
from planardose.units import BQ_PER_MBQ

BATCHES = 8
LARGEST_LAUNCH = 2**28  # Warp counts the threads of a launch in 32 bits
LARGEST_BATCH = 2**32  # the fixed-point sums of so many histories stay within 63 bits


@dataclass(frozen=True)
class Views:
    """Simulated views.

    Parameters
    ----------
    rate : (2, W, I, K) float64
        Expected cps per pixel, free of counting noise. View 0 anterior, 1 posterior.
    relative_error : (2, W, I, K) float64
        Standard error of `rate` from the finite number of histories, relative to it; 0 where the rate is 0.
    balance : dict
        Photon weights per history: emitted + roulette_gained = absorbed + escaped + cut_off + roulette_lost; of the
        escaped, escaped_unscattered; and collisions per history.
    primary : (2, W, I, K) float64
        The part of `rate` from photons that reached the head without interacting.
    """

    rate: np.ndarray
    relative_error: np.ndarray
    balance: dict[str, float]
    primary: np.ndarray


def primary_layers(
    partial_density: np.ndarray, activity_mbq: np.ndarray, spacing_y_mm: float, tables: EnergyTables
) -> np.ndarray:
    """Photons per second that would be counted if every one passed a hole, from primaries only.

    Returns
    -------
    (2, W, J, I, K) float64
        Emission uniform within each voxel, so the voxel's own attenuation is averaged along y.
    """
    columns = columns_g_cm2(partial_density, spacing_y_mm)
    out = np.zeros((len(VIEWS), tables.efficiency.shape[1], *np.moveaxis(activity_mbq, 1, 0).shape))
    for line in tables.lines:
        position = line.energy_kev - tables.first_kev
        grid = np.arange(len(tables.total))
        mu = np.array([np.interp(position, grid, t) for t in tables.total.T])
        counted = np.array([np.interp(position, grid, t) for t in tables.efficiency.T])
        depth = np.tensordot(mu, columns, axes=1)
        own = np.diff(depth, axis=1)
        mean = np.where(own > 1e-6, -np.expm1(-own) / np.maximum(own, 1e-12), 1.0)
        source = activity_mbq * (BQ_PER_MBQ * line.per_decay) * mean
        for view, beyond in enumerate((depth[:, -1:] - depth[:, 1:], depth[:, :-1])):
            seen = np.moveaxis(source * np.exp(-beyond), 1, 0)
            out[view] += counted[:, None, None, None] * seen
    return out


def _upload(
    partial_density: np.ndarray, activity: np.ndarray, grid: Grid, tables: EnergyTables, device: str
) -> kernel.Tables:
    def scalar(values: np.ndarray) -> wp.array:
        return wp.array(np.ascontiguousarray(values, dtype=np.float32), dtype=wp.float32, device=device)

    def vectors(values: np.ndarray) -> wp.array:
        return wp.array(np.ascontiguousarray(values, dtype=np.float32), dtype=wp.vec3, device=device)

    factors = form_factors()
    voxel, cumulative, guide = emission_tables(activity)
    share = np.cumsum([x.per_decay for x in tables.lines])
    t = kernel.Tables()
    t.density = vectors(np.moveaxis(partial_density, 0, -1))
    t.column = vectors(np.moveaxis(columns_g_cm2(partial_density, float(grid.spacing_mm[1])), 0, -1))
    t.spacing = wp.vec3(*(float(s) for s in grid.spacing_mm))
    t.voxel = wp.array(voxel, dtype=wp.int32, device=device)
    t.cumulative = wp.array(cumulative, dtype=wp.float64, device=device)
    t.guide = wp.array(guide, dtype=wp.int32, device=device)
    t.line_kev = scalar([x.energy_kev for x in tables.lines])
    t.line_cumulative = scalar(share / share[-1])
    t.first_kev = tables.first_kev
    t.total, t.compton, t.rayleigh = vectors(tables.total), vectors(tables.compton), vectors(tables.rayleigh)
    t.majorant = scalar(majorant_per_mm(partial_density, tables.total))
    t.efficiency = wp.array(np.ascontiguousarray(tables.efficiency, dtype=np.float32), dtype=wp.float32, device=device)
    t.incoherent_norm, t.coherent_norm = scalar(tables.incoherent_norm), scalar(tables.coherent_norm)
    t.x_step = STEP
    t.incoherent, t.coherent = scalar(factors.incoherent), scalar(factors.coherent)
    t.coherent_integral = scalar(factors.coherent_integral)
    return t


class _Tallies:
    """One tally and balance per thread; their integer sums do not depend on how histories were shared out."""

    def __init__(self, size: int, threads: int, device: str):
        self.device = device
        self.threads = threads if device == "cpu" else 1
        self.scores = [wp.zeros(size, dtype=wp.int64, device=device) for _ in range(self.threads)]
        self.balances = [wp.zeros(len(kernel.BALANCE), dtype=wp.int64, device=device) for _ in range(self.threads)]

    def follow(self, tables: kernel.Tables, seed: int, first: int, last: int) -> tuple[np.ndarray, np.ndarray]:
        """Scores and balance of histories first..last-1, in fixed point."""
        edges = [first + (last - first) * n // self.threads for n in range(self.threads + 1)]

        def part(n: int) -> None:
            self.scores[n].zero_()
            self.balances[n].zero_()
            for start in range(edges[n], edges[n + 1], LARGEST_LAUNCH):
                wp.launch(kernel.histories, dim=min(LARGEST_LAUNCH, edges[n + 1] - start), device=self.device,
                          inputs=[tables, wp.uint64(seed), wp.uint64(start), self.scores[n], self.balances[n]])

        if self.threads == 1:
            part(0)
        else:
            with ThreadPoolExecutor(self.threads) as pool:
                list(pool.map(part, range(self.threads)))
        return sum(s.numpy() for s in self.scores), sum(b.numpy() for b in self.balances)


def _relative_error(batches: list[np.ndarray], rate: np.ndarray) -> np.ndarray:
    if len(batches) < 2:
        return np.full(rate.shape, np.nan)
    error = np.std(batches, axis=0, ddof=1) / np.sqrt(len(batches))
    return np.divide(error, rate, out=np.zeros_like(rate), where=rate > 0)


def simulate_views(
    partial_density: np.ndarray,
    activity_mbq: np.ndarray,
    grid: Grid,
    camera: Camera,
    nuclide: Nuclide,
    windows: tuple[EnergyWindow, ...],
    face_mm: tuple[float, float],
    histories: float,
    seed: int,
    device: str = "cpu",
    threads: int = 1,
    batches: int = BATCHES,
    rayleigh: bool = True,
) -> Views:
    """Expected count rates of both views.

    Parameters
    ----------
    partial_density : (3, I, J, K) array
        g/mL of the basis materials (`patient_model.MATERIALS`).
    activity_mbq : (I, J, K) array
        MBq per voxel, not negative.
    grid : Grid
        RAS-aligned; heads are square to it, anterior at +y.
    camera, nuclide
        Of the catalogue. Every line that a window can see is followed.
    windows : tuple of EnergyWindow
    face_mm : (anterior, posterior)
        RAS y of the collimator faces, mm.
    histories : float
        Photons followed for the scatter; both views are scored by each.
    seed : int
        63 bits. The same seed gives the same bits on one device, for any `threads`.
    device : str
        ``"cpu"`` or a CUDA device of Warp, e.g. ``"cuda:0"``.
    threads : int
        CPU threads (ignored on CUDA).
    batches : int
        Histories are split into at least so many groups, whose spread gives `Views.relative_error`; 1 gives NaN there.
    rayleigh : bool
        False leaves coherent scattering out, of attenuation as well.

    Returns
    -------
    Views
        Absolute cps from the activity given, lead penetration, dead time and backscatter not included.

    Raises
    ------
    ValueError
        On shapes that disagree, a rotated grid, negative or non-finite activity, or windows that no line reaches.
    """
    activity = np.asarray(activity_mbq, dtype=np.float64)
    if activity.shape != grid.shape or partial_density.shape != (3, *grid.shape) or not grid.is_ras_aligned:
        shapes = f"activity {activity.shape} and density {partial_density.shape}"
        raise ValueError(f"{shapes} must lie on a RAS-aligned grid {grid.shape}")
    if not np.isfinite(activity).all() or activity.min() < 0:
        raise ValueError("activity must be finite and not negative")
    windows = tuple(windows)
    tables = energy_tables(camera, nuclide, windows, rayleigh)
    efficiency = geometric_efficiency(camera)

    def image(layers: np.ndarray) -> np.ndarray:
        return image_of_layers(layers.astype(np.float32), grid, camera, windows, face_mm)

    primary = image(efficiency * primary_layers(partial_density, activity, float(grid.spacing_mm[1]), tables))
    if activity.max() == 0:
        return Views(primary, np.zeros_like(primary), dict.fromkeys(kernel.BALANCE, 0.0), primary)
    load_kernel(kernel, device)
    uploaded = _upload(partial_density, activity, grid, tables, device)
    shape = (len(VIEWS), len(windows), grid.shape[1], grid.shape[0], grid.shape[2])
    tallies = _Tallies(int(np.prod(shape)), threads, device)
    photons = activity.sum() * BQ_PER_MBQ * sum(x.per_decay for x in tables.lines)
    count = max(int(histories), 1)
    batches = min(max(batches, -(-count // LARGEST_BATCH)), count)
    edges = [count * n // batches for n in range(batches + 1)]
    scatter, balance = [], np.zeros(len(kernel.BALANCE))
    for first, last in pairwise(edges):
        scores, gained = tallies.follow(uploaded, seed, first, last)
        scatter.append(image(scores.reshape(shape) * (efficiency * photons / (last - first) / kernel.FIXED_POINT)))
        balance += gained / count
    rate = primary + np.mean(scatter, axis=0)
    balance[: kernel.BALANCE.index("collisions")] /= kernel.FIXED_POINT
    named = dict(zip(kernel.BALANCE, balance.tolist(), strict=True))
    return Views(rate, _relative_error(scatter, rate), named, primary)
