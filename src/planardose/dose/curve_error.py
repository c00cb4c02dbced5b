"""Uncertainty of a fitted curve to first order: by the points' own errors, and by those that points share.

The fit answers a change of the points by d(amplitude, shape) = K dA, K = (J' W J + P)^-1 J' W, with the derivatives J
of the curve, the inverse W of the covariance that its weights stand for, and P, what is known beside the points.
"""

from dataclasses import dataclass, replace

import numpy as np

from planardose.dose.shape import Shape
from planardose.dose.time_activity import TimeActivity

STEP = 1e-4  # relative, of the numerical derivatives by the shape


@dataclass(frozen=True)
class CurveError:
    """Of (T_eff in h, integral in MBq h).

    Parameters
    ----------
    own : (2,) float64
        Variances by the points' own errors.
    shared : (2,) float64
        Standard uncertainties by the errors that the points of a camera share.
    """

    own: np.ndarray
    shared: np.ndarray


def curve_error(data: TimeActivity, a0_mbq: float, shape: Shape, known: dict[str, float]) -> CurveError:
    """Uncertainty of a fit in which the amplitude and the fields of `Shape` named in `known` are free.

    `known` holds the standard uncertainty with which each is known beside the points, infinite where it is not.
    """
    slow = a0_mbq * shape.at(data.hours)
    by_shape = {k: tuple(replace(shape, **{k: (1 + s) * getattr(shape, k)}) for s in (STEP, -STEP)) for k in known}
    steps = {k: 2 * STEP * getattr(shape, k) for k in known}
    jacobian = np.stack(
        [shape.at(data.hours), *(a0_mbq * (x.at(data.hours) - y.at(data.hours)) / steps[k]
                                 for k, (x, y) in by_shape.items())], axis=1)  # fmt: skip
    gradient = np.array([shape.after(0.0), *(a0_mbq * (x.after(0.0) - y.after(0.0)) / steps[k]
                                             for k, (x, y) in by_shape.items())])  # fmt: skip
    scales = data.members() * data.camera_relative_u()[:, None] * slow  # (cameras, n)
    weight = np.linalg.inv(np.diag(data.independent_sigma() ** 2) + scales.T @ scales)
    beside = np.diag([0.0, *(1 / u**2 for u in known.values())])
    covariance = np.linalg.pinv(jacobian.T @ weight @ jacobian + beside, hermitian=True)
    answer = np.stack([np.eye(len(gradient))[1], gradient]) @ covariance  # (2, parameters): T_eff, integral
    response = answer @ jacobian.T @ weight  # (2, n)
    by_scale = ((response @ scales.T) ** 2).sum(axis=1)
    total = np.array([covariance[1, 1], gradient @ covariance @ gradient])
    shared = np.sqrt(((response @ data.shared_parts().T) ** 2).sum(axis=1))
    return CurveError(np.maximum(total - by_scale, 0.0), shared)  # rounding may go below zero
