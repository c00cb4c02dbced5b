"""Time-activity curves of organs and their integrals from injection to infinity, with uncertainty.

The curve is A(t) = A0 2^(-t / T_eff), with an early phase where the points tell one (`early_phase`). The tail follows
the slow half-life. Two bounds hold it to what is physically possible: T_eff does not exceed the nuclide's half-life (an
organ cannot clear less than nothing) and A0 not the administered activity.
"""

import math
from dataclasses import replace

import lmfit
import numpy as np
from scipy.stats import chi2 as chi2_distribution

from planardose.dose.amplitude import amplitude
from planardose.dose.bounds import Bounds
from planardose.dose.constants import dose_constants
from planardose.dose.curve import Curve
from planardose.dose.curve_error import CurveError, curve_error
from planardose.dose.early_phase import Fit, best_with_early_phase, corrected_aic
from planardose.dose.shape import Shape
from planardose.dose.time_activity import TimeActivity
from planardose.dose.usual_half_life import UsualHalfLife

STARTS = 50  # half-lives among which the fit starts at the best
VISIBLE = 1.5  # own uncertainties above zero: two points beyond that make a half-life
MOSTLY = 0.5  # of the integral outside the points: flagged
FIRST_ORDER = 0.35  # of T_eff: an uncertainty of T_eff up to which the integral is taken as linear in it
LIMITS = frozenset({"physical_limit", "shortest_limit"})  # flags of a half-life that is a bound's, not the points'
AT_BOUND = 1e-3  # relative distance at which the optimiser (an interior-point method) is taken to have reached a bound


def fit_curve(
    data: TimeActivity, half_life_h: float, administered_mbq: float, early_phase: bool = True
) -> Curve:
    """Fit a curve to one or more points.

    Two points determine the exponential exactly (within the bounds). One point near the usual half-life gives
    Haenscheid's TIA = A(t) 2t / ln 2 (Haenscheid et al., J Nucl Med 2018;59:75), which is the curve with T_eff = t; an
    earlier or later one the curve with the usual half-life. Where several points leave the half-life more uncertain
    than the biological one of organs in general is (`UsualHalfLife.spread`), that one enters the fit: it holds back
    fast clearance, which would let the activity at injection grow without limit. Slow clearance is held by the physical
    half-life, and an organ's usual one says nothing against it in a lesion or a thyroid. From four points on an early
    phase is taken where it describes them better (`early_phase`).

    Parameters
    ----------
    data : TimeActivity
        Of one organ and cycle, one point or more.
    half_life_h : float
        Of the nuclide, h.
    administered_mbq : float
        MBq; no curve begins above it.
    early_phase : bool
        False leaves the exponential whatever the points say (``benchmarks/dose/kinetics.py``).

    Returns
    -------
    Curve
        Zero, flagged ``no_activity``, where every point is zero. A half-life at one of its limits has no uncertainty.
    """
    if not data.mbq.any():
        return _empty_curve(data, half_life_h)
    bounds = Bounds.of(half_life_h, administered_mbq)
    if len(data.hours) == 1:
        return _single_point(data, bounds)
    curve = _several_points(data, bounds, early_phase)
    return replace(curve, t_eff_h_u=math.nan) if LIMITS & set(curve.flags) else curve


def _several_points(data: TimeActivity, bounds: Bounds, early_phase: bool) -> Curve:
    """The fit of the points, with an early phase or the usual half-life where these are called for."""
    curve = _fitted(data, bounds, usual=None)
    visible = np.count_nonzero(data.mbq > VISIBLE * data.independent_sigma())
    early = _with_early_phase(data, bounds, curve) if early_phase and visible > 2 else None
    if early is not None:
        return early
    usual = UsualHalfLife.of(bounds.longest)
    undetermined = visible < 2 or curve.t_eff_h_u > usual.spread * curve.t_eff_h
    if not undetermined:
        return curve
    rising = {"rising"} & set(curve.flags)  # the usual half-life hides what the points alone say
    known = _fitted(data, bounds, usual)
    return replace(known, flags=tuple(dict.fromkeys((*known.flags, *rising))))


def _with_early_phase(data: TimeActivity, bounds: Bounds, mono: Curve) -> Curve | None:
    """The curve with an early phase that describes the points better, or None.

    One whose tail the points do not tell is taken only where they rise: any exponential is worse there.
    """
    fits = best_with_early_phase(data, bounds, corrected_aic(mono.chi2, 2, len(data.hours)))
    curves = (_curve_of(data, bounds, fit) for fit in fits)
    least_told = math.inf if "rising" in mono.flags else FIRST_ORDER
    return next((c for c in curves if c.t_eff_h_u <= least_told * c.t_eff_h), None)


def _curve_of(data: TimeActivity, bounds: Bounds, fit: Fit) -> Curve:
    """The curve of a fit with an early phase, with its uncertainty."""
    shape, spread = fit.shape, dose_constants().early_half_time_h[1]
    known = {"t_eff_h": math.inf, "phase_h": spread * shape.phase_h}
    if shape.early > 0:
        known["early"] = math.inf
    flags = ["early_phase", _limit(math.log(2) / shape.t_eff_h, bounds)]
    if fit.a0_mbq * (1.0 + max(shape.early, 0.0)) >= bounds.administered * (1 - 1e-12):
        flags.append("administered_limit")
    error = curve_error(data, fit.a0_mbq, shape, known)
    freedom = len(data.hours) - len(known)  # an amplitude more is fitted, and a half-time known beforehand
    return _described(data, bounds, fit.a0_mbq, shape, fit.chi2, freedom, error, [f for f in flags if f])


def _fitted(data: TimeActivity, bounds: Bounds, usual: UsualHalfLife | None) -> Curve:
    """The weighted, bounded exponential, with what is usual where it is given."""
    a0, t_eff, flags = _least_squares(data, bounds, usual)
    if usual and t_eff < usual.median_h:  # above the median nothing was held back
        flags = [*flags, "half_life_assumed"]
    return _with_uncertainty(data, bounds, a0, t_eff, flags, usual)


def _least_squares(
    data: TimeActivity, bounds: Bounds, usual: UsualHalfLife | None
) -> tuple[float, float, list[str]]:
    """A0 in MBq, T_eff in h and flags."""
    fastest, slowest = math.log(2) / bounds.shortest, math.log(2) / bounds.longest

    def residual(rate: float) -> np.ndarray:
        points = amplitude(data, np.exp(-rate * data.hours), bounds.administered).residuals
        return np.append(points, usual.below_median(math.log(2) / rate)) if usual else points

    # points near zero can leave several minima: the lowest is looked for before it is refined
    candidates = np.geomspace(slowest * (1 + 2 * AT_BOUND), fastest * (1 - 2 * AT_BOUND), STARTS)
    parameters = lmfit.Parameters()
    # the rate, not the half-life, is searched: nearly flat curves are then well conditioned
    squares = [float((residual(rate) ** 2).sum()) for rate in candidates]
    parameters.add("rate", value=candidates[np.argmin(squares)], min=slowest, max=fastest)
    best = lmfit.minimize(
        lambda p: residual(p["rate"].value), parameters, method="least_squares",
        xtol=1e-12, ftol=1e-14, gtol=1e-14, x_scale=0.01,
    )  # fmt: skip
    rate = best.params["rate"].value
    limit = _limit(rate, bounds)
    rate = {"physical_limit": slowest, "shortest_limit": fastest}.get(limit, rate)
    a0 = float(amplitude(data, np.exp(-rate * data.hours), bounds.administered).mbq)
    reached = a0 >= bounds.administered * (1 - 1e-12)
    return a0, math.log(2) / rate, [f for f in (limit, "administered_limit" if reached else "") if f]


def _limit(rate: float, bounds: Bounds) -> str:
    """Flag of the bound that a rate (per h) has reached, or nothing."""
    if rate < math.log(2) / bounds.longest / (1 - AT_BOUND):
        return "physical_limit"
    return "shortest_limit" if rate > math.log(2) / bounds.shortest / (1 + AT_BOUND) else ""


def _with_uncertainty(
    data: TimeActivity, bounds: Bounds, a0: float, t_eff: float, flags: list[str], usual: UsualHalfLife | None
) -> Curve:
    """The exponential with uncertainties of T_eff and integral: the points' own, and the part that they share."""
    shape = Shape(t_eff)
    # a half-life above the usual is not pulled, but its stated uncertainty is no wider than the usual spread
    known = {"t_eff_h": t_eff * usual.relative_spread(t_eff) if usual else math.inf}
    error = curve_error(data, a0, shape, known)
    if usual or error.own[0] > (FIRST_ORDER * t_eff) ** 2:
        far = _far_end(data, bounds, a0 * shape.after(0.0), usual)
        error = replace(error, own=np.array([error.own[0], max(far**2 - error.scale_variance, 0.0)]))
    scaled = amplitude(data, shape.at(data.hours), bounds.administered)
    freedom = len(data.hours) - (1 if (LIMITS | {"half_life_assumed"}) & set(flags) else 2)
    return _described(data, bounds, a0, shape, float((scaled.residuals**2).sum()), freedom, error, flags)


def _described(
    data: TimeActivity, bounds: Bounds, a0: float, shape: Shape, chi2: float, freedom: int, error: CurveError,
    flags: list[str],
) -> Curve:  # fmt: skip
    """The curve with its flags; its uncertainty is scaled up where chi2 says that it does not describe the points."""
    own, tia = error.own, a0 * shape.after(0.0)
    poor = freedom > 0 and chi2_distribution.sf(chi2, freedom) < dose_constants().poor_fit_probability
    rising = ["rising"] if poor and "physical_limit" in flags and not shape.early else []
    if not data.has_uncertainty:
        chi2, own, flags = math.nan, np.full(2, math.nan), [*flags, *rising, "no_uncertainty"]
    elif poor:
        own, flags = own * chi2 / freedom, [*flags, "poor_fit", *rising]
    t_eff_u, tia_u = np.sqrt(own + error.shared**2)
    t_eff_u = min(t_eff_u, bounds.longest - bounds.shortest) if data.has_uncertainty else t_eff_u
    beyond = shape.after(data.hours.max()) / shape.after(0.0)
    before = 1 - shape.after(data.hours.min()) / shape.after(0.0)
    if before + beyond > MOSTLY:
        flags = [*flags, "mostly_extrapolated"]
    return Curve(
        a0_mbq=a0,
        t_eff_h=shape.t_eff_h,
        t_eff_h_u=float(t_eff_u),
        tia_mbq_h=tia,
        tia_mbq_h_u=float(tia_u),
        extrapolated_fraction=float(beyond),
        before_fraction=float(before),
        points=len(data.hours),
        chi2=chi2,
        flags=tuple(flags),
        early_mbq=a0 * shape.early,
        early_t_eff_h=shape.early_t_eff_h if shape.early else math.nan,
        model=shape.model,
    )


def _far_end(data: TimeActivity, bounds: Bounds, tia: float, usual: UsualHalfLife | None) -> float:
    """Distance in MBq h of the integral from the farthest one that points and `usual` allow at one standard deviation.

    Where the points hardly bend the curve, a first-order covariance would be a guess. All half-lives and amplitudes
    whose squares are within 1 of the least count, so that no half-life that fits is left out for being unusual.
    """
    t = np.geomspace(bounds.shortest, bounds.longest, 141)
    fits = amplitude(data, np.exp2(-data.hours / t[:, None]), bounds.administered)
    squares = (fits.residuals**2).sum(axis=-1) + (usual.below_median(t) ** 2 if usual else 0.0)
    left = np.maximum(1 - (squares - squares.min()), 0)  # for the amplitude, which is linear
    a0_u = np.minimum(np.sqrt(left) * fits.mbq_u, bounds.administered)
    distance = np.abs(fits.mbq * t / math.log(2) - tia) + a0_u * t / math.log(2)
    return float(distance[left > 0].max())


def _single_point(data: TimeActivity, bounds: Bounds) -> Curve:
    """One point: Haenscheid's T_eff = t where that is near enough, else the median of the half-lives that can be.

    The integral by a half-life T is A 2^(t / T) T / ln 2, which is smallest at T = t ln 2: T_eff = t gives nearly the
    smallest integral that any half-life gives, and is far too low for a scan of the first hours or after many
    half-lives. Half-lives that would need more at the injection than was administered cannot be.
    """
    t, a = float(data.hours[0]), float(data.mbq[0])
    halvings = math.log2(bounds.administered / a)  # from the administered activity to the point: no more are possible
    shortest = t / halvings if halvings > 0 else math.inf
    usual, (early, late) = UsualHalfLife.of(bounds.longest), dose_constants().haenscheid_t_over_t_eff
    possible = usual.quantiles(shortest)
    assumed = not (early <= t / usual.median_h <= late and shortest <= t <= bounds.longest)
    t_eff = float(np.median(possible)) if assumed else t
    a0 = min(a * 2 ** (t / t_eff), bounds.administered)
    tia = a0 * t_eff / math.log(2)
    # what |truth / estimate - 1| stays below in 68.3 % of the half-lives: the rms would be ruled by the shortest
    ratios = np.exp2(t / possible - t / t_eff) * possible / t_eff
    relative = math.hypot(float(data.mbq_u[0]) / a, float(np.quantile(np.abs(ratios - 1.0), 0.683)))
    found = {
        "administered_limit": a0 >= bounds.administered * (1 - 1e-12), "single_point": True,
        "half_life_assumed": assumed, "no_uncertainty": not data.has_uncertainty,
    }  # fmt: skip
    return Curve(
        a0_mbq=a0,
        t_eff_h=t_eff,
        t_eff_h_u=math.nan,
        tia_mbq_h=tia,
        tia_mbq_h_u=relative * tia if data.has_uncertainty else math.nan,
        extrapolated_fraction=2 ** (-t / t_eff),
        before_fraction=1 - 2 ** (-t / t_eff),
        points=1,
        chi2=math.nan,
        flags=tuple(k for k, there in found.items() if there),
    )


def _empty_curve(data: TimeActivity, half_life_h: float) -> Curve:
    """No activity at any point: zero, with the uncertainty that the points leave for a physically decaying amount."""
    weights = amplitude(data, np.exp2(-data.hours / half_life_h)).weights * half_life_h / math.log(2)
    own, shared = (weights**2) @ data.independent_sigma() ** 2, data.shared_parts() @ weights
    u = math.sqrt(own + shared @ shared) if data.has_uncertainty else math.nan
    last, first = np.exp2(-data.hours.max() / half_life_h), np.exp2(-data.hours.min() / half_life_h)
    return Curve(
        0.0, half_life_h, math.nan, 0.0, u, float(last), float(1 - first), len(data.hours), math.nan, ("no_activity",)
    )
