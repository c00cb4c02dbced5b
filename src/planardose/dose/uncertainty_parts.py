"""What the uncertainty of an organ's time-integrated activity is made of, as far as the tables of a cycle tell."""

import math
from dataclasses import dataclass

import numpy as np

from planardose.dose.amplitude import amplitude
from planardose.dose.shape import Shape
from planardose.dose.time_activity import TimeActivity


@dataclass(frozen=True)
class UncertaintyParts:
    """Relative standard uncertainties (k = 1) that add in quadrature.

    `calibration` is that of the cameras, each by the part of the integral that rests on it; `anatomy` what the time
    points of a camera share beside it (outlines, uneven uptake, what validation showed; the blur of a SPECT), `curve`
    the rest: the counts of each time point, and the fit with its shape.
    """

    calibration: float
    anatomy: float
    curve: float


def uncertainty_parts(
    data: TimeActivity, shape: Shape, integral_u: float, calibration_u: np.ndarray
) -> UncertaintyParts | None:
    """Parts of an organ and cycle; None where no activity was found, or its uncertainty or the shared part is not told.

    Parameters
    ----------
    data : TimeActivity
    shape : Shape
        Of its curve, by which its points weigh in the integral.
    integral_u : float
        Relative standard uncertainty of the time-integrated activity.
    calibration_u : (n,) float
        That of the calibration of each point's camera.
    """
    if not (data.has_uncertainty and data.mbq.any() and data.common().any() and math.isfinite(integral_u)):
        return None
    weights = amplitude(data, shape.at(data.hours)).weights
    total = weights @ data.mbq
    # the fit's half-life answers a part that only some points share, so that the whole may hold less of it
    shared = min(float(np.linalg.norm(data.shared_parts() @ weights) / total), integral_u)
    by_camera = data.members() @ (weights * data.mbq * calibration_u) / total
    calibration = min(float(np.linalg.norm(by_camera)), shared)
    anatomy, curve = (math.sqrt(max(x, 0.0)) for x in (shared**2 - calibration**2, integral_u**2 - shared**2))
    return UncertaintyParts(calibration, anatomy, curve)
