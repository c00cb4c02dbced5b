"""How far the draws' spread falls short of their error, on the validation samples of one patient."""

from dataclasses import dataclass, field

import torch

from planardose.learn.denoiser import Denoiser
from planardose.learn.diffusion_problem import DiffusionProblem
from planardose.learn.draws import draw_maps
from planardose.units import rounded

HELD = 0.90  # share of voxels that the calibrated 90 % interval holds
HALF_WIDTH = 1.645  # of that interval, standard deviations of a normal


@dataclass(frozen=True)
class Calibration:
    """Errors of the mean of draws beside the spread of the draws.

    Organ totals are the likelihood's (`steps.estimates`), and so are their intervals.

    Parameters
    ----------
    voxel_ratio : (S, V) tensor
        Absolute error over spread of the body's voxels.
    """

    voxel_ratio: torch.Tensor = field(repr=False)

    @property
    def voxel_scale(self) -> float:
        """The factor with which `HALF_WIDTH` spreads hold `HELD` of the voxels.

        Root mean squares would follow the few voxels of hidden lesions and make all other intervals too wide.
        """
        ordered = self.voxel_ratio.flatten().sort().values
        return rounded(float(ordered[int(HELD * (len(ordered) - 1))]) / HALF_WIDTH)

    def told(self) -> dict[str, float]:
        """For the reader."""
        return {"samples": len(self.voxel_ratio), "voxel_scale": self.voxel_scale}


def calibrated(denoiser: Denoiser, problem: DiffusionProblem, draws: int, steps: int) -> Calibration:
    """Draw every validation sample as often as an acquisition, and compare errors with spreads."""
    p, rows = problem.problem, []
    for number, (case, consistency) in enumerate(problem.validation):
        noise = problem.noise.pairs(p.root, f"diffusion calibration {number}", p.patient, draws)
        noise = p.maker.projector.tensor(noise)
        maps = draw_maps(denoiser, problem.scaling, case, noise, steps, consistency).double()
        spread = maps.std(dim=0, correction=0).clamp_min(1e-12)
        rows.append(((maps.mean(dim=0) - case.truth.double()).abs() / spread)[p.body > 0])
    return Calibration(torch.stack(rows).cpu())
