"""Rigid registration of two CTs of one patient: translation by correlation, then all six parameters by least squares.

Both are CT numbers, so the same tissue has the same value: the mean square difference of windowed HU is the measure.
Deterministic, one thread.
"""

from dataclasses import dataclass

import numpy as np
from scipy import fft
from scipy.ndimage import gaussian_filter, map_coordinates, spline_filter
from scipy.spatial.transform import Rotation

from planardose.image import Grid, Volume

WINDOW_HU = (-300.0, 300.0)  # below: air and lung alike; above: bone alike
SEARCH_MM, LEVELS_MM = 16.0, (12.0, 6.0)
POINTS = 30_000  # of the fixed CT whose differences are counted, evenly spread
LEAST_OVERLAP = 0.35  # of the smaller volume's box, in the search
STEPS = 25
CONVERGED_MM = 0.02
OUTER_MM = 100.0  # a rotation counts by what it moves at this distance
DAMPING = 1e-3


@dataclass(frozen=True)
class Rigid:
    """A found transform.

    Parameters
    ----------
    moving_from_fixed : (4, 4) float64
        Takes a point of the fixed CT's frame (RAS mm) to the same anatomy in the moving CT's.
    correlation : float
        Of the windowed HU where both CTs are known, after registration: 1 for the same image.
    overlap : float
        Share of the smaller CT's box that lies in the other's.
    """

    moving_from_fixed: np.ndarray
    correlation: float
    overlap: float

    @property
    def angle_deg(self) -> float:
        """By which the moving CT is turned, about whatever axis."""
        return float(np.rad2deg(Rotation.from_matrix(self.moving_from_fixed[:3, :3]).magnitude()))


def windowed(ct: Volume, spacing_mm: float) -> Volume:
    """Windowed HU (0 to 1) on a RAS-aligned grid of cubic voxels over the CT's box, smoothed to its spacing."""
    low, high = WINDOW_HU
    data = (np.clip(ct.data.astype(np.float32), low, high) - low) / (high - low)
    sigma = np.maximum(0.4 * spacing_mm / ct.grid.spacing_mm, 0.0)
    data = gaussian_filter(data, sigma, mode="nearest")
    start, end = ct.grid.bounds_mm()
    shape = tuple(int(n) for n in np.maximum(np.floor((end - start) / spacing_mm), 1))
    grid = Grid.axis_aligned(shape, spacing_mm, start + 0.5 * (end - start - spacing_mm * (np.array(shape) - 1)))
    index = np.linalg.inv(ct.grid.ras_from_voxel) @ grid.ras_from_voxel
    points = index[:3, :3] @ np.indices(shape).reshape(3, -1) + index[:3, 3:]
    values = map_coordinates(data, points, order=1, mode="nearest").reshape(shape)
    return Volume(values, grid, "windowed HU", "1")


def _masked_correlation(fixed: np.ndarray, moving: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Correlation coefficient and number of common voxels for every shift: index n is shift n - (moving size - 1).

    Padfield, Masked object registration in the Fourier domain, IEEE Trans Image Process 21 (2012) 2706.
    """
    size = tuple(int(a + b - 1) for a, b in zip(fixed.shape, moving.shape, strict=True))
    fast = tuple(fft.next_fast_len(n, real=True) for n in size)
    turned = moving[::-1, ::-1, ::-1]

    def spectrum(x):
        return fft.rfftn(x, fast)

    def back(x):
        return fft.irfftn(x, fast)[tuple(slice(n) for n in size)]

    f, m = spectrum(fixed), spectrum(turned)
    one_f, one_m = spectrum(np.ones_like(fixed)), spectrum(np.ones_like(moving))
    count = np.maximum(np.rint(back(one_f * one_m)), 1.0)
    sum_f, sum_m = back(f * one_m), back(one_f * m)
    square_f, square_m = back(spectrum(fixed**2) * one_m), back(one_f * spectrum(turned**2))
    covariance = back(f * m) - sum_f * sum_m / count
    product = np.maximum(square_f - sum_f**2 / count, 0) * np.maximum(square_m - sum_m**2 / count, 0)
    return covariance / np.sqrt(np.maximum(product, 1e-9)), count


def searched_translation(fixed: Volume, moving: Volume) -> np.ndarray:
    """(3,) mm to add to a point of the fixed frame: the lattice shift of best correlation with enough overlap."""
    correlation, count = _masked_correlation(fixed.data, moving.data)
    enough = count >= LEAST_OVERLAP * min(fixed.data.size, moving.data.size)
    best = np.unravel_index(np.where(enough, correlation, -2.0).argmax(), correlation.shape)
    voxels = np.array(best) - (np.array(moving.data.shape) - 1)  # fixed index of the moving volume's first voxel
    first = fixed.grid.ras_from_voxel[:3, 3] + voxels * fixed.grid.spacing_mm
    return moving.grid.ras_from_voxel[:3, 3] - first


def _matrix(parameters: np.ndarray, centre: np.ndarray) -> np.ndarray:
    """(4, 4) of a translation in mm and a rotation vector in units of 1 / `OUTER_MM` about the centre."""
    out = np.eye(4)
    out[:3, :3] = Rotation.from_rotvec(parameters[3:] / OUTER_MM).as_matrix()
    out[:3, 3] = centre + parameters[:3] - out[:3, :3] @ centre
    return out


class _Difference:
    """Residuals of the fixed voxels that a transform puts into the moving volume."""

    def __init__(self, fixed: Volume, moving: Volume):
        grid = fixed.grid
        every = slice(None, None, max(fixed.data.size // POINTS, 1) | 1)  # odd: not in step with even sides
        index = np.indices(grid.shape).reshape(3, -1)[:, every]
        self.points = grid.ras_from_voxel[:3, :3] @ index + grid.ras_from_voxel[:3, 3:]
        self.values = fixed.data.ravel()[every].astype(np.float64)
        self.share = self.values.size / fixed.data.size
        self.spline = spline_filter(moving.data.astype(np.float64), order=3)
        self.inverse = np.linalg.inv(moving.grid.ras_from_voxel)
        self.limits = np.array(moving.data.shape)[:, None] - 1.0
        self.centre = self.points.mean(axis=1)

    def at(self, parameters: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Moving values (N,) at all fixed points, and which of them lie in the moving volume."""
        matrix = self.inverse @ _matrix(parameters, self.centre)
        index = matrix[:3, :3] @ self.points + matrix[:3, 3:]
        inside = ((index >= 0) & (index <= self.limits)).all(axis=0)
        return map_coordinates(self.spline, index, order=3, mode="nearest", prefilter=False), inside

    def cost(self, parameters: np.ndarray) -> float:
        seen, inside = self.at(parameters)
        return float(((seen - self.values)[inside] ** 2).mean()) if inside.any() else np.inf

    def minimised(self, parameters: np.ndarray, probe_mm: float) -> np.ndarray:
        """Levenberg-Marquardt with difference quotients."""
        damping, cost = DAMPING, self.cost(parameters)
        for _ in range(STEPS):
            seen, inside = self.at(parameters)
            slopes = []
            for n in range(6):
                up, down = (self.at(parameters + sign * probe_mm * np.eye(6)[n])[0] for sign in (1, -1))
                slopes.append((up - down)[inside] / (2 * probe_mm))
            slopes, residual = np.array(slopes), (seen - self.values)[inside]
            normal, gradient = slopes @ slopes.T, slopes @ residual
            while damping < 1e6:
                step = np.linalg.solve(normal + damping * np.diag(np.diag(normal) + 1e-12), -gradient)
                tried = self.cost(parameters + step)
                if tried < cost:
                    parameters, cost, damping = parameters + step, tried, damping / 5
                    break
                damping *= 5
            else:
                return parameters
            if np.abs(step).max() < CONVERGED_MM:
                return parameters
        return parameters


def register_cts(fixed: Volume, moving: Volume) -> Rigid:
    """Transform that takes points of the fixed CT to the moving CT; both in HU on grids of any orientation."""
    shift = searched_translation(windowed(fixed, SEARCH_MM), windowed(moving, SEARCH_MM))
    matrix = np.eye(4)
    matrix[:3, 3] = shift
    for spacing in LEVELS_MM:
        difference = _Difference(windowed(fixed, spacing), windowed(moving, spacing))
        start = np.zeros(6)
        start[3:] = OUTER_MM * Rotation.from_matrix(matrix[:3, :3]).as_rotvec()
        start[:3] = matrix[:3, :3] @ difference.centre + matrix[:3, 3] - difference.centre
        found = difference.minimised(start, 0.25 * spacing)
        matrix = _matrix(found, difference.centre)
    seen, inside = difference.at(found)
    voxels = min(difference.values.size, difference.share * np.prod(difference.limits + 1))
    correlation = float(np.corrcoef(seen[inside], difference.values[inside])[0, 1]) if inside.sum() > 2 else 0.0
    return Rigid(matrix, correlation, float(inside.sum() / voxels))
