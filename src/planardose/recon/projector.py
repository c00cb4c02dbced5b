"""Analytic projector: `recon.camera_views` as a differentiable operator on any device, and its exact adjoint (torch).

Activity to the expected primary photopeak rates of two opposed heads; linear. Scatter is apart: `CameraViews.scatter`.
"""

import numpy as np
import torch

from planardose.planar import VIEWS
from planardose.recon.blur import RANK
from planardose.recon.camera_views import CameraViews

EVERYWHERE = (slice(None), slice(None), slice(None))


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

    def forward(self, activity: torch.Tensor, box: tuple[slice, slice, slice] = EVERYWHERE) -> torch.Tensor:
        """Rates (N, 2, I, K) in cps of activity maps (N, I, J, K) in MBq per voxel; a single map gives (2, I, K).

        With a `box` the maps hold its voxels alone, and the other ones of the grid are empty.
        """
        if activity.ndim == 3:
            return self.forward(activity[None], box)[0]
        return torch.stack([self._seen(activity, v, box) for v in range(len(VIEWS))], dim=1)

    def _seen(self, activity: torch.Tensor, view: int, box: tuple[slice, slice, slice]) -> torch.Tensor:
        """Rates (N, I, K) in one view of maps of a box."""
        n, n_i, n_j, n_k = activity.shape
        i, j, k = box
        weighted = activity.permute(2, 1, 0, 3) * self.factors[view][j, i, None, k]  # J, I, N, K
        across = torch.bmm(self.blur_x[view][j, :, i], weighted.reshape(n_j, n_i, n * n_k))  # J, R I', N K
        blur_z = self.blur_z[view].unflatten(0, (-1, RANK))[j, :, :, k].flatten(0, 1)
        along = torch.bmm(across.reshape(n_j * RANK, -1, n_k), blur_z.transpose(1, 2)).sum(dim=0)
        return along.reshape(-1, n, along.shape[-1]).permute(1, 0, 2)

    def adjoint(self, rates: torch.Tensor) -> torch.Tensor:
        """Transpose of `forward`: (N, 2, I, K) to (N, I, J, K); a single pair (2, I, K) gives (I, J, K)."""
        return self.adjoint_per_view(rates).sum(dim=-5 if rates.ndim == 4 else -4)

    def adjoint_per_view(self, rates: torch.Tensor) -> torch.Tensor:
        """The two views' parts of the adjoint: (2, N, I, J, K), or (2, I, J, K) of a single pair."""
        if rates.ndim == 3:
            return self.adjoint_per_view(rates[None])[:, 0]
        n, _, n_i, n_k = rates.shape
        n_j = self.grid.shape[1]
        parts = []
        for v in range(len(VIEWS)):
            flat = rates[:, v].permute(1, 0, 2).reshape(1, n_i * n, n_k).expand(n_j * RANK, -1, -1)
            along = torch.bmm(flat, self.blur_z[v]).reshape(n_j, RANK * n_i, n * n_k)
            across = torch.bmm(self.blur_x[v].transpose(1, 2), along).reshape(n_j, n_i, n, n_k)
            parts.append((across * self.factors[v][:, :, None, :]).permute(2, 1, 0, 3))
        return torch.stack(parts)

    def information(self, weights: torch.Tensor) -> torch.Tensor:
        """(I, J, K): sum over all pixels of their weights (2, I, K) times the squared rate of 1 MBq in each voxel."""
        n_j, total = self.grid.shape[1], 0.0
        for v in range(len(VIEWS)):
            across, along = self.blur_x[v].unflatten(1, (RANK, -1)), self.blur_z[v].unflatten(0, (n_j, RANK))
            for r in range(RANK):
                for s in range(RANK):
                    seen = (across[:, r] * across[:, s]).transpose(1, 2) @ weights[v]
                    total = total + self.factors[v] ** 2 * (seen @ (along[:, r] * along[:, s]))
        return total.permute(1, 0, 2)
