"""Analytic projector: `recon.camera_views` as a differentiable operator on any device, and its exact adjoint (torch).

Activity to the expected primary photopeak rates of two opposed heads; linear. Scatter is apart: `CameraViews.scatter`.
"""

import numpy as np
import torch

from planardose.planar import VIEWS
from planardose.recon.blur import RANK
from planardose.recon.camera_views import CameraViews


class Projector(CameraViews):
    """Primary photopeak rates of a patient model in both views.

    Parameters
    ----------
    *views, **options
        As `CameraViews`.
    device : str
        Torch device.
    dtype : torch.dtype
        Of maps and projections.
    """

    def __init__(self, *views, device: str = "cpu", dtype: torch.dtype = torch.float32, **options):
        super().__init__(*views, **options)
        self.device, self.dtype = torch.device(device), dtype
        self.factors, self.blur_x, self.blur_z = (self.tensor(x) for x in (self.seen, self.across, self.along))

    def tensor(self, array: np.ndarray) -> torch.Tensor:
        """The array on the projector's device and in its precision."""
        return torch.as_tensor(np.ascontiguousarray(array), dtype=self.dtype, device=self.device)

    def forward(self, activity: torch.Tensor) -> torch.Tensor:
        """Rates (N, 2, I, K) in cps of activity maps (N, I, J, K) in MBq per voxel; a single map gives (2, I, K)."""
        if activity.ndim == 3:
            return self.forward(activity[None])[0]
        return torch.stack([self._seen(activity, v) for v in range(len(VIEWS))], dim=1)

    def _seen(self, activity: torch.Tensor, view: int) -> torch.Tensor:
        """Rates (N, I, K) of maps (N, I, J, K) in one view."""
        n, n_i, n_j, n_k = activity.shape
        groups = self.factors.shape[1] // n_j
        layers, n_j = activity.permute(2, 1, 0, 3).repeat(groups, 1, 1, 1), groups * n_j  # G J, I, N, K
        weighted = (layers * self.factors[view][:, :, None, :]).reshape(n_j, n_i, n * n_k)
        across = torch.bmm(self.blur_x[view], weighted).reshape(n_j * RANK, n_i * n, n_k)
        along = torch.bmm(across, self.blur_z[view].transpose(1, 2)).sum(dim=0)
        return along.reshape(n_i, n, n_k).permute(1, 0, 2)

    def adjoint(self, rates: torch.Tensor) -> torch.Tensor:
        """Transpose of `forward`: (N, 2, I, K) to (N, I, J, K); a single pair (2, I, K) gives (I, J, K)."""
        return self.adjoint_per_view(rates).sum(dim=-5 if rates.ndim == 4 else -4)

    def adjoint_per_view(self, rates: torch.Tensor) -> torch.Tensor:
        """The two views' parts of the adjoint: (2, N, I, J, K), or (2, I, J, K) of a single pair."""
        if rates.ndim == 3:
            return self.adjoint_per_view(rates[None])[:, 0]
        n, _, n_i, n_k = rates.shape
        n_j = self.factors.shape[1]  # G J
        parts = []
        for v in range(len(VIEWS)):
            flat = rates[:, v].permute(1, 0, 2).reshape(1, n_i * n, n_k).expand(n_j * RANK, -1, -1)
            along = torch.bmm(flat, self.blur_z[v]).reshape(n_j, RANK * n_i, n * n_k)
            across = torch.bmm(self.blur_x[v].transpose(1, 2), along).reshape(n_j, n_i, n, n_k)
            seen = (across * self.factors[v][:, :, None, :]).unflatten(0, (-1, self.grid.shape[1])).sum(dim=0)
            parts.append(seen.permute(2, 1, 0, 3))
        return torch.stack(parts)
