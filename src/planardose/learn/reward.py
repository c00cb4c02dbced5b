"""What reinforcement raises: agreement with the counts, with organ totals and lesions, and plausible sites.

The network is deterministic and the projector differentiable, so that the gradient of the reward is exact and no
policy gradient is needed. A cost is a negative reward; the sum of its terms is what counts.

- counts: the re-projected map against the counts, as the gate measures it. Needs no truth.
- organs: squared relative error of each organ's activity.
- lesions: missing or surplus activity in the voxels of hidden lesions.
- sites: activity added where no lesion can be, beyond what the texture of an organ explains.

Activity in air needs no term: the map is the base times a factor, and the base is zero there.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import torch

from planardose.learn.dataset import Acquisition, training_acquisition, validation_acquisitions
from planardose.learn.features import Example, stack
from planardose.learn.network import ResidualMap
from planardose.learn.organ_shares import organ_shares
from planardose.learn.problem import Problem
from planardose.recon.gate import GATE_ERROR
from planardose.recon.projector import Projector
from planardose.recon.qplanar import FLOOR_COUNTS

HOT = 2.0  # times its base: a voxel of a virtual sample that holds so much is a lesion, or an organ's missed edge
FIRST = 1_000_000  # number of the first acquisition: stage 1 draws those from 0 on
TERMS = ("counts", "organs", "lesions", "sites")


@dataclass(frozen=True)
class Observed:
    """Counts of a batch: measured, explained by the base (N, 2, I, K) on the whole grid, and exposures (N,) in s."""

    counts: torch.Tensor = field(repr=False)
    expected: torch.Tensor = field(repr=False)
    exposure_s: torch.Tensor = field(repr=False)


@dataclass(frozen=True)
class Reward:
    """The terms of one patient.

    Parameters
    ----------
    projector : Projector
    box : tuple of slice
        Of the network's maps in the grid.
    fractions : (O, I, J, K)
        Organ fractions in the box.
    sites : (I, J, K)
        Share of each voxel in organs that can hold hidden lesions.
    """

    projector: Projector = field(repr=False)
    box: tuple[slice, slice, slice]
    fractions: torch.Tensor = field(repr=False)
    sites: torch.Tensor = field(repr=False)

    def terms(self, estimate: torch.Tensor, example: Example, observed: Observed) -> torch.Tensor:
        """Costs (4,) in the order of `TERMS`, means over the batch; `estimate` (N, I, J, K) in MBq per voxel."""
        organs = self._organ_errors(estimate, example.truth)
        found, plausible = self._lesions(estimate, example)
        return torch.stack([self._counts(estimate, example.base, observed), organs, found, plausible])

    def _counts(self, estimate: torch.Tensor, base: torch.Tensor, observed: Observed) -> torch.Tensor:
        """Deviance with the gate's allowance for the model, over that of the base."""
        change = torch.zeros((len(estimate), *self.projector.grid.shape), dtype=estimate.dtype, device=estimate.device)
        change[:, *self.box] = estimate - base
        seen = observed.expected + self.projector.forward(change) * observed.exposure_s[:, None, None, None]
        variance = observed.expected.clamp_min(FLOOR_COUNTS) + (GATE_ERROR * observed.expected) ** 2
        here = observed.expected > FLOOR_COUNTS
        both = ((x - observed.counts).square() / variance * here for x in (seen, observed.expected))
        after, before = (x.sum(dim=(1, 2, 3)) for x in both)
        return (after / before.clamp_min(1e-6)).mean()

    def _organ_errors(self, estimate: torch.Tensor, truth: torch.Tensor) -> torch.Tensor:
        """Mean squared relative error of the organs' activity, in units of (10 %)^2."""
        share = organ_shares(self.fractions)
        found, true = (torch.einsum("oijk,nijk->no", share, m) for m in (estimate, truth))
        present = self.fractions.sum(dim=(1, 2, 3)) > 0
        return (((found - true) / true.clamp_min(1e-12))[:, present] / 0.1).clamp(-5, 5).square().mean()

    def _lesions(self, estimate: torch.Tensor, example: Example) -> tuple[torch.Tensor, torch.Tensor]:
        """Absolute error in hot voxels, and surplus elsewhere outside the sites, each over the excess of hot voxels."""
        excess = (example.truth - HOT * example.base).clamp_min(0.0)
        hot = (excess > 0) * self.sites
        whole = (excess * self.sites).sum(dim=(1, 2, 3)).clamp_min(1e-3 * example.base.sum(dim=(1, 2, 3)))
        missing = ((estimate - example.truth).abs() * hot).sum(dim=(1, 2, 3)) / whole
        most = torch.maximum(HOT * example.base, example.truth)  # what a faulty segmentation missed may be put right
        surplus = ((estimate - most).clamp_min(0.0) * (1 - self.sites)).sum(dim=(1, 2, 3)) / whole
        return missing.clamp_max(5.0).mean(), surplus.clamp_max(5.0).mean()


class Reinforcement:
    """Batches, cost and validation of the reward stage of one patient, for `learn.loop.fit`.

    Parameters
    ----------
    problem : Problem
        Of the first stage; its acquisitions are not used again.
    sites : tuple of str
        Organs that can hold hidden lesions (the tracer's).
    """

    def __init__(self, problem: Problem, sites: tuple[str, ...]):
        self.problem, maker = problem, problem.maker
        plausible = [o in sites for o in maker.model.organs]
        share = maker.fractions[plausible].sum(dim=0) / maker.fractions.sum(dim=0).clamp_min(1e-6)
        self.reward = Reward(maker.projector, maker.box, maker.fractions, share)
        drawn = validation_acquisitions(problem.data, problem.root, problem.patient)
        self.validation = [self.seen([d], [n]) for n, d in enumerate(drawn)]

    def seen(self, drawn: list[Acquisition], numbers: Sequence[int]) -> tuple[Example, Observed]:
        """A batch of acquisitions of these numbers."""
        makers = [self.problem.maker_of(n) for n in numbers]
        estimates = [self.problem.estimate(d, m) for d, m in zip(drawn, makers, strict=True)]
        tensor = self.problem.maker.projector.tensor
        peak = self.problem.data.windows.index(self.problem.nuclide.photopeak)
        observed = Observed(
            torch.stack([tensor(d.counts[:, peak]) for d in drawn]),
            torch.stack([e.expected for e in estimates]),
            tensor(np.array([d.exposure_s for d in drawn])),
        )
        examples = [m.example(e, d.activity) for m, e, d in zip(makers, estimates, drawn, strict=True)]
        return stack(examples), observed

    def batch_of(self, step: int) -> tuple[Example, Observed]:
        """Acquisitions that no stage has seen before."""
        p = self.problem
        numbers = range(FIRST + step * p.batch, FIRST + (step + 1) * p.batch)
        drawn = [training_acquisition(p.data, p.shift_mm, p.root, p.patient, n) for n in numbers]
        return self.seen(drawn, numbers)

    def cost(self, network: ResidualMap, batch: tuple[Example, Observed]) -> torch.Tensor:
        """Sum of the terms: what reinforcement lowers."""
        return self.terms(network, batch).sum()

    def terms(self, network: ResidualMap, batch: tuple[Example, Observed]) -> torch.Tensor:
        """Costs (4,) of a batch."""
        example, observed = batch
        return self.reward.terms(network(example.channels, example.base), example, observed)

    def scores(self, network: ResidualMap) -> tuple[float, float, float]:
        """Cost, body MAE and body NRMSE: means over the validation samples."""
        _, mae, nrmse = self.problem.scores(network)
        with torch.no_grad():
            costs = [float(self.cost(network, b)) for b in self.validation]
        return sum(costs) / len(costs), mae, nrmse
