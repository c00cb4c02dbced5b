"""Volumes on a grid: an array indexed (i, j, k) and the affine that puts voxel centres into RAS+ millimetres."""

from dataclasses import dataclass, field

import numpy as np

from planardose.units import MM3_PER_ML

SAME_MM = 0.05  # how far voxel centres of one grid may lie apart: headers round


@dataclass(frozen=True)
class Grid:
    """Voxel grid.

    Parameters
    ----------
    shape : tuple of int
        (I, J, K).
    ras_from_voxel : (4, 4) float64
        Maps voxel indices (centres) to RAS+ mm: +x right, +y anterior, +z superior.

    Raises
    ------
    ValueError
        If the shape is not three positive integers or the affine is not 4x4, finite and invertible.
    """

    shape: tuple[int, int, int]
    ras_from_voxel: np.ndarray = field(repr=False)

    def __post_init__(self) -> None:
        shape = tuple(int(n) for n in self.shape)
        affine = np.array(self.ras_from_voxel, dtype=np.float64)
        if len(shape) != 3 or min(shape) < 1:
            raise ValueError(f"grid shape must be three positive integers, got {self.shape}")
        if affine.shape != (4, 4) or not np.isfinite(affine).all() or abs(np.linalg.det(affine[:3, :3])) < 1e-9:
            raise ValueError(f"ras_from_voxel must be a finite invertible 4x4 matrix, got shape {affine.shape}")
        affine.setflags(write=False)
        object.__setattr__(self, "shape", shape)
        object.__setattr__(self, "ras_from_voxel", affine)

    @classmethod
    def axis_aligned(cls, shape: tuple[int, int, int], spacing_mm, first_centre_mm) -> "Grid":
        """Grid along +R, +A, +S with the given spacing (3,) and centre of voxel (0, 0, 0) in RAS mm."""
        affine = np.eye(4)
        affine[:3, :3] = np.diag(np.broadcast_to(spacing_mm, 3))
        affine[:3, 3] = first_centre_mm
        return cls(shape, affine)

    @classmethod
    def covering(cls, low_mm, high_mm, spacing_mm) -> "Grid":
        """Grid along +R, +A, +S from the corner `low_mm` (3,), RAS mm, with as many voxels as reach `high_mm` (3,)."""
        count = np.ceil((np.asarray(high_mm) - low_mm) / spacing_mm)
        return cls.axis_aligned(tuple(count), spacing_mm, low_mm + np.asarray(spacing_mm) / 2)

    @property
    def spacing_mm(self) -> np.ndarray:
        """(3,) float64: voxel size along i, j, k in mm."""
        return np.linalg.norm(self.ras_from_voxel[:3, :3], axis=0)

    @property
    def voxel_ml(self) -> float:
        """Voxel volume in mL."""
        return float(abs(np.linalg.det(self.ras_from_voxel[:3, :3]))) / MM3_PER_ML

    @property
    def cube_mm(self) -> float:
        """Edge of a cube of a voxel's volume, mm."""
        return float(abs(np.linalg.det(self.ras_from_voxel[:3, :3]))) ** (1 / 3)

    @property
    def is_ras_aligned(self) -> bool:
        """Whether i, j, k run along +R, +A, +S without rotation."""
        m = self.ras_from_voxel[:3, :3]
        return bool(np.allclose(m, np.diag(np.diag(m)), atol=1e-4) and (np.diag(m) > 0).all())

    def axis_mm(self, axis: int) -> np.ndarray:
        """Voxel-centre RAS coordinates (mm) along one axis of a RAS-aligned grid."""
        step, start = self.ras_from_voxel[axis, axis], self.ras_from_voxel[axis, 3]
        return start + step * np.arange(self.shape[axis])

    def bounds_mm(self) -> tuple[np.ndarray, np.ndarray]:
        """RAS box (low, high), each (3,), of the outer faces of the voxels."""
        corners = np.array(np.meshgrid(*[(-0.5, n - 0.5) for n in self.shape], indexing="ij")).reshape(3, -1)
        world = self.ras_from_voxel[:3, :3] @ corners + self.ras_from_voxel[:3, 3:]
        return world.min(axis=1), world.max(axis=1)

    def same_as(self, other: "Grid") -> bool:
        """Whether both grids have equal shape and voxel centres within `SAME_MM`."""
        if self.shape != other.shape:
            return False
        corners = np.array(np.meshgrid(*[(0, n - 1) for n in self.shape], indexing="ij")).reshape(3, -1)
        difference = self.ras_from_voxel - other.ras_from_voxel
        return bool(np.abs(difference[:3, :3] @ corners + difference[:3, 3:]).max() <= SAME_MM)


def box_of(mask: np.ndarray) -> tuple[slice, ...]:
    """Smallest box that holds all that is set in a mask (not 0), of which something must be."""
    others = (tuple(a for a in range(mask.ndim) if a != axis) for axis in range(mask.ndim))
    used = (np.flatnonzero(mask.any(axis=axes)) for axes in others)
    return tuple(slice(int(n[0]), int(n[-1]) + 1) for n in used)


@dataclass(frozen=True)
class Volume:
    """An array on a grid, with the quantity it holds.

    Parameters
    ----------
    data : (I, J, K) array
    grid : Grid
    quantity : str
        What the values are, e.g. ``"activity concentration"``.
    unit : str
        UCUM-like unit, e.g. ``"Bq/mL"``, ``"HU"``, ``"Gy"``, ``"1"`` for labels.
    """

    data: np.ndarray
    grid: Grid
    quantity: str
    unit: str

    def __post_init__(self) -> None:
        if self.data.shape != self.grid.shape:
            raise ValueError(f"{self.quantity}: array has shape {self.data.shape}, its grid {self.grid.shape}")
