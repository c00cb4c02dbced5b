"""How the slices of a volume lie, as every DICOM writer puts it: LPS, rows to the back, columns to the left."""

from dataclasses import dataclass, field

import numpy as np
from pydicom.dataset import Dataset

from planardose.frames import lps_from_ras
from planardose.image import Volume


@dataclass(frozen=True)
class Slices:
    """A volume's slices along k.

    Parameters
    ----------
    data : (I, J, K) array
        The volume's, i along a row of pixels and j down the rows.
    lps_from_voxel : (4, 4) float64
    """

    data: np.ndarray = field(repr=False)
    lps_from_voxel: np.ndarray

    @classmethod
    def of(cls, volume: Volume) -> "Slices":
        """Slices of a volume, i and j flipped where needed so that columns run to the left and rows to the back."""
        data, affine = volume.data, lps_from_ras @ volume.grid.ras_from_voxel
        for axis in (0, 1):
            if affine[axis, axis] < 0:
                data = np.flip(data, axis)
                affine[:3, 3] += (data.shape[axis] - 1) * affine[:3, axis]
                affine[:3, axis] *= -1
        return cls(data, affine)

    @property
    def count(self) -> int:
        """Number of slices."""
        return self.data.shape[2]

    @property
    def spacing_mm(self) -> np.ndarray:
        """(3,) mm along i, j, k."""
        return np.linalg.norm(self.lps_from_voxel[:3, :3], axis=0)

    @property
    def frames(self) -> np.ndarray:
        """(slices, rows, columns)."""
        return self.data.transpose(2, 1, 0)

    def position(self, k: int) -> list[str]:
        """ImagePositionPatient of slice k: the centre of its first pixel."""
        return decimals(self.lps_from_voxel[:3, 3] + k * self.lps_from_voxel[:3, 2])

    @property
    def orientation(self) -> list[str]:
        """ImageOrientationPatient: the directions of a row and of a column of pixels."""
        row, column = (self.lps_from_voxel[:3, axis] / self.spacing_mm[axis] for axis in (0, 1))
        return decimals(np.concatenate([row, column]))

    def put_size(self, ds: Dataset) -> None:
        """Put the size of the pixels and the thickness of the slices."""
        ds.PixelSpacing, ds.SliceThickness = decimals(self.spacing_mm[[1, 0]]), decimals(self.spacing_mm[2:])[0]


def decimals(values: np.ndarray) -> list[str]:
    """Decimal strings of at most 16 characters, as DICOM's DS asks."""
    return [f"{v:.9g}" for v in np.where(np.abs(values) < 1e-9, 0.0, values)]
