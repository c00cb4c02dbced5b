"""The training problem of one patient's diffusion model: noisy residuals of the patient's virtual acquisitions."""

import math
from dataclasses import dataclass, field

import numpy as np
import torch

from planardose.learn.dataset import validation_acquisitions
from planardose.learn.denoiser import Denoiser
from planardose.learn.draws import Case, Consistency, consistency_of, reference_case
from planardose.learn.features import Estimate, FeatureMaker
from planardose.learn.loss import body_mae, body_nrmse
from planardose.learn.network import ResidualMap
from planardose.learn.noise import noise_like
from planardose.learn.problem import VARIANCE_SAMPLES, Problem
from planardose.learn.residual import Scaling, log_ratio, organ_moments, scaling_of
from planardose.recon.acquired import Acquired
from planardose.seeds import rng_for

LEVELS = (1.0, 2 / 3, 1 / 3)  # angles of the validation, over pi/2; the first one scores the mean


@dataclass(frozen=True)
class NoisyBatch:
    """Noisy residuals with their velocities (N, I, J, K), angles (N,) and channels (N, C, I, J, K)."""

    noisy: torch.Tensor = field(repr=False)
    angle: torch.Tensor
    channels: torch.Tensor = field(repr=False)
    velocity: torch.Tensor = field(repr=False)


@dataclass
class DiffusionProblem:
    """What the training of one patient's denoiser lowers, on which data.

    Parameters
    ----------
    problem : Problem
        Acquisitions and their physics estimates.
    unet : ResidualMap or None
        The patient's trained network, whose map is the reference.
    """

    problem: Problem = field(repr=False)
    unet: ResidualMap | None = field(repr=False)

    def __post_init__(self) -> None:
        problem, maker = self.problem, self.problem.maker
        self._cases: dict[int, Case] = {}
        known = [self._case(n) for n in range(VARIANCE_SAMPLES)]
        truth, reference = (torch.stack([getattr(c, k) for c in known]) for k in ("truth", "reference"))
        self.moments = organ_moments(log_ratio(truth, reference, problem.body), maker.fractions)
        self.scaling: Scaling = scaling_of(*self.moments, maker.fractions, problem.body)
        known_residuals = self.scaling.residual(truth, reference)
        rng = rng_for(problem.root, "diffusion noise model", problem.patient)
        self.noise = noise_like(known_residuals, maker.fractions, problem.body, rng)
        self.validation = []
        for n, acquisition in enumerate(validation_acquisitions(problem.data, problem.root, problem.patient)):
            acquired, seen_by = problem.acquired(acquisition), problem.maker_of(n)
            estimate = seen_by.estimate(acquired)
            case = reference_case(seen_by.example(estimate, acquisition.activity), self.unet)
            self.validation.append((case, self.bound(seen_by, acquired, estimate)))

    def bound(self, maker: FeatureMaker, acquired: Acquired, estimate: Estimate) -> Consistency:
        """What binds draws to an acquisition."""
        return consistency_of(maker, acquired, estimate)

    def _case(self, number: int) -> Case:
        if number not in self._cases:
            example = self.problem.example(number)
            for old in [n for n in self._cases if not self.problem.holds(n)]:
                del self._cases[old]
            self._cases[number] = reference_case(example, self.unet)
        return self._cases[number]

    def batch_of(self, step: int) -> NoisyBatch:
        """Training batch of a step: acquisitions of the problem's pool, with fresh angles and noise."""
        problem = self.problem
        rng = rng_for(problem.root, "diffusion noise", problem.patient, step)
        cases = [self._case(n) for n in problem.numbers_of(step)]
        places = (rng.random() + np.arange(len(cases))) / len(cases) % 1.0  # spread over the quarter circle
        return self._noisy(cases, places * (math.pi / 2), rng)

    def _noisy(self, cases: list[Case], angles: np.ndarray, rng: np.random.Generator) -> NoisyBatch:
        tensor, body = self.problem.maker.projector.tensor, self.problem.body
        truth, reference = (torch.stack([getattr(c, k) for c in cases]) for k in ("truth", "reference"))
        clean = self.scaling.residual(truth, reference)
        noise = tensor(np.stack([self.noise.draw(rng) for _ in cases])) * body
        angle = tensor(angles)
        cos, sin = angle.cos().view(-1, 1, 1, 1), angle.sin().view(-1, 1, 1, 1)
        channels = torch.stack([c.channels for c in cases])
        return NoisyBatch(cos * clean + sin * noise, angle, channels, cos * noise - sin * clean)

    def loss_of(self, denoiser: Denoiser, batch: NoisyBatch) -> torch.Tensor:
        """Mean squared error of the velocity over body voxels; about 1 for a network that says zero."""
        found = denoiser(batch.noisy, batch.angle, denoiser.condition(batch.channels))
        squares = (found - batch.velocity).square() * self.problem.body
        return squares.sum() / (self.problem.body.sum() * len(batch.noisy))

    def scores(self, denoiser: Denoiser) -> tuple[float, float, float]:
        """Means over the validation samples of the loss at `LEVELS`, and of body MAE and NRMSE of the mean.

        From pure noise the clean estimate is the mean of the residual given the condition.
        """
        problem, rows = self.problem, []
        denoiser.eval()
        with torch.no_grad():
            for number, (case, _) in enumerate(self.validation):
                rng = rng_for(problem.root, "diffusion validation", problem.patient, number)
                angles = math.pi / 2 * np.array(LEVELS)
                batch = self._noisy([case] * len(LEVELS), angles, rng)
                condition = denoiser.condition(batch.channels[:1]).expand(len(LEVELS), -1, -1, -1, -1)
                found = denoiser(batch.noisy, batch.angle, condition) * problem.body
                squares = (found - batch.velocity).square() * problem.body
                mean = self.scaling.activity(-found[:1], case.reference[None])
                truth = case.truth[None]
                parts = (squares.sum() / (problem.body.sum() * len(LEVELS)), body_mae(mean, truth, problem.body),
                         body_nrmse(mean, truth, problem.body))  # fmt: skip
                rows.append([float(p) for p in parts])
        loss, mae, nrmse = np.mean(rows, axis=0)
        return float(loss), float(mae), float(nrmse)
