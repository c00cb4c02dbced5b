"""A fitted time-activity curve."""

import math
from dataclasses import dataclass

import numpy as np

from planardose.dose.amplitude import amplitude
from planardose.dose.shape import MODELS, Shape
from planardose.dose.time_activity import TimeActivity


@dataclass(frozen=True)
class Curve:
    """A fitted curve and its integral, by the units of its fields' names.

    `a0_mbq` and `t_eff_h` are of the slow part, `early_mbq` and `early_t_eff_h` of the early one (`shape.Shape`): its
    amplitude is 0 without one, below it for an uptake. `extrapolated_fraction` and `before_fraction` are the shares of
    the integral after the last point and before the first. `tia_mbq_h_low` and `tia_mbq_h_high` are the ends of its
    95 % interval, which need not lie evenly about it. Uncertainties (k = 1) and ends are NaN where there is none;
    `flags` are keys of `flags.FLAGS`.
    """

    a0_mbq: float
    t_eff_h: float
    t_eff_h_u: float
    tia_mbq_h: float
    tia_mbq_h_u: float
    tia_mbq_h_low: float
    tia_mbq_h_high: float
    extrapolated_fraction: float
    before_fraction: float
    points: int
    chi2: float
    flags: tuple[str, ...]

    early_mbq: float = 0.0
    early_t_eff_h: float = math.nan
    model: str = MODELS[0]

    @classmethod
    def of(cls, a0_mbq: float, shape: Shape, data: TimeActivity, **told) -> "Curve":
        """The curve of an amplitude and a shape, through these points; `told`: uncertainties, ends, chi2 and flags."""
        whole = shape.after(0.0)
        return cls(
            a0_mbq=a0_mbq,
            t_eff_h=shape.t_eff_h,
            tia_mbq_h=a0_mbq * float(whole),
            extrapolated_fraction=float(shape.after(data.hours.max()) / whole),
            before_fraction=float(1 - shape.after(data.hours.min()) / whole),
            points=len(data.hours),
            early_mbq=a0_mbq * shape.early,
            early_t_eff_h=shape.early_t_eff_h if shape.early else math.nan,
            model=shape.model,
            **told,
        )

    @property
    def shape(self) -> Shape:
        """The curve without its amplitude."""
        return Shape.of_parts(self.t_eff_h, self.a0_mbq, self.early_mbq, self.early_t_eff_h)

    def at(self, hours: np.ndarray) -> np.ndarray:
        """Activity in MBq at times in h after injection."""
        return self.a0_mbq * self.shape.at(hours)

    def after(self, hours: float) -> float:
        """Integral in MBq h from a time in h after injection on."""
        return self.a0_mbq * self.shape.after(hours)


def no_curve() -> Curve:
    """Of an organ that no image shows: nothing is known of it."""
    return Curve(*[math.nan] * 9, points=0, chi2=math.nan, flags=("not_in_images",), early_mbq=math.nan, model="")


def integral_weights(data: TimeActivity, curve: Curve) -> np.ndarray:
    """(n,) h: weights g with TIA = sum(g A) for this organ, to integrate the voxels of the organ.

    The same positive linear form is applied to each voxel: the voxel keeps its own amplitude (its weighted
    least-squares fit) and takes the organ's shape, and the voxels' integrals add up to the organ's.
    """
    weights = amplitude(data, curve.shape.at(data.hours)).weights * curve.shape.after(0.0)
    total = float(weights @ data.mbq)
    return weights * (curve.tia_mbq_h / total) if total > 0 else weights
