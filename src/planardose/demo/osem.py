"""Ordered-subset expectation maximisation, of the demo's SPECT: any set of views, with modelled or given scatter."""

import numpy as np
import torch

from planardose.patient_model import PatientModel
from planardose.recon.acquired import Acquired
from planardose.recon.angles import AngledProjector

LEAST_SENSITIVITY = 1e-6  # of a subset's largest: a voxel below it is not seen and keeps its value
SCATTER_ROUNDS = 4  # iterations before which the scatter is modelled anew


def subset_order(subsets: int) -> list[int]:
    """Order of the subsets in which each lies far from those before: bits of the number reversed."""
    bits = max(1, (subsets - 1).bit_length())
    reversed_bits = [int(f"{n:0{bits}b}"[::-1], 2) for n in range(2**bits)]
    return [n for n in reversed_bits if n < subsets]


def osem(
    projector: AngledProjector,
    acquired: Acquired,
    start: np.ndarray,
    iterations: int,
    subsets: int,
) -> np.ndarray:
    """Reconstruct a map from the counts of many views.

    Parameters
    ----------
    projector : AngledProjector
        Its views in the order of the counts, evenly spread: subset n is every `subsets`-th view from n.
    acquired : Acquired
        Counts (V, U, K). Where its scatter is None, the scatter is that modelled of the current map, computed anew
        before each of the first `SCATTER_ROUNDS` iterations.
    start : (I, J, K) float
        MBq per voxel, not negative; voxels at zero stay there.
    iterations : int
        Passes over all views.
    subsets : int
        1 is MLEM.

    Returns
    -------
    (I, J, K) float64
        MBq per voxel.

    Raises
    ------
    ValueError
        On more subsets than views, or counts of another shape than the projector's views.

    Notes
    -----
    Hudson and Larkin, IEEE Trans Med Imaging 13 (1994) 601. No filter: the response is in the model.
    """
    views = list(projector.views)
    if not 1 <= subsets <= len(views) or acquired.counts.shape != tuple(projector.seen.shape):
        raise ValueError(
            f"{subsets} subsets and counts {acquired.counts.shape} for views {tuple(projector.seen.shape)}"
        )
    parts = [views[n::subsets] for n in subset_order(subsets)]
    with torch.no_grad():
        counts, x = projector.tensor(acquired.counts), projector.tensor(start)
        ones = torch.full_like(counts, acquired.exposure_s)
        sensitivities = [projector.adjoint(ones[p], p) for p in parts]
        for iteration in range(iterations):
            if acquired.scatter is not None:
                scatter = projector.tensor(acquired.scatter)
            elif iteration < SCATTER_ROUNDS:
                scatter = projector.tensor(projector.scatter(x.cpu().numpy()) * acquired.exposure_s)
            for part, sensitivity in zip(parts, sensitivities, strict=True):
                x = _update(projector, x, counts[part], scatter[part], acquired.exposure_s, part, sensitivity)
    return x.cpu().numpy().astype(np.float64)


def _update(projector, x, counts, scatter, exposure_s, part, sensitivity):
    expected = projector.forward(x, part) * exposure_s + scatter
    ratio = torch.where(expected > 1e-9, counts / expected.clamp_min(1e-9), torch.zeros_like(counts))
    seen = sensitivity > LEAST_SENSITIVITY * sensitivity.max()
    change = projector.adjoint(ratio * exposure_s, part) / sensitivity.clamp_min(1e-12)
    # separable terms of a kernel can be slightly negative far from its middle
    return torch.where(seen, x * change, x).clamp_min(0.0)


def even_start(projector: AngledProjector, model: PatientModel, acquired: Acquired) -> np.ndarray:
    """(I, J, K) float64: the body evenly filled, its primary and scattered counts together those acquired."""
    shape = model.fractions.sum(axis=0, dtype=np.float64)
    with torch.no_grad():
        expected = float(projector.forward(projector.tensor(shape)).sum())
    if acquired.scatter is None:
        expected += float(projector.scatter(shape).sum())
    found = acquired.counts if acquired.scatter is None else acquired.counts - acquired.scatter
    return shape * max(float(found.sum()), 1.0) / (expected * acquired.exposure_s)
