"""One focus: a round spot of activity that no outline tells of, placed by the counts of two opposed views.

Views do not tell what is spread along a line of sight. A spot is not spread: its place across is that of its counts,
its depth d follows from the ratio of both views (the front sees exp(-mu d) of it, the back exp(-mu (D - d)), D the
body's thickness there), and its amount from their geometric mean, exp(-mu D / 2). Place, width and amount are the
likeliest ones, by Gauss-Newton steps with the organs free.
"""

from dataclasses import dataclass, field

import numpy as np
import torch
from scipy.linalg import cho_factor, cho_solve
from scipy.special import ndtr

from planardose.image import Grid, box_of
from planardose.patient_model import PatientModel
from planardose.recon.projector import Projector
from planardose.recon.qplanar import normal_matrix

WIDTH_MM, WIDTH_SPREAD, WIDTHS_MM = 6.0, 0.35, (3.0, 15.0)  # standard deviation of the spot: usual, its spread, ends
WANDER_MM = (20.0, 40.0, 20.0)  # standard deviation of the true place about where the search begins: bounds the steps
STEPS, LARGEST_STEP = 3, 1.5  # Gauss-Newton, voxels
NUDGE, WIDEN = 0.25, 1.1  # of finite differences: voxels, and a factor of the width
# Relative error of what the organs show around a focus, in each view, which its pixels share: uneven uptake. Without it
# the weaker view decides the depth by counts that are not the focus's.
DRIFT, DRIFT_MM = 0.15, 25.0
CORE = 0.1  # of a spot's brightest pixel: the pixels that tell how well it fits
PLACE_MM = (2.0, 4.0, 2.0)  # standard uncertainty that counts do not hold: registration, breathing, attenuation
REACH = 3.5  # standard deviations of the shape that are drawn


@dataclass(frozen=True)
class Focus:
    """A placed spot.

    Parameters
    ----------
    index : (3,) float64
        Its centre, in voxels of the model's grid.
    width_mm : float
        Standard deviation of its Gaussian shape along each axis.
    u_mm : (3,) float64
        Standard uncertainty of its place along x, y, z.
    mbq, mbq_u : float
        Activity, and the standard uncertainty of it by the counts around it and by its place.
    gain : float
        Weighted sum of squared residuals that it takes away, organs free, over `misfit`.
    misfit : float
        Weighted mean square of the residuals left in its pixels, at least 1.
    """

    index: np.ndarray
    width_mm: float
    u_mm: np.ndarray
    mbq: float
    mbq_u: float
    gain: float
    misfit: float

    def sharp(self, model: PatientModel) -> np.ndarray:
        """(I, J, K) float32 shares of its activity, as if its place were known."""
        return spot(model.grid, share_of_body(model), self.index, np.full(3, self.width_mm))

    def shape(self, model: PatientModel) -> np.ndarray:
        """(I, J, K) float32 shares of its activity: `sharp`, spread by how well its place is known."""
        return spot(model.grid, share_of_body(model), self.index, np.hypot(self.width_mm, self.u_mm))

    def centre_mm(self, grid: Grid) -> np.ndarray:
        """(3,) RAS."""
        return grid.ras_from_voxel[:3, :3] @ self.index + grid.ras_from_voxel[:3, 3]


def share_of_body(model: PatientModel) -> np.ndarray:
    """(I, J, K) float32: share of each voxel that is body."""
    return model.fractions.sum(axis=0)


def spot(grid: Grid, body: np.ndarray, index: np.ndarray, sigma_mm: np.ndarray) -> np.ndarray:
    """(I, J, K) float32, sum 1: a Gaussian about a place, averaged over voxels, in the `body` alone."""
    x, y, z = (_line(grid, a, index[a], sigma_mm[a]) for a in range(3))
    out = x[:, None, None] * y[:, None] * z * body
    return out / max(float(out.sum()), 1e-12)


def _line(grid: Grid, axis: int, at: float, sigma_mm: float) -> np.ndarray:
    """(n,) float32: what a Gaussian about a place leaves in each voxel along an axis."""
    steps = grid.spacing_mm[axis] / sigma_mm
    edges = (np.arange(grid.shape[axis] + 1) - 0.5 - at) * steps
    near = np.abs(edges[:-1] + edges[1:]) < 2 * REACH + steps
    return np.where(near, np.diff(ndtr(edges)), 0.0).astype(np.float32)


class Free:
    """Images without what the sources of a fit can mimic, by the weights of that fit.

    Parameters
    ----------
    rows : (S, P) float64
        Expected counts of sources that may take any amount.
    weights : (P,) float64
    drifts : (D, P) float64 or None
        Expected counts that are right but for a relative error of `DRIFT`.
    """

    def __init__(self, rows: np.ndarray, weights: np.ndarray, drifts: np.ndarray | None = None):
        known = np.zeros(len(rows))
        if drifts is not None:
            rows = np.concatenate([rows, drifts])
            known = np.append(known, 1.0 / np.square(DRIFT * drifts.sum(axis=1)))
        self.rows, self.weights = rows / rows.sum(axis=1, keepdims=True), weights
        self.weighted = self.rows * weights
        self.factor = cho_factor(normal_matrix(self.rows, weights) + np.diag(known))

    def __call__(self, images: np.ndarray) -> np.ndarray:
        """(..., P) images without their weighted projections on the rows."""
        return images - cho_solve(self.factor, self.weighted @ images.T).T @ self.rows


@dataclass(frozen=True)
class Sight:
    """What places a focus: the body on its grid, projector, exposure of the counts, and where a focus may lie."""

    grid: Grid
    body: np.ndarray = field(repr=False)  # (I, J, K) float32
    projector: Projector = field(repr=False)
    exposure_s: float
    allowed: np.ndarray = field(repr=False)  # (I, J, K) bool

    def spot(self, index: np.ndarray, width_mm: float) -> np.ndarray:
        return spot(self.grid, self.body, index, np.full(3, width_mm))

    def primary(self, shapes: list[np.ndarray]) -> np.ndarray:
        """(N, P) float64 unscattered counts of N maps (I, J, K) that are empty but for a small box."""
        maps = np.stack(shapes)
        box = box_of(maps.any(axis=0))
        return self._counts(self.projector.forward(self.projector.tensor(maps[:, *box]), box))

    def at_depths(self, index: np.ndarray, width_mm: float, depths: np.ndarray) -> np.ndarray:
        """(N, P) float64 unscattered counts of spots in one column, at N depths (voxels): of its layers, mixed."""
        x, z = (_line(self.grid, a, index[a], width_mm) for a in (0, 2))
        column = x[:, None, None] * z * self.body
        box = box_of(column > 0)
        shares = np.stack([_line(self.grid, 1, depth, width_mm) for depth in depths])[:, box[1]].astype(np.float64)
        layers = self._counts(self.projector.layers(self.projector.tensor(column[box]), box))
        return shares @ layers / np.maximum(shares @ column[box].sum(axis=(0, 2)), 1e-12)[:, None]

    def _counts(self, rates: torch.Tensor) -> np.ndarray:
        """(N, P) float64 of rates (N, 2, I, K)."""
        return rates.cpu().numpy().reshape(len(rates), -1).astype(np.float64) * self.exposure_s

    def scatter(self, shape: np.ndarray) -> np.ndarray:
        """(P,) float64 scattered counts of a map (I, J, K)."""
        return self.projector.scatter(shape).ravel() * self.exposure_s

    def allows(self, index: np.ndarray) -> bool:
        at = np.round(index).astype(int)
        return bool((at >= 0).all() and (at < self.allowed.shape).all() and self.allowed[tuple(at)])


def drifts(grid: Grid, index: np.ndarray, expected: np.ndarray) -> np.ndarray:
    """(2, P) of the expected counts (2, I, K) those of each view around a place, falling off as a Gaussian."""
    away = ((np.arange(grid.shape[a]) - index[a]) * grid.spacing_mm[a] for a in (0, 2))
    x, z = (np.exp(-0.5 * np.square(mm / DRIFT_MM)) for mm in away)
    return (np.eye(2)[:, :, None, None] * expected * np.outer(x, z)).reshape(2, -1)


def place(sight: Sight, index: np.ndarray, width_mm: float, residual: np.ndarray, free: Free) -> Focus | None:
    """The likeliest focus near a place.

    Parameters
    ----------
    sight : Sight
    index : (3,) float
        Where to begin, in voxels.
    width_mm : float
    residual : (P,) float64
        Counts without what all other sources explain.
    free : Free
        Those other sources, which adapt.

    Returns
    -------
    Focus or None
        None: no activity there explains the residual.
    """
    step_mm, left = sight.grid.spacing_mm, free(residual)
    index, log_width = np.array(index, dtype=np.float64), float(np.log(width_mm))
    scatter = sight.scatter(sight.spot(index, width_mm))
    prior = np.array([0.0, *(1.0 / np.square(WANDER_MM)), 1.0 / WIDTH_SPREAD**2])
    for n in range(STEPS + 1):
        images = _with_slopes(sight, index, float(np.exp(log_width)), scatter)
        seen, weighted = free(images), images * free.weights
        mbq = float(weighted[0] @ left / (weighted[0] @ seen[0]))
        if mbq <= 0:
            return None
        rest = left - mbq * seen[0]
        core = free.weights * (images[0] > CORE * images[0].max())
        misfit = max(1.0, float((core * rest**2).sum() / max(np.count_nonzero(core), 1)))
        slopes = np.array([1.0, mbq, mbq, mbq, mbq])[:, None]  # of the counts of this much activity
        information = (slopes * weighted) @ (slopes * seen).T / misfit + np.diag(prior)
        if n == STEPS:
            break
        pull = (slopes * weighted) @ rest / misfit + prior * [0.0, 0.0, 0.0, 0.0, np.log(WIDTH_MM) - log_width]
        change = np.linalg.solve(information, pull)[1:]
        move = np.clip(change[:3] / step_mm, -LARGEST_STEP, LARGEST_STEP)
        index = next((index + m for m in (move, 0.3 * move) if sight.allows(index + m)), index)
        log_width = float(np.clip(log_width + np.clip(change[3], -0.5, 0.5), *np.log(WIDTHS_MM)))
    u = np.sqrt(np.diag(np.linalg.inv(information)))
    gain = float(mbq * (weighted[0] @ left)) / misfit
    return Focus(index, float(np.exp(log_width)), np.hypot(u[1:4], PLACE_MM), mbq, float(u[0]), gain, misfit)


def likeliest_depth(sight: Sight, index: np.ndarray, width_mm: float, residual: np.ndarray, free: Free) -> np.ndarray:
    """(3,) the place in the column of `index` whose focus explains most of the residual (P,), in voxels."""
    i, k = (round(float(index[a])) for a in (0, 2))
    layers = np.flatnonzero(sight.allowed[i, :, k])
    if not len(layers):
        return np.array(index, dtype=np.float64)
    images = sight.at_depths(index, width_mm, layers)
    weighted = images * free.weights
    pull = np.maximum(weighted @ free(residual), 0.0)
    best = layers[int((pull**2 / (weighted * free(images)).sum(axis=1)).argmax())]
    return np.array([index[0], best, index[2]], dtype=np.float64)


def _with_slopes(sight: Sight, index: np.ndarray, width_mm: float, scatter: np.ndarray) -> np.ndarray:
    """(5, P) counts of 1 MBq, and their slopes per mm along x, y, z and per logarithm of the width."""
    shapes = [sight.spot(index, width_mm), sight.spot(index, WIDEN * width_mm)]
    for axis in np.eye(3):
        shapes += [sight.spot(index + NUDGE * axis, width_mm), sight.spot(index - NUDGE * axis, width_mm)]
    seen = sight.primary(shapes)
    slopes = [(seen[2 + 2 * a] - seen[3 + 2 * a]) / (2 * NUDGE * sight.grid.spacing_mm[a]) for a in range(3)]
    return np.stack([seen[0] + scatter, *slopes, (seen[1] - seen[0]) / np.log(WIDEN)])
