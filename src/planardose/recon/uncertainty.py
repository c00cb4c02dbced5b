"""Standard uncertainty (k = 1) of organ activities, calibrated on validation cohorts.

For an organ with activity A and volume V, in a body of mean concentration c,

    u^2 = (calibration A)^2 + (relative A)^2 + (virtual v A)^2 + bounded + (1 - bounded / fit^2) found,
    fit^2 = counts^2 + (texture spread)^2,  bounded = 1 / (1 / fit^2 + 1 / (limit V c)^2),
    found = 1 / (1 / counting^2 + 1 / A^2).

`counts` is the fit's own standard uncertainty with that of the organ's place, `counting` what counting statistics make
of it, `spread` what uneven uptake does to the total (`texture_error.texture_spread`): all stay above zero for an organ
that was fitted as empty. An organ too small to be seen is bounded by what such a volume can hold, not by the fit. An
organ that holds more than that was seen: as far as its activity goes, counting statistics keep what the bound takes
off them, or a hot organ would be as sure with a hundredth of the counts. v is the relative error that the patient's own
virtual acquisitions show (networks only); it has causes in common with the other terms. `relative`, `texture`, `limit`
and `virtual` belong to a method and a class of organs; they are learnt by ``benchmarks/uncertainty/calibrate.py`` and
stand with their source in ``data/uncertainty.yaml``, and so does `shared`, the part of the variance that all time
points of a patient have in common beside the calibration: anatomy, texture and segmentation are the same each time, so
it does not average down. Counting statistics are another draw at each time point, whatever the class: their variance is
no part of what `shared` divides, and belongs to the time point in full.
"""

from dataclasses import dataclass, field
from functools import cache

import numpy as np
import yaml

from planardose.library import DATA
from planardose.organs import OUTSIDE_CT, REMAINDER, is_lesion
from planardose.patient_model import PatientModel
from planardose.physics.calibration import uncalibrated_relative_u

CALIBRATED = 0.05  # relative, where its own is not told: source activity, counts and positioning
CLASSES = {
    "kidneys": ("kidney_left", "kidney_right"),
    "glands": (
        "parotid_gland_left", "parotid_gland_right", "submandibular_gland_left", "submandibular_gland_right",
    ),
    "liver": ("liver",),
    "spleen, bladder": ("spleen", "urinary_bladder"),
    "bowel, stomach": ("small_bowel", "colon", "stomach"),
    "small": (
        "gallbladder", "pancreas", "adrenal_gland_right", "adrenal_gland_left", "thyroid_gland", "prostate",
    ),
    "large": ("lungs", "skeleton", "blood_pool", "muscle", "brain", REMAINDER, OUTSIDE_CT),
}  # fmt: skip
LESIONS = "lesions"
# Relative, of a focus's activity: its surroundings, size and attenuation. With it 70 and 93 % of the lesions found in
# mismatched validation anatomies lie within 1 and 2 standard uncertainties (benchmarks/foci).
OF_FOCI = 0.08


@dataclass(frozen=True)
class Factors:
    """What validation taught about a class of organs by a method; see the module."""

    relative: float
    texture: float
    limit: float
    virtual: float
    shared: float


@dataclass(frozen=True)
class Terms:
    """What is known of the organs of one acquisition before any calibration, each (O,) float64.

    Parameters
    ----------
    counts_mbq : array
        Standard uncertainty of the organ-wise fit, with that of the organ's place; infinite where the camera sees
        nothing of an organ.
    counting_mbq : array
        The part of `counts_mbq` that counting statistics make; 0 where the camera sees nothing of an organ.
    spread_mbq : array
        `texture_error.texture_spread`.
    holds_mbq : array
        What the organ's volume would hold at the body's mean concentration.
    """

    counts_mbq: np.ndarray = field(repr=False)
    counting_mbq: np.ndarray = field(repr=False)
    spread_mbq: np.ndarray = field(repr=False)
    holds_mbq: np.ndarray = field(repr=False)


@dataclass(frozen=True)
class Uncertainty:
    """Standard uncertainties (O,) MBq, NaN where there is none: in all, and the part of this time point alone."""

    total_mbq: np.ndarray = field(repr=False)
    own_mbq: np.ndarray = field(repr=False)


def class_of(organ: str) -> str:
    """Class of a row of the organ table: a key of `CLASSES`, or `LESIONS`."""
    if is_lesion(organ):
        return LESIONS
    return next(c for c, members in CLASSES.items() if organ in members)


@cache
def factors() -> dict[str, dict[str, Factors]]:
    """Method -> class -> factors of ``data/uncertainty.yaml``; those without their own take another's."""
    read = yaml.safe_load((DATA / "uncertainty.yaml").read_text())
    own = {m: {c: Factors(**values) for c, values in classes.items()} for m, classes in read["methods"].items()}
    return {m: own[other] for m, other in read["as"].items()} | own


def calibration_relative_u(cps_per_mbq: float | None, u: float | None) -> float:
    """Relative uncertainty of the calibration, which all time points share, from the sheet's value and its own."""
    if cps_per_mbq is None:
        return uncalibrated_relative_u()
    return CALIBRATED if u is None else u / cps_per_mbq


def foci_u(mbq: np.ndarray, by_counts: np.ndarray, calibration_u: float) -> np.ndarray:
    """(F,) MBq: standard uncertainty of foci (`recon.focus`): by their counts and place, the calibration, `OF_FOCI`."""
    return np.hypot(by_counts, np.hypot(OF_FOCI, calibration_u) * mbq)


def fit_terms(
    model: PatientModel, counts_mbq: np.ndarray, counting_mbq: np.ndarray, spread_mbq: np.ndarray, total_mbq: float
) -> Terms:
    """Terms of an organ-wise fit; `total_mbq` of all organs together."""
    volumes = model.volumes_ml()
    return Terms(counts_mbq, counting_mbq, spread_mbq, volumes * total_mbq / max(volumes.sum(), 1e-12))


def model_variance(
    activity: np.ndarray,
    terms: Terms,
    virtual: np.ndarray,
    relative: np.ndarray,
    texture: np.ndarray,
    limit: np.ndarray,
) -> np.ndarray:
    """(O,) MBq^2: all of u^2 but the calibration, for factors per organ (O,) and `virtual` (O,), the factor times v."""
    fit = _fit_variance(terms, texture)
    bounded = _together(fit, (limit * terms.holds_mbq) ** 2)
    return (relative**2 + virtual**2) * activity**2 + bounded + _given_back(activity, terms, fit, bounded)


def counting_variance(activity: np.ndarray, terms: Terms, texture: np.ndarray, limit: np.ndarray) -> np.ndarray:
    """(O,) MBq^2: what counting statistics make of `model_variance`."""
    fit = _fit_variance(terms, texture)
    bounded = _together(fit, (limit * terms.holds_mbq) ** 2)
    return terms.counting_mbq**2 * _kept(fit, bounded) + _given_back(activity, terms, fit, bounded)


def _fit_variance(terms: Terms, texture: np.ndarray) -> np.ndarray:
    return terms.counts_mbq**2 + (texture * terms.spread_mbq) ** 2


def _kept(fit: np.ndarray, bounded: np.ndarray) -> np.ndarray:
    """Share of the fit's variance that the bound leaves; 0 where the camera sees nothing."""
    return np.divide(bounded, fit, out=np.zeros_like(fit), where=np.isfinite(fit) & (fit > 0))


def _given_back(activity: np.ndarray, terms: Terms, fit: np.ndarray, bounded: np.ndarray) -> np.ndarray:
    """What the bound takes off the counting statistics of an organ that holds activity."""
    return (1.0 - _kept(fit, bounded)) * _together(terms.counting_mbq**2, np.square(activity, dtype=np.float64))


def _together(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Variance of what two variances bound; 0 where one of them is."""
    with np.errstate(divide="ignore"):
        return 1.0 / (1.0 / one + 1.0 / other)


def standard_uncertainty(
    method: str, model: PatientModel, activity: np.ndarray, terms: Terms, virtual: np.ndarray, calibration_u: float
) -> Uncertainty:
    """Uncertainty of the organ rows (O,) of a method; none for a method that `factors` does not have.

    Parameters
    ----------
    method : str
    model : PatientModel
    activity : (O,) float
        MBq.
    terms : Terms
    virtual : (O,) float
        Relative error of the method on the patient's virtual acquisitions, 0 where there is none.
    calibration_u : float
        Relative, of `calibration_relative_u`.
    """
    if method not in factors():
        return Uncertainty(*np.full((2, len(activity)), np.nan))
    own = [factors()[method][class_of(o)] for o in model.organs]
    columns = (np.array([getattr(f, k) for f in own]) for k in Factors.__dataclass_fields__)
    relative, texture, limit, weight, shared = columns
    variance = model_variance(activity, terms, weight * virtual, relative, texture, limit)
    total = np.sqrt(variance + (calibration_u * activity) ** 2)
    counting = counting_variance(activity, terms, texture, limit)
    alone = np.sqrt(np.maximum((1.0 - shared) * (variance - counting), 0.0) + counting)  # rounding may go below zero
    there = np.isfinite(total) & (total > 0)
    return Uncertainty(np.where(there, total, np.nan), np.where(there, alone, np.nan))
