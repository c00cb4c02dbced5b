"""Mono-exponential time-activity curves and their integrals, with uncertainty.

The curve is A(t) = A0 2^(-t / T_eff) from injection to infinity. That is the whole model: uptake is taken as complete
at injection, and the tail follows the last half-life. Two bounds hold it to what is physically possible: T_eff does
not exceed the nuclide's half-life (an organ cannot clear less than nothing) and A0 not the administered activity.
"""

import math
from dataclasses import dataclass

import lmfit
import numpy as np
from scipy.special import ndtri
from scipy.stats import chi2 as chi2_distribution

from planardose.dose.constants import dose_constants
from planardose.dose.time_activity import TimeActivity
from planardose.units import decay_constant_per_h

STARTS = 50  # half-lives among which the fit starts at the best
VISIBLE = 1.5  # own uncertainties above zero: two points beyond that make a half-life
MOSTLY = 0.5  # of the integral outside the points: flagged
AT_BOUND = 1e-3  # relative distance at which the optimiser (an interior-point method) is taken to have reached a bound


@dataclass(frozen=True)
class Curve:
    """A fitted curve and its integral. Uncertainties are NaN where there is none; `flags` are keys of
    `flags.FLAGS`."""

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

    Two points determine it exactly (within the bounds); one point gives Haenscheid's TIA = A(t) 2t / ln 2 (Haenscheid
    et al., J Nucl Med 2018;59:75), which is the curve with T_eff = t. Where the points tell less of the half-life than
    is known of organs in general (``usual_t_eff_h`` in ``data/dosimetry.yaml``), that knowledge enters the fit.
    """
    if not data.mbq.any():
        return _empty_curve(data, half_life_h)
    if len(data.hours) == 1:
        return _single_point(data, half_life_h, administered_mbq)
    curve = _fitted(data, half_life_h, administered_mbq, usual=None)
    usual = dose_constants().usual_t_eff_h
    visible = np.count_nonzero(data.mbq > VISIBLE * data.independent_sigma())
    undetermined = visible < 2 or curve.t_eff_h_u > usual[1] * curve.t_eff_h
    return _fitted(data, half_life_h, administered_mbq, usual) if data.has_uncertainty and undetermined else curve


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


def _fitted(
    data: TimeActivity, half_life_h: float, administered_mbq: float, usual: tuple[float, float] | None
) -> Curve:
    """The weighted, bounded fit; `usual` is (median h, standard deviation of the logarithm) of half-lives, or None."""
    a0, t_eff, flags = _least_squares(data, half_life_h, administered_mbq, usual)
    return _with_uncertainty(data, a0, t_eff, [*flags, *(["half_life_assumed"] if usual else [])], usual)


def _least_squares(
    data: TimeActivity, half_life_h: float, administered_mbq: float, usual: tuple[float, float] | None
) -> tuple[float, float, list[str]]:
    """A0 in MBq, T_eff in h and flags."""
    sigma = data.independent_sigma()
    fastest, slowest = math.log(2) / dose_constants().shortest_t_eff_h, decay_constant_per_h(half_life_h)

    def amplitude(rate: float) -> float:
        return min(float(amplitude_weights(data, math.log(2) / rate) @ data.mbq), administered_mbq)

    def residual(rate: float) -> np.ndarray:
        points = (amplitude(rate) * np.exp(-rate * data.hours) - data.mbq) / sigma
        return np.append(points, math.log(math.log(2) / rate / usual[0]) / usual[1]) if usual else points

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
    if a0 >= administered_mbq * (1 - 1e-12):
        flags.append("administered_limit")
    return a0, math.log(2) / rate, flags


def _with_uncertainty(
    data: TimeActivity, a0: float, t_eff: float, flags: list[str], usual: tuple[float, float] | None
) -> Curve:
    """The curve with uncertainties of T_eff and TIA: the points' own, and the part that they share.

    The fit answers a change of the points by d(A0, T_eff) = C J' W dA; the shared part moves all of them together.
    """
    sigma, decay, n = data.independent_sigma(), np.exp2(-data.hours / t_eff), len(data.hours)
    jacobian = np.stack([decay, a0 * decay * math.log(2) * data.hours / t_eff**2], axis=1) / sigma[:, None]
    known = np.diag([0.0, 1 / (t_eff * usual[1]) ** 2]) if usual else np.zeros((2, 2))
    covariance = np.linalg.pinv(jacobian.T @ jacobian + known, hermitian=True)
    gradient, tia = np.array([t_eff, a0]) / math.log(2), a0 * t_eff / math.log(2)
    own = np.array([covariance[1, 1], gradient @ covariance @ gradient])  # variances of T_eff and TIA
    if usual:
        own = _variances_over_half_lives(data, t_eff, tia, usual)
    moved = covariance @ (jacobian.T / sigma) @ data.common()
    shared = np.array([moved[1], gradient @ moved])
    chi2 = float((((a0 * decay - data.mbq) / sigma) ** 2).sum())
    freedom = n - (1 if {"physical_limit", "shortest_limit", "half_life_assumed"} & set(flags) else 2)
    if not data.has_uncertainty:
        chi2, own, flags = math.nan, np.full(2, math.nan), [*flags, "no_uncertainty"]
    elif freedom and chi2_distribution.sf(chi2, freedom) < dose_constants().poor_fit_probability:
        rising = ["rising"] if "physical_limit" in flags else []
        own, flags = own * chi2 / freedom, [*flags, "poor_fit", *rising]
    t_eff_u, tia_u = np.sqrt(np.maximum(own, 0.0) + shared**2)  # rounding may leave a variance below zero
    before, beyond = 1 - np.exp2(-data.hours.min() / t_eff), np.exp2(-data.hours.max() / t_eff)
    if before + beyond > MOSTLY:
        flags = [*flags, "mostly_extrapolated"]
    return Curve(
        a0_mbq=a0,
        t_eff_h=t_eff,
        t_eff_h_u=float(t_eff_u),
        tia_mbq_h=tia,
        tia_mbq_h_u=float(tia_u),
        extrapolated_fraction=float(beyond),
        before_fraction=float(before),
        points=n,
        chi2=chi2,
        flags=tuple(flags),
    )


def _variances_over_half_lives(
    data: TimeActivity, t_eff: float, tia: float, usual: tuple[float, float]
) -> np.ndarray:
    """Mean squared distances of T_eff and TIA from the fit's, over the half-lives that points and `usual` allow.

    The points hardly bend the curve: a first-order covariance would be a guess. For each half-life the amplitude is a
    linear fit with a normal error; half-lives are weighted by their likelihood, with that error integrated out.
    """
    sigma = data.independent_sigma()
    t = usual[0] * np.exp(usual[1] * np.linspace(-3.5, 3.5, 141))
    decay = np.exp2(-data.hours / t[:, None])
    variance = 1 / ((decay / sigma) ** 2).sum(axis=1)
    a0 = variance * (decay * data.mbq / sigma**2).sum(axis=1)
    squares = ((a0[:, None] * decay - data.mbq) ** 2 / sigma**2).sum(axis=1) + (np.log(t / usual[0]) / usual[1]) ** 2
    weight = np.sqrt(variance) * np.exp(-0.5 * (squares - squares.min()))
    weight /= weight.sum()
    off = a0 * t / math.log(2) - tia
    return np.array([weight @ (t - t_eff) ** 2, weight @ (variance * (t / math.log(2)) ** 2 + off**2)])


def single_point_relative_u(hours: float, half_life_h: float) -> float:
    """Relative uncertainty of the one-point integral from what is not known of the half-life.

    The integral by a half-life T is A 2^(t / T) T / ln 2. This is what |truth / estimate - 1| stays below in 68.3 % of
    the log-normal spread of effective half-lives in ``data/dosimetry.yaml``, cut at the physical one: small near
    t = T_eff to 2 T_eff, several hundred per cent for a scan of the first hours or after many half-lives. (The rms
    would be ruled by the shortest half-lives.)
    """
    median, spread = dose_constants().usual_t_eff_h
    z = ndtri((np.arange(1000) + 0.5) / 1000)
    true, taken = np.minimum(median * np.exp(spread * z), half_life_h), min(hours, half_life_h)
    ratio = np.exp2(hours / true - hours / taken) * true / taken
    return float(np.quantile(np.abs(ratio - 1.0), 0.683))


def _single_point(data: TimeActivity, half_life_h: float, administered_mbq: float) -> Curve:
    """Haenscheid's integral of one point; what is not known of the half-life adds to the point's own uncertainty.

    After one physical half-life, where T_eff = t cannot be, the curve decays physically.
    """
    t, a = float(data.hours[0]), float(data.mbq[0])
    t_eff = min(t, half_life_h)
    a0 = min(a * 2 ** (t / t_eff), administered_mbq)
    tia = a0 * t_eff / math.log(2)
    relative = math.hypot(float(data.mbq_u[0]) / a, single_point_relative_u(t, half_life_h))
    found = {
        "administered_limit": a0 == administered_mbq, "single_point": True, "no_uncertainty": not data.has_uncertainty,
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
