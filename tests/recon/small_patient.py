"""A small patient with unequal axes: an elliptic trunk with four organs, by default on a grid of 20 mm voxels."""

import numpy as np

from planardose.image import Grid
from planardose.patient_model import PatientModel


def ball(grid, centre_mm, radius_mm):
    """Share of each voxel in a ball, by 3 x 3 x 3 points per voxel."""
    parts = (np.arange(3) - 1) / 3
    out = np.zeros(grid.shape)
    x, y, z = (grid.axis_mm(a) for a in range(3))
    for a in parts:
        for b in parts:
            for c in parts:
                r2 = ((x + a * grid.spacing_mm[0])[:, None, None] - centre_mm[0]) ** 2
                r2 = r2 + ((y + b * grid.spacing_mm[1])[None, :, None] - centre_mm[1]) ** 2
                r2 = r2 + ((z + c * grid.spacing_mm[2])[None, None, :] - centre_mm[2]) ** 2
                out += (r2 < radius_mm**2) / 27
    return out


ORGANS = {
    "liver": ((70, 10, 540), 55.0),
    "kidney_right": ((60, -50, 440), 28.0),
    "kidney_left": ((-55, -55, 450), 28.0),
    "spleen": ((-90, -25, 530), 32.0),
}


def make_model(spacing=20.0, shape=(19, 11, 15), moved=None):
    """`moved`: organ -> (x, z) mm by which its ball is displaced."""
    first = -spacing * (np.array(shape) - 1) / 2 + np.array([3.0, -7.0, 500.0])
    grid = Grid.axis_aligned(shape, spacing, first)
    x, y = grid.axis_mm(0) - 3.0, grid.axis_mm(1) + 7.0
    trunk = ((x[:, None] / 160) ** 2 + (y[None, :] / 95) ** 2 < 1)[:, :, None] * np.ones(shape[2])
    organs = {}
    for name, ((cx, cy, cz), radius) in ORGANS.items():
        dx, dz = (moved or {}).get(name, (0.0, 0.0))
        organs[name] = ball(grid, (cx + dx, cy, cz + dz), radius)
    fractions, left = [], trunk.copy()
    for f in organs.values():
        fractions.append(np.minimum(f, left))
        left = left - fractions[-1]
    fractions = np.array([*fractions, left], dtype=np.float32)
    density = np.zeros((3, *shape), dtype=np.float32)
    density[1] = trunk
    return PatientModel(grid, (*organs, "remainder"), fractions, density)
