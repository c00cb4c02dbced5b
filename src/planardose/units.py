"""Unit conversions (exact SI definitions) and time helpers.

The package works in mm, keV, s, MBq, Gy; hours only where a name ends in ``_h``.
"""

import math
from datetime import datetime

JOULE_PER_KEV = 1.602176634e-16  # exact since the SI of 2019: elementary charge x 1000 V
SECONDS_PER_HOUR = 3600.0
HOURS_PER_DAY = 24.0
MM3_PER_ML = 1000.0
BQ_PER_MBQ = 1e6
MBQ_PER_KBQ = 1e-3
FWHM_PER_SIGMA = 2.0 * math.sqrt(2.0 * math.log(2.0))  # of a Gaussian


def hours_between(start: datetime, end: datetime) -> float:
    """Hours from `start` to `end` (negative when `end` is earlier)."""
    return (end - start).total_seconds() / SECONDS_PER_HOUR


def decay_constant_per_h(half_life_h: float) -> float:
    """Decay constant in 1/h of a half-life in hours."""
    return math.log(2.0) / half_life_h


def sphere_radius_mm(volume_ml: float) -> float:
    """Radius in mm of a sphere of `volume_ml`."""
    return (3.0 * volume_ml * MM3_PER_ML / (4.0 * math.pi)) ** (1.0 / 3.0)


def rounded(value: float) -> float:
    """Six significant digits: for numbers in files that people read and that must not differ by a last bit."""
    return float(f"{value:.6g}")


def rounded_all(found: dict) -> dict:
    """The dict with every number that has a fraction `rounded`, those of inner dicts too."""
    inner = {k: rounded_all(v) if isinstance(v, dict) else v for k, v in found.items()}
    return {k: rounded(v) if isinstance(v, float) else v for k, v in inner.items()}
