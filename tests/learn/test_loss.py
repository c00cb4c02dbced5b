import math

import pytest
import torch

from planardose.learn.loss import L1_SHARE, LINEAR_FROM, body_mae, body_nrmse, loss, relative_errors, variance_map

BODY = torch.tensor([1.0, 1.0, 0.0]).reshape(3, 1, 1)
TRUTH = torch.tensor([1.0, 3.0, 5.0]).reshape(1, 3, 1, 1)  # mean in the body 2
ESTIMATE = torch.tensor([2.0, 1.0, 9.0]).reshape(1, 3, 1, 1)  # relative errors 0.5, -1, outside


def test_relative_errors_by_hand():
    assert relative_errors(ESTIMATE, TRUTH, BODY).flatten().tolist() == [0.5, -1.0, 0.0]


def test_scores_by_hand():
    assert float(body_mae(ESTIMATE, TRUTH, BODY)) == pytest.approx(0.75)
    assert float(body_nrmse(ESTIMATE, TRUTH, BODY)) == pytest.approx(math.sqrt((0.25 + 1) / 2))


def test_loss_by_hand():
    variance = torch.tensor([0.25, 4.0, 1.0]).reshape(3, 1, 1)  # z = 1, -0.5
    d = LINEAR_FROM
    squares = [2 * d * d * (math.sqrt(1 + (z / d) ** 2) - 1) for z in (1.0, 0.5)]
    expected = (sum(squares) + L1_SHARE * 1.5) / 2
    assert float(loss(ESTIMATE, TRUTH, BODY, variance)) == pytest.approx(expected, rel=1e-6)
    assert float(loss(TRUTH, TRUTH, BODY, variance)) == 0.0


def test_loss_is_the_mean_over_a_batch_and_knows_no_scale():
    variance = torch.ones(3, 1, 1)
    one = float(loss(ESTIMATE, TRUTH, BODY, variance))
    both = loss(torch.cat([ESTIMATE, 7 * ESTIMATE]), torch.cat([TRUTH, 7 * TRUTH]), BODY, variance)
    assert float(both) == pytest.approx(one, rel=1e-6)


def test_variance_is_pooled_within_organs():
    errors = torch.tensor([[1.0, 3.0, 0.0], [1.0, 1.0, 0.0]]).reshape(2, 3, 1, 1)
    fractions = torch.tensor([[1.0, 1.0, 0.0], [0.0, 0.0, 1.0]]).reshape(2, 3, 1, 1)
    assert variance_map(errors, fractions).flatten().tolist() == pytest.approx([3.0, 3.0, 0.05**2])
    # a voxel half in air counts half for its organ, and has all of its organ's variance
    errors = torch.cat([errors, torch.full((2, 1, 1, 1), 2.0)], dim=1)
    fractions = torch.cat([fractions, torch.tensor([0.5, 0.0]).reshape(2, 1, 1, 1)], dim=1)
    assert variance_map(errors, fractions).flatten().tolist() == pytest.approx([3.2, 3.2, 0.05**2, 3.2])
