"""What the photon kernel looks up: cross sections, efficiencies, lines, and which response a score gets."""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from planardose.library import HIGHEST_LINE_KEV as HIGHEST_KEV
from planardose.library import LOWEST_IMAGED_KEV as LOWEST_KEV
from planardose.library import Camera, Line, Nuclide
from planardose.physics.attenuation import MM_PER_CM, basis_attenuation_cm2_g
from planardose.physics.collimator import geometric_efficiency
from planardose.physics.detector import detection_efficiency, energy_fwhm_kev
from planardose.physics.form_factors import coherent_norm, incoherent_norm_barn
from planardose.physics.head_response import head_efficiency
from planardose.planar import EnergyWindow

SEEN = 1e-3  # photons are followed while some window counts them with this share of its best efficiency
KNOT = 10  # keV between exact values of the majorant
FEW = 0.1  # share of a window's unscattered counts below which a response of their own is not worth its time
FAR, TOGETHER = 1.25, 0.05  # weaker lines this factor from all stronger get one where they add up to this share
ROUNDING = 1e-5  # more than single precision can lose between majorant and voxel


@dataclass(frozen=True)
class EnergyTables:
    """Over N energies first_kev + n keV: basis cross sections (N, 3) in cm2/g, norms (N,); `efficiency` (N, W):
    counts over photons that pass the holes."""

    first_kev: float
    lines: tuple[Line, ...]
    total: np.ndarray
    compton: np.ndarray
    rayleigh: np.ndarray
    efficiency: np.ndarray
    incoherent_norm: np.ndarray
    coherent_norm: np.ndarray

    @property
    def energies_kev(self) -> np.ndarray:
        """(N,) energies of the rows."""
        return self.first_kev + np.arange(len(self.total))

    def read_at(self, table: np.ndarray, energy_kev: float) -> np.ndarray:
        """(C,) columns of a table (N, C) at an energy, as the kernel interpolates them."""
        position = np.arange(len(table))
        return np.array([np.interp(energy_kev - self.first_kev, position, column) for column in table.T])


@dataclass(frozen=True)
class Slots:
    """Tallies of a head: each belongs to a window and is blurred by the response at one energy, all (S,)."""

    windows: int
    window: tuple[EnergyWindow, ...]
    window_index: tuple[int, ...]
    energy_kev: tuple[float, ...]

    def __len__(self) -> int:
        return len(self.window)


def _efficiencies(camera: Camera, windows: tuple[EnergyWindow, ...], energies: np.ndarray, penetration: bool):
    """(N, W) counts per photon over the share that passes the holes."""
    known = np.minimum(energies, HIGHEST_KEV)
    counted = [head_efficiency(camera, w, known, penetration) for w in windows]
    return np.stack(counted, axis=1) / geometric_efficiency(camera)


def visible_from_kev(camera: Camera, windows: tuple[EnergyWindow, ...], penetration: bool) -> float:
    """Lowest whole energy (keV) at which any window still counts photons; infinite where none does."""
    energies = np.arange(LOWEST_KEV, HIGHEST_KEV + 1)
    efficiency = _efficiencies(camera, windows, energies, penetration)
    own = [(energies >= np.floor(w.low_kev)) & (energies <= np.ceil(w.high_kev)) for w in windows]
    best = [e[o].max() if o.any() else e.max() for e, o in zip(efficiency.T, own, strict=True)]
    seen = (efficiency > SEEN * np.array(best)).any(axis=1)
    return float(energies[np.argmax(seen)]) if seen.any() else np.inf


def unfollowed_share(camera: Camera, nuclide: Nuclide, window: EnergyWindow) -> float:
    """Share of a window's counts in air, through open holes, that come from lines below `LOWEST_KEV`: left out."""
    energy, per_decay = (np.array([getattr(x, k) for x in nuclide.lines]) for k in ("energy_kev", "per_decay"))
    counted = per_decay * detection_efficiency(camera, window, energy)
    return float(counted[energy < LOWEST_KEV].sum() / max(counted.sum(), 1e-300))


@lru_cache(maxsize=8)
def energy_tables(
    camera: Camera, nuclide: Nuclide, windows: tuple[EnergyWindow, ...], rayleigh: bool, penetration: bool
) -> EnergyTables:
    """Tables from the cut-off to the highest line; without coherent scattering it is left out of the total as well.

    Raises
    ------
    ValueError
        If no line of the nuclide can be counted in any window.
    """
    first = visible_from_kev(camera, windows, penetration)
    lines = tuple(x for x in nuclide.lines if first < x.energy_kev <= HIGHEST_KEV)
    if not lines:
        raise ValueError(f"no photon line of {nuclide.name} can be counted in any of the windows")
    energies = np.arange(first, np.ceil(max(x.energy_kev for x in lines)) + 2)
    parts = {p: basis_attenuation_cm2_g(energies, p).T for p in ("photo", "compton", "rayleigh")}
    if not rayleigh:
        parts["rayleigh"] = np.zeros_like(parts["rayleigh"])
    return EnergyTables(
        first, lines, sum(parts.values()), parts["compton"], parts["rayleigh"],
        _efficiencies(camera, windows, energies, penetration), incoherent_norm_barn(energies), coherent_norm(energies),
    )


def counted_lines(tables: EnergyTables) -> np.ndarray:
    """(lines, W) counts in air of every line in every window, per decay, over the share that passes the holes."""
    energies, per_decay = tables.energies_kev, np.array([[x.per_decay] for x in tables.lines])
    efficiency = [[np.interp(x.energy_kev, energies, e) for e in tables.efficiency.T] for x in tables.lines]
    return np.array(efficiency) * per_decay


def primary_slots(tables: EnergyTables, windows: tuple[EnergyWindow, ...]) -> tuple[Slots, np.ndarray]:
    """Slots of unscattered photons, one per line and window, and (lines, W) the slot of each.

    A line that makes less than `FEW` of a window's unscattered counts in air shares the slot of the line nearest in
    energy that makes more. High lines that come through lead far from their place are weak one by one: where they make
    more than `TOGETHER`, the strongest of them has a slot as well.
    """
    counted = counted_lines(tables)
    energy = np.array([x.energy_kev for x in tables.lines])
    found, slot_of = [], np.zeros(counted.shape, dtype=np.int32)
    for w in range(len(windows)):
        strong = np.flatnonzero(counted[:, w] >= FEW * counted[:, w].sum())
        apart = np.abs(np.log(energy[:, None] / energy[strong])).min(axis=1)
        far = np.where(apart > np.log(FAR), counted[:, w], 0.0)
        if far.sum() > TOGETHER * counted[:, w].sum():
            strong = np.append(strong, far.argmax())
        nearest = np.argmin(np.abs(np.log(energy[:, None] / energy[strong])), axis=1)
        slot_of[:, w] = len(found) + nearest
        found += [(w, float(energy[n])) for n in strong]
    return _slots(found, windows), slot_of


def scatter_slots(
    camera: Camera, tables: EnergyTables, windows: tuple[EnergyWindow, ...], penetration: bool
) -> tuple[Slots, np.ndarray, np.ndarray]:
    """Slots of scattered photons: (slots, (W,) energies that part a window's two slots, (W, 2) the slots below, above).

    Photons above the window, most of which count by what they leave in lead or crystal, see another collimator than
    those in it: they have a slot of their own where lines up there, or photons scattered from them, make more than
    `FEW` of the counts. Each slot has the response at its mean energy, weighted with the efficiency, for a spectrum
    that is flat below each line. With 177Lu and a medium-energy collimator, 15 keV more or less change photopeak pixels
    of scatter by 0.1 to 0.3 % (standard deviation), their total by 0.04 %.
    """
    energies = tables.energies_kev
    counted = counted_lines(tables)
    line = np.array([x.energy_kev for x in tables.lines])
    below = sum(x.per_decay * (energies <= x.energy_kev) for x in tables.lines)  # spectrum of scattered photons
    found, split, slot_of = [], np.full(len(windows), np.inf), np.zeros((len(windows), 2), dtype=np.int32)
    for w, window in enumerate(windows):
        edge = window.high_kev + 0.5 * float(energy_fwhm_kev(camera, window.high_kev))
        spectrum = tables.efficiency[:, w] * below
        # one response at 105 keV, between 161Tb's photons of 70 keV and those of 290 to 550, would make a haze of both
        above = (counted[line > edge, w].sum() > FEW * counted[:, w].sum()
                 or spectrum[energies > edge].sum() > FEW * spectrum.sum())  # fmt: skip
        if penetration and above and energies[0] < edge:
            split[w] = edge
        sides = (energies <= split[w], energies > split[w]) if np.isfinite(split[w]) else (energies <= line.max() + 1,)
        for side in sides:
            weight = spectrum[side] + 1e-12
            found.append((w, float((energies[side] * weight).sum() / weight.sum())))
        slot_of[w] = (len(found) - len(sides), len(found) - 1)
    return _slots(found, windows), split, slot_of


def _slots(found: list[tuple[int, float]], windows: tuple[EnergyWindow, ...]) -> Slots:
    index = tuple(w for w, _ in found)
    return Slots(len(windows), tuple(windows[w] for w in index), index, tuple(round(e, 2) for _, e in found))


def majorant_per_mm(density: np.ndarray, total: np.ndarray) -> np.ndarray:
    """(N,) upper bound of the linear attenuation coefficient of `density` (..., 3), for each row of `total` (N, 3).

    Exact at every `KNOT`-th row; between, the chord lies above, because every cross section here is convex in energy.
    """
    voxels = np.asarray(density, dtype=np.float32).reshape(-1, 3)
    knots = np.unique(np.append(np.arange(0, len(total), KNOT), len(total) - 1))
    largest = [(voxels @ row).max() / MM_PER_CM for row in total[knots].astype(np.float32)]
    return np.interp(np.arange(len(total)), knots, largest) * (1 + ROUNDING)


def emission_tables(activity: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Active voxels (flat, int32), their cumulative share (float64, last 1), and a guide into it (int32)."""
    flat = np.asarray(activity, dtype=np.float64).ravel()
    voxel = np.flatnonzero(flat > 0)
    cumulative = np.cumsum(flat[voxel])
    cumulative /= cumulative[-1]
    cumulative[-1] = 1.0
    slots = max(1, voxel.size)
    guide = np.searchsorted(cumulative, np.arange(slots) / slots, side="right")
    return voxel.astype(np.int32), cumulative, np.minimum(guide, voxel.size - 1).astype(np.int32)
