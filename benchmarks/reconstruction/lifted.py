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
from benchmarks.reconstruction.generic import Mixed
from safetensors.torch import save

from planardose.learn.denoiser import Denoiser, new_denoiser
from planardose.learn.device import products_of
from planardose.learn.diffusion_infer import Draws
from planardose.learn.diffusion_problem import DiffusionProblem
from planardose.learn.draws import Case, reference_case, residuals
from planardose.learn.features import PSEUDO_COUNTS, Example, FeatureMaker
from planardose.learn.loop import Plan, fit, reproducible
from planardose.learn.network import ResidualMap, new_network
from planardose.learn.noise import NoiseModel
from planardose.learn.organ_shares import organ_shares
from planardose.learn.patient_problem import make_problem
from planardose.learn.problem import Problem
from planardose.learn.residual import scaling_of
from planardose.learn.speed import training_steps
from planardose.patient_model import PatientModel
from planardose.recon.acquired import Acquired
from planardose.recon.mlem import flat_start
from planardose.recon.projector import Projector
from planardose.run import Run
from planardose.seeds import seed_for

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
    return replace(own, makers=(LiftedMaker(own.maker.projector, own.maker.model, own.maker.sources),))


def train_lifted(run: Run, patient: str) -> ResidualMap:
    """The network, trained as long as the chain's."""
    with reproducible(run.config.train.threads):
        problem = lifted_problem(run, patient)
        seed = seed_for(run.config.seed, "train lifted", patient)
        network = fitted(run, problem, problem.body.numel(), seed, patient, run.path("checkpoint", patient=patient))
    _keep(network, run.path("weights", patient=patient))
    return network


def fitted(run: Run, problem: Problem | Mixed, voxels: int, seed: int, name: str, checkpoint: Path) -> ResidualMap:
    """A network of `name` with the chain's steps and settings."""
    settings = run.config.train
    steps = training_steps(settings, DEVICE, voxels)
    network = new_network(len(CHANNELS), settings.width, seed)
    network.products = products_of(settings.precision, DEVICE)
    plan = Plan(steps, settings.learning_rate, settings.checkpoint_every, f"lifted {name} {seed} {steps}")
    fit(network, problem.batch_of, problem.loss_of, problem.scores, plan, checkpoint)
    return network.eval()


def _keep(network: torch.nn.Module, path: Path) -> None:
    """Weights where the step looks for those that a map is made with."""
    path.write_bytes(save({k: v.contiguous() for k, v in network.state_dict().items()}))


class LiftedDiffusion(DiffusionProblem):
    """The diffusion model's training problem around the map of such a U-Net."""

    def bound(self, maker: LiftedMaker, acquired: Acquired, estimate: Lifted) -> None:
        """Nothing binds the draws."""


@dataclass(frozen=True)
class LiftedDenoiser:
    """A trained diffusion model with what its draws need.

    Parameters
    ----------
    denoiser : Denoiser
    organs : dict
        Organ -> mean and standard deviation of the log ratio, share of the variance that the whole organ has in common.
    smoothing : float
        Of the noise, voxels.
    """

    denoiser: Denoiser
    organs: dict[str, tuple[float, float, float]]
    smoothing: float

    def draws(self, maker: LiftedMaker, case: Case, key: tuple[int, str, str], draws: int, steps: int) -> np.ndarray:
        """Maps (N, I, J, K) in the maker's box, MBq per voxel."""
        usual = tuple(np.mean(list(self.organs.values()), axis=0))  # for an organ that no training anatomy has
        values = np.array([self.organs.get(o, usual) for o in maker.model.organs])
        tensor = maker.projector.tensor
        body = tensor(maker.model.body[maker.box].astype(np.float32))
        scaling = scaling_of(tensor(values[:, 0]), tensor(values[:, 1]), maker.fractions, body)
        noise = NoiseModel(self.smoothing, values[:, 2], organ_shares(maker.fractions).cpu().numpy()).pairs(*key, draws)
        found = residuals(self.denoiser, scaling, case, tensor(noise), steps)
        return scaling.activity(found, case.reference[None]).cpu().numpy()


def with_moments(denoiser: Denoiser, problems: list[LiftedDiffusion]) -> LiftedDenoiser:
    """The denoiser with the means over its training anatomies of what their organs' residuals are like."""
    found: dict[str, list[tuple[float, float, float]]] = {}
    for own in problems:
        columns = zip(*(m.tolist() for m in own.moments), own.noise.common.tolist(), strict=True)
        for organ, row in zip(own.problem.maker.model.organs, columns, strict=True):
            found.setdefault(organ, []).append(row)
    organs = {organ: tuple(np.mean(rows, axis=0).tolist()) for organ, rows in found.items()}
    return LiftedDenoiser(denoiser, organs, float(np.mean([own.noise.smoothing for own in problems])))


def train_lifted_diffusion(run: Run, patient: str, network: ResidualMap) -> LiftedDenoiser:
    """The diffusion model around the network's map, trained as long as the chain's."""
    with reproducible(run.config.train.threads):
        problem = LiftedDiffusion(lifted_problem(run, patient), network)
        seed = seed_for(run.config.seed, "diffusion lifted", patient)
        denoiser = fitted_denoiser(run, problem, seed, patient, run.path("diffusion_checkpoint", patient=patient))
    _keep(denoiser, run.path("diffusion_weights", patient=patient))
    return with_moments(denoiser, [problem])


def fitted_denoiser(run: Run, problem: Problem | Mixed, seed: int, name: str, checkpoint: Path) -> Denoiser:
    """A diffusion model of `name` with the chain's steps and settings."""
    settings, train = run.config.diffusion, run.config.train
    denoiser = new_denoiser(len(CHANNELS) + 1, settings.width, seed)
    denoiser.products = products_of(train.precision, DEVICE)
    plan = Plan(settings.steps, train.learning_rate, train.checkpoint_every, f"lifted diffusion {name} {seed}")
    fit(denoiser, problem.batch_of, problem.loss_of, problem.scores, plan, checkpoint)
    return denoiser.eval()


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
        settings = run.config.diffusion
        with reproducible(run.config.train.threads), torch.no_grad():
            maker = LiftedMaker(projector, model, sources)
            estimate = maker.estimate(acquired)
            case = reference_case(maker.example(estimate), network)
            key = (run.config.seed, f"lifted draw {timepoint}", patient)
            inside = diffusion.draws(maker, case, key, settings.draws, settings.sampling_steps)
        maps = np.repeat(estimate.even[None].astype(np.float32), len(inside), axis=0)
        maps[(slice(None), *maker.box)] = inside
        return Draws(maps, 1.0)

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
