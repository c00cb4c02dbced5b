"""The benchmark's network on lifted views: blind to organs, right in its total before it has learnt anything."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from benchmarks.reconstruction.lifted import (
    CHANNELS,
    LiftedDiffusion,
    LiftedMaker,
    in_place_of_the_unet,
    with_moments,
)

from planardose.cohort import Cohort
from planardose.config import parse_config
from planardose.learn import diffusion_infer, infer
from planardose.learn.dataset import validation_acquisitions
from planardose.learn.denoiser import new_denoiser
from planardose.learn.loop import Plan, fit, reproducible
from planardose.learn.network import new_network
from planardose.run import Run


@pytest.fixture(scope="module")
def lifted(problem):
    return replace(problem, makers=(LiftedMaker(problem.maker.projector, problem.maker.model, problem.maker.sources),))


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


def test_its_diffusion_learns_and_draws_around_its_map(lifted, tmp_path):
    network, model = new_network(len(CHANNELS), 4, 1), lifted.maker.model
    with reproducible(1):
        own = LiftedDiffusion(lifted, network)
        denoiser = new_denoiser(len(CHANNELS) + 1, 8, 1)
        plan = Plan(20, 5e-3, 10, "test")
        progress = fit(denoiser, own.batch_of, own.loss_of, own.scores, plan, tmp_path / "checkpoint.pt")
    assert progress.best_loss < progress.rows[0][3]
    run = Run(parse_config({"diffusion": {"draws": 4, "sampling_steps": 3}}), Cohort(()), tmp_path)
    acquired = lifted.acquired(validation_acquisitions(lifted.data, lifted.root, lifted.patient)[0])
    with in_place_of_the_unet(network, with_moments(denoiser, [own])):
        draws = diffusion_infer.diffusion_draws(
            run, "P01", "t24", model, lifted.maker.projector, acquired, lifted.maker.sources
        )
    assert draws.maps.shape == (4, *model.grid.shape)
    assert (draws.maps >= 0).all() and draws.voxel_u[lifted.maker.box].max() > 0
    # the network is untrained, so its map is the even body: draws scatter around that
    even = lifted.maker.estimate(acquired).even
    assert draws.mean.sum() == pytest.approx(even.sum(), rel=0.5)
