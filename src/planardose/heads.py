"""Heads of a gamma camera around the long axis, the columns of their images, and where the faces of a pair stand."""

from dataclasses import dataclass

import numpy as np

from planardose.errors import InputError
from planardose.image import Grid
from planardose.patient_model import PatientModel

DEFAULT_GAP_MM = (20.0, 60.0)  # body surface to face, anterior and posterior (the couch lies behind the patient)


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

    def in_field(self, column_mm: np.ndarray, z_mm: np.ndarray) -> np.ndarray:
        """(U, K) bool: pixels with their centre at a column (U,) and RAS z (K,) within the field of view."""
        if self.field_mm is None:
            return np.ones((len(column_mm), len(z_mm)), dtype=bool)
        across = np.abs(column_mm - self.field_centre_mm[1]) <= 0.5 * self.field_mm[1]
        along = np.abs(z_mm - self.field_centre_mm[0]) <= 0.5 * self.field_mm[0]
        return across[:, None] & along


def grid_corners(grid: Grid) -> np.ndarray:
    """(4, 3) RAS mm: corners of a grid's outline across the long axis, at z = 0."""
    low, high = grid.bounds_mm()
    return np.array([(x, y, 0.0) for x in (low[0], high[0]) for y in (low[1], high[1])])


@dataclass(frozen=True)
class Columns:
    """Columns of the images of all heads: along their tangents, `first_mm` is the outer edge of column 0."""

    first_mm: float
    count: int
    width_mm: float

    @classmethod
    def covering(cls, grid: Grid, heads: tuple[Head, ...]) -> "Columns":
        """As wide as a voxel; the grid's own columns where all heads look along y, else enough for its corners."""
        width = float(grid.spacing_mm[0])
        if all(h.is_square for h in heads):
            return cls(float(grid.bounds_mm()[0][0]), grid.shape[0], width)
        across = np.array([grid_corners(grid) @ h.tangent for h in heads])
        return cls(float(across.min()), int(np.ceil(np.ptp(across) / width - 1e-9)), width)

    @property
    def centres_mm(self) -> np.ndarray:
        """(U,) along each head's tangent."""
        return self.first_mm + (np.arange(self.count) + 0.5) * self.width_mm

    @property
    def edges_mm(self) -> np.ndarray:
        """(U + 1,) along each head's tangent."""
        return self.first_mm + self.width_mm * np.arange(self.count + 1)


def opposed_heads(face_mm: tuple[float, float], couch_mm: float = 0.0) -> tuple[Head, Head]:
    """Anterior and posterior head with faces at RAS y; the couch lies before the posterior one."""
    return Head(0.0, float(face_mm[0])), Head(180.0, -float(face_mm[1]), aluminium_mm=couch_mm)


def body_extent_ap_mm(model: PatientModel) -> tuple[float, float]:
    """RAS y (mm) of the body's most posterior and most anterior surface inside the CT; `InputError` without a body."""
    occupied = np.flatnonzero(model.body[:, :, model.ct_slices].any(axis=(0, 2)))
    if occupied.size == 0:
        raise InputError("patient model", "no body in the CT", "soft tissue above -500 HU")
    y, half = model.grid.axis_mm(1), model.grid.spacing_mm[1] / 2
    return float(y[occupied[0]] - half), float(y[occupied[-1]] + half)


def face_positions_mm(
    model: PatientModel, distance_mm: tuple[float, float] | None, where: str = "planar"
) -> tuple[float, float]:
    """RAS y (mm) of the (anterior, posterior) collimator face.

    Parameters
    ----------
    model : PatientModel
    distance_mm : (anterior, posterior) or None
        Distance of each face from the body's axis (the middle of its AP extent), mm. None: `DEFAULT_GAP_MM` from
        the surface.
    where : str
        For the error.

    Raises
    ------
    InputError
        If the two faces are closer together than the body is thick.

    Notes
    -----
    The centre of rotation, from which DICOM counts, is not always the body's axis: where one face would lie inside the
    body, both are moved so that it touches the surface. Their separation is kept.
    """
    back, front = body_extent_ap_mm(model)
    if distance_mm is None:
        return front + DEFAULT_GAP_MM[0], back - DEFAULT_GAP_MM[1]
    axis, thickness, apart = 0.5 * (front + back), front - back, float(sum(distance_mm))
    if min(distance_mm) < 0 or apart < thickness - model.grid.spacing_mm[1]:
        raise InputError(
            f"{where} detector_distance_mm",
            f"{distance_mm[0]:g} and {distance_mm[1]:g} mm put the collimators inside the body",
            f"a sum of at least {thickness:.0f} mm: the distance of each face from the body's axis",
        )
    anterior = min(max(axis + distance_mm[0], front), max(back + apart, front))
    return anterior, min(anterior - apart, back)
