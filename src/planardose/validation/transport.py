"""Rows on the photon transport: tracking, balance, bits, and the statistics it states."""

from dataclasses import replace
from functools import cache, partial

import numpy as np
import warp as wp
from scipy.special import expn

from planardose.image import Grid
from planardose.physics.attenuation import density_g_ml, mu_per_mm
from planardose.planar import EnergyWindow
from planardose.validation import sampler_kernels
from planardose.validation.check import Effort, Measured
from planardose.validation.ray_tracing import uncollided_share
from planardose.validation.samplers import draw
from planardose.validation.scenes import (
    REPEATS,
    Scene,
    Totals,
    block,
    layered_phantom,
    lutetium,
    one_line,
    simulate,
    soft_tissue_per_mm,
    totals,
    uneven_phantom,
    uploaded,
)

LOW_WINDOW = EnergyWindow(45.0, 62.0)  # the X rays of 177Lu: photons scatter long enough for Russian roulette
SLAB_MM = 120.0
BATCHES = 64  # their spread gives an error to some 2 %
ANALOG_DEG = 6.0  # photons this close to the normal count: their way is 0.3 % longer on average
ANALOG_WINDOWS = ("photopeak", "lower", "upper", "low_line")
WIDE_MM = 1e6  # lateral size of the slab: nothing leaves through its sides


def analog_windows() -> tuple[EnergyWindow, ...]:
    """The photopeak of 177Lu, its two neighbours, and a window around the 113 keV line."""
    return (lutetium().photopeak, *lutetium().scatter_windows, EnergyWindow(101.7, 124.3))


def slab(length_mm: float) -> Scene:
    """A slab of soft tissue across y, evenly active, so wide that nothing leaves through its sides."""
    layers = 8
    grid = Grid.axis_aligned((1, layers, 1), (WIDE_MM, length_mm / layers, WIDE_MM), 0.0)
    return Scene(block(density_g_ml("soft_tissue"), grid), np.ones(grid.shape), grid, (length_mm + 50.0, -50.0))


def slab_beam(length_mm: float, effort: Effort) -> Measured:
    """Share of a beam that passes a slab without a collision, against exp(-mu L)."""
    energy = one_line().lines[0].energy_kev
    passed = draw(sampler_kernels.beam, uploaded(slab(length_mm)), wp.uint64(effort.seed), energy)
    expected = float(np.exp(-soft_tissue_per_mm() * length_mm))
    return Measured(float(passed.mean()), float(np.sqrt(expected * (1 - expected) / passed.size)), expected)


def slab_escape(effort: Effort) -> Measured:
    """Share that leaves an evenly active slab without a collision, against its closed form.

    Averaging E2(mu x) / 2 over the depth x of isotropic emission, for both faces: (1 - 2 E3(mu L)) / (2 mu L).
    """
    histories = effort.count(4e5)
    ours = simulate(slab(SLAB_MM), effort, 4e5, one_line(), batches=1).balance["escaped_unscattered"]
    depth = soft_tissue_per_mm() * SLAB_MM
    expected = float((1 - 2 * expn(3, depth)) / (2 * depth))
    return Measured(ours, float(np.sqrt(expected * (1 - expected) / histories)), expected)


def delta_tracking(effort: Effort) -> Measured:
    """Share that leaves a heterogeneous phantom without a collision: delta tracking against exact ray tracing."""
    scene = uneven_phantom()
    histories = effort.count(4e5)
    ours = simulate(scene, effort, 4e5, one_line(), batches=1).balance["escaped_unscattered"]
    mu = mu_per_mm(scene.density.astype(np.float64), one_line().lines[0].energy_kev)
    rng = np.random.default_rng(effort.seed)
    traced, error = uncollided_share(mu, scene.activity, scene.grid.spacing_mm, effort.count(2e5), rng)
    return Measured(ours, float(np.hypot(error, np.sqrt(traced * (1 - traced) / histories))), traced)


def photon_balance(effort: Effort) -> Measured:
    """Weight that the balance loses per history: emitted and gained, less absorbed, escaped, cut off and lost."""
    b = simulate(uneven_phantom(), effort, 5e4, windows=(LOW_WINDOW,), batches=1).balance
    gained = b["emitted"] + b["roulette_gained"]
    return Measured(gained - b["absorbed"] - b["escaped"] - b["cut_off"] - b["roulette_lost"])


def split_bits(parts: int, histories: int, effort: Effort) -> Measured:
    """Pixels that differ between all histories in one launch and in several on as many threads."""
    windows = analog_windows()
    whole, split = (simulate(uneven_phantom(), effort, histories, windows=windows, threads=n).rate for n in (1, parts))
    return Measured(float(np.count_nonzero(whole != split)))


def seed_bits(effort: Effort) -> Measured:
    """Pixels that differ between two runs with one seed, and those that do not differ between two seeds."""
    runs = [simulate(uneven_phantom(), effort, 2e4, seed=effort.seed + n).rate for n in (0, 0, 1)]
    return Measured(float(np.count_nonzero(runs[0] != runs[1]) + np.count_nonzero(runs[0] == runs[2])))


def linearity(effort: Effort) -> Measured:
    """Views of three times the activity over those of one, by the total rate."""
    scene = uneven_phantom()
    one, three = (simulate(replace(scene, activity=f * scene.activity), effort, 2e4).rate for f in (1.0, 3.0))
    return Measured(float(three.sum() / one.sum()))


def additivity(effort: Effort) -> Measured:
    """Sum of the views of two halves of an activity, over the views of the whole."""
    scene = uneven_phantom()
    half = scene.activity * (np.arange(scene.grid.shape[0]) < 5)[:, None, None]
    parts = [
        totals(replace(scene, activity=a), replace(effort, seed=effort.seed + 100 * n), 2e5)
        for n, a in enumerate((half, scene.activity - half, scene.activity))
    ]
    ratio = (parts[0].rate[0] + parts[1].rate[0]) / parts[2].rate[0]
    error = np.linalg.norm([p.error[0] for p in parts]) / parts[2].rate[0]
    return Measured(float(ratio), float(error))


@cache
def forced_and_analog(effort: Effort) -> tuple[Totals, Totals]:
    """Counts of all lines of 177Lu in `ANALOG_WINDOWS` from the layered phantom by both ways of detection."""
    forced = totals(layered_phantom(), effort, 1e6, windows=analog_windows())
    return forced, totals(layered_phantom(), effort, 1e7, windows=analog_windows(), analog_deg=ANALOG_DEG)


def forced_detection(window: int, effort: Effort) -> Measured:
    """Counts in a window by forced detection, cps/MBq, against photons that leave toward a head by themselves."""
    forced, analog = forced_and_analog(effort)
    mbq = layered_phantom().activity.sum()
    error = np.hypot(forced.error[window], analog.error[window])
    return Measured(float(forced.rate[window] / mbq), float(error / mbq), float(analog.rate[window] / mbq))


def total_error(views) -> float:
    """Root of the summed variances that an image states for its pixels."""
    return float(np.sqrt(((views.relative_error * views.rate) ** 2).sum()))


def error_law(effort: Effort) -> Measured:
    """Stated error with N over that with 16 N histories, mean squares of `REPEATS` runs each."""
    fixed, seeds = replace(effort, scale=1.0), range(effort.seed, effort.seed + REPEATS)
    squares = np.array([
        [total_error(simulate(uneven_phantom(), fixed, n, seed=s, batches=BATCHES)) ** 2 for s in seeds]
        for n in (1e4, 1.6e5)
    ])  # fmt: skip
    mean = squares.mean(axis=1)
    ratio = np.sqrt(np.divide(*mean))
    relative = squares.std(axis=1, ddof=1) / np.sqrt(REPEATS) / mean
    return Measured(float(ratio), float(0.5 * ratio * np.linalg.norm(relative)))


def stated_error(effort: Effort) -> Measured:
    """Stated error over the spread of 40 seeds."""
    seeds = range(effort.seed, effort.seed + 40)
    fixed = replace(effort, scale=1.0)
    runs = [simulate(uneven_phantom(), fixed, 1e4, seed=n, batches=BATCHES) for n in seeds]
    spread = np.sqrt(np.var([r.rate for r in runs], axis=0, ddof=1).sum())
    return Measured(float(np.sqrt(np.mean([total_error(r) ** 2 for r in runs])) / spread))


ROWS = {
    "slab_beam_50": partial(slab_beam, 50.0),
    "slab_beam_200": partial(slab_beam, 200.0),
    "slab_escape": slab_escape,
    "delta_tracking": delta_tracking,
    "photon_balance": photon_balance,
    "threads_bits": partial(split_bits, 2, 40_000),
    "split_bits": partial(split_bits, 3, 40_009),
    "seed_bits": seed_bits,
    "linearity": linearity,
    "additivity": additivity,
    **{f"forced_{w}": partial(forced_detection, n) for n, w in enumerate(ANALOG_WINDOWS)},
    "error_law": error_law,
    "stated_error": stated_error,
}
