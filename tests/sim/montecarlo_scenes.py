"""Small scenes for tests of the Monte Carlo camera, and its two opposed heads without penetration."""

import dataclasses

import numpy as np

from planardose.heads import opposed_heads
from planardose.image import Grid
from planardose.library import load_camera, load_nuclide
from planardose.sim import montecarlo

CAMERA, LU = load_camera("siemens_symbia_melp"), load_nuclide("177Lu")
ONE_LINE = dataclasses.replace(LU, lines=tuple(x for x in LU.lines if 208 < x.energy_kev < 209))
WINDOWS = (LU.photopeak, *LU.scatter_windows)
PHOTOPEAK = (LU.photopeak,)


def simulate_views(density, activity, grid, camera, nuclide, windows, faces, histories, seed, **options):
    """Two opposed heads, without lead that photons go through: closed forms and other codes here have none."""
    setting = (density, activity, grid, camera, nuclide, windows, opposed_heads(faces), histories, seed)
    return montecarlo.simulate(*setting, montecarlo.Options(penetration=False, **options))


def point_in_box(index=(12, 3, 5), shape=(17, 9, 13), spacing=(8.0, 12.0, 10.0), soft=1.06):
    """1 MBq in one voxel of a uniform box with three different axes."""
    grid = Grid.axis_aligned(shape, spacing, (-50.0, 20.0, 600.0))
    density = np.zeros((3, *shape), dtype=np.float32)
    density[1] = soft
    activity = np.zeros(shape)
    activity[index] = 1.0
    low, high = grid.bounds_mm()
    return density, activity, grid, (high[1] + 30.0, low[1] - 50.0)


def mixed_phantom():
    """Air, adipose, soft tissue and bone in blocks; activity spread unevenly."""
    rng = np.random.default_rng(4)
    grid = Grid.axis_aligned((10, 7, 9), (14.0, 20.0, 18.0), (-60.0, -60.0, -70.0))
    density = np.zeros((3, *grid.shape), dtype=np.float32)
    kind = rng.integers(0, 4, grid.shape)
    for material, rho in enumerate((0.95, 1.06, 1.92)):
        density[material][kind == material] = rho
    return density, rng.random(grid.shape) * (kind < 3), grid, (100.0, -110.0)
