"""The curve of a single point, whose half-life and early phase are known beforehand or not at all."""

import math
from dataclasses import replace

import numpy as np

from planardose.dose.bounds import Bounds
from planardose.dose.constants import dose_constants
from planardose.dose.curve import Curve
from planardose.dose.integral_spread import integral_spread
from planardose.dose.organ_prior import OrganPrior
from planardose.dose.shape import Shape
from planardose.dose.time_activity import TimeActivity


def single_point(data: TimeActivity, bounds: Bounds, prior: OrganPrior) -> Curve:
    """One point: Haenscheid's T_eff = t where that is near enough, else the median of the half-lives that can be.

    The integral by a half-life T is A 2^(t / T) T / ln 2, which is smallest at T = t ln 2: T_eff = t gives nearly the
    smallest integral that any half-life gives, and is far too low for a scan of the first hours or after many
    half-lives. Where an earlier cycle told the organ's half-life, the median is taken at any time. Half-lives that
    would need more at the injection than was administered cannot be. The early phase is the one known beforehand. Its
    uncertainty is that of half-life, phase and point together.
    """
    t, phase = float(data.hours[0]), prior.phase
    early = phase.shape(math.inf, phase.median) if phase else Shape(math.inf)
    a = float(data.mbq[0] / early.at(t))  # of the slow part
    most = bounds.administered / (1.0 + max(early.early, 0.0))
    halvings = math.log2(most / a)  # from the administered activity to the point: no more are possible
    shortest = t / halvings if halvings > 0 else math.inf
    usual, (near, late) = prior.half_life(bounds.longest), dose_constants().haenscheid_t_over_t_eff
    assumed = prior.earlier or not (near <= t / usual.median_h <= late and shortest <= t <= bounds.longest)
    shape = replace(early, t_eff_h=float(np.median(usual.quantiles(shortest))) if assumed else t)
    a0 = min(a * 2 ** (t / shape.t_eff_h), most)
    tia = a0 * float(shape.after(0.0))
    u, low, high = math.nan, math.nan, math.nan
    if data.has_uncertainty:
        spread = integral_spread(data, bounds, phase, replace(usual, slow_too=True))
        u, (low, high) = spread.half_width(tia), spread.interval(tia)
    found = {
        "administered_limit": a0 >= most * (1 - 1e-12), "single_point": True,
        "half_life_assumed": assumed and not prior.earlier, "earlier_half_life": prior.earlier,
        "no_uncertainty": not data.has_uncertainty,
        "phase_assumed": shape.early_share > dose_constants().assumed_phase_flagged,
    }  # fmt: skip
    flags = tuple(k for k, there in found.items() if there)
    return Curve.of(a0, shape, data, t_eff_h_u=math.nan, tia_mbq_h_u=u, tia_mbq_h_low=low, tia_mbq_h_high=high,
                    chi2=math.nan, flags=flags)  # fmt: skip
