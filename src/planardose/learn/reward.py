"""What reinforcement raises: agreement with the counts, with organ totals and lesions, and plausible sites.

The network is deterministic and the projector differentiable, so that the gradient of the reward is exact and no
policy gradient is needed. A cost is a negative reward; each term is 0 when perfect and about 1 for the base.

- counts: the re-projected map against the counts, as the gate measures it. Needs no truth.
- organs: squared relative error of each organ's activity.
- lesions: missing or surplus activity in the voxels of hidden lesions.
- sites: activity added where no lesion can be, beyond what the texture of an organ explains.

Activity in air needs no term: the map is the base times a factor, and the base is zero there.
"""

from dataclasses import dataclass, field

import torch

from planardose.learn.features import Example
from planardose.learn.network import ResidualMap
from planardose.recon.gate import GATE_ERROR
from planardose.recon.projector import Projector
from planardose.recon.qplanar import FLOOR_COUNTS

HOT = 2.0  # times its base: a voxel of a virtual sample that holds so much is a lesion
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
        squares = [((x - observed.counts).square() / variance * here).sum(dim=(1, 2, 3)) for x in (seen, observed.expected)]
        return (squares[0] / squares[1].clamp_min(1e-6)).mean()

    def _organ_errors(self, estimate: torch.Tensor, truth: torch.Tensor) -> torch.Tensor:
        """Mean squared relative error of the organs' activity, in units of (10 %)^2."""
        share = self.fractions / self.fractions.sum(dim=0).clamp_min(1e-6)
        found, true = (torch.einsum("oijk,nijk->no", share, m) for m in (estimate, truth))
        present = self.fractions.sum(dim=(1, 2, 3)) > 0
        return (((found - true) / true.clamp_min(1e-12))[:, present] / 0.1).clamp(-5, 5).square().mean()

    def _lesions(self, estimate: torch.Tensor, example: Example) -> tuple[torch.Tensor, torch.Tensor]:
        """Absolute error in hot voxels, and surplus elsewhere outside the sites, each over the excess of hot voxels."""
        excess = (example.truth - HOT * example.base).clamp_min(0.0)
        hot = (excess > 0) * self.sites
        whole = (excess * self.sites).sum(dim=(1, 2, 3)).clamp_min(1e-3 * example.base.sum(dim=(1, 2, 3)))
        missing = ((estimate - example.truth).abs() * hot).sum(dim=(1, 2, 3)) / whole
        surplus = ((estimate - HOT * example.base).clamp_min(0.0) * (1 - self.sites)).sum(dim=(1, 2, 3)) / whole
        return missing.clamp_max(5.0).mean(), surplus.clamp_max(5.0).mean()


def cost(reward: Reward, network: ResidualMap, example: Example, observed: Observed) -> torch.Tensor:
    """Sum of the terms for a batch: what reinforcement lowers."""
    return reward.terms(network(example.channels, example.base), example, observed).sum()
