"""What training lowers: squared errors weighted by how far the base usually is off, and a share of absolute errors."""

import torch

from planardose.learn.organ_shares import organ_shares

L1_SHARE = 0.3
LEAST_ERROR = 0.05  # standard deviation of a voxel, in units of the mean activity: smaller ones count as this
LINEAR_FROM = 6.0  # standard deviations: a few voxels of one hot lesion must not outweigh all others


def relative_errors(estimate: torch.Tensor, truth: torch.Tensor, body: torch.Tensor) -> torch.Tensor:
    """Errors (N, I, J, K) over each sample's mean true activity in the body; zero outside it.

    Parameters
    ----------
    estimate, truth : (N, I, J, K)
        Activity in one unit, MBq per voxel.
    body : (I, J, K) float
        1 in the body, 0 outside.
    """
    mean = (truth * body).sum(dim=(1, 2, 3), keepdim=True) / body.sum()
    return (estimate - truth) / mean * body


def variance_map(errors: torch.Tensor, fractions: torch.Tensor) -> torch.Tensor:
    """Expected squared relative error of the base in each voxel, from its errors on training samples.

    Pooled within each organ (single voxels would be too noisy), then mixed by volume fraction.

    Parameters
    ----------
    errors : (N, I, J, K)
        `relative_errors` of the base.
    fractions : (O, I, J, K)
        Organ fractions of the voxels.

    Returns
    -------
    (I, J, K)
        At least `LEAST_ERROR` squared.
    """
    volumes = fractions.sum(dim=(1, 2, 3)).clamp_min(1e-6)
    per_organ = torch.tensordot(fractions, errors.square().mean(dim=0), dims=3) / volumes
    return torch.tensordot(per_organ, organ_shares(fractions), dims=1).clamp_min(LEAST_ERROR**2)


def loss(estimate: torch.Tensor, truth: torch.Tensor, body: torch.Tensor, variance: torch.Tensor) -> torch.Tensor:
    """Mean over body voxels of ``h(z) + L1_SHARE |z|`` with z = `relative_errors` / sqrt(variance); 0 is perfect.

    ``h(z) = 2 d^2 (sqrt(1 + z^2 / d^2) - 1)`` is z^2 for small z and linear beyond d = `LINEAR_FROM`. Absolute errors
    alone aim at the median and erase lesions; the squares, whose weights do not depend on the truth, aim at the mean.
    """
    z = relative_errors(estimate, truth, body) / variance.sqrt()
    squares = 2 * z.square() / (1 + (1 + (z / LINEAR_FROM).square()).sqrt())  # h without its cancellation
    return (squares + L1_SHARE * z.abs()).sum() / (body.sum() * len(truth))


def body_mae(estimate: torch.Tensor, truth: torch.Tensor, body: torch.Tensor) -> torch.Tensor:
    """Mean absolute error over body voxels over the mean true activity, per sample: (N,)."""
    return relative_errors(estimate, truth, body).abs().sum(dim=(1, 2, 3)) / body.sum()


def body_nrmse(estimate: torch.Tensor, truth: torch.Tensor, body: torch.Tensor) -> torch.Tensor:
    """Root mean squared error over body voxels over the mean true activity, per sample: (N,)."""
    return (relative_errors(estimate, truth, body).square().sum(dim=(1, 2, 3)) / body.sum()).sqrt()
