"""Counts beside the body, such as arms that the CT does not show: neither the networks nor the draws mind them."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from planardose.learn.dataset import validation_acquisitions
from planardose.learn.draws import consistency_of


@pytest.fixture(scope="module")
def both(problem):
    """The same acquisition without and with an arm on one side, half as many counts as all else."""
    acquired = problem.acquired(validation_acquisitions(problem.data, problem.root, problem.patient)[0])
    beside = ~problem.maker.of_body
    beside[:, beside.shape[1] // 2 :] = False
    assert beside.any()
    arm = 0.5 * acquired.counts.sum() * beside / beside.sum()
    return acquired, replace(acquired, counts=acquired.counts + arm)


def test_channels_and_base_are_the_same(problem, both):
    maker = problem.maker
    plain, armed = (maker.example(maker.estimate(a)) for a in both)
    assert torch.allclose(plain.base, armed.base, rtol=1e-4)
    assert torch.allclose(plain.channels, armed.channels, atol=1e-3)


def test_draws_end_alike(problem, both):
    maker = problem.maker
    factors = []
    for acquired in both:
        estimate = maker.estimate(acquired)
        factors.append(consistency_of(maker, acquired, estimate).factor(maker.example(estimate).base[None]))
    inside = problem.body > 0
    assert torch.allclose(factors[0][0][inside], factors[1][0][inside], rtol=1e-3)
    assert np.isfinite(factors[1].numpy()).all()
