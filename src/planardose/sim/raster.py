"""The raster on which each head of a gamma camera around the patient's long axis collects photons."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from planardose.heads import Columns, Head, grid_corners
from planardose.image import Grid

LAYER_MM = 10.0  # depth layers of about this thickness: within one, the response's width changes by less than 0.7 mm


@dataclass(frozen=True)
class Raster:
    """Columns and depth layers on which the heads collect what voxels send them; slices are the grid's."""

    grid: Grid
    heads: tuple[Head, ...]

    @cached_property
    def columns(self) -> Columns:
        """The same U columns for all heads."""
        return Columns.covering(self.grid, self.heads)

    @cached_property
    def layer_mm(self) -> float:
        """Thickness of a layer: whole voxels along y."""
        step = float(self.grid.spacing_mm[1])
        return step * max(1, round(LAYER_MM / step))

    @cached_property
    def first_depth_mm(self) -> np.ndarray:
        """(H,) near edge of layer 0 along each normal: the side away from the head."""
        return np.array([(grid_corners(self.grid) @ h.normal).min() for h in self.heads])

    @cached_property
    def layers(self) -> int:
        """Number L of depth layers, the same for all heads."""
        depth = max((np.ptp(grid_corners(self.grid) @ h.normal) for h in self.heads), default=self.layer_mm)
        return int(np.ceil(depth / self.layer_mm - 1e-9))

    def distances_mm(self, head: int) -> np.ndarray:
        """(L, 1 or K) from the middle of each layer to the face, not below 0."""
        middle = self.first_depth_mm[head] + (np.arange(self.layers) + 0.5) * self.layer_mm
        face = np.atleast_1d(np.asarray(self.heads[head].distance_mm, dtype=np.float64))
        return np.maximum(face[None, :] - middle[:, None], 0.0)

    def in_field(self, head: int) -> np.ndarray:
        """(U, K) bool: pixels within the head's field of view."""
        return self.heads[head].in_field(self.columns.centres_mm, self.grid.axis_mm(2))
