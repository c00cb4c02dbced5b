"""Images that show only a part of the CT: what they do not show tells the networks and the draws nothing."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from planardose.learn.dataset import validation_acquisitions
from planardose.learn.draws import consistency_of
from planardose.learn.features import CHANNELS

LINES = [n for n, name in enumerate(CHANNELS) if name.startswith(("log_ratio", "misfit"))]
CUTS = {"static": (0, 9), "top missing": (0, 12), "bottom missing": (2, 14)}  # slices shown, of 14 of 20 mm


@pytest.fixture(scope="module")
def whole(problem):
    acquired = problem.acquired(validation_acquisitions(problem.data, problem.root, problem.patient)[0])
    return replace(acquired, of_body=problem.maker.of_body)


@pytest.fixture(scope="module", params=CUTS)
def shown(whole, request):
    """(K,) bool: slices in the images."""
    first, end = CUTS[request.param]
    return (np.arange(whole.counts.shape[2]) >= first) & (np.arange(whole.counts.shape[2]) < end)


@pytest.fixture(scope="module")
def part(whole, shown):
    """The same images, cut."""
    return replace(whole, counts=whole.counts * shown, of_body=whole.of_body & shown)


def factor(maker, acquired):
    estimate = maker.estimate(acquired)
    return consistency_of(maker, acquired, estimate).factor(maker.example(estimate).base[None])[0]


def test_images_of_all_of_the_ct_give_the_same_bits(problem, whole):
    """Training acquisitions tell of no cells; they and real images of all of the CT are the same to the network."""
    maker, untold = problem.maker, replace(whole, of_body=None)
    one, other = (maker.example(maker.estimate(a)) for a in (whole, untold))
    assert torch.equal(one.channels, other.channels) and torch.equal(one.base, other.base)
    assert torch.equal(factor(maker, whole), factor(maker, untold))


def test_what_is_not_shown_is_as_expected(problem, whole, part, shown):
    maker, hidden = problem.maker, ~shown[problem.maker.box[2]]
    full, cut = (maker.example(maker.estimate(a)) for a in (whole, part))
    assert full.channels[LINES][..., hidden].abs().max() > 0.1
    assert not cut.channels[LINES][..., hidden].any()
    in_body = full.base > 0
    assert (cut.base[in_body] / full.base[in_body] - 1).abs().max() < 0.2  # zeros would draw it down


def test_draws_keep_what_is_not_shown(problem, part, shown):
    kept, body, hidden = factor(problem.maker, part), problem.body > 0, ~shown[problem.maker.box[2]]
    unseen = kept[..., hidden][body[..., hidden]]
    assert unseen.min() > 0.6 and unseen.max() < 2.5  # zeros gave less than 0.001; blur shows some of the edge
    assert abs(unseen.mean() - 1) < 0.25
    assert abs(kept[body].mean() - 1) < 0.1
