"""Draws of the activity given one acquisition: from noise to maps that explain the counts.

The noise is taken away along ``dx / d angle = v`` (`learn.denoiser`) with the two-step Adams-Bashforth rule. DDIM's
step goes along the chord of the same curve: with ten steps it narrows even a perfectly learned unit normal to
cos(pi / 20)^10, by 12 %, where this rule keeps it exactly.
"""

import math
from dataclasses import dataclass, field, replace
from itertools import pairwise

import numpy as np
import torch

from planardose.learn.denoiser import Denoiser
from planardose.learn.features import RANGE, Estimate, Example, FeatureMaker
from planardose.learn.network import ResidualMap
from planardose.learn.residual import Scaling
from planardose.recon.acquired import Acquired
from planardose.recon.mlem import LEAST_SENSITIVITY
from planardose.recon.projector import Projector


@dataclass(frozen=True)
class Case:
    """One acquisition as the denoiser sees it, in the patient's box.

    Parameters
    ----------
    channels : (C, I, J, K) float32
        `features.CHANNELS`, and the log ratio of the reference to the base.
    reference : (I, J, K) float32
        The map that the draws scatter around, MBq per voxel.
    truth : (I, J, K) float32 or None
    """

    channels: torch.Tensor = field(repr=False)
    reference: torch.Tensor = field(repr=False)
    truth: torch.Tensor | None = field(default=None, repr=False)


@dataclass(frozen=True)
class Consistency:
    """What binds draws to the counts: one MLEM update of maps in the box, the activity beyond it as it is.

    Parameters
    ----------
    projector : Projector
    acquired : Acquired
        With the scatter to add.
    box : tuple of slice
        Of the draws on the projector's grid.
    beyond : (I, J, K) tensor
        Activity on the whole grid; only what lies outside the box counts.
    """

    projector: Projector = field(repr=False)
    acquired: Acquired = field(repr=False)
    box: tuple[slice, slice, slice]
    beyond: torch.Tensor = field(repr=False)

    def whole(self, maps: torch.Tensor) -> torch.Tensor:
        """Maps of the box (N, i, j, k) on the whole grid (N, I, J, K)."""
        out = self.beyond.expand(len(maps), -1, -1, -1).clone()
        out[(slice(None), *self.box)] = maps
        return out

    def expected(self, maps: torch.Tensor) -> torch.Tensor:
        """Counts (N, 2, I, K) that maps of the box predict."""
        scatter = self.projector.tensor(self.acquired.scatter)
        return self.projector.forward(self.whole(maps)) * self.acquired.exposure_s + scatter

    def factor(self, maps: torch.Tensor) -> torch.Tensor:
        """MLEM's factor (N, i, j, k) for maps of the box; 1 for voxels that the images do not show."""
        expected, of_body = self.expected(maps), self.acquired.of_body
        counts = self.projector.tensor(self.acquired.counts)
        looked_at = torch.ones_like(counts) if of_body is None else self.projector.tensor(of_body)
        ratio = torch.where(expected > 1e-9, counts / expected.clamp_min(1e-9), torch.zeros_like(expected))
        back = self.projector.adjoint(torch.cat([ratio * looked_at, looked_at[None]]))[(slice(None), *self.box)]
        factor = (back[:-1] / back[-1:].clamp_min(1e-12)).clamp_min(0.0)
        return torch.where(back[-1:] > LEAST_SENSITIVITY * back[-1:].max(), factor, torch.ones_like(factor))


def reference_case(example: Example, unet: ResidualMap | None) -> Case:
    """Case of an example: the reference is the U-Net's map, or the base without one."""
    with torch.no_grad():
        base = example.base
        reference = base if unet is None else unet(example.channels[None], base[None])[0]
        least = 1e-6 * base.mean().clamp_min(1e-12)
        change = ((reference + least) / (base + least)).log().clamp(-RANGE, RANGE)
        return Case(torch.cat([example.channels, change[None]]), reference, example.truth)


def consistency_of(maker: FeatureMaker, acquired: Acquired, estimate: Estimate) -> Consistency:
    """What binds draws to an acquisition: scatter and the activity beyond the box are those of the physics estimate."""
    scatter = np.tensordot(estimate.concentrations, maker.responses.scatter, axes=1) * acquired.exposure_s
    bound = replace(maker.looked_at(acquired), scatter=scatter)
    return Consistency(maker.projector, bound, maker.box, maker.projector.tensor(maker.base(estimate)))


def residuals(denoiser: Denoiser, scaling: Scaling, case: Case, noise: torch.Tensor, steps: int) -> torch.Tensor:
    """Residuals (N, I, J, K) drawn from noise (N, I, J, K) in `steps` steps."""
    condition = denoiser.condition(case.channels[None]).expand(len(noise), -1, -1, -1, -1)
    x, before = noise * scaling.body, None
    angles = [math.pi / 2 * (1 - n / steps) for n in range(steps + 1)]
    for angle, following in pairwise(angles):
        velocity = denoiser(x, x.new_full((len(x),), angle), condition) * scaling.body
        slope = velocity if before is None else 1.5 * velocity - 0.5 * before
        x, before = x + (following - angle) * slope, velocity
    return x


def draw_maps(
    denoiser: Denoiser, scaling: Scaling, case: Case, noise: torch.Tensor, steps: int, consistency: Consistency
) -> torch.Tensor:
    """Activity maps (N, I, J, K) in the box, MBq per voxel, each ended by one MLEM update.

    Updates of the clean estimates on the way as well lowered the deviance by a fifth (1.22 to 0.98, six validation
    samples of one phantom, untrained) and raised the mean absolute error by 7 %.
    """
    denoiser.eval()
    with torch.no_grad():
        maps = scaling.activity(residuals(denoiser, scaling, case, noise, steps), case.reference[None])
        return maps * consistency.factor(maps)
