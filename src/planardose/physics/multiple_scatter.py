"""Scatter toward a head around a point source in unbounded water: photons that collide more than once, by Monte Carlo.

A table per camera, nuclide and window, over the place of the last collision, kept on disk. Water of another density is
the same water on another scale.
"""

from dataclasses import asdict, dataclass
from functools import lru_cache, partial
from pathlib import Path

import numpy as np
import xraylib
from scipy.ndimage import map_coordinates

from planardose.io.cache import cached_arrays
from planardose.io.files import sha256_of
from planardose.library import DATA, HIGHEST_LINE_KEV, LOWEST_IMAGED_KEV, Camera, Nuclide
from planardose.physics.attenuation import linear_attenuation_per_mm
from planardose.physics.form_factors import STEP, coherent_norm, form_factors, incoherent_norm_barn
from planardose.physics.head_response import head_efficiency

# all that makes a table but the head's efficiency, which is in its key by its values
CODE = (
    "attenuation", "compton", "form_factors", "multiple_scatter", "multiple_scatter_kernel", "photon_kernel",
    "warp_arrays", "warp_random",
)  # fmt: skip
MATERIALS = DATA / "physics" / "materials.yaml"
HISTORIES = 4_000_000
SEED = 17  # of the tables: a property of the model, not of a run
BIN_MM, BINS = 5.0, 40
SEEN = 1e-3  # of the window's best efficiency: photons of lower energies are not followed
DEVICE = "cpu"


@dataclass(frozen=True)
class MultipleScatter:
    """Counts of photons that scatter at least twice, over those of the primaries in air.

    Parameters
    ----------
    density : (G, Z, R) float64
        Per mm3 of water of 1 g/mL at the last collision, over its height along the head's normal above the source
        (`BIN_MM` bins, `BINS` below and above) and its distance from the normal. Groups G as `recon.scatter`.
    mean_kev : (G,) float64
        Mean energy of all scattered photons that count.
    """

    density: np.ndarray
    mean_kev: np.ndarray

    def at(self, along_mm: np.ndarray, across_mm: np.ndarray, g_ml: float) -> np.ndarray:
        """(G, ...) per mm3 of matter of 1 g/mL at a place, with water of so many g/mL all around."""
        mirrored = np.concatenate([self.density[:, :, :1], self.density], axis=2)  # the normal lies between two bins
        position = [g_ml * along_mm / BIN_MM + BINS - 0.5, g_ml * across_mm / BIN_MM + 0.5]
        position = np.broadcast_arrays(*position)
        # two lengths of way scale with the density: the flux at a place falls with its square
        return g_ml**2 * np.array([map_coordinates(d, position, order=1, mode="constant") for d in mirrored])


def multiple_scatter(camera: Camera, nuclide: Nuclide, penetration: bool, split_kev: float) -> MultipleScatter:
    """Table from memory, from the cache folder, or followed (some seconds on one core)."""
    energies = np.arange(LOWEST_IMAGED_KEV, HIGHEST_LINE_KEV + 1)
    counted = head_efficiency(camera, nuclide.photopeak, np.minimum(energies, HIGHEST_LINE_KEV), penetration)
    first = int(np.argmax(counted > SEEN * counted.max()))
    lines = [(x.energy_kev, x.per_decay) for x in nuclide.lines if x.energy_kev > energies[first]]
    top = int(np.ceil(max(e for e, _ in lines)) - energies[0]) + 2
    return _table(tuple(lines), energies[first], tuple(counted[first:top].tolist()), min(split_kev, 1e9))


@lru_cache(maxsize=16)
def _table(
    lines: tuple[tuple[float, float], ...], first_kev: float, counted: tuple[float, ...], split_kev: float
) -> MultipleScatter:
    code = [*(Path(__file__).with_name(f"{n}.py") for n in CODE), MATERIALS]
    key = {"lines": lines, "first_kev": first_kev, "counted": [float(f"{c:.6g}") for c in counted],
           "split_kev": split_kev, "code": [sha256_of(f) for f in code], "xraylib": xraylib.__version__}  # fmt: skip
    found = cached_arrays("scatter", key, lambda: asdict(_followed(lines, first_kev, np.array(counted), split_kev)))
    return MultipleScatter(**found)


def _followed(lines, first_kev: float, counted: np.ndarray, split_kev: float) -> MultipleScatter:
    import warp as wp  # only where there is no table yet

    from planardose.physics import multiple_scatter_kernel as kernel
    from planardose.physics.warp_arrays import scalars
    from planardose.physics.warp_runtime import load_kernel

    load_kernel(kernel, DEVICE)
    scalar = partial(scalars, device=DEVICE)
    energies = first_kev + np.arange(counted.size)
    total, compton, coherent = (
        linear_attenuation_per_mm("water", energies, p) for p in ("total", "compton", "rayleigh")
    )
    factors = form_factors()
    w = kernel.Water()
    w.first_kev, w.split_kev, w.bin_mm, w.bins, w.x_step = first_kev, split_kev, BIN_MM, BINS, STEP
    w.total, w.compton, w.coherent_share = scalar(total), scalar(compton / total), scalar(coherent / total)
    w.incoherent, w.coherent = scalar(factors.incoherent), scalar(factors.coherent)
    w.coherent_integral = scalar(factors.coherent_integral)
    w.incoherent_norm, w.coherent_norm = scalar(incoherent_norm_barn(energies)), scalar(coherent_norm(energies))
    line_kev, per_decay = np.array(lines).T
    primary = float((per_decay * np.interp(line_kev, energies, counted)).sum())
    w.counted = scalar(counted * per_decay.sum() / primary)
    w.line_kev, w.line_cumulative = scalar(line_kev), scalar(np.cumsum(per_decay) / per_decay.sum())
    tally = wp.zeros((2, 2 * BINS, BINS), dtype=wp.int64, device=DEVICE)
    sums = wp.zeros((2, 2), dtype=wp.int64, device=DEVICE)
    wp.launch(kernel.histories, dim=HISTORIES, device=DEVICE,
              inputs=[w, wp.uint64(SEED), wp.uint64(0), tally, sums])  # fmt: skip
    edges = BIN_MM * np.arange(BINS + 1)
    volume = BIN_MM * np.pi * np.diff(edges**2)
    counts, energy = sums.numpy().T.astype(np.float64)
    mean = 1000.0 * energy / np.maximum(counts, 1.0)
    return MultipleScatter(tally.numpy() / (kernel.FIXED_POINT * HISTORIES * volume), mean)
