"""A CT whose HU tell where in the patient each voxel lies."""

import numpy as np

from planardose.image import Grid, Volume


def hu_at(ras: np.ndarray) -> np.ndarray:
    """A different HU at every place: linear in x, y, z (mm), rounded as stored."""
    return np.rint(ras @ np.array([1.5, -2.25, 3.75]) + 11.0)


def hu_volume(axes: np.ndarray, shape=(7, 5, 4), spacing=(2.0, 3.0, 5.0)) -> Volume:
    affine = np.eye(4)
    affine[:3, :3] = axes * spacing
    affine[:3, 3] = (-31.0, 17.0, 120.0)
    grid = Grid(shape, affine)
    return Volume(hu_at(centres_of(grid)), grid, "CT number", "HU")


def centres_of(grid: Grid) -> np.ndarray:
    index = np.stack(np.meshgrid(*map(np.arange, grid.shape), indexing="ij"), axis=-1)
    return index @ grid.ras_from_voxel[:3, :3].T + grid.ras_from_voxel[:3, 3]
