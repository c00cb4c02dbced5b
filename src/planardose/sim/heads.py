"""Heads of a gamma camera around the patient's long axis, and the raster on which each one collects photons."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from planardose.image import Grid

LAYER_MM = 10.0  # depth layers of about this thickness: within one, the response's width changes by less than 0.7 mm


@dataclass(frozen=True)
class Head:
    """One head, its face parallel to the z axis.

    Parameters
    ----------
    angle_deg : float
        Where it stands: 0 anterior, 90 at the patient's right, 180 posterior.
    distance_mm : float or (K,) tuple
        Of the collimator's face from the RAS origin along the head's normal; one per slice of the grid for a sweep
        that follows the body's contour.
    field_mm : (axial, transverse) or None
        Field of view; pixels with their centre outside stay empty. None: no limit (a sweep covers all).
    field_centre_mm : (z, column) float
        RAS z and image column of the field's centre.
    aluminium_mm : float
        Couch between patient and head. Only the loss along the normal is counted, not what scatters in it.
    """

    angle_deg: float
    distance_mm: float | tuple[float, ...]
    field_mm: tuple[float, float] | None = None
    field_centre_mm: tuple[float, float] = (0.0, 0.0)
    aluminium_mm: float = 0.0

    @property
    def normal(self) -> np.ndarray:
        """(3,) unit vector from the patient to the head."""
        angle = np.deg2rad(self.angle_deg)
        exact = np.array([np.sin(angle), np.cos(angle), 0.0])
        return np.where(np.abs(exact) < 1e-12, 0.0, exact)

    @property
    def tangent(self) -> np.ndarray:
        """(3,) unit vector along the image's columns: the one that runs with +x, not against it."""
        n = self.normal
        along = np.array([n[1], -n[0], 0.0])
        return -along if along[0] < 0 or (along[0] == 0 and n[0] < 0) else along

    @property
    def is_square(self) -> bool:
        """Whether it looks along y."""
        return self.normal[0] == 0.0


def opposed_heads(face_mm: tuple[float, float], couch_mm: float = 0.0) -> tuple[Head, Head]:
    """Anterior and posterior head with faces at RAS y; the couch lies before the posterior one."""
    return Head(0.0, float(face_mm[0])), Head(180.0, -float(face_mm[1]), aluminium_mm=couch_mm)


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
