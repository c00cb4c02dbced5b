"""How far the draws' spread falls short of their error, on the validation samples of one patient."""

from dataclasses import dataclass, field

import torch

from planardose.learn.denoiser import Denoiser
from planardose.learn.diffusion_problem import DiffusionProblem
from planardose.learn.draws import draw_maps

DRAWS = 4  # per validation sample, in two pairs


@dataclass(frozen=True)
class Calibration:
    """Squared errors of the mean of draws beside the squared spread of the draws, relative to each sample.

    Parameters
    ----------
    organ_error, organ_variance : (S, O) float64 tensor
        Of the organ totals, over the true ones; NaN for an organ without activity.
    voxel_error, voxel_variance : (S,) float64 tensor
        Means over the body, over the squared mean true activity.
    """

    organ_error: torch.Tensor = field(repr=False)
    organ_variance: torch.Tensor = field(repr=False)
    voxel_error: torch.Tensor = field(repr=False)
    voxel_variance: torch.Tensor = field(repr=False)

    @property
    def organ_scale(self) -> float:
        """Root of the median over organs of mean squared error over mean variance: every organ counts once."""
        ratios = self.organ_error.mean(dim=0) / self.organ_variance.mean(dim=0)
        return _short(float(ratios[torch.isfinite(ratios)].median().sqrt()))

    @property
    def voxel_scale(self) -> float:
        """Root of mean squared error over mean variance of all voxels and samples."""
        return _short(float((self.voxel_error.mean() / self.voxel_variance.mean()).sqrt()))

    def told(self) -> dict[str, float]:
        """For the reader."""
        return {
            "samples": len(self.voxel_error),
            "draws": DRAWS,
            "organ_scale": self.organ_scale,
            "voxel_scale": self.voxel_scale,
        }


def _short(value: float) -> float:
    return float(f"{value:.6g}")


def calibrated(denoiser: Denoiser, problem: DiffusionProblem, steps: int) -> Calibration:
    """Draw every validation sample and compare errors with spreads."""
    p, rows = problem.problem, []
    share = (p.maker.fractions / p.maker.fractions.sum(dim=0).clamp_min(1e-6)).double()
    for number, (case, consistency) in enumerate(problem.validation):
        noise = problem.noise.pairs(p.root, f"diffusion calibration {number}", p.patient, DRAWS)
        noise = p.maker.projector.tensor(noise)
        maps = draw_maps(denoiser, problem.scaling, case, noise, steps, consistency).double()
        truth = case.truth.double()
        totals, true = (torch.einsum("oijk,...ijk->...o", share, m) for m in (maps, truth))
        level = (truth * p.body).sum() / p.body.sum()
        voxel = [((m * p.body).sum() / p.body.sum() / level.square()) for m in
                 ((maps.mean(dim=0) - truth).square(), maps.var(dim=0, correction=0))]  # fmt: skip
        organ = [(totals.mean(dim=0) - true).square() / true.square(), totals.var(dim=0, correction=0) / true.square()]
        rows.append((*organ, *voxel))
    return Calibration(*(torch.stack(column).cpu() for column in zip(*rows, strict=True)))
