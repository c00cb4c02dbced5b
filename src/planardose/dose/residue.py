"""What the injection before left behind: it is seen again in a cycle's points, and so counted in both curves."""

from dataclasses import replace

from planardose.dose.constants import dose_constants
from planardose.dose.curve import Curve

FLAG = "earlier_cycle"


def residue_mbq_h(before: Curve, gap_h: float) -> float:
    """Integral of a curve, MBq h, from the next injection on, `gap_h` hours after its own."""
    return before.after(gap_h)


def flagged(curve: Curve, before: Curve | None, gap_h: float) -> Curve:
    """The curve, flagged where what the cycle `before` left is too large a part of its integral.

    The curve of the cycle before holds what the cycles before it left, as its points do.
    """
    if before is None or curve.tia_mbq_h <= 0:
        return curve
    share = residue_mbq_h(before, gap_h) / curve.tia_mbq_h
    return replace(curve, flags=(*curve.flags, FLAG)) if share > dose_constants().residue_flagged else curve
