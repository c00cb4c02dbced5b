"""Which share of the body in each voxel is which organ's: how what is known of organs is spread over voxels."""

import torch


def organ_shares(fractions: torch.Tensor) -> torch.Tensor:
    """(O, I, J, K) of organs' fractions (O, I, J, K) of each voxel: they add up to 1 in the body, to 0 outside."""
    return fractions / fractions.sum(dim=0).clamp_min(1e-6)
