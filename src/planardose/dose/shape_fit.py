"""Weighted least squares of a curve with an early phase, of which something is known before any point."""

from dataclasses import dataclass, replace

import numpy as np
from scipy.optimize import least_squares

from planardose.dose.amplitude import Amplitude, amplitude
from planardose.dose.bounds import Bounds
from planardose.dose.phase_prior import PhasePrior
from planardose.dose.shape import Shape
from planardose.dose.time_activity import TimeActivity
from planardose.dose.usual_half_life import UsualHalfLife

STARTS = (16, 6, 8)  # half-lives, half-times and amplitudes of the phase, among which the fit starts at the best


@dataclass(frozen=True)
class Fit:
    """A fitted shape with its amplitude and chi2 (of the points and of what is known of the phase)."""

    a0_mbq: float
    shape: Shape
    chi2: float


def fit_shape(data: TimeActivity, bounds: Bounds, prior: PhasePrior, usual: UsualHalfLife | None = None) -> Fit:
    """Best curve with the early phase of `prior`; what is known of it, and the `usual` half-life, are further data."""
    limits = np.vstack([np.log([[bounds.shortest, bounds.longest]]), prior.limits])

    def shape_of(logs: np.ndarray) -> Shape:
        return prior.shape(np.exp(logs[0]), logs[1:])

    def scaled(shape: Shape) -> Amplitude:
        # neither the injection nor an uptake's slow part can hold more than was administered
        most = bounds.administered / np.squeeze(1.0 + np.maximum(shape.early, 0.0))
        return amplitude(data, shape.at(data.hours), most)

    def told(logs: np.ndarray) -> np.ndarray:
        return np.concatenate([scaled(shape_of(logs)).residuals, prior.deviations(logs[1:])], axis=-1)

    def residual(logs: np.ndarray) -> np.ndarray:
        held = [np.atleast_1d(usual.deviation(np.exp(logs[0])))] if usual else []
        return np.concatenate([told(logs), *held], axis=-1)

    axes = [np.linspace(*limit, n + 2)[1:-1] for limit, n in zip(limits, STARTS, strict=False)]
    grid = np.stack(np.meshgrid(*axes, indexing="ij")).reshape(len(limits), -1, 1)
    start = grid[:, np.argmin((residual(grid) ** 2).sum(axis=-1)), 0]
    logs = least_squares(residual, start, bounds=limits.T, xtol=1e-9, ftol=1e-12, gtol=1e-12).x
    shape = shape_of(logs)
    shape = replace(shape, **{f: float(v) for f, v in vars(shape).items()})
    return Fit(float(scaled(shape).mbq), shape, float((told(logs) ** 2).sum()))
