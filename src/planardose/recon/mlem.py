"""Two-view MLEM on the analytic projector, with additive scatter."""

import numpy as np
import torch

from planardose.patient_model import PatientModel
from planardose.recon.acquired import Acquired
from planardose.recon.projector import Projector

LEAST_SENSITIVITY = 1e-3  # of the largest: a voxel below it, beyond the images, is not seen and keeps its value


def mlem(projector: Projector, acquired: Acquired, start: np.ndarray, iterations: int) -> np.ndarray:
    """Maximum-likelihood expectation maximisation.

    Parameters
    ----------
    projector : Projector
    acquired : Acquired
        Cells beside `of_body` count as not measured.
    start : (I, J, K) float
        MBq per voxel, not negative; voxels at zero stay there.
    iterations : int

    Returns
    -------
    (I, J, K) float64
        MBq per voxel.
    """
    with torch.no_grad():
        x = projector.tensor(start)
        counts, scatter = projector.tensor(acquired.counts), projector.tensor(acquired.scatter)
        looked_at = torch.ones_like(counts) if acquired.of_body is None else projector.tensor(acquired.of_body)
        looked_at = looked_at * acquired.exposure_s
        sensitivity = projector.adjoint(looked_at)
        seen = sensitivity > LEAST_SENSITIVITY * sensitivity.max()
        for _ in range(iterations):
            expected = projector.forward(x) * acquired.exposure_s + scatter
            ratio = torch.where(expected > 1e-9, counts / expected.clamp_min(1e-9), torch.zeros_like(counts))
            # separable terms of a kernel can be slightly negative far from its middle
            change = projector.adjoint(ratio * looked_at) / sensitivity.clamp_min(1e-12)
            x = torch.where(seen, x * change, x).clamp_min(0.0)
    return x.cpu().numpy().astype(np.float64)


def flat_start(projector: Projector, model: PatientModel, acquired: Acquired) -> np.ndarray:
    """(I, J, K) float64: the body evenly filled, scaled to the primary counts."""
    shape = model.fractions.sum(axis=0, dtype=np.float64)
    with torch.no_grad():
        expected = projector.forward(projector.tensor(shape)).cpu().numpy() * acquired.exposure_s
    looked_at = 1.0 if acquired.of_body is None else acquired.of_body
    primary = max(float(((acquired.counts - acquired.scatter) * looked_at).sum()), 1.0)
    return shape * primary / float((expected * looked_at).sum(dtype=np.float64))
