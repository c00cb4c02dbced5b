"""The raster on which each head of a gamma camera around the patient's long axis collects photons."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from planardose.heads import Head
from planardose.image import Grid

LAYER_MM = 10.0  # depth layers of about this thickness: within one, the response's width changes by less than 0.7 mm


@dataclass(frozen=True)
class Raster:
    """Columns and depth layers on which the heads collect what voxels send them; slices are the grid's.

    Columns have the width of a voxel along x. For heads square to the grid they are the grid's.
    """

    grid: Grid
    heads: tuple[Head, ...]

    @cached_property
    def _corners(self) -> np.ndarray:
        low, high = self.grid.bounds_mm()
        return np.array([(x, y, 0.0) for x in (low[0], high[0]) for y in (low[1], high[1])])

    @property
    def column_mm(self) -> float:
        """Width of a column: that of a voxel along x."""
        return float(self.grid.spacing_mm[0])

    @cached_property
    def layer_mm(self) -> float:
        """Thickness of a layer: whole voxels along y."""
        step = float(self.grid.spacing_mm[1])
        return step * max(1, round(LAYER_MM / step))

    @cached_property
    def first_column_mm(self) -> float:
        """Outer edge of column 0."""
        if all(h.is_square for h in self.heads):
            return float(self.grid.bounds_mm()[0][0])
        return float(min((self._corners @ h.tangent).min() for h in self.heads))

    @cached_property
    def columns(self) -> int:
        """Number U of columns, the same for all heads: the grid's, or enough for its corners."""
        if all(h.is_square for h in self.heads):
            return self.grid.shape[0]
        last = max((self._corners @ h.tangent).max() for h in self.heads)
        return int(np.ceil((last - self.first_column_mm) / self.column_mm - 1e-9))

    @property
    def column_axis_mm(self) -> np.ndarray:
        """(U,) centres of the columns along each head's tangent."""
        return self.first_column_mm + (np.arange(self.columns) + 0.5) * self.column_mm

    @cached_property
    def first_depth_mm(self) -> np.ndarray:
        """(H,) near edge of layer 0 along each normal: the side away from the head."""
        return np.array([(self._corners @ h.normal).min() for h in self.heads])

    @cached_property
    def layers(self) -> int:
        """Number L of depth layers, the same for all heads."""
        depth = max((np.ptp(self._corners @ h.normal) for h in self.heads), default=self.layer_mm)
        return int(np.ceil(depth / self.layer_mm - 1e-9))

    def distances_mm(self, head: int) -> np.ndarray:
        """(L, 1 or K) from the middle of each layer to the face, not below 0."""
        middle = self.first_depth_mm[head] + (np.arange(self.layers) + 0.5) * self.layer_mm
        face = np.atleast_1d(np.asarray(self.heads[head].distance_mm, dtype=np.float64))
        return np.maximum(face[None, :] - middle[:, None], 0.0)

    def in_field(self, head: int) -> np.ndarray:
        """(U, K) bool: pixels within the head's field of view."""
        given = self.heads[head]
        if given.field_mm is None:
            return np.ones((self.columns, self.grid.shape[2]), dtype=bool)
        along_z = np.abs(self.grid.axis_mm(2) - given.field_centre_mm[0]) <= 0.5 * given.field_mm[0]
        across = np.abs(self.column_axis_mm - given.field_centre_mm[1]) <= 0.5 * given.field_mm[1]
        return across[:, None] & along_z[None, :]
