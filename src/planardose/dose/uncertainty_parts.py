"""What the uncertainty of an organ's time-integrated activity is made of, as far as the tables of a cycle tell."""

import math
from dataclasses import dataclass

from planardose.dose.kinetics import amplitude_weights
from planardose.dose.time_activity import TimeActivity


@dataclass(frozen=True)
class UncertaintyParts:
    """Relative standard uncertainties (k = 1) that add in quadrature.

    `calibration` is that of the planar camera, less where a SPECT bears a part of the integral; `anatomy` what all time
    points share beside it (outlines, uneven uptake, what validation showed), `curve` the rest: the counts of each time
    point, and the fit with its half-life.
    """

    calibration: float
    anatomy: float
    curve: float


def uncertainty_parts(
    data: TimeActivity, t_eff_h: float, integral_u: float, calibration_u: float
) -> UncertaintyParts | None:
    """Parts of an organ and cycle; None where no activity was found, or its uncertainty or the shared part is not told.

    Parameters
    ----------
    data : TimeActivity
    t_eff_h : float
        Half-life of its curve, by which its points weigh in the integral.
    integral_u, calibration_u : float
        Relative standard uncertainties of the time-integrated activity, and of the calibration of those points that
        share a part of their uncertainty (a SPECT's does not).
    """
    if not (data.has_uncertainty and data.mbq.any() and data.common().any() and math.isfinite(integral_u)):
        return None
    weights = amplitude_weights(data, t_eff_h)
    borne = weights * data.mbq / (weights @ data.mbq)  # of the integral, by each point
    # the fit's half-life answers a part that only some points share, so that the whole may hold less of it
    shared = min(float(weights @ data.common() / (weights @ data.mbq)), integral_u)
    calibration = min(calibration_u * float(borne[data.common() > 0].sum()), shared)
    anatomy, curve = (math.sqrt(max(x, 0.0)) for x in (shared**2 - calibration**2, integral_u**2 - shared**2))
    return UncertaintyParts(calibration, anatomy, curve)
