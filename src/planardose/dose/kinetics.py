"""Time-activity curves of organs and their integrals from injection to infinity, with uncertainty.

The curve is A(t) = A0 2^(-t / T_eff), with the early phase that the organ has with its tracer (`phase_prior`), which
the points correct as far as they tell it, or with another where they clearly tell that (`early_phase`). The tail
follows the slow half-life. Two bounds hold it to what is physically possible: T_eff does not exceed the nuclide's
half-life (an organ cannot clear less than nothing) and A0 not the administered activity.
"""

import math
from dataclasses import replace

import numpy as np
from scipy.optimize import least_squares
from scipy.stats import chi2 as chi2_distribution

from planardose.dose.amplitude import amplitude
from planardose.dose.bounds import Bounds
from planardose.dose.constants import TWO_SIDED_95, dose_constants
from planardose.dose.curve import Curve
from planardose.dose.curve_error import CurveError, curve_error
from planardose.dose.early_phase import best_with_early_phase, corrected_aic
from planardose.dose.integral_spread import IntegralSpread, integral_spread
from planardose.dose.organ_prior import IN_GENERAL, OrganPrior
from planardose.dose.phase_prior import PhasePrior
from planardose.dose.shape import Shape
from planardose.dose.shape_fit import Fit, fit_shape
from planardose.dose.single_point import single_point
from planardose.dose.time_activity import TimeActivity
from planardose.dose.usual_half_life import UsualHalfLife

STARTS = 50  # half-lives among which the fit starts at the best
VISIBLE = 1.5  # own uncertainties above zero: two points beyond that make a half-life
MOSTLY = 0.5  # of the integral outside the points: flagged
FIRST_ORDER = 0.35  # of T_eff: an uncertainty of T_eff up to which the integral is taken as linear in it
LIMITS = frozenset({"physical_limit", "shortest_limit"})  # flags of a half-life that is a bound's, not the points'
AT_BOUND = 1e-3  # relative distance at which the optimiser (an interior-point method) is taken to have reached a bound


def fit_curve(
    data: TimeActivity, half_life_h: float, administered_mbq: float, prior: OrganPrior = IN_GENERAL,
    early_phase: bool = True,
) -> Curve:  # fmt: skip
    """Fit a curve to one or more points.

    Two points determine the exponential exactly (within the bounds). One point near the usual half-life gives
    Haenscheid's TIA = A(t) 2t / ln 2 (Haenscheid et al., J Nucl Med 2018;59:75), which is the curve with T_eff = t; an
    earlier or later one the curve with the usual half-life. Where several points leave the half-life more uncertain
    than the organ's with its tracer is before any point, that one enters the fit as a further datum. Where nothing is
    known of the organ, that of organs in general does, by its biological spread: it holds back fast clearance only,
    which would let the activity at injection grow without limit, for it says nothing against slow clearance in a lesion
    or a thyroid. From four points on another early phase than the organ's is taken where it describes them better
    (`early_phase`).

    Parameters
    ----------
    data : TimeActivity
        Of one organ and cycle, one point or more.
    half_life_h : float
        Of the nuclide, h.
    administered_mbq : float
        MBq; no curve begins above it.
    prior : OrganPrior
        What is known of the organ with its tracer. The half-life of a single point rests on it, that of several
        where they do not tell it.
    early_phase : bool
        False leaves the curve as it is known beforehand whatever the points say (``benchmarks/dose/kinetics.py``).

    Returns
    -------
    Curve
        Zero, flagged ``no_activity``, where every point is zero. A half-life at one of its limits has no uncertainty.
    """
    if not data.mbq.any():
        return _empty_curve(data, half_life_h)
    bounds = Bounds.of(half_life_h, administered_mbq)
    if len(data.hours) == 1:
        return single_point(data, bounds, prior)
    curve = _several_points(data, bounds, prior, early_phase)
    return replace(curve, t_eff_h_u=math.nan) if LIMITS & set(curve.flags) else curve


def _several_points(data: TimeActivity, bounds: Bounds, prior: OrganPrior, early_phase: bool) -> Curve:
    """The fit of the points, with another early phase or the usual half-life where these are called for."""
    curve = _fitted(data, bounds, prior.phase)
    visible = np.count_nonzero(data.mbq > VISIBLE * data.independent_sigma())
    early = _with_early_phase(data, bounds, curve) if early_phase and visible > 2 else None
    if early is not None:
        return early
    usual = prior.of_several_points(bounds.longest)
    least_told = usual.relative_spread(usual.median_h) if usual.slow_too else usual.spread
    # with an uptake phase, points that do not rise can be had from a half-life that no organ has
    unusual = usual.slow_too and "shortest_limit" in curve.flags
    undetermined = visible < 2 or unusual or curve.t_eff_h_u > least_told * curve.t_eff_h
    if not undetermined:
        return curve
    rising = {"rising"} & set(curve.flags)  # the usual half-life hides what the points alone say
    known = _fitted(data, bounds, prior.phase, usual, "earlier_half_life" if prior.earlier else "half_life_assumed")
    return replace(known, flags=tuple(dict.fromkeys((*known.flags, *rising))))


def _with_early_phase(data: TimeActivity, bounds: Bounds, before: Curve) -> Curve | None:
    """The curve with an early phase that describes the points better, or None.

    One whose tail the points do not tell is taken only where they rise: any exponential is worse there.
    """
    fits = best_with_early_phase(data, bounds, corrected_aic(before.chi2, 2, len(data.hours)))
    curves = (_curve_of(data, bounds, fit, prior, ["early_phase"]) for fit, prior in fits)
    least_told = math.inf if "rising" in before.flags else FIRST_ORDER
    return next((c for c in curves if c.t_eff_h_u <= least_told * c.t_eff_h), None)


def _fitted(
    data: TimeActivity, bounds: Bounds, phase: PhasePrior | None, usual: UsualHalfLife | None = None, flag: str = ""
) -> Curve:
    """The weighted, bounded curve with the phase and the half-life that are usual, where these are given."""
    fit = fit_shape(data, bounds, phase, usual) if phase else _exponential(data, bounds, usual)
    pulled = usual and (usual.slow_too or fit.shape.t_eff_h < usual.median_h)
    return _curve_of(data, bounds, fit, phase, [flag] if pulled else [], usual)


def _curve_of(
    data: TimeActivity, bounds: Bounds, fit: Fit, phase: PhasePrior | None, flags: list[str],
    usual: UsualHalfLife | None = None,
) -> Curve:  # fmt: skip
    """The curve of a fit, with uncertainties of T_eff and integral: the points' own, and the part that they share."""
    a0, shape = fit.a0_mbq, fit.shape
    # a half-life above the usual is not pulled, but its stated uncertainty is no wider than the usual spread
    half_life = {"t_eff_h": shape.t_eff_h * usual.relative_spread(shape.t_eff_h) if usual else math.inf}
    of_phase = phase.uncertainties(shape) if phase else {}
    error = curve_error(data, a0, shape, half_life | of_phase)
    limit = _limit(math.log(2) / shape.t_eff_h, bounds)
    reached = a0 * (1.0 + max(shape.early, 0.0)) >= bounds.administered * (1 - 1e-12)
    assumed = "early_phase" not in flags and _rests_on_prior(data, a0, shape, half_life, of_phase)
    found = {limit: limit, "administered_limit": reached, "phase_assumed": assumed}
    flags = [*flags, *(k for k, there in found.items() if there)]
    # what is known beforehand brings a datum for each parameter of the phase but a washout's free amplitude
    held = (LIMITS | {"half_life_assumed", "earlier_half_life"}) & set(flags)
    free = 2 - bool(held) + sum(map(math.isinf, of_phase.values()))
    freedom = len(data.hours) - free
    excess = fit.chi2 / freedom if _poor(fit.chi2, freedom) else 1.0
    # where the points hardly bend the curve, a first-order covariance would be a guess
    vague = "early_phase" not in flags and (usual or error.own[0] > (FIRST_ORDER * shape.t_eff_h) ** 2)
    spread = None
    if vague and data.has_uncertainty:
        spread = integral_spread(data, bounds, phase, usual)
    return _described(data, bounds, fit, excess, error, spread, flags)


def _poor(chi2: float, freedom: int) -> bool:
    return freedom > 0 and chi2_distribution.sf(chi2, freedom) < dose_constants().poor_fit_probability


def _rests_on_prior(
    data: TimeActivity, a0: float, shape: Shape, half_life: dict[str, float], of_phase: dict[str, float]
) -> bool:
    """Whether the variance of the integral would double if ten times less were known of a phase that counts."""
    less = {k: 10 * u for k, u in of_phase.items()}
    known, unknown = (curve_error(data, a0, shape, half_life | x).own[1] for x in (of_phase, less))
    return shape.early_share > dose_constants().assumed_phase_flagged and unknown > 2 * known


def _exponential(data: TimeActivity, bounds: Bounds, usual: UsualHalfLife | None) -> Fit:
    """Best exponential, with what is usual of the half-life where it is given."""
    fastest, slowest = math.log(2) / bounds.shortest, math.log(2) / bounds.longest

    def residual(rate: float) -> np.ndarray:
        points = amplitude(data, np.exp(-rate * data.hours), bounds.administered).residuals
        return np.append(points, usual.deviation(math.log(2) / rate)) if usual else points

    # points near zero can leave several minima: the lowest is looked for before it is refined
    candidates = np.geomspace(slowest * (1 + 2 * AT_BOUND), fastest * (1 - 2 * AT_BOUND), STARTS)
    start = min(candidates, key=lambda rate: float((residual(rate) ** 2).sum()))
    # the rate, not the half-life, is searched: nearly flat curves are then well conditioned
    best = least_squares(
        lambda rates: residual(rates[0]), start, bounds=(slowest, fastest),
        xtol=1e-12, ftol=1e-14, gtol=1e-14, x_scale=0.01,
    )  # fmt: skip
    rate = float(best.x[0])
    rate = {"physical_limit": slowest, "shortest_limit": fastest}.get(_limit(rate, bounds), rate)
    shape = Shape(math.log(2) / rate)
    scaled = amplitude(data, shape.at(data.hours), bounds.administered)
    return Fit(float(scaled.mbq), shape, float((scaled.residuals**2).sum()))


def _limit(rate: float, bounds: Bounds) -> str:
    """Flag of the bound that a rate (per h) has reached, or nothing."""
    if rate < math.log(2) / bounds.longest / (1 - AT_BOUND):
        return "physical_limit"
    return "shortest_limit" if rate > math.log(2) / bounds.shortest / (1 + AT_BOUND) else ""


def _described(
    data: TimeActivity, bounds: Bounds, fit: Fit, excess: float, error: CurveError, spread: IntegralSpread | None,
    flags: list[str],
) -> Curve:  # fmt: skip
    """The curve with its flags; its uncertainty is scaled up where chi2 says that it does not describe the points."""
    own, tia, poor = excess * error.own, fit.a0_mbq * float(fit.shape.after(0.0)), excess > 1.0
    chi2 = fit.chi2
    rising = ["rising"] if poor and "physical_limit" in flags and "early_phase" not in flags else []
    if not data.has_uncertainty:
        chi2, own, flags = math.nan, np.full(2, math.nan), [*flags, *rising, "no_uncertainty"]
    elif poor:
        flags = [*flags, "poor_fit", *rising]
    t_eff_u, tia_u = np.sqrt(own + error.shared**2)
    low, high = max(tia - TWO_SIDED_95 * tia_u, 0.0), tia + TWO_SIDED_95 * tia_u
    if spread:
        spread = spread.widened(math.sqrt(excess))
        tia_u, (low, high) = spread.farther_end(tia), spread.interval(tia)
    t_eff_u = min(t_eff_u, bounds.longest - bounds.shortest) if data.has_uncertainty else t_eff_u
    curve = Curve.of(
        fit.a0_mbq, fit.shape, data, t_eff_h_u=float(t_eff_u), tia_mbq_h_u=float(tia_u), tia_mbq_h_low=float(low),
        tia_mbq_h_high=float(high), chi2=chi2, flags=tuple(flags),
    )  # fmt: skip
    mostly = curve.before_fraction + curve.extrapolated_fraction > MOSTLY
    return replace(curve, flags=(*curve.flags, "mostly_extrapolated")) if mostly else curve


def _empty_curve(data: TimeActivity, half_life_h: float) -> Curve:
    """No activity at any point: zero, with the uncertainty that the points leave for a physically decaying amount."""
    weights = amplitude(data, np.exp2(-data.hours / half_life_h)).weights * half_life_h / math.log(2)
    own, shared = (weights**2) @ data.independent_sigma() ** 2, data.shared_parts() @ weights
    u = math.sqrt(own + shared @ shared) if data.has_uncertainty else math.nan
    return Curve.of(
        0.0, Shape(half_life_h), data, t_eff_h_u=math.nan, tia_mbq_h_u=u, tia_mbq_h_low=0.0 * u,
        tia_mbq_h_high=TWO_SIDED_95 * u, chi2=math.nan, flags=("no_activity",),
    )  # fmt: skip
