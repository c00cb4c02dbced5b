"""The benchmark's network of several anatomies: takes them in turn, scores their mean."""


import numpy as np
import torch
from benchmarks.reconstruction.generic import Mixed

from planardose.learn.features import CHANNELS
from planardose.learn.loop import Plan, fit
from planardose.learn.network import new_network


def test_a_mixed_problem_takes_its_anatomies_in_turn(problem):
    mixed = Mixed([problem, problem])
    for step, own in ((0, 0), (1, 0), (2, 1)):
        assert torch.equal(mixed.batch_of(step)[1].base, problem.batch_of(own).base)
    network = new_network(len(CHANNELS), 4, 1)
    batch = mixed.batch_of(1)
    assert float(mixed.loss_of(network, batch).detach()) == float(problem.loss_of(network, batch[1]).detach())
    assert mixed.scores(network) == problem.scores(network)
    assert mixed.organ_relative_u(network).keys() == problem.organ_relative_u(network).keys()


def test_a_mixed_problem_trains(problem, tmp_path):
    network = new_network(len(CHANNELS), 4, 1)
    mixed, plan = Mixed([problem, problem]), Plan(4, 2e-3, 2, "test")
    progress = fit(network, mixed.batch_of, mixed.loss_of, mixed.scores, plan, tmp_path / "checkpoint.pt")
    assert [row[0] for row in progress.rows] == [0, 2, 4]
    assert np.isfinite(progress.best_loss) and progress.rows[-1][3] != progress.rows[0][3]
