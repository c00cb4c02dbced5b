"""The benchmark's network on lifted views: blind to organs, right in its total before it has learnt anything."""

import sys
from pathlib import Path

import numpy as np
import pytest
import torch

sys.path.insert(0, str(Path(__file__).parents[2]))  # the benchmarks stand beside the package

from benchmarks.reconstruction.lifted import CHANNELS, LiftedMaker, in_place_of_the_unet

from planardose.cohort import Cohort
from planardose.config import parse_config
from planardose.learn import infer
from planardose.learn.dataset import validation_acquisitions
from planardose.learn.loop import Plan, fit, reproducible
from planardose.learn.network import new_network
from planardose.learn.problem import Problem
from planardose.run import Run


@pytest.fixture(scope="module")
def lifted(problem):
    maker = LiftedMaker(problem.maker.projector, problem.maker.model, problem.maker.sources)
    return Problem(problem.data, maker, problem.nuclide, problem.shift_mm, problem.root, problem.patient, problem.batch)


def test_channels_are_the_views_drawn_out_along_y(lifted):
    example = lifted.example(0)
    assert example.channels.shape[0] == len(CHANNELS)
    views = example.channels[:3]
    assert torch.equal(views, views[:, :, :1].expand_as(views))
    assert torch.allclose(views[2], views[:2].mean(dim=0))


def test_base_is_even_and_knows_no_organ(lifted):
    body = lifted.body > 0
    base = lifted.example(0).base[body]
    assert float(base.std() / base.mean()) < 1e-5


def test_it_learns_and_takes_the_place_of_the_patients_network(lifted, tmp_path):
    network = new_network(len(CHANNELS), 4, 1)
    with reproducible(1):
        plan = Plan(30, 5e-3, 15, "test")
        progress = fit(network, lifted.batch_of, lifted.loss_of, lifted.scores, plan, tmp_path / "checkpoint.pt")
    assert progress.best_loss < 0.9 * progress.rows[0][3]
    before, model = infer.unet_map, lifted.maker.model
    run = Run(parse_config({}), Cohort(()), tmp_path)
    with in_place_of_the_unet(network):
        acquired = lifted.acquired(validation_acquisitions(lifted.data, lifted.root, lifted.patient)[0])
        activity, u = infer.unet_map(run, "P01", model, lifted.maker.projector, acquired, lifted.maker.sources)
    assert infer.unet_map is before and u == {}
    inside = np.zeros(model.grid.shape, bool)
    inside[lifted.maker.box] = True
    even = lifted.maker.estimate(acquired).even
    assert np.array_equal(activity[~inside], even[~inside]) and not np.allclose(activity[inside], even[inside])
