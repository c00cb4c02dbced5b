"""Activity of one organ over the time points of one cycle: what the kinetics are fitted to."""

from dataclasses import dataclass

import numpy as np

from planardose.dose.constants import dose_constants

LEAST_OWN = 0.02  # of u, taken as a point's own at least: 0.6 % of the activity where the calibration is known to 30 %
UNKNOWN_SCALE = 1e3  # relative standard uncertainty of a scale that nothing tells


@dataclass(frozen=True)
class TimeActivity:
    """Activity of one organ at the time points of one cycle.

    Parameters
    ----------
    hours : (n,) float64
        Time from injection to the middle of the acquisition, h, all above 0.
    mbq : (n,) float64
        Activity, MBq, not negative.
    mbq_u : (n,) float64
        Standard uncertainty, MBq; NaN where the method has none.
    mbq_u_common : (n,) float64 or None
        The part of `mbq_u` that all time points of a camera share (calibration, anatomy), MBq: it does not average
        down. None: no such part.
    camera : (n,) int or None
        Points of one number share that part, those of different ones (planar images, SPECT) do not. None: all do.
    """

    hours: np.ndarray
    mbq: np.ndarray
    mbq_u: np.ndarray
    mbq_u_common: np.ndarray | None = None
    camera: np.ndarray | None = None

    def __post_init__(self) -> None:
        n = len(self.hours)
        if n == 0 or len(self.mbq) != n or len(self.mbq_u) != n:
            raise ValueError(f"time-activity needs equally many times, activities and uncertainties, got {n}")
        if not (np.all(self.hours > 0) and np.all(self.mbq >= 0)):
            raise ValueError("times must be after injection and activities not negative")

    @property
    def has_uncertainty(self) -> bool:
        """Whether every point has an uncertainty above 0."""
        return bool(np.isfinite(self.mbq_u).all() and (self.mbq_u > 0).all())

    def independent_sigma(self) -> np.ndarray:
        """(n,) float64 MBq: uncertainty of each point without the shared part, above 0; weights of the fit."""
        if not self.has_uncertainty:
            relative = dose_constants().relative_sigma_without_u
            most = max(self.mbq.max(), 1e-9)
            # a zero is what is left of a negative estimate: it says little, and not more than the largest point does
            return relative * np.where(self.mbq > 0, np.maximum(self.mbq, 0.01 * most), most)
        squared = self.mbq_u**2 - self.common() ** 2
        return np.sqrt(np.maximum(squared, (LEAST_OWN * self.mbq_u) ** 2))

    def common(self) -> np.ndarray:
        """(n,) float64 MBq: the shared part of each point's uncertainty."""
        return np.zeros(len(self.mbq)) if self.mbq_u_common is None else self.mbq_u_common

    def members(self) -> np.ndarray:
        """(cameras, n) bool: the points of each camera."""
        of = np.zeros(len(self.mbq), dtype=int) if self.camera is None else np.asarray(self.camera)
        return np.unique(of)[:, None] == of

    def shared_parts(self) -> np.ndarray:
        """(cameras, n) float64 MBq: `common` of each camera's points, independent between the cameras."""
        return self.members() * self.common()

    def camera_relative_u(self) -> np.ndarray:
        """(cameras,) float64: how well the scale of each camera is known against the others'; 0 of a single one.

        Zeros tell nothing of a scale: `UNKNOWN_SCALE`, which small activities come to as well.
        """
        members, total = self.members(), self.mbq / self.independent_sigma() ** 2
        if len(members) == 1 or not self.has_uncertainty:
            return np.zeros(len(members))
        held = members @ (total * self.mbq)
        unknown = np.where(self.shared_parts().any(axis=1), UNKNOWN_SCALE, 0.0)
        return np.divide(self.shared_parts() @ total, held, out=unknown, where=held > 0)
