"""Virtual acquisitions of one patient, made from the Monte Carlo projections of the sampled uptakes.

A projection is linear in the activity: any mixture of two samples, with the same mixture of their noise-free
projections, is a new exact sample. Noise, counts and the residual misalignment are drawn anew for every acquisition,
from generators keyed by its number, so that a resumed training sees the same ones.
"""

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from scipy.ndimage import gaussian_filter, map_coordinates

from planardose.errors import InputError
from planardose.io.samples import read_samples
from planardose.planar import EnergyWindow
from planardose.run import Run
from planardose.seeds import rng_for
from planardose.units import FWHM_PER_SIGMA

WARP_MM, WARP_LENGTH_MM = 3.0, 150.0  # standard deviation per axis of what moves beyond the shift; smoothing, FWHM
GAIN, GAIN_LENGTH_MM = 0.04, 100.0  # standard deviation of a view's gain; smoothing, FWHM
MIXED_SHARE = 0.5  # of the training acquisitions; the others are single samples, with lesions at full contrast


@dataclass(frozen=True)
class VirtualData:
    """Samples of one patient with their noise-free projections.

    Parameters
    ----------
    activity : (S, I, J, K) float32
        MBq per voxel.
    rates : (S, 2, W, I, K) float32
        Expected cps on the columns and slices of the grid, photopeak first.
    windows : tuple of EnergyWindow
        Length W.
    log10_counts : (S,) float64
        Photopeak counts per head.
    shift_mm : (S, 2) float64
        Residual misalignment along x and z.
    training : (S,) bool
        False: kept for validation.
    step_mm : (x, z) float
        Pixel size of the projections.
    """

    activity: np.ndarray = field(repr=False)
    rates: np.ndarray = field(repr=False)
    windows: tuple[EnergyWindow, ...]
    log10_counts: np.ndarray = field(repr=False)
    shift_mm: np.ndarray = field(repr=False)
    training: np.ndarray = field(repr=False)
    step_mm: tuple[float, float]

    def __post_init__(self) -> None:
        n, grid = len(self.activity), self.activity.shape[1:]
        if self.rates.shape != (n, 2, len(self.windows), grid[0], grid[2]):
            raise ValueError(f"projections {self.rates.shape} do not fit maps {self.activity.shape}")
        if not (len(self.log10_counts) == len(self.shift_mm) == len(self.training) == n):
            raise ValueError("table and projections hold different numbers of samples")

    def indices(self, split: str) -> np.ndarray:
        """Sample numbers of ``train`` or ``validation``."""
        return np.flatnonzero(self.training if split == "train" else ~self.training)


@dataclass(frozen=True)
class Acquisition:
    """One virtual acquisition: the truth (I, J, K) in MBq per voxel and noisy counts (2, W, I, K)."""

    activity: np.ndarray = field(repr=False)
    counts: np.ndarray = field(repr=False)
    exposure_s: float


def mixed(data: VirtualData, first: int, second: int, weight: float) -> tuple[np.ndarray, np.ndarray]:
    """Maps and rates of `weight` parts of one sample and ``1 - weight`` of another, each scaled to 1 MBq in total.

    Returns
    -------
    (I, J, K), (2, W, I, K) float64
        The scaling is exact as well; without it the sample with more activity would hide the other.
    """
    weights = ((weight, first), (1 - weight, second))
    parts = [(w / data.activity[n].sum(dtype=np.float64), n) for w, n in weights if w > 0]
    activity = sum(scale * data.activity[n].astype(np.float64) for scale, n in parts)
    rates = sum(scale * data.rates[n].astype(np.float64) for scale, n in parts)
    return activity, rates


def smooth_field(
    rng: np.random.Generator, size: tuple[int, int], length_mm: float, step_mm: tuple[float, float]
) -> np.ndarray:
    """(I, K) Gaussian field, mean 0, standard deviation 1 over many draws, smooth over `length_mm` (FWHM)."""
    sigma = length_mm / FWHM_PER_SIGMA / np.asarray(step_mm)
    edge = 2 * np.ceil(3 * sigma).astype(int)
    one = np.zeros(edge + 1)
    one[tuple(edge // 2)] = 1.0
    scale = np.sqrt((gaussian_filter(one, sigma) ** 2).sum())
    white = rng.standard_normal(np.add(size, edge))
    inside = tuple(slice(e // 2, e // 2 + n) for e, n in zip(edge, size, strict=True))
    return gaussian_filter(white, sigma)[inside] / scale


def acquire(
    activity: np.ndarray,
    rates: np.ndarray,
    log10_counts: float,
    shift_mm: np.ndarray,
    step_mm: tuple[float, float],
    rng: np.random.Generator,
) -> Acquisition:
    """Counts of an acquisition long enough for ``10**log10_counts`` photopeak counts per head, with Poisson noise.

    The projections are moved by `shift_mm` (x, z) against the patient, and by a smooth field beyond it, as by breathing
    and posture (cubic spline, cut at zero). A smooth gain of each view stands for what is not known of the matter. The
    field stretches images without thinning them: an organ's counts vary by another 4 %, alike in both views.
    """
    size, whole = rates.shape[-2:], np.asarray(shift_mm)[:, None, None]
    moved_mm = whole + WARP_MM * np.stack([smooth_field(rng, size, WARP_LENGTH_MM, step_mm) for _ in range(2)])
    places = np.indices(size) - moved_mm / np.asarray(step_mm)[:, None, None]
    gains = 1 + GAIN * np.stack([smooth_field(rng, size, GAIN_LENGTH_MM, step_mm) for _ in range(len(rates))])
    images = [map_coordinates(image, places, order=3, mode="constant") for image in rates.reshape(-1, *size)]
    moved = np.maximum(images, 0.0).reshape(rates.shape) * gains.clip(0.5, 1.5)[:, None]
    exposure_s = 10.0**log10_counts / (0.5 * rates[:, 0].sum())
    counts = rng.poisson(moved * exposure_s).astype(np.float64)
    return Acquisition(activity.astype(np.float32), counts, float(exposure_s))


def training_acquisition(data: VirtualData, shift_sd_mm: float, root: int, patient: str, number: int) -> Acquisition:
    """Training acquisition `number` of a patient: single sample or mixture, counts of a row, fresh shift and noise."""
    rng = rng_for(root, "train acquisition", patient, number)
    first, second, row = rng.choice(data.indices("train"), size=3)
    weight = rng.uniform(0.0, 1.0) if rng.random() < MIXED_SHARE else 1.0
    shift_mm = shift_sd_mm * rng.standard_normal(2)
    return acquire(*mixed(data, first, second, weight), data.log10_counts[row], shift_mm, data.step_mm, rng)


def validation_acquisitions(data: VirtualData, root: int, patient: str) -> list[Acquisition]:
    """One acquisition of every validation sample, with the counts and the shift of its row."""
    return [
        acquire(
            *mixed(data, n, n, 1.0),
            data.log10_counts[n],
            data.shift_mm[n],
            data.step_mm,
            rng_for(root, "validation acquisition", patient, int(n)),
        )
        for n in data.indices("validation")
    ]


def load_virtual_data(
    run: Run, patient: str, windows: tuple[EnergyWindow, ...], step_mm: tuple[float, float]
) -> VirtualData:
    """All chunks of a patient with the rows of the sample table.

    Raises
    ------
    InputError
        If a chunk is missing, or table and chunks do not hold the same samples.
    """
    table = read_samples(run.need("samples", "sample-uptake", patient=patient))
    chunks = []
    for path in chunk_paths(run, patient):
        with np.load(path, allow_pickle=False) as z:
            chunks.append({k: z[k] for k in ("samples", "activity", "views")})
    samples = np.concatenate([c["samples"] for c in chunks])
    if not np.array_equal(samples, table["sample"].to_numpy()):
        raise InputError(
            f"{patient} projection",
            f"{len(samples)} samples, the table has {len(table)}",
            "the projections of this sample table",
            "run 'planardose project' again for every chunk",
        )
    return VirtualData(
        activity=np.concatenate([c["activity"] for c in chunks]),
        rates=np.concatenate([c["views"] for c in chunks]),
        windows=windows,
        log10_counts=table["log10_counts"].to_numpy(np.float64),
        shift_mm=table[["shift_x_mm", "shift_z_mm"]].to_numpy(np.float64),
        training=(table["split"] == "train").to_numpy(),
        step_mm=step_mm,
    )


def chunk_paths(run: Run, patient: str) -> list[Path]:
    """Paths of all projection chunks of a patient, in order; a missing one raises `InputError`."""
    return [run.need("projections", "project", patient=patient, chunk=n) for n in run.config.chunks]
