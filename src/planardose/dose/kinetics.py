"""Mono-exponential time-activity curves and their integrals, with uncertainty.

The curve is A(t) = A0 2^(-t / T_eff) from injection to infinity. That is the whole model: uptake is taken as complete
at injection, and the tail follows the last half-life. Two bounds hold it to what is physically possible: T_eff does
not exceed the nuclide's half-life (an organ cannot clear less than nothing) and A0 not the administered activity.
"""

import math
from dataclasses import dataclass, replace

import lmfit
import numpy as np
from scipy.stats import chi2 as chi2_distribution

from planardose.dose.constants import dose_constants
from planardose.dose.time_activity import TimeActivity
from planardose.dose.usual_half_life import UsualHalfLife

STARTS = 50  # half-lives among which the fit starts at the best
VISIBLE = 1.5  # own uncertainties above zero: two points beyond that make a half-life
MOSTLY = 0.5  # of the integral outside the points: flagged
FIRST_ORDER = 0.35  # of T_eff: an uncertainty of T_eff up to which the integral is taken as linear in it
LIMITS = frozenset({"physical_limit", "shortest_limit"})  # flags of a half-life that is a bound's, not the points'
AT_BOUND = 1e-3  # relative distance at which the optimiser (an interior-point method) is taken to have reached a bound


@dataclass(frozen=True)
class _Bounds:
    """What is physically possible: half-lives in h between `shortest` and `longest`, at most `administered` MBq."""

    shortest: float
    longest: float
    administered: float

    @classmethod
    def of(cls, half_life_h: float, administered_mbq: float) -> "_Bounds":
        # the lower bound is that of organs with 177Lu: a nuclide of a few hours clears faster
        return cls(min(dose_constants().shortest_t_eff_h, 0.5 * half_life_h), half_life_h, administered_mbq)


@dataclass(frozen=True)
class Curve:
    """A fitted curve and its integral, by the units of its fields' names.

    `extrapolated_fraction` and `before_fraction` are the shares of the integral after the last point and before the
    first. Uncertainties (k = 1) are NaN where there is none; `flags` are keys of `flags.FLAGS`.
    """

    a0_mbq: float
    t_eff_h: float
    t_eff_h_u: float
    tia_mbq_h: float
    tia_mbq_h_u: float
    extrapolated_fraction: float
    before_fraction: float
    points: int
    chi2: float
    flags: tuple[str, ...]

    model: str = "mono-exponential"

    def at(self, hours: np.ndarray) -> np.ndarray:
        """Activity in MBq at times in h after injection."""
        return self.a0_mbq * np.exp2(-np.asarray(hours, dtype=np.float64) / self.t_eff_h)


def fit_curve(data: TimeActivity, half_life_h: float, administered_mbq: float) -> Curve:
    """Fit the mono-exponential to one or more points.

    Two points determine it exactly (within the bounds). One point near the usual half-life gives Haenscheid's TIA =
    A(t) 2t / ln 2 (Haenscheid et al., J Nucl Med 2018;59:75), which is the curve with T_eff = t; an earlier or later
    one the curve with the usual half-life. Where several points leave the half-life more uncertain than the biological
    one of organs in general is (`UsualHalfLife.spread`), that one enters the fit: it holds back fast clearance,
    which would let the activity at injection grow without limit. Slow clearance is held by the physical half-life, and
    an organ's usual one says nothing against it in a lesion or a thyroid.

    Parameters
    ----------
    data : TimeActivity
        Of one organ and cycle, one point or more.
    half_life_h : float
        Of the nuclide, h.
    administered_mbq : float
        MBq; no curve begins above it.

    Returns
    -------
    Curve
        Zero, flagged ``no_activity``, where every point is zero. A half-life at one of its limits has no uncertainty.
    """
    if not data.mbq.any():
        return _empty_curve(data, half_life_h)
    bounds = _Bounds.of(half_life_h, administered_mbq)
    if len(data.hours) == 1:
        return _single_point(data, bounds)
    curve = _several_points(data, bounds)
    return replace(curve, t_eff_h_u=math.nan) if LIMITS & set(curve.flags) else curve


def no_curve() -> Curve:
    """Of an organ that no image shows: nothing is known of it."""
    return Curve(*[math.nan] * 7, points=0, chi2=math.nan, flags=("not_in_images",), model="")


def amplitude_weights(data: TimeActivity, t_eff_h: float) -> np.ndarray:
    """(n,) weights w with A0 = sum(w A): the least-squares amplitude for a given half-life. Linear, all positive."""
    decay, inverse = np.exp2(-data.hours / t_eff_h), data.independent_sigma() ** -2
    return decay * inverse / (decay**2 * inverse).sum()


def integral_weights(data: TimeActivity, curve: Curve) -> np.ndarray:
    """(n,) h: weights g with TIA = sum(g A) for this organ, to integrate the voxels of the organ.

    The same positive linear form is applied to each voxel: the voxel keeps its own amplitude (its weighted
    least-squares fit) and takes the organ's half-life, and the voxels' integrals add up to the organ's.
    """
    return _integral_weights(data, curve.t_eff_h, curve.tia_mbq_h)


def _integral_weights(data: TimeActivity, t_eff_h: float, tia_mbq_h: float) -> np.ndarray:
    weights = amplitude_weights(data, t_eff_h) * t_eff_h / math.log(2)
    total = float(weights @ data.mbq)
    return weights * (tia_mbq_h / total) if total > 0 else weights


def _several_points(data: TimeActivity, bounds: _Bounds) -> Curve:
    """The fit of the points, with the usual half-life where they hardly tell one."""
    curve = _fitted(data, bounds, usual=None)
    usual = UsualHalfLife.of(bounds.longest)
    visible = np.count_nonzero(data.mbq > VISIBLE * data.independent_sigma())
    undetermined = visible < 2 or curve.t_eff_h_u > usual.spread * curve.t_eff_h
    if not undetermined:
        return curve
    rising = {"rising"} & set(curve.flags)  # the usual half-life hides what the points alone say
    known = _fitted(data, bounds, usual)
    return replace(known, flags=tuple(dict.fromkeys((*known.flags, *rising))))


def _fitted(data: TimeActivity, bounds: _Bounds, usual: UsualHalfLife | None) -> Curve:
    """The weighted, bounded fit, with what is usual where it is given."""
    a0, t_eff, flags = _least_squares(data, bounds, usual)
    if usual and t_eff < usual.median_h:  # above the median nothing was held back
        flags = [*flags, "half_life_assumed"]
    return _with_uncertainty(data, bounds, a0, t_eff, flags, usual)


def _least_squares(
    data: TimeActivity, bounds: _Bounds, usual: UsualHalfLife | None
) -> tuple[float, float, list[str]]:
    """A0 in MBq, T_eff in h and flags."""
    sigma = data.independent_sigma()
    fastest, slowest = math.log(2) / bounds.shortest, math.log(2) / bounds.longest

    def amplitude(rate: float) -> float:
        return min(float(amplitude_weights(data, math.log(2) / rate) @ data.mbq), bounds.administered)

    def residual(rate: float) -> np.ndarray:
        points = (amplitude(rate) * np.exp(-rate * data.hours) - data.mbq) / sigma
        return np.append(points, usual.below_median(math.log(2) / rate)) if usual else points

    # points near zero can leave several minima: the lowest is looked for before it is refined
    candidates = np.geomspace(slowest * (1 + 2 * AT_BOUND), fastest * (1 - 2 * AT_BOUND), STARTS)
    parameters = lmfit.Parameters()
    # the rate, not the half-life, is searched: nearly flat curves are then well conditioned
    start = min(candidates, key=lambda rate: float((residual(rate) ** 2).sum()))
    parameters.add("rate", value=start, min=slowest, max=fastest)
    best = lmfit.minimize(
        lambda p: residual(p["rate"].value), parameters, method="least_squares",
        xtol=1e-12, ftol=1e-14, gtol=1e-14, x_scale=0.01,
    )  # fmt: skip
    rate, flags = best.params["rate"].value, []
    if rate < slowest / (1 - AT_BOUND):
        rate, flags = slowest, ["physical_limit"]
    elif rate > fastest / (1 + AT_BOUND):
        rate, flags = fastest, ["shortest_limit"]
    a0 = amplitude(rate)
    if a0 >= bounds.administered * (1 - 1e-12):
        flags.append("administered_limit")
    return a0, math.log(2) / rate, flags


def _with_uncertainty(
    data: TimeActivity, bounds: _Bounds, a0: float, t_eff: float, flags: list[str], usual: UsualHalfLife | None
) -> Curve:
    """The curve with uncertainties of T_eff and TIA: the points' own, and the part that they share."""
    sigma, decay, n = data.independent_sigma(), np.exp2(-data.hours / t_eff), len(data.hours)
    own, shared = _variances(data, bounds, a0, t_eff, usual)
    chi2 = float((((a0 * decay - data.mbq) / sigma) ** 2).sum())
    freedom = n - (1 if (LIMITS | {"half_life_assumed"}) & set(flags) else 2)
    poor = freedom > 0 and chi2_distribution.sf(chi2, freedom) < dose_constants().poor_fit_probability
    rising = ["rising"] if poor and "physical_limit" in flags else []
    if not data.has_uncertainty:
        chi2, own, flags = math.nan, np.full(2, math.nan), [*flags, *rising, "no_uncertainty"]
    elif poor:
        own, flags = own * chi2 / freedom, [*flags, "poor_fit", *rising]
    t_eff_u, tia_u = np.sqrt(np.maximum(own, 0.0) + shared**2)  # rounding may leave a variance below zero
    t_eff_u = min(t_eff_u, bounds.longest - bounds.shortest) if data.has_uncertainty else t_eff_u
    before, beyond = 1 - np.exp2(-data.hours.min() / t_eff), np.exp2(-data.hours.max() / t_eff)
    if before + beyond > MOSTLY:
        flags = [*flags, "mostly_extrapolated"]
    return Curve(
        a0_mbq=a0,
        t_eff_h=t_eff,
        t_eff_h_u=float(t_eff_u),
        tia_mbq_h=a0 * t_eff / math.log(2),
        tia_mbq_h_u=float(tia_u),
        extrapolated_fraction=float(beyond),
        before_fraction=float(before),
        points=n,
        chi2=chi2,
        flags=tuple(flags),
    )


def _variances(
    data: TimeActivity, bounds: _Bounds, a0: float, t_eff: float, usual: UsualHalfLife | None
) -> tuple[np.ndarray, np.ndarray]:
    """Of (T_eff, TIA): the variances (2,) by the points' own errors, and the changes (2,) by the error that they share.

    The fit answers a change of the points by d(A0, T_eff) = C J' W dA; the shared part moves all of them together.
    """
    sigma, decay = data.independent_sigma(), np.exp2(-data.hours / t_eff)
    jacobian = np.stack([decay, a0 * decay * math.log(2) * data.hours / t_eff**2], axis=1) / sigma[:, None]
    # a half-life above the usual is not pulled, but its stated uncertainty is no wider than the usual spread
    known = np.diag([0.0, 1 / (t_eff * usual.relative_spread(t_eff)) ** 2]) if usual else np.zeros((2, 2))
    covariance = np.linalg.pinv(jacobian.T @ jacobian + known, hermitian=True)
    gradient, tia = np.array([t_eff, a0]) / math.log(2), a0 * t_eff / math.log(2)
    own = np.array([covariance[1, 1], gradient @ covariance @ gradient])
    if usual or own[0] > (FIRST_ORDER * t_eff) ** 2:
        own[1] = _far_end(data, bounds, tia, usual) ** 2
    moved = covariance @ (jacobian.T / sigma) @ data.common()
    return own, np.array([moved[1], gradient @ moved])


def _far_end(data: TimeActivity, bounds: _Bounds, tia: float, usual: UsualHalfLife | None) -> float:
    """Distance in MBq h of the integral from the farthest one that points and `usual` allow at one standard deviation.

    Where the points hardly bend the curve, a first-order covariance would be a guess. All half-lives and amplitudes
    whose squares are within 1 of the least count, so that no half-life that fits is left out for being unusual.
    """
    sigma, t = data.independent_sigma(), np.geomspace(bounds.shortest, bounds.longest, 141)
    decay = np.exp2(-data.hours / t[:, None])
    deviation = 1 / np.sqrt(((decay / sigma) ** 2).sum(axis=1))
    a0 = np.minimum(deviation**2 * (decay * data.mbq / sigma**2).sum(axis=1), bounds.administered)
    squares = ((a0[:, None] * decay - data.mbq) ** 2 / sigma**2).sum(axis=1)
    squares += usual.below_median(t) ** 2 if usual else 0.0
    left = np.maximum(1 - (squares - squares.min()), 0)  # for the amplitude, which is linear
    a0_u = np.minimum(np.sqrt(left) * deviation, bounds.administered)
    distance = np.abs(a0 * t / math.log(2) - tia) + a0_u * t / math.log(2)
    return float(distance[left > 0].max())


def _single_point(data: TimeActivity, bounds: _Bounds) -> Curve:
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
    weights = amplitude_weights(data, half_life_h) * half_life_h / math.log(2)
    own, common = (weights**2) @ data.independent_sigma() ** 2, weights @ data.common()
    u = math.sqrt(own + common**2) if data.has_uncertainty else math.nan
    last, first = np.exp2(-data.hours.max() / half_life_h), np.exp2(-data.hours.min() / half_life_h)
    return Curve(
        0.0, half_life_h, math.nan, 0.0, u, float(last), float(1 - first), len(data.hours), math.nan, ("no_activity",)
    )
