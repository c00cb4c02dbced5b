"""The residual that the diffusion model draws: log(activity / reference), zero mean and unit variance in each organ."""

from dataclasses import dataclass, field

import torch

from planardose.learn.organ_shares import organ_shares

LARGEST = 4.0  # log ratios are cut at +-: exp(4) = 55
LEAST = 0.3  # of the mean activity in the body: added to both sides; below it errors are rather additive than relative
LEAST_SPREAD = 0.05  # smallest standard deviation of the log ratio


def _least(reference: torch.Tensor, body: torch.Tensor) -> torch.Tensor:
    mean = (reference * body).sum(dim=(1, 2, 3), keepdim=True) / body.sum()
    return (LEAST * mean).clamp_min(1e-20)


def log_ratio(activity: torch.Tensor, reference: torch.Tensor, body: torch.Tensor) -> torch.Tensor:
    """Log ratio (N, I, J, K) of two maps (N, I, J, K) in one unit, cut at +-`LARGEST`; zero outside the body."""
    least = _least(reference, body)
    return ((activity + least) / (reference + least)).log().clamp(-LARGEST, LARGEST) * body


@dataclass(frozen=True)
class Scaling:
    """Mean and standard deviation (I, J, K) of the log ratio, from pooled organs mixed by volume fraction."""

    mean: torch.Tensor = field(repr=False)
    spread: torch.Tensor = field(repr=False)
    body: torch.Tensor = field(repr=False)

    def residual(self, activity: torch.Tensor, reference: torch.Tensor) -> torch.Tensor:
        """Residual (N, I, J, K) of activity maps to their reference maps; zero outside the body."""
        return (log_ratio(activity, reference, self.body) - self.mean) / self.spread * self.body

    def activity(self, residual: torch.Tensor, reference: torch.Tensor) -> torch.Tensor:
        """Activity maps (N, I, J, K) of residuals, nowhere negative: the inverse of `residual` within its cuts."""
        ratio = (self.mean + self.spread * residual).clamp(-LARGEST, LARGEST)
        least = _least(reference, self.body)
        inside = ((reference + least) * ratio.exp() - least).clamp_min(0.0)
        return torch.where(self.body > 0, inside, reference)


def organ_moments(ratios: torch.Tensor, fractions: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Mean and standard deviation (O,) of log ratios (N, I, J, K) in organs of fractions (O, I, J, K)."""
    volumes = fractions.sum(dim=(1, 2, 3)).clamp_min(1e-6)
    mean = torch.tensordot(fractions, ratios.mean(dim=0), dims=3) / volumes
    square = torch.tensordot(fractions, ratios.square().mean(dim=0), dims=3) / volumes
    return mean, (square - mean.square()).clamp_min(LEAST_SPREAD**2).sqrt()


def scaling_of(mean: torch.Tensor, spread: torch.Tensor, fractions: torch.Tensor, body: torch.Tensor) -> Scaling:
    """Maps of organ-wise mean and standard deviation (O,)."""
    share = organ_shares(fractions)
    deviation = torch.tensordot(spread, share, dims=1).clamp_min(LEAST_SPREAD)
    return Scaling(torch.tensordot(mean, share, dims=1), deviation, body)
