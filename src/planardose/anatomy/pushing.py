"""Volume- and mass-conserving transfer of CT voxels into a coarser RAS-aligned grid, whatever the CT's orientation."""

from itertools import product

import numpy as np

from planardose.image import Grid


class Pusher:
    """Shares out each CT voxel among the voxels of a target grid by overlap of volumes.

    A CT voxel along the target's axes is a box whose overlap is exact. An oblique one is split into parts, each taken
    as the box along the target's axes with the same centre and the same second moments.

    Parameters
    ----------
    source : Grid
        Grid of the CT.
    target : Grid
        RAS-aligned. Parts that fall outside it are dropped.
    """

    def __init__(self, source: Grid, target: Grid):
        self.shape = target.shape
        self.target_from_source = np.linalg.inv(target.ras_from_voxel) @ source.ras_from_voxel
        m = self.target_from_source[:3, :3]
        lengths = np.abs(m).max(axis=0)
        aligned = bool(((np.abs(m) > 1e-6 * lengths).sum(axis=0) == 1).all())
        # at most one target voxel wide, so that a part meets two target voxels per axis at most; finer when oblique
        self.splits = np.maximum(1, np.ceil((1 if aligned else 2) * np.linalg.norm(m, axis=0) - 1e-9)).astype(int)
        self.half = 0.5 * np.linalg.norm(m / self.splits, axis=1)
        self.volume = abs(np.linalg.det(m)) / self.splits.prod()  # of a part, in target voxels

    def slice_parts(self, i: np.ndarray, j: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Where the voxels (i[n], j[n], k) of one source slice go.

        Returns
        -------
        voxel : (M,) int64
            n of each part.
        cell : (3, M) int64
            Its target voxel, inside the grid.
        weight : (M,) float64
            Share of that target voxel's volume.
        """
        found = []
        for part in product(*[(np.arange(n) + 0.5) / n - 0.5 for n in self.splits]):
            index = np.stack([i + part[0], j + part[1], np.full(i.shape, k + part[2])])
            centre = self.target_from_source[:3, :3] @ index + (self.target_from_source[:3, 3:] + 0.5)
            found += self._share_out(centre - self.half[:, None])
        voxel, cell, weight = (np.concatenate(x, axis=-1) for x in zip(*found, strict=True))
        return voxel, cell, weight * self.volume

    def _share_out(self, low: np.ndarray) -> list[tuple[np.ndarray, ...]]:
        """Parts of boxes with lower corner `low` (3, N): one entry per combination of lower and upper target voxel."""
        first = np.floor(low + 1e-9)
        lower_share = (first + 1 - low) / (2 * self.half[:, None])
        reaches = lower_share < 1 - 1e-9  # the upper target voxel too
        np.copyto(lower_share, 1, where=~reaches)
        first = first.astype(np.int64)
        found = [self._inside(np.arange(low.shape[1]), first, lower_share.prod(axis=0))]
        for step in list(product((0, 1), repeat=3))[1:]:
            voxel = np.flatnonzero(np.logical_and.reduce([reaches[axis] for axis in range(3) if step[axis]]))
            share = lower_share[:, voxel]
            weight = np.prod([1 - share[axis] if step[axis] else share[axis] for axis in range(3)], axis=0)
            found.append(self._inside(voxel, first[:, voxel] + np.array(step)[:, None], weight))
        return found

    def _inside(self, voxel: np.ndarray, cell: np.ndarray, weight: np.ndarray) -> tuple[np.ndarray, ...]:
        """The parts that fall into the grid; most slices fall into it wholly."""
        if all(c.size == 0 or (c.min() >= 0 and c.max() < n) for c, n in zip(cell, self.shape, strict=True)):
            return voxel, cell, weight
        kept = ((cell >= 0) & (cell < np.array(self.shape)[:, None])).all(axis=0)
        return voxel[kept], cell[:, kept], weight[kept]
