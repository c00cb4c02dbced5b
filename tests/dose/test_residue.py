"""What a cycle left behind for the next one."""

import numpy as np
import pytest

from planardose.dose.kinetics import fit_curve
from planardose.dose.residue import flagged, residue_mbq_h, residue_share
from planardose.dose.time_activity import TimeActivity

HOURS = np.array([4.0, 24.0, 72.0, 168.0])


def curve(a0, t_eff, left=0.0):
    mbq = (a0 + left) * 2 ** (-HOURS / t_eff)
    return fit_curve(TimeActivity(HOURS, mbq, 0.02 * mbq), 159.528, 7400.0)


@pytest.mark.parametrize(("days", "more"), [(7, 0.31), (14, 0.097), (42, 0.001)])
def test_what_was_left_is_counted_again_and_flagged_above_two_per_cent(days, more):
    before, gap_h = curve(90.0, 100.0), 24.0 * days
    after = curve(90.0, 100.0, left=90.0 * 2 ** (-gap_h / 100.0))
    assert after.tia_mbq_h / before.tia_mbq_h - 1 == pytest.approx(more, abs=0.003)
    assert residue_mbq_h(before, gap_h) == pytest.approx(after.tia_mbq_h - before.tia_mbq_h, rel=1e-6)
    assert residue_share(after, before, gap_h) == pytest.approx(more / (1 + more), abs=0.003)
    assert ("earlier_cycle" in flagged(after, before, gap_h).flags) == (more > 0.02)


def test_nothing_before_and_nothing_found_are_not_flagged():
    empty = fit_curve(TimeActivity(HOURS, np.zeros(4), np.ones(4)), 159.528, 7400.0)
    for one, before in ((curve(90.0, 100.0), None), (curve(90.0, 100.0), empty), (empty, curve(90.0, 100.0))):
        assert flagged(one, before, 24.0) == one and residue_share(one, before, 24.0) == 0.0
