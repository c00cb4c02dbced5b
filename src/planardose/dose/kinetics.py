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
    et al., J Nucl Med 2018;59:75), which is the curve with T_eff = t.
    """
    if not data.mbq.any():
        return _empty_curve(data, half_life_h)
    if len(data.hours) == 1:
        return _single_point(data, half_life_h)
    a0, t_eff, flags = _least_squares(data, half_life_h, administered_mbq)
    return _with_uncertainty(data, a0, t_eff, flags)


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


def _least_squares(data: TimeActivity, half_life_h: float, administered_mbq: float) -> tuple[float, float, list[str]]:
    """A0 in MBq, T_eff in h and flags of the weighted, bounded fit."""
    shortest, sigma, scale = dose_constants().shortest_t_eff_h, data.independent_sigma(), float(data.mbq.max())
    start = _log_linear_t_eff(data, shortest, half_life_h)
    parameters = lmfit.Parameters()
    # the rate, not the half-life, is searched: nearly flat curves are then well conditioned
    parameters.add("rate", value=math.log(2) / start, min=decay_constant_per_h(half_life_h), max=math.log(2) / shortest)

    def amplitude(rate: float) -> float:
        return min(float(amplitude_weights(data, math.log(2) / rate) @ data.mbq), administered_mbq)

    def residual(p: lmfit.Parameters) -> np.ndarray:
        rate = p["rate"].value
        return (amplitude(rate) * np.exp(-rate * data.hours) - data.mbq) / sigma

    best = lmfit.minimize(
        residual, parameters, method="least_squares", xtol=1e-12, ftol=1e-14, gtol=1e-14, x_scale=0.01
    )
    t_eff, flags = math.log(2) / best.params["rate"].value, []
    if t_eff > half_life_h * (1 - AT_BOUND):
        t_eff, flags = half_life_h, ["physical_limit"]
    elif t_eff < shortest * (1 + AT_BOUND):
        t_eff, flags = shortest, ["shortest_limit"]
    a0 = amplitude(math.log(2) / t_eff)
    if a0 >= administered_mbq * (1 - 1e-12) and scale > 0:
        flags.append("administered_limit")
    return a0, t_eff, flags


def _log_linear_t_eff(data: TimeActivity, shortest_h: float, longest_h: float) -> float:
    """Closed-form start: half-life of the weighted straight line through ln A, kept inside the bounds."""
    positive = data.mbq > 0
    t, y = data.hours[positive], np.log(data.mbq[positive])
    w = (data.mbq[positive] / data.independent_sigma()[positive]) ** 2
    t_mean, y_mean = (w @ t) / w.sum(), (w @ y) / w.sum()
    spread = w @ (t - t_mean) ** 2
    slope = -(w @ ((t - t_mean) * (y - y_mean))) / spread if spread > 0 else 0.0
    longest, shortest = longest_h * (1 - 2 * AT_BOUND), shortest_h * (1 + 2 * AT_BOUND)
    return float(np.clip(math.log(2) / slope, shortest, longest)) if slope > 0 else longest


def _with_uncertainty(data: TimeActivity, a0: float, t_eff: float, flags: list[str]) -> Curve:
    """The curve with first-order uncertainties from the covariance of (A0, T_eff), and the shared part added."""
    sigma, decay, n = data.independent_sigma(), np.exp2(-data.hours / t_eff), len(data.hours)
    jacobian = np.stack([decay, a0 * decay * math.log(2) * data.hours / t_eff**2], axis=1) / sigma[:, None]
    covariance = np.linalg.pinv(jacobian.T @ jacobian, hermitian=True)
    chi2 = float((((a0 * decay - data.mbq) / sigma) ** 2).sum())
    if not data.has_uncertainty:
        chi2, covariance, flags = math.nan, np.full((2, 2), math.nan), [*flags, "no_uncertainty"]
    elif n > 2 and chi2_distribution.sf(chi2, n - 2) < dose_constants().poor_fit_probability:
        covariance, flags = covariance * chi2 / (n - 2), [*flags, "poor_fit"]
    tia = a0 * t_eff / math.log(2)
    gradient = np.array([t_eff, a0]) / math.log(2)
    common = float(_integral_weights(data, t_eff, tia) @ data.common())
    u_tia = math.sqrt(gradient @ covariance @ gradient + common**2)
    return Curve(
        a0_mbq=a0,
        t_eff_h=t_eff,
        t_eff_h_u=float(np.sqrt(covariance[1, 1])),
        tia_mbq_h=tia,
        tia_mbq_h_u=u_tia,
        extrapolated_fraction=float(np.exp2(-data.hours.max() / t_eff)),
        before_fraction=float(1 - np.exp2(-data.hours.min() / t_eff)),
        points=n,
        chi2=chi2,
        flags=tuple(flags),
    )


def single_point_relative_u(hours: float, half_life_h: float) -> float:
    """Relative uncertainty of Haenscheid's integral from what is not known of the half-life.

    Estimate over truth is r = 2x 2^-x with x = t / T_eff. This is what |1/r - 1| stays below in 68.3 % of the
    log-normal spread of effective half-lives in ``data/dosimetry.yaml``, cut at the physical one: small near t = T_eff
    to 2 T_eff, several hundred per cent for a scan of the first hours. (The rms would be ruled by the shortest
    half-lives.)
    """
    median, spread = dose_constants().single_point_t_eff_h
    z = ndtri((np.arange(1000) + 0.5) / 1000)
    x = hours / np.minimum(median * np.exp(spread * z), half_life_h)
    return float(np.quantile(np.abs(1.0 / (2.0 * x * np.exp2(-x)) - 1.0), 0.683))


def _single_point(data: TimeActivity, half_life_h: float) -> Curve:
    """Haenscheid's integral of one point; what is not known of the half-life adds to the point's own uncertainty."""
    t, a = float(data.hours[0]), float(data.mbq[0])
    tia = a * 2 * t / math.log(2)
    flags = ["single_point"] if data.has_uncertainty else ["single_point", "no_uncertainty"]
    relative = math.hypot(float(data.mbq_u[0]) / a, single_point_relative_u(t, half_life_h))
    return Curve(
        a0_mbq=2 * a,
        t_eff_h=min(t, half_life_h),
        t_eff_h_u=math.nan,
        tia_mbq_h=tia,
        tia_mbq_h_u=relative * tia if data.has_uncertainty else math.nan,
        extrapolated_fraction=0.5,
        before_fraction=0.5,
        points=1,
        chi2=math.nan,
        flags=tuple(flags),
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
