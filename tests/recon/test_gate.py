"""The gate: about 1 where the map is right, large where an organ's counts are missing; the decision that follows."""

import numpy as np
import pytest

from planardose.recon.gate import GATE_ERROR, Gate, check
from planardose.steps.reconstruct import decision

UPTAKE = np.array([0.15, 0.70, 0.65, 0.20, 0.02])


def test_right_and_wrong_maps(model, projector):
    responses = projector.organ_responses(model.fractions).total * 30.0
    expected = np.tensordot(UPTAKE, responses, axes=1)
    rng = np.random.default_rng(1)
    counts = rng.poisson(expected * (1 + GATE_ERROR * rng.standard_normal(expected.shape)).clip(0)).astype(float)
    right = check(model, counts, expected, 6.0)
    assert right.passed
    assert right.deviance == pytest.approx(1.0, abs=0.25)
    assert np.shape(right.strips) == (2, 8)
    missing = expected - 0.9 * UPTAKE[1] * responses[1]
    wrong = check(model, counts, missing, 6.0)
    assert not wrong.passed
    assert min(wrong.organs["kidney_right"]) > 20
    assert max(wrong.organs["spleen"]) < 10


def test_ten_percent_of_a_cells_counts_are_the_allowed_error(model):
    """Where there are counts enough that their noise does not matter."""
    expected = np.full((2, *model.grid.shape[::2]), 1e6)
    for off, deviance in ((0.1, 1.0), (0.2, 4.0)):
        assert check(model, (1 + off) * expected, expected, 6.0).deviance == pytest.approx(deviance, rel=1e-3)


def test_a_fault_in_one_strip_fails_its_limit_and_shows_in_its_place(model):
    """Counts 35 % off in two of 15 slices at the feet, in the posterior view: little of the whole body."""
    expected = np.full((2, *model.grid.shape[::2]), 1e6)
    counts = expected.copy()
    counts[1, :, :2] *= 1.35
    within, limited = (check(model, counts, expected, 6.0, strip_limit) for strip_limit in (np.inf, 6.0))
    assert within.deviance < 2.0 and within.passed and not limited.passed
    posterior = within.strips[1]
    assert posterior[0] == pytest.approx(3.5**2, rel=1e-3)  # the first strip is the lowest
    assert [*within.strips[0], *posterior[1:]] == pytest.approx([0.0] * 15)
    assert check(model, expected, expected, 6.0, 6.0).passed


def gate(passed):
    return Gate(1.0, [], {}, passed, 1.0)


@pytest.mark.parametrize(
    ("unet", "mlem", "reason", "chosen", "status", "accepted"),
    [
        (True, True, None, "unet", "ok", None),
        (False, True, None, "qplanar_mlem", "fallback", None),
        (False, False, "seen by the physicist", "unet", "ok", "seen by the physicist"),
        (True, True, "seen by the physicist", "unet", "ok", None),
    ],
)
def test_decision(unet, mlem, reason, chosen, status, accepted):
    got = decision({"unet": gate(unet), "qplanar_mlem": gate(mlem)}, "unet", reason)
    assert got == {"chosen": chosen, "status": status, "accepted": accepted}


def test_a_failed_fallback_is_told():
    assert decision({"qplanar_mlem": gate(False)}, "qplanar_mlem", None)["status"] == "fallback"
