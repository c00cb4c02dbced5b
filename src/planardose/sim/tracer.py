"""Uptake priors of a tracer (``data/tracers/*.yaml``) and the retention curves they imply."""

from dataclasses import dataclass, replace

import numpy as np

from planardose.errors import InputError
from planardose.library import read_entry
from planardose.organs import OUTSIDE_CT, REMAINDER, is_lesion, sources
from planardose.units import decay_constant_per_h

KEYS = {"source", "reference_h", "groups", "lesions", "texture"}


@dataclass(frozen=True)
class Prior:
    """Prior of one group of organs; see ``177Lu-PSMA-617.yaml`` for the meaning of the fields.

    Pairs are (median, spread) of log-normal distributions, spread being the standard deviation of the logarithm;
    `fast` is (fraction, half-life in h).
    """

    name: str
    organs: tuple[str, ...]
    kbq_ml_per_mbq: tuple[float, float]
    biological_h: tuple[float, float]
    fast: tuple[float, float] = (0.0, 1.0)
    uptake_h: float = 0.0
    correlation: float = 0.0

    def __post_init__(self) -> None:
        positive = (self.kbq_ml_per_mbq[0], self.biological_h[0], self.fast[1])
        not_negative = (self.kbq_ml_per_mbq[1], self.biological_h[1], self.uptake_h)
        if not all(0 < x < np.inf for x in positive) or not all(0 <= x < np.inf for x in not_negative):
            raise ValueError(f"{self.name}: medians and half-lives must be positive, spreads and uptake_h not negative")
        if not (0 <= self.fast[0] < 1 and 0 <= self.correlation <= 1):
            raise ValueError(f"{self.name}: fast fraction in [0, 1) and correlation in [0, 1]")

    def curve(self, biological_h: float, half_life_h: float) -> tuple[np.ndarray, np.ndarray]:
        """Retention as a sum of exponentials, decay included: (amplitudes (E,), rates (E,) per h), not normalised.

        ((1 - f) 2^(-t/T_slow) + f 2^(-t/T_fast)) (1 - 2^(-t/T_uptake)) 2^(-t/T_physical).
        """
        decay = decay_constant_per_h(half_life_h)
        amplitudes = np.array([1 - self.fast[0], self.fast[0]])
        rates = np.array([decay_constant_per_h(biological_h), decay_constant_per_h(self.fast[1])]) + decay
        if self.uptake_h > 0:
            amplitudes = np.concatenate([amplitudes, -amplitudes])
            rates = np.concatenate([rates, rates + decay_constant_per_h(self.uptake_h)])
        return amplitudes, rates


@dataclass(frozen=True)
class HiddenLesions:
    """How lesions that nobody segmented are drawn: Poisson number, log-normal volume, site by probability."""

    mean_number: float
    volume_ml: tuple[float, float]
    volume_range_ml: tuple[float, float]
    sites: dict[str, float]


@dataclass(frozen=True)
class Texture:
    """Uniform ranges: coefficient of variation, correlation length (mm), medulla to cortex, fat to lean tissue."""

    cv: tuple[float, float]
    length_mm: tuple[float, float]
    medulla: tuple[float, float]
    fat: tuple[float, float]


@dataclass(frozen=True)
class Tracer:
    """All priors of a tracer at `reference_h` hours after the injection."""

    name: str
    reference_h: float
    groups: tuple[Prior, ...]
    lesions: Prior
    hidden: HiddenLesions
    texture: Texture
    source: str

    def prior_of(self, organ: str) -> Prior:
        """Prior of an organ of the model; lesions share one, one in no group takes that of `remainder`, alone."""
        if is_lesion(organ):
            return self.lesions
        of_organ = {o: g for g in self.groups for o in g.organs}
        return of_organ[organ] if organ in of_organ else replace(of_organ[REMAINDER], name=organ, organs=(organ,))


def exponentials_at(amplitudes: np.ndarray, rates: np.ndarray, hours) -> np.ndarray:
    """Sum of exponentials, amplitudes (N,) and rates (N,) per h, at `hours` of any shape: the same shape and unit."""
    return (amplitudes * np.exp(-np.multiply.outer(hours, rates))).sum(axis=-1)


def _prior(name: str, d: dict) -> Prior:
    unknown = set(d) - {"organs", "kbq_ml_per_mbq", "biological_h", "fast", "uptake_h", "correlation"}
    if unknown:
        raise ValueError(f"{name}: unknown key {sorted(unknown)[0]}")
    pair = {k: (float(d[k][0]), float(d[k][1])) for k in ("kbq_ml_per_mbq", "biological_h", "fast") if k in d}
    number = {k: float(d[k]) for k in ("uptake_h", "correlation") if k in d}
    return Prior(name, tuple(d.get("organs", ())), **pair, **number)


def _check(tracer: Tracer) -> Tracer:
    known = {*sources(), REMAINDER, OUTSIDE_CT}
    named = [o for g in tracer.groups for o in g.organs]
    for organ in (*named, *tracer.hidden.sites):
        if organ not in known:
            raise ValueError(f"unknown organ '{organ}'")
    if len(set(named)) != len(named):
        raise ValueError(f"'{next(o for o in named if named.count(o) > 1)}' stands in two groups")
    if REMAINDER not in named:
        raise ValueError(f"no group holds '{REMAINDER}'")
    if not 0 < tracer.reference_h < np.inf:
        raise ValueError("reference_h must be above 0")
    for key, (low, high) in vars(tracer.texture).items():
        if not 0 <= low <= high < np.inf:
            raise ValueError(f"texture.{key} must be [low, high], not negative")
    low, high = tracer.hidden.volume_range_ml
    if not 0 < low < high or min(tracer.hidden.sites.values(), default=0) <= 0 or tracer.hidden.mean_number < 0:
        raise ValueError("lesions.hidden: volumes, sites and number must be positive")
    return tracer


def load_tracer(name: str) -> Tracer:
    """Tracer of the catalogue; a faulty file raises `InputError` that names the key."""
    d = read_entry("tracers", name)
    try:
        if unknown := sorted(str(k) for k in set(d) - KEYS):
            raise ValueError(f"unknown key {unknown[0]}")
        hidden, texture = d["lesions"]["hidden"], d["texture"]
        return _check(
            Tracer(
                name=name,
                source=str(d["source"]),
                reference_h=float(d["reference_h"]),
                groups=tuple(_prior(k, g) for k, g in d["groups"].items()),
                lesions=_prior("lesions", d["lesions"]["known"]),
                hidden=HiddenLesions(
                    float(hidden["mean_number"]),
                    tuple(map(float, hidden["volume_ml"])),
                    tuple(map(float, hidden["volume_range_ml"])),
                    {k: float(v) for k, v in hidden["sites"].items()},
                ),
                texture=Texture(*(tuple(map(float, texture[k])) for k in ("cv", "length_mm", "medulla", "fat"))),
            )
        )
    except (KeyError, TypeError, ValueError, IndexError, AttributeError) as fault:
        raise InputError(
            f"tracer file {name}.yaml", f"{type(fault).__name__}: {fault}", "the keys of 177Lu-PSMA-617.yaml"
        ) from None
