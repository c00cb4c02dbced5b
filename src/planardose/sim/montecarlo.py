"""Gamma-camera views of an activity map: exact primaries, Monte Carlo scatter with forced detection.

Photons that reach a head without interacting are computed in closed form per voxel; scattered ones by the kernel in
`montecarlo_track`. Both are kept per depth layer and blurred by the depth-dependent response of the head.
"""

from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np

from planardose.heads import Head
from planardose.image import Grid
from planardose.library import Camera, Nuclide
from planardose.physics.collimator import geometric_efficiency
from planardose.physics.couch import couch_transmission
from planardose.planar import EnergyWindow
from planardose.sim.montecarlo_columns import masses_ahead, primary_layers
from planardose.sim.montecarlo_device import FORCED, Setup, Tracker, load_kernels
from planardose.sim.montecarlo_kernel import BALANCE, FIXED_POINT
from planardose.sim.montecarlo_tables import EnergyTables, Slots, energy_tables, primary_slots, scatter_slots
from planardose.sim.raster import Raster
from planardose.sim.response import image_of_layers
from planardose.units import BQ_PER_MBQ

BATCHES = 8
LARGEST_BATCH = 2**32  # the fixed-point sums of so many histories stay within 63 bits
CLEAR = 0.1  # the relative error of an image is told for pixels above this share of the brightest
FIRST = 200_000  # histories before the first look at the error
MARGIN = 1.1  # more histories than the error seen asks for
STAGE = (0.25, 10.0)  # histories of a further stage, relative to those followed so far


@dataclass(frozen=True)
class Options:
    """How a simulation is run.

    Parameters
    ----------
    device : str
        ``"cpu"`` or a CUDA device of Warp, e.g. ``"cuda:0"``.
    threads : int
        CPU threads (ignored on CUDA); they do not change a bit.
    batches : int
        Histories are split into at least so many groups, whose spread gives the relative error; 1 gives NaN there.
    relative_error : float or None
        Stop when the median relative error of the first window's pixels above `CLEAR` of its maximum, over all heads,
        is below; `histories` is then the most that are followed.
    rayleigh : bool
        False leaves coherent scattering out, of attenuation as well.
    penetration : bool
        False: only photons that touch no lead are counted.
    analog_deg : float or None
        None: forced detection. Else scattered and unscattered photons are counted when they leave within this angle of
        a head's normal, and absorbed by chance: slow, unbiased but for the angle, for tests.
    """

    device: str = "cpu"
    threads: int = 1
    batches: int = BATCHES
    relative_error: float | None = None
    rayleigh: bool = True
    penetration: bool = True
    analog_deg: float | None = None


@dataclass(frozen=True)
class Views:
    """Simulated views; for the usual two heads 0 is anterior, 1 posterior, and columns and slices are the grid's.

    Parameters
    ----------
    rate : (H, W, U, K) float64
        Expected cps per pixel, free of counting noise.
    relative_error : (H, W, U, K) float64
        Standard error of `rate` from the finite number of histories, relative to it; 0 where the rate is 0.
    balance : dict
        Photon weights per history: emitted + roulette_gained = absorbed + escaped + cut_off + roulette_lost; of the
        escaped, escaped_unscattered; and collisions per history.
    primary : (H, W, U, K) float64
        The part of `rate` from photons that reached the head without interacting.
    histories : int
        Followed.
    """

    rate: np.ndarray = field(repr=False)
    relative_error: np.ndarray = field(repr=False)
    balance: dict[str, float]
    primary: np.ndarray = field(repr=False)
    histories: int = 0

    @property
    def clear_error(self) -> float:
        """Median relative error of the first window's clearly seen pixels."""
        return clear_error(self.rate, self.relative_error)


def clear_error(rate: np.ndarray, relative_error: np.ndarray) -> float:
    """Median relative error (H, W, U, K) of the first window's pixels above `CLEAR` of its brightest."""
    seen = rate[:, 0] > CLEAR * rate[:, 0].max()
    return float(np.median(relative_error[:, 0][seen])) if seen.any() else 0.0


def setup_of(
    partial_density: np.ndarray, activity: np.ndarray, raster: Raster, camera: Camera, tables: EnergyTables,
    windows: tuple[EnergyWindow, ...], options: Options,
) -> Setup:  # fmt: skip
    """What the kernel needs: `partial_density` (3, I, J, K) g/mL and `activity` (I, J, K) lie on the raster's grid."""
    load_kernels(options.device)
    density = np.ascontiguousarray(np.moveaxis(partial_density, 0, -1), dtype=np.float32)
    couch = couch_transmission(tables.energies_kev, np.array([h.aluminium_mm for h in raster.heads])[:, None])
    efficiency = couch[:, :, None] * tables.efficiency
    slots, split, slot_of = scatter_slots(camera, tables, windows, options.penetration)
    angle = options.analog_deg
    acceptance = FORCED if angle is None else float(np.cos(np.deg2rad(angle)))
    masses = masses_ahead(density, raster)
    return Setup(density, masses, activity, raster, tables, efficiency, slots, split, slot_of, acceptance)


class _Simulation:
    """Everything that does not change from batch to batch."""

    def __init__(self, partial_density, activity, grid, camera, nuclide, windows, heads, options):
        self.camera, self.windows, self.options = camera, windows, options
        self.tables = energy_tables(camera, nuclide, windows, options.rayleigh, options.penetration)
        raster = Raster(grid, tuple(heads))
        self.setup = setup_of(partial_density, activity, raster, camera, self.tables, windows, options)

    def primary(self) -> np.ndarray:
        """(H, W, U, K) cps of photons that reach the heads unscattered."""
        given, tables = self.setup, self.tables
        slots, slot_of = primary_slots(tables, self.windows)
        decays = (given.activity * BQ_PER_MBQ).astype(np.float32)
        images = []
        for h, efficiency in enumerate(given.efficiency):
            layers = np.zeros((len(slots), *given.shape[2:]), dtype=np.float32)
            for n, line in enumerate(tables.lines):
                mu = tables.read_at(tables.total, line.energy_kev)
                seen = primary_layers(given.density, given.masses, decays, given.raster, h, mu)
                counted = line.per_decay * tables.read_at(efficiency, line.energy_kev)
                for w in range(len(self.windows)):
                    layers[slot_of[n, w]] += np.float32(geometric_efficiency(self.camera) * counted[w]) * seen
            images.append(self._image(layers, h, slots))
        return np.array(images)

    def image(self, scores: np.ndarray, per_score: float) -> np.ndarray:
        """(H, W, U, K) of tallies (H, S, L, U, K)."""
        layers = ((s * per_score).astype(np.float32) for s in scores)
        return np.array([self._image(x, h, self.setup.slots) for h, x in enumerate(layers)])

    def _image(self, layers: np.ndarray, head: int, slots: Slots) -> np.ndarray:
        """(W, U, K) of the layers (S, L, U, K) of a head."""
        return image_of_layers(layers, self.setup.raster, head, self.camera, slots, self.options.penetration)

    def stage(self, tracker: Tracker, seed: int, first: int, count: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Mean image, its variance (NaN for one batch) and summed balance of histories first..first+count-1."""
        batches = min(max(self.options.batches, -(-count // LARGEST_BATCH)), count)
        photons = self.setup.activity.sum(dtype=np.float64) * BQ_PER_MBQ * sum(x.per_decay for x in self.tables.lines)
        images, balance = [], np.zeros(len(BALANCE))
        for low, high in pairwise(first + count * n // batches for n in range(batches + 1)):
            scores, gained = tracker.follow(seed, low, high)
            per_score = geometric_efficiency(self.camera) * photons / (high - low) / FIXED_POINT
            images.append(self.image(scores, per_score))
            balance += gained
        mean = np.mean(images, axis=0)
        variance = np.var(images, axis=0, ddof=1) / batches if batches > 1 else np.full_like(mean, np.nan)
        return mean, variance, balance


def _checked(partial_density: np.ndarray, activity_mbq: np.ndarray, grid: Grid) -> np.ndarray:
    """The activity as an array of floats, not copied where it is one."""
    activity = np.asarray(activity_mbq)
    if activity.dtype.kind != "f":
        activity = activity.astype(np.float64)
    if activity.shape != grid.shape or partial_density.shape != (3, *grid.shape) or not grid.is_ras_aligned:
        shapes = f"activity {activity.shape} and density {partial_density.shape}"
        raise ValueError(f"{shapes} must lie on a RAS-aligned grid {grid.shape}")
    if not np.isfinite(activity).all() or activity.min() < 0:
        raise ValueError("activity must be finite and not negative")
    return activity


def simulate(
    partial_density: np.ndarray,
    activity_mbq: np.ndarray,
    grid: Grid,
    camera: Camera,
    nuclide: Nuclide,
    windows: tuple[EnergyWindow, ...],
    heads: tuple[Head, ...],
    histories: float,
    seed: int,
    options: Options | None = None,
) -> Views:
    """Expected count rates of any heads around the patient.

    Parameters
    ----------
    partial_density : (3, I, J, K) array
        g/mL of the basis materials (`patient_model.MATERIALS`).
    activity_mbq : (I, J, K) array
        MBq per voxel, not negative.
    grid : Grid
        RAS-aligned.
    camera, nuclide
        Of the catalogue. Every line that a window can see is followed.
    windows : tuple of EnergyWindow
    heads : tuple of Head
        `heads.opposed_heads` for the anterior and posterior view.
    histories : float
        Photons followed for the scatter; all heads are scored by each.
    seed : int
        63 bits. The same seed gives the same bits on one device, for any number of threads.
    options : Options

    Returns
    -------
    Views
        Absolute cps from the activity given, without dead time.

    Raises
    ------
    ValueError
        On shapes that disagree, a rotated grid, negative or non-finite activity, or windows that no line reaches.
    InputError
        If the device's memory does not hold one head.
    """
    options = options or Options()
    activity = _checked(partial_density, activity_mbq, grid)
    run = _Simulation(partial_density, activity, grid, camera, nuclide, tuple(windows), heads, options)
    primary = run.primary()
    if activity.max() == 0:
        return Views(primary, np.zeros_like(primary), dict.fromkeys(BALANCE, 0.0), primary)
    tracker = Tracker(run.setup, options.device, options.threads)
    most, done, total = max(int(histories), 1), 0, np.zeros(len(BALANCE))
    counted, variance = np.zeros_like(primary), np.zeros_like(primary)
    count = most if options.relative_error is None else min(FIRST, most)
    while True:
        mean, spread, balance = run.stage(tracker, seed, done, count)
        share = count / (done + count)
        counted = (1 - share) * counted + share * mean
        variance = (1 - share) ** 2 * variance + share**2 * spread
        done, total = done + count, total + balance
        rate = counted if options.analog_deg is not None else primary + counted
        error = np.divide(np.sqrt(variance), rate, out=np.zeros_like(rate), where=rate > 0)
        reached = options.relative_error is None or clear_error(rate, error) <= options.relative_error
        if reached or done >= most:
            break
        needed = done * MARGIN * (clear_error(rate, error) / options.relative_error) ** 2 - done
        count = min(int(np.clip(needed, STAGE[0] * done, STAGE[1] * done)), most - done)
    total /= done
    total[: BALANCE.index("collisions")] /= FIXED_POINT
    return Views(rate, error, dict(zip(BALANCE, total.tolist(), strict=True)), primary, done)
