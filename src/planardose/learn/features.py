"""What the network sees: the physics estimate and where it disagrees with the data. Virtual and real data alike.

The base is QPlanar's map. It fixes the scale: all channels are relative, so that activity, exposure and the camera's
sensitivity cancel.
"""

from dataclasses import dataclass, field, replace

import numpy as np
import torch

from planardose.image import box_of
from planardose.patient_model import PatientModel
from planardose.recon.acquired import Acquired
from planardose.recon.mlem import mlem
from planardose.recon.projector import Projector
from planardose.recon.qplanar import qplanar, with_modelled_scatter

CHANNELS = (
    "log_base",  # over the mean in the body
    "log_mlem",  # MLEM over the base
    "log_ratio_anterior",  # data over model, along the lines of sight
    "log_ratio_posterior",
    "misfit_anterior",  # (data - model) / standard deviation
    "misfit_posterior",
    "log_sensitivity",  # anterior over posterior
    "adipose",  # g/mL
    "soft_tissue",
    "bone",
    "skeleton",  # fraction of the voxel
    "remainder",
)
PSEUDO_COUNTS = 5.0  # added to data and model before the ratio: no ratio from noise where there are no counts
RANGE = 5.0  # channels are cut at +- this
MLEM_ITERATIONS = 2  # from the base: sharper, but it also fits noise and misalignment


@dataclass(frozen=True)
class Example:
    """Input and target of the network in the patient's box; a batch of N has a first axis N.

    Parameters
    ----------
    channels : (C, I, J, K) float32
        In the order of `CHANNELS`.
    base : (I, J, K) float32
        The physics estimate, MBq per voxel.
    truth : (I, J, K) float32 or None
        MBq per voxel; None for real data.
    """

    channels: torch.Tensor = field(repr=False)
    base: torch.Tensor = field(repr=False)
    truth: torch.Tensor | None = field(default=None, repr=False)


def stack(examples: list[Example]) -> Example:
    """A batch of examples that all have their truth."""
    return Example(*(torch.stack([getattr(e, name) for e in examples]) for name in ("channels", "base", "truth")))


@dataclass(frozen=True)
class Estimate:
    """The physics estimates of one acquisition, and where they disagree with the data.

    Parameters
    ----------
    concentrations : (O,) float64
        QPlanar's, MBq/mL, of every source: the base is the sum of their shapes.
    mlem : (I, J, K) float32 tensor
        MLEM from there, in the box, MBq per voxel.
    lines : (4, I, K) float32 tensor
        Log ratio and misfit of both views to the base.
    expected : (2, I, K) float32 tensor
        Counts that the base explains, scatter included.
    """

    concentrations: np.ndarray
    mlem: torch.Tensor = field(repr=False)
    lines: torch.Tensor = field(repr=False)
    expected: torch.Tensor = field(repr=False)


def _body_box(model: PatientModel) -> tuple[slice, slice, slice]:
    """The smallest box of voxels around the body inside the CT: the network works there."""
    k = model.ct_slices
    i, j, inside = box_of(model.fractions[..., k].sum(axis=0))
    return i, j, slice(inside.start + k.start, inside.stop + k.start)


def _cut(x: torch.Tensor) -> torch.Tensor:
    return x.clamp(-RANGE, RANGE)


class FeatureMaker:
    """Makes the network's input of one patient from acquisitions.

    Parameters
    ----------
    projector : Projector
        Of the acquisition's camera and head distances.
    model : PatientModel
    sources : PatientModel
        What QPlanar fits: `recon.tissues.by_tissue`, with the texture and foci of a prior image where there is one.
    """

    def __init__(self, projector: Projector, model: PatientModel, sources: PatientModel):
        self.projector, self.model, self.sources = projector, model, sources
        self.box, self.of_body = _body_box(model), projector.of_body(model)
        self.responses = projector.organ_responses(self.sources.fractions)
        self.shapes = projector.tensor(self.sources.fractions[:, *self.box])
        self.fractions = projector.tensor(model.fractions[:, *self.box])
        skeleton, remainder = (self._organ(name) for name in ("skeleton", "remainder"))
        views = np.ones((2, model.grid.shape[0], model.grid.shape[2]))
        sensitivity = projector.adjoint_per_view(projector.tensor(views))[:, *self.box].clamp_min(1e-12)
        toward = _cut((sensitivity[0] / sensitivity[1]).log()) * (self.fractions.sum(dim=0) > 0)
        self.fixed = torch.stack([toward, *projector.tensor(model.partial_density[:, *self.box]), skeleton, remainder])

    def _organ(self, name: str) -> torch.Tensor:
        return self.fractions[[o == name for o in self.model.organs]].sum(dim=0)

    def looked_at(self, acquired: Acquired) -> Acquired:
        """The acquisition with the cells that count: those with body in sight, among those that the images show."""
        shown = self.of_body if acquired.of_body is None else self.of_body & acquired.of_body
        return replace(acquired, of_body=shown)

    def estimate(self, acquired: Acquired) -> Estimate:
        """QPlanar, MLEM, and the base's disagreement with the data; none where the images show nothing."""
        tensor, acquired = self.projector.tensor, self.looked_at(acquired)
        fit = qplanar(self.projector, self.sources, acquired, self.responses)
        with torch.no_grad():
            modelled = with_modelled_scatter(acquired, fit, self.responses)
            refined = tensor(mlem(self.projector, modelled, fit.map(self.sources), MLEM_ITERATIONS)[self.box])
            counts, expected = tensor(acquired.counts), tensor(fit.expected)
            ratio = ((counts + PSEUDO_COUNTS) / (expected + PSEUDO_COUNTS)).log()
            misfit = (counts - expected) / (expected + PSEUDO_COUNTS).sqrt()
            lines = _cut(torch.cat([ratio, misfit])) * tensor(np.concatenate([acquired.of_body] * 2))
            return Estimate(fit.concentrations, refined, lines, expected)

    def base(self, estimate: Estimate) -> np.ndarray:
        """(I, J, K) float64 MBq per voxel: the base on the whole grid."""
        shapes = self.sources.fractions.astype(np.float64)
        return np.tensordot(estimate.concentrations * self.model.grid.voxel_ml, shapes, axes=1)

    def example(self, estimate: Estimate, truth: np.ndarray | None = None) -> Example:
        """Channels and base in the box; `truth` (I, J, K) on the whole grid in MBq per voxel, where it is known."""
        tensor, (i, _, k) = self.projector.tensor, self.box
        base = torch.tensordot(tensor(estimate.concentrations * self.model.grid.voxel_ml), self.shapes, dims=1)
        mean = (base.sum() / (base > 0).sum().clamp_min(1)).clamp_min(1e-12)
        least = 1e-6 * mean  # below it a voxel counts as empty
        maps = [_cut((base / mean).clamp_min(1e-6).log()), _cut(((estimate.mlem + least) / (base + least)).log())]
        lines = estimate.lines[:, i, None, k].expand(-1, -1, base.shape[1], -1)
        channels = torch.cat([torch.stack(maps), lines, self.fixed])
        return Example(channels, base, None if truth is None else tensor(truth[self.box]))
