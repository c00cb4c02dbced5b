"""Coordinate frames: DICOM's LPS and the package's RAS+, and the rigid in-plane pose of a planar image.

Transforms are named target first (``ras_from_lps``), so that neighbours in a product match.
"""

from dataclasses import dataclass

import numpy as np

ras_from_lps = np.diag([-1.0, -1.0, 1.0, 1.0])
lps_from_ras = ras_from_lps


@dataclass(frozen=True)
class PlanarPose:
    """Where a planar image lies in the CT's coronal plane.

    A point of the image at (u, v) mm from the centre of the matrix, u towards the patient's right and v towards the
    head, lies at RAS ``(x, z) = R(rotation) (u, v) + (x_mm, z_mm)``; a positive rotation turns +x (right) towards +z
    (head).

    Parameters
    ----------
    x_mm, z_mm : float
        RAS position of the image centre, mm.
    rotation_deg : float
        In-plane rotation about the image centre, degrees.
    """

    x_mm: float
    z_mm: float
    rotation_deg: float = 0.0

    def to_ras(self, u_mm: np.ndarray, v_mm: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """RAS (x, z) in mm of image points (u, v) in mm."""
        angle = np.deg2rad(self.rotation_deg)
        c, s = np.cos(angle), np.sin(angle)
        return c * u_mm - s * v_mm + self.x_mm, s * u_mm + c * v_mm + self.z_mm

    def from_ras(self, x_mm: np.ndarray, z_mm: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Inverse of `to_ras`."""
        angle = np.deg2rad(self.rotation_deg)
        c, s = np.cos(angle), np.sin(angle)
        x, z = x_mm - self.x_mm, z_mm - self.z_mm
        return c * x + s * z, c * z - s * x
