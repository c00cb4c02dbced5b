"""Amplitude of a curve of known shape through the points of an organ, by weighted least squares.

Points of one camera share an error (calibration, anatomy) that says nothing about the curve's shape and is left out of
the weights. Where two cameras take part, their errors are not shared: the amplitude of each is found on its own, and
both are weighed by what is known of them in all, so that an uncalibrated camera gives the shape and not the scale.
"""

from dataclasses import dataclass

import numpy as np

from planardose.dose.time_activity import TimeActivity


@dataclass(frozen=True)
class Amplitude:
    """One shape or several, scaled.

    Parameters
    ----------
    mbq : (...) float64
        Amplitude, MBq.
    weights : (..., n) float64
        With the amplitude = weights @ activities before any limit. All positive.
    residuals : (..., n + cameras) float64
        Their squares add up to chi2: points from the amplitude of their camera, and these from the common one.
    mbq_u : (...) float64
        Standard uncertainty of the amplitude by all that counts here.
    """

    mbq: np.ndarray
    weights: np.ndarray
    residuals: np.ndarray
    mbq_u: np.ndarray


def amplitude(data: TimeActivity, shape: np.ndarray, most_mbq: np.ndarray | float = np.inf) -> Amplitude:
    """The amplitude, at most `most_mbq` (...), of shapes (..., n) with values above 0 at the points."""
    sigma, members = data.independent_sigma(), data.members()
    each = members * (shape / sigma**2)[..., None, :]  # (..., cameras, n)
    information = (each * shape[..., None, :]).sum(axis=-1)
    of_camera = each @ data.mbq / information
    reference = (of_camera * information).sum(axis=-1) / information.sum(axis=-1)
    variance = 1 / information + (data.camera_relative_u() * reference[..., None]) ** 2
    precision = (1 / variance).sum(axis=-1)
    weights = (each / (information * variance * precision[..., None])[..., None]).sum(axis=-2)
    found = np.minimum(weights @ data.mbq, most_mbq)
    points = (of_camera @ members * shape - data.mbq) / sigma
    residuals = np.concatenate([points, (found[..., None] - of_camera) / np.sqrt(variance)], axis=-1)
    return Amplitude(found, weights, residuals, 1 / np.sqrt(precision))
