"""What the injection before left behind: it is seen again in a cycle's points, and so counted in both curves."""

from dataclasses import replace

from planardose.dose.constants import dose_constants
from planardose.dose.curve import Curve

FLAG = "earlier_cycle"


def residue_mbq_h(before: Curve, gap_h: float) -> float:
    """Integral of a curve, MBq h, from the next injection on, `gap_h` hours after its own."""
    return before.after(gap_h)


def residue_share(curve: Curve, before: Curve | None, gap_h: float) -> float:
    """Share of a curve's integral that the cycle `before` left, and holds too; 0 where there is neither.

    The curve of the cycle before holds what the cycles before it left, as its points do.
    """
    return residue_mbq_h(before, gap_h) / curve.tia_mbq_h if before is not None and curve.tia_mbq_h > 0 else 0.0


def flagged(curve: Curve, before: Curve | None, gap_h: float) -> Curve:
    """The curve, flagged where what the cycle `before` left is too large a part of its integral."""
    share = residue_share(curve, before, gap_h)
    return replace(curve, flags=(*curve.flags, FLAG)) if share > dose_constants().residue_flagged else curve
