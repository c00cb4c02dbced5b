"""Energy that the photons of a decay leave in each voxel: the Monte Carlo of the camera in dose mode.

Every photon line is followed down to a cut of 5 keV, where the rest stays on the spot; windows and crystals play no
part. Electrons of the photons' collisions stay where they are set free (one of 400 keV travels 1.3 mm in water), as
does the fluorescence of absorbing atoms (below 4.1 keV in tissue). Left out: bremsstrahlung (0.2 % of the energy
left in water at 800 keV, less below) and the Doppler broadening of Compton scattering.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import warp as wp

from planardose.image import Grid
from planardose.library import Line
from planardose.physics.form_factors import form_factors
from planardose.physics.warp_arrays import in_threads, scalars, vectors
from planardose.physics.warp_runtime import load_kernel
from planardose.sim import dose_kernel as kernel
from planardose.sim.device import enough_memory, launches, source_and_matter
from planardose.sim.dose_tables import HIGHEST_KEV, PATIENT, Matter, dose_cross_sections, dose_majorant_per_mm
from planardose.units import BQ_PER_MBQ, JOULE_PER_KEV, SECONDS_PER_HOUR

CUT_KEV = 5.0
BATCHES = 16
LARGEST_BATCH = 2**30  # the fixed-point sums of so many photons stay within 63 bits
GRAM_PER_KG = 1000.0


@dataclass(frozen=True)
class DoseOptions:
    """How photons are followed.

    Parameters
    ----------
    cut_kev : float
        Photons at or below leave their energy on the spot.
    matter : Matter
        Names of the basis materials and of the one whose bound electrons shape the scattering.
    device, threads, batches
        As in `planardose.sim.montecarlo.Options`.
    """

    cut_kev: float = CUT_KEV
    matter: Matter = PATIENT
    device: str = "cpu"
    threads: int = 1
    batches: int = BATCHES


@dataclass(frozen=True)
class PhotonDose:
    """Photon energy deposited per decay of the whole source.

    Parameters
    ----------
    kev_per_decay : (I, J, K) float64
        Energy left in each voxel.
    relative_error : (I, J, K) float64
        Standard error of `kev_per_decay` relative to it; 0 where nothing was left, NaN with a single batch.
    region_kev_per_decay, region_error_kev : (R,) float64
        Energy left in the regions asked for, and its standard error; neighbouring voxels share photons, so that the
        latter does not follow from `relative_error`.
    balance : dict
        keV per decay, as followed: emitted = recoil + photoabsorbed + below_cut + escaped, to the last bit; the first
        three on the right are the deposit, of which the sum of `kev_per_decay` is another estimate. And collisions per
        photon.
    """

    kev_per_decay: np.ndarray
    relative_error: np.ndarray
    region_kev_per_decay: np.ndarray
    region_error_kev: np.ndarray
    balance: dict[str, float]


def dose_gy(kev_per_decay: np.ndarray, tia_mbq_h: float, mass_g: np.ndarray) -> np.ndarray:
    """Absorbed dose (Gy) of voxels or regions: energy per decay times the decays of the whole source, over mass.

    Parameters
    ----------
    kev_per_decay : array
        As in `PhotonDose`.
    tia_mbq_h : float
        Time-integrated activity of the whole source, MBq h.
    mass_g : array
        Of the same voxels or regions; a mass of 0 gives a dose of 0.
    """
    joule = np.asarray(kev_per_decay) * (JOULE_PER_KEV * tia_mbq_h * BQ_PER_MBQ * SECONDS_PER_HOUR)
    kg = np.asarray(mass_g, dtype=np.float64) / GRAM_PER_KG
    return np.divide(joule, kg, out=np.zeros(np.broadcast(joule, kg).shape), where=kg > 0)


def _upload(
    partial_density: np.ndarray, source: np.ndarray, grid: Grid, lines: tuple[Line, ...], options: DoseOptions
) -> kernel.DoseTables:
    cut_kev, matter, device = options.cut_kev, options.matter, options.device
    density, factors = np.moveaxis(partial_density, 0, -1), form_factors(matter.bound_electrons)
    t = kernel.DoseTables()
    t.photon = source_and_matter(density, source, grid.spacing_mm, lines, factors, device)
    sections = dose_cross_sections(cut_kev, max(x.energy_kev for x in lines), matter)
    t.cut_kev, t.log_cut = cut_kev, float(np.log(cut_kev))
    t.per_log = 1.0 / float(np.log(sections.energies_kev[1] / sections.energies_kev[0]))
    t.total, t.compton = vectors(sections.total, device), vectors(sections.compton, device)
    t.rayleigh, t.absorption = vectors(sections.rayleigh, device), vectors(sections.absorption, device)
    t.majorant = scalars(dose_majorant_per_mm(partial_density, sections.total), device)
    return t


class _Tallies:
    """One tally and balance per CPU thread; their integer sums do not depend on how photons were shared out."""

    def __init__(self, size: int, threads: int, device: str):
        self.device = device
        self.threads = threads if device == "cpu" else 1
        sizes = (size, len(kernel.BALANCE))
        self.sums = [[wp.zeros(n, dtype=wp.int64, device=device) for n in sizes] for _ in range(self.threads)]

    def follow(self, tables: kernel.DoseTables, seed: int, first: int, last: int) -> tuple[np.ndarray, np.ndarray]:
        """Energy per voxel (flat) and balance of photons first..last-1, in fixed point."""
        edges = [first + (last - first) * n // self.threads for n in range(self.threads + 1)]

        def part(n: int) -> None:
            for one in self.sums[n]:
                one.zero_()
            for start, count in launches(edges[n], edges[n + 1]):
                wp.launch(kernel.dose_histories, dim=count, device=self.device,
                          inputs=[tables, wp.uint64(seed), wp.uint64(start), *self.sums[n]])

        in_threads(part, range(self.threads))
        deposit, balance = (sum(s[n].numpy() for s in self.sums) for n in range(2))
        return deposit, balance


@dataclass
class _Mean:
    """Mean of batches, weighted by their photons, and its standard error (Welford's update)."""

    weight: float = 0.0
    count: int = 0
    mean: np.ndarray | float = 0.0
    squares: np.ndarray | float = 0.0

    def add(self, values: np.ndarray, weight: float) -> None:
        self.weight += weight
        self.count += 1
        change = values - self.mean
        self.mean = self.mean + change * (weight / self.weight)
        self.squares = self.squares + weight * change * (values - self.mean)

    def error(self) -> np.ndarray:
        if self.count < 2:
            return np.full(np.shape(self.mean), np.nan)
        return np.sqrt(self.squares / self.weight / (self.count - 1))


def _check(partial_density: np.ndarray, source: np.ndarray, grid: Grid, lines: tuple[Line, ...], cut: float) -> None:
    if source.shape != grid.shape or partial_density.shape != (3, *grid.shape):
        raise ValueError(f"source {source.shape} and density {partial_density.shape} must lie on the grid {grid.shape}")
    for name, values in (("source", source), ("density", partial_density)):
        if not np.isfinite(values).all() or values.min() < 0 or values.max() == 0:
            raise ValueError(f"{name} must be finite, not negative and not zero everywhere")
    if not lines or not cut > 0:
        raise ValueError(f"at least one photon line and a cut above 0 are needed, got {len(lines)} and {cut} keV")
    if (highest := max(x.energy_kev for x in lines)) > HIGHEST_KEV:
        raise ValueError(f"a line of {highest:g} keV lies above the cross sections, which end at {HIGHEST_KEV:g} keV")


@enough_memory("coarser voxels")
def photon_dose(
    partial_density: np.ndarray,
    source: np.ndarray,
    grid: Grid,
    lines: tuple[Line, ...],
    photons: float,
    seed: int,
    regions: np.ndarray | None = None,
    options: DoseOptions | None = None,
) -> PhotonDose:
    """Photon energy deposited per voxel and decay.

    Parameters
    ----------
    partial_density : (3, I, J, K) array
        g/mL of the basis materials of `options`, by default the patient's. Nothing lies beyond the grid.
    source : (I, J, K) array
        Where decays happen, in any unit, uniform within a voxel; not negative.
    grid : Grid
        Of any orientation.
    lines : tuple of Line
        All photon lines of the nuclide (`Nuclide.lines`). One at or below the cut stays where it is emitted.
    photons : float
        Number followed; the photons of a decay are drawn by their yield.
    seed : int
        63 bits. The same seed gives the same bits on one device, for any `threads`.
    regions : (R, I, J, K) array, optional
        Masks or organ fractions: share of each voxel's energy that counts for a region.
    options : DoseOptions, optional

    Returns
    -------
    PhotonDose

    Raises
    ------
    ValueError
        On shapes that disagree; a source or density that is negative, not finite or zero everywhere; no line, or one
        above 800 keV; a cut that is not positive.
    InputError
        If the device's memory does not hold the patient.
    """
    options, source = options or DoseOptions(), np.asarray(source, dtype=np.float64)
    _check(partial_density, source, grid, lines, options.cut_kev)
    weights = np.zeros((0, *grid.shape)) if regions is None else np.asarray(regions)
    if weights.shape[1:] != grid.shape:
        raise ValueError(f"regions {weights.shape} must be a stack of maps on the grid {grid.shape}")
    load_kernel(kernel, options.device)  # before threads launch it
    tables = _upload(partial_density, source, grid, lines, options)
    per_decay = sum(x.per_decay for x in lines)
    voxels, organs, balance = _Mean(), _Mean(), _Mean()
    for count, deposit, gained in _batches(tables, source.size, int(photons), seed, options):
        kev = deposit * (per_decay / kernel.KEV_UNIT / count)
        voxels.add(kev, count)
        organs.add(np.array([(w.ravel() * kev).sum() for w in weights]), count)
        balance.add(gained / count, count)
    named = dict(zip(kernel.BALANCE, (balance.mean * (per_decay / kernel.KEV_UNIT)).tolist(), strict=True))
    named["collisions"] *= kernel.KEV_UNIT / per_decay
    relative = np.divide(voxels.error(), voxels.mean, out=np.zeros(source.size), where=voxels.mean > 0)
    return PhotonDose(
        voxels.mean.reshape(grid.shape), relative.reshape(grid.shape), organs.mean, organs.error(), named
    )


def _batches(
    tables: kernel.DoseTables, voxels: int, photons: int, seed: int, options: DoseOptions
) -> Iterator[tuple[int, np.ndarray, np.ndarray]]:
    """Number of photons, energy per voxel and balance (fixed point) of each batch."""
    photons = max(photons, 1)
    batches = min(max(options.batches, -(-photons // LARGEST_BATCH)), photons)
    tallies = _Tallies(voxels, options.threads, options.device)
    for first, last in pairwise(photons * n // batches for n in range(batches + 1)):
        yield last - first, *tallies.follow(tables, seed, first, last)
