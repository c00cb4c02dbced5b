"""Words and numbers as the pages show them."""

import math

METHOD_NAMES = {
    "conjugate_view": "Conjugate view",
    "qplanar": "QPlanar",
    "qplanar_mlem": "QPlanar + MLEM",
    "mlem": "MLEM, two views",
    "unet": "U-Net",
    "diffusion": "Diffusion",
}
KEY_ORGANS = ("kidney", "parotid", "submandibular", "liver", "spleen", "lesion")  # starts of names, in reading order
GATE_PILLS = {
    "passed": ("good", "gate passed"),
    "accepted": ("warn", "gate accepted by hand"),
    "failed": ("bad", "gate failed"),
}
EMPTY = "–"
HARD = "\u00a0"  # no-break space
THIN = "\u202f"  # narrow no-break space
RAISED = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")


def organ_name(source: str) -> str:
    """``Kidney, left`` for ``kidney_left``; ``Lesion 3`` for ``lesion_3``."""
    for side in ("left", "right"):
        if source.endswith(f"_{side}"):
            return f"{source.removesuffix(f'_{side}').replace('_', ' ').capitalize()}, {side}"
    return source.replace("_", " ").capitalize().replace("ct", "CT")


def method_name(method: str) -> str:
    return METHOD_NAMES.get(method, method)


def organ_order(source: str) -> tuple:
    """Sort key: the organs that limit the therapy first, then the lesions, `remainder` and `outside_ct` last."""
    last = {"remainder": 1, "outside_ct": 2}.get(source, 0)
    rank = next((n for n, start in enumerate(KEY_ORGANS) if source.startswith(start)), len(KEY_ORGANS))
    number = int(source.removeprefix("lesion_")) if source.startswith("lesion_") else 0
    return last, rank, number, source


def is_key(source: str) -> bool:
    return source.startswith(KEY_ORGANS)


def missing(value) -> bool:
    return value is None or (isinstance(value, float) and not math.isfinite(value))


def number(value, digits: int = 3) -> str:
    """`digits` significant digits, as ``9.43·10⁻⁷`` below 0.001 and above some million."""
    if missing(value):
        return EMPTY
    if value == 0:
        return "0"
    places = digits - 1 - math.floor(math.log10(abs(value)))
    if not -6 < places < digits + 3:
        mantissa, power = f"{value:.{digits - 1}e}".split("e")
        return f"{mantissa}·10{str(int(power)).translate(RAISED)}"
    return f"{round(value, places):,.{max(places, 0)}f}".replace(",", THIN)


def with_u(value, u) -> str:
    """``4.16 ± 0.78``, ``14 600 ± 2 300``: `_like_u` of both."""
    if missing(value):
        return EMPTY
    if missing(u) or u <= 0:
        return number(value)
    return f"{_like_u(value, u)} ±{HARD}{_like_u(u, u)}"


def _like_u(value, u) -> str:
    """The value to the second digit of its standard uncertainty `u`; three digits where there is none."""
    if missing(value):
        return EMPTY
    if missing(u) or u <= 0:
        return number(value)
    places = 1 - int(f"{u:.1e}".partition("e")[2])  # of u as rounded: 0.0997 has those of 0.10
    return f"{round(value, places):z,.{max(places, 0)}f}".replace(",", THIN)


def interval(low, high, u) -> str:
    """``2.77 to 4.30``: both ends to the second digit of the standard uncertainty `u`."""
    return EMPTY if missing(low) or missing(high) else f"{_like_u(low, u)}{HARD}to {_like_u(high, u)}"


def per_gbq(dose_gy, u_gy, dose_gy_per_gbq) -> str:
    """A dose per administered activity, to the second digit of the dose's uncertainty."""
    known = not missing(u_gy) and dose_gy
    return _like_u(dose_gy_per_gbq, u_gy * dose_gy_per_gbq / dose_gy if known else None)


def percent(fraction, digits: int = 0) -> str:
    """``12 %`` for 0.12; ``< 1 %`` for less than half of one."""
    if missing(fraction):
        return EMPTY
    if 0 < fraction < 0.005 and digits == 0:
        return "< 1 %"
    return f"{100 * fraction:z.{digits}f} %"


def hours(value) -> str:
    return f"{value:.1f}{HARD}h" if value < 100 else f"{value:.0f}{HARD}h"
