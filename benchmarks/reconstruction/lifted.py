"""The paper's two networks for comparison: a 3D residual U-Net and a diffusion model on lifted views, blind to organs.

The counts of both views are drawn out along their lines of sight, beside the CT's densities; what the U-Net corrects is
an evenly filled body; the diffusion draws around the U-Net's map, and no counts bind the draws. Virtual data, losses,
optimiser, widths and steps are those of the chain's networks started from scratch, so that only what they see differs.
Lopez-Montes et al. (arXiv 2510.21362) give no sizes; this is their idea, not their code. Organ totals of the U-Net are
put right as the chain does for its own.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from unittest.mock import patch

import numpy as np
import torch
from safetensors.torch import save

from planardose.learn.denoiser import Denoiser, new_denoiser
from planardose.learn.diffusion_infer import Draws
from planardose.learn.diffusion_problem import DiffusionProblem
from planardose.learn.draws import reference_case, residuals
from planardose.learn.features import PSEUDO_COUNTS, Example, FeatureMaker
from planardose.learn.loop import Plan, fit, reproducible
from planardose.learn.network import ResidualMap, new_network
from planardose.learn.problem import Problem
from planardose.learn.speed import training_steps
from planardose.patient_model import PatientModel
from planardose.recon.acquired import Acquired
from planardose.recon.mlem import flat_start
from planardose.recon.projector import Projector
from planardose.run import Run
from planardose.seeds import seed_for
from planardose.steps.train import make_problem

CHANNELS = ("log_anterior", "log_posterior", "log_geometric_mean", "log_sensitivity", "adipose", "soft_tissue", "bone")
DEVICE = "cpu"


@dataclass(frozen=True)
class Lifted:
    """Log counts (3, I, K) of both views and their geometric mean, over the mean; the even body (I, J, K) in MBq."""

    lines: torch.Tensor = field(repr=False)
    even: np.ndarray = field(repr=False)


class LiftedMaker(FeatureMaker):
    """Makes channels in the order of `CHANNELS` and the evenly filled body as base."""

    def estimate(self, acquired: Acquired) -> Lifted:
        """Nothing is fitted but the total."""
        acquired = replace(acquired, of_body=self.of_body)
        counts, of_body = self.projector.tensor(acquired.counts) + PSEUDO_COUNTS, self.projector.tensor(self.of_body)
        logs = (counts / (counts * of_body).sum() * of_body.sum()).log() * of_body
        lines = torch.cat([logs, logs.mean(dim=0, keepdim=True)])
        return Lifted(lines, flat_start(self.projector, self.model, acquired))

    def example(self, estimate: Lifted, truth: np.ndarray | None = None) -> Example:
        """Channels and base in the box; `truth` (I, J, K) on the whole grid in MBq per voxel, where it is known."""
        tensor, (i, j, k) = self.projector.tensor, self.box
        lines = estimate.lines[:, i, None, k].expand(-1, -1, j.stop - j.start, -1)
        channels = torch.cat([lines, self.fixed[:4]])  # sensitivity and densities, without the organs
        return Example(channels, tensor(estimate.even[self.box]), None if truth is None else tensor(truth[self.box]))


def lifted_problem(run: Run, patient: str) -> Problem:
    """The patient's training problem as such a network sees it."""
    own = make_problem(run, patient, DEVICE)
    maker = LiftedMaker(own.maker.projector, own.maker.model, own.maker.sources)
    return Problem(own.data, maker, own.nuclide, own.shift_mm, own.root, own.patient, own.batch)


def train_lifted(run: Run, patient: str) -> ResidualMap:
    """The network, trained as long as the chain's."""
    settings = run.config.train
    with reproducible(settings.threads):
        problem = lifted_problem(run, patient)
        steps = training_steps(settings, DEVICE, problem.body.numel())
        network = new_network(len(CHANNELS), settings.width, seed_for(run.config.seed, "train lifted", patient))
        plan = Plan(steps, settings.learning_rate, settings.checkpoint_every, f"lifted {patient} {steps}")
        checkpoint = run.path("checkpoint", patient=patient)
        fit(network, problem.batch_of, problem.loss_of, problem.scores, plan, checkpoint)
    _keep(network, run.path("weights", patient=patient))
    return network.eval()


def _keep(network: torch.nn.Module, path: Path) -> None:
    """Weights where the step looks for those that a map is made with."""
    path.write_bytes(save({k: v.contiguous() for k, v in network.state_dict().items()}))


class LiftedDiffusion(DiffusionProblem):
    """The diffusion model's training problem around the map of such a U-Net."""

    def bound(self, acquired: Acquired, estimate: Lifted) -> None:
        """Nothing binds the draws."""


@dataclass(frozen=True)
class LiftedDenoiser:
    """A trained diffusion model with what its draws need."""

    denoiser: Denoiser
    problem: LiftedDiffusion


def train_lifted_diffusion(run: Run, patient: str, network: ResidualMap) -> LiftedDenoiser:
    """The diffusion model around the network's map, trained as long as the chain's."""
    settings = run.config.diffusion
    with reproducible(run.config.train.threads):
        problem = LiftedDiffusion(lifted_problem(run, patient), network)
        seed = seed_for(run.config.seed, "diffusion lifted", patient)
        denoiser = new_denoiser(len(CHANNELS) + 1, settings.width, seed)
        train = run.config.train
        plan = Plan(settings.steps, train.learning_rate, train.checkpoint_every, f"lifted diffusion {patient}")
        checkpoint = run.path("diffusion_checkpoint", patient=patient)
        fit(denoiser, problem.batch_of, problem.loss_of, problem.scores, plan, checkpoint)
    _keep(denoiser, run.path("diffusion_weights", patient=patient))
    return LiftedDenoiser(denoiser.eval(), problem)


@contextmanager
def in_place_of_the_unet(network: ResidualMap, diffusion: LiftedDenoiser | None = None) -> Iterator[None]:
    """Step `reconstruct` takes these networks' maps where it would take those of the patient's own."""
    with (
        patch("planardose.learn.infer.unet_map", _maps_of(network)),
        patch("planardose.learn.diffusion_infer.diffusion_draws", _draws_of(network, diffusion)),
    ):
        yield


def _draws_of(network: ResidualMap, diffusion: LiftedDenoiser | None) -> Callable:
    def diffusion_draws(
        run: Run, patient: str, timepoint: str, model: PatientModel, projector: Projector, acquired: Acquired,
        sources: PatientModel,
    ) -> Draws:  # fmt: skip
        settings, problem = run.config.diffusion, diffusion.problem
        with reproducible(run.config.train.threads), torch.no_grad():
            maker = LiftedMaker(projector, model, sources)
            estimate = maker.estimate(acquired)
            case = reference_case(maker.example(estimate), network)
            noise = problem.noise.pairs(run.config.seed, f"lifted draw {timepoint}", patient, settings.draws)
            found = residuals(
                diffusion.denoiser, problem.scaling, case, projector.tensor(noise), settings.sampling_steps
            )
            inside = problem.scaling.activity(found, case.reference[None]).cpu().numpy()
        maps = np.repeat(estimate.even[None].astype(np.float32), len(inside), axis=0)
        maps[(slice(None), *maker.box)] = inside
        return Draws(maps, 1.0, 1.0)

    return diffusion_draws


def _maps_of(network: ResidualMap) -> Callable:
    def unet_map(
        run: Run, patient: str, model: PatientModel, projector: Projector, acquired: Acquired, sources: PatientModel
    ) -> tuple[np.ndarray, dict[str, float]]:
        with reproducible(run.config.train.threads), torch.no_grad():
            maker = LiftedMaker(projector, model, sources)
            estimate = maker.estimate(acquired)
            example = maker.example(estimate)
            inside = network(example.channels[None], example.base[None])[0].cpu().numpy()
        activity = estimate.even.copy()
        activity[maker.box] = inside
        return activity, {}

    return unet_map
