"""Matter between every voxel and a head, and the photons that reach it without interacting."""

import numpy as np
import warp as wp
from scipy.sparse import csr_matrix

from planardose.physics.attenuation import MM_PER_CM
from planardose.sim.raster import Raster

POINTS = 4  # per axis: points of a voxel that decide to which columns and layers of a turned head it belongs

wp.set_module_options({"enable_backward": False})


@wp.kernel
def rays(density: wp.array3d(dtype=wp.vec3), slope: wp.vec2, out: wp.array3d(dtype=wp.vec3)):
    """Mass per area from each voxel's centre to the grid's edge along (slope), voxels per mm, in its slice."""
    i, j, k = wp.tid()
    at = wp.vec2(0.5, 0.5)
    a = int(i)
    b = int(j)
    mass = wp.vec3(0.0, 0.0, 0.0)
    while a >= 0 and b >= 0 and a < density.shape[0] and b < density.shape[1]:
        along = wp.vec2(1.0e9, 1.0e9)
        for axis in range(2):
            if slope[axis] > 0.0:
                along[axis] = (1.0 - at[axis]) / slope[axis]
            elif slope[axis] < 0.0:
                along[axis] = -at[axis] / slope[axis]
        step = wp.min(along[0], along[1])
        mass += density[a, b, k] * (step * 0.1)
        at += slope * step
        if along[0] <= along[1]:
            a += int(wp.sign(slope[0]))
            at[0] = 0.0
            if slope[0] < 0.0:
                at[0] = 1.0
        else:
            b += int(wp.sign(slope[1]))
            at[1] = 0.0
            if slope[1] < 0.0:
                at[1] = 1.0
    out[i, j, k] = mass


def masses_ahead(density: np.ndarray, raster: Raster) -> np.ndarray:
    """Mass of each basis material from the voxels' centres out of the grid, toward each head.

    Parameters
    ----------
    density : (I, J, K, 3) float32
        g/mL.
    raster : Raster

    Returns
    -------
    (I, J, K, H, 3) float32
        g/cm2. Sums for heads along y; for others rays through the voxels of the slice, exact along the ray.
    """
    out = np.empty((*density.shape[:3], len(raster.heads), 3), dtype=np.float32)
    step = raster.grid.spacing_mm
    for h, head in enumerate(raster.heads):
        if head.is_square:
            up = head.normal[1] > 0
            ordered = density[:, ::-1] if up else density
            total = np.cumsum(ordered, axis=1, dtype=np.float64)
            total -= 0.5 * ordered
            total *= step[1] / MM_PER_CM
            out[:, :, :, h] = total[:, ::-1] if up else total
        else:
            found = wp.empty(density.shape[:3], dtype=wp.vec3, device="cpu")
            slope = wp.vec2(float(head.normal[0] / step[0]), float(head.normal[1] / step[1]))
            wp.launch(rays, density.shape[:3], device="cpu",
                      inputs=[wp.array(density, dtype=wp.vec3, device="cpu", copy=False), slope, found])
            out[:, :, :, h] = found.numpy()
    return out


def _cells_of_voxels(raster: Raster, head: int) -> csr_matrix:
    """(L U, I J) shares of a slice's voxels in the layers and columns of a head."""
    grid, given, columns = raster.grid, raster.heads[head], raster.columns
    n_i, n_j, _ = grid.shape
    parts = (np.arange(POINTS) + 0.5) / POINTS - 0.5
    x = (grid.axis_mm(0)[:, None] + parts * grid.spacing_mm[0])[:, None, :, None]
    y = (grid.axis_mm(1)[:, None] + parts * grid.spacing_mm[1])[None, :, None, :]
    depth = given.normal[0] * x + given.normal[1] * y - raster.first_depth_mm[head]
    column = given.tangent[0] * x + given.tangent[1] * y - columns.first_mm
    layer = np.clip((depth / raster.layer_mm).astype(int), 0, raster.layers - 1)
    cell = layer * columns.count + np.clip((column / columns.width_mm).astype(int), 0, columns.count - 1)
    voxel = np.broadcast_to(np.arange(n_i * n_j).reshape(n_i, n_j, 1, 1), cell.shape)
    share = np.full(cell.size, 1.0 / POINTS**2, dtype=np.float32)
    shape = (raster.layers * columns.count, n_i * n_j)
    return csr_matrix((share, (cell.ravel(), voxel.ravel())), shape=shape)


def _mean_over_voxel(mu_step: np.ndarray) -> np.ndarray:
    """Mean of exp(a t) over t in -1/2..1/2: sinh(a / 2) / (a / 2)."""
    half = np.maximum(0.5 * np.abs(mu_step), 1e-4)
    return np.sinh(half) / half


def primary_layers(
    density: np.ndarray,
    masses: np.ndarray,
    photons: np.ndarray,
    raster: Raster,
    head: int,
    total_cm2_g: np.ndarray,
) -> np.ndarray:
    """Photons that set out toward a head and arrive without interacting, per 4 pi, by depth layer.

    Parameters
    ----------
    density, masses : arrays
        As `masses_ahead`.
    photons : (I, J, K) float32
        Emitted per second, uniform within each voxel.
    raster : Raster
    head : int
    total_cm2_g : (3,) float
        Attenuation of the basis materials at the line's energy.

    Returns
    -------
    (L, U, K) float32
    """
    step, normal = raster.grid.spacing_mm, raster.heads[head].normal
    basis = total_cm2_g.astype(np.float32)
    seen = np.exp(-(masses[:, :, :, head] @ basis))
    mu_mm = (density @ basis) / np.float32(MM_PER_CM)
    for axis in (0, 1):
        if normal[axis] != 0:
            seen *= _mean_over_voxel(mu_mm * np.float32(normal[axis] * step[axis]))
    seen *= photons
    flat = seen.reshape(-1, seen.shape[2])
    return (_cells_of_voxels(raster, head) @ flat).reshape(raster.layers, raster.columns.count, -1)
