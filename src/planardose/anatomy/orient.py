"""Axis order and direction of a volume: the same voxels, indexed another way."""

from itertools import permutations

import numpy as np

from planardose.image import Grid, Volume


def reindexed(volume: Volume, axes: tuple[int, int, int], flips: tuple[bool, bool, bool]) -> Volume:
    """The same voxels at the same places with other indices (data is a view).

    Parameters
    ----------
    volume : Volume
        On any grid.
    axes : tuple of int
        New axis n is the old axis ``axes[n]``.
    flips : tuple of bool
        Whether new axis n runs against the old one.
    """
    data = volume.data.transpose(axes)[tuple(slice(None, None, -1 if f else 1) for f in flips)]
    old_from_new = np.zeros((4, 4))
    old_from_new[3, 3] = 1
    for new, (old, flip) in enumerate(zip(axes, flips, strict=True)):
        old_from_new[old, new] = -1 if flip else 1
        old_from_new[old, 3] = data.shape[new] - 1 if flip else 0
    return Volume(data, Grid(data.shape, volume.grid.ras_from_voxel @ old_from_new), volume.quantity, volume.unit)


def _axes_and_flips(cosines: np.ndarray) -> tuple[tuple[int, int, int], tuple[bool, bool, bool]]:
    """For rows of target axes and columns of voxel axes: the voxel axis nearest to each target axis, and its sense."""
    x, y, z = max(permutations(range(3)), key=lambda axes: np.abs(cosines)[range(3), axes].sum())
    return (x, y, z), (bool(cosines[0, x] < 0), bool(cosines[1, y] < 0), bool(cosines[2, z] < 0))


def closest_ras(volume: Volume) -> Volume:
    """Reindexed so that i, j, k run nearest to right, anterior and superior."""
    return reindexed(volume, *_axes_and_flips(volume.grid.ras_from_voxel[:3, :3] / volume.grid.spacing_mm))


def onto(volume: Volume, grid: Grid) -> Volume | None:
    """`volume` reindexed onto `grid` where both hold the same voxels in another order or direction; None otherwise."""
    ours = grid.ras_from_voxel[:3, :3] / grid.spacing_mm
    theirs = volume.grid.ras_from_voxel[:3, :3] / volume.grid.spacing_mm
    candidate = reindexed(volume, *_axes_and_flips(ours.T @ theirs))
    return candidate if candidate.grid.same_as(grid) else None
