"""Views of every organ, simulated once and mixed: any uptake of evenly filled organs for the price of a sum.

Counts are linear in activity before dead time, so the mixture is what a simulation of the whole uptake would give; its
error falls with the histories per organ, not with the number of uptakes. An uptake with texture inside organs is none
of these mixtures (`benchmarks/montecarlo/mixing.py` prints by how much), so the chain simulates its virtual uptakes.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from planardose.heads import Head
from planardose.image import Grid
from planardose.library import Camera, Nuclide
from planardose.planar import EnergyWindow
from planardose.sim.montecarlo import Options, simulate


@dataclass(frozen=True)
class OrganViews:
    """Views of O activity maps, for one unit of each.

    Parameters
    ----------
    rate, primary : (O, H, W, U, K) float64
        cps, as `montecarlo.Views`.
    variance : (O, H, W, U, K) float64
        Of `rate`, from the finite number of histories.
    """

    rate: np.ndarray = field(repr=False)
    primary: np.ndarray = field(repr=False)
    variance: np.ndarray = field(repr=False)

    def mixed(self, amounts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Rate and its relative error, each (H, W, U, K), of so many units (O,) of each map."""
        rate = np.tensordot(amounts, self.rate, axes=1)
        error = np.sqrt(np.tensordot(np.square(amounts), self.variance, axes=1))
        return rate, np.divide(error, rate, out=np.zeros_like(rate), where=rate > 0)


def views_of_maps(
    partial_density: np.ndarray,
    maps_mbq: np.ndarray,
    grid: Grid,
    camera: Camera,
    nuclide: Nuclide,
    windows: tuple[EnergyWindow, ...],
    heads: tuple[Head, ...],
    histories: float,
    seeds: Sequence[int],
    options: Options | None = None,
) -> OrganViews:
    """Simulate each map on its own.

    Parameters
    ----------
    maps_mbq : (O, I, J, K) array
        MBq per voxel of one unit of each organ, e.g. its fractions times the voxel's volume for 1 MBq/mL.
    histories : float
        Per map.
    seeds : sequence of O int
        One for each map: their errors must be independent.
    Others
        As `montecarlo.simulate`, whose errors are raised.
    """
    setting = (grid, camera, nuclide, tuple(windows), tuple(heads), histories)
    views = [simulate(partial_density, m, *setting, s, options) for m, s in zip(maps_mbq, seeds, strict=True)]
    return OrganViews(
        np.array([v.rate for v in views]),
        np.array([v.primary for v in views]),
        np.array([np.square(v.relative_error * v.rate) for v in views]),
    )
