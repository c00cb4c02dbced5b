"""Analytic projector: `recon.camera_views` as a differentiable operator on any device, and its exact adjoint (torch).

Activity to the expected primary photopeak rates of two opposed heads; linear. Scatter is apart: `CameraViews.scatter`.
"""

from itertools import product

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

    def layers(self, activity: torch.Tensor, box: tuple[slice, slice, slice]) -> torch.Tensor:
        """Rates (J', 2, I, K) of each AP layer of a map (I', J', K') of a box by itself."""
        parts = (self._parts(activity[None], v, box) for v in range(len(VIEWS)))
        return torch.stack([p.unflatten(0, (-1, activity.shape[1], RANK)).sum(dim=(0, 2)) for p in parts], dim=1)

    def _seen(self, activity: torch.Tensor, view: int, box: tuple[slice, slice, slice]) -> torch.Tensor:
        """Rates (N, I, K) in one view of maps of a box."""
        total = self._parts(activity, view, box).sum(dim=0)
        return total.reshape(-1, len(activity), total.shape[-1]).permute(1, 0, 2)

    def _parts(self, activity: torch.Tensor, view: int, box: tuple[slice, slice, slice]) -> torch.Tensor:
        """(G J R, I N, K): what adds up to `_seen`, by group of energies, layer, and term of the blur."""
        _, n_i, _, n_k = activity.shape
        i, j, k = box
        per_layer = (-1, self.grid.shape[1])  # groups of energies, layers
        factors = self.factors[view].unflatten(0, per_layer)[:, j, i, None, k]
        weighted = (activity.permute(2, 1, 0, 3) * factors).reshape(-1, n_i, len(activity) * n_k)  # G J, I, N K
        blur_x = self.blur_x[view].unflatten(0, per_layer)[:, j, :, i].flatten(0, 1)
        blur_z = self.blur_z[view].unflatten(0, (*per_layer, RANK))[:, j, :, :, k].flatten(0, 2)
        across = torch.bmm(blur_x, weighted).reshape(len(blur_z), -1, n_k)  # G J R, I' N, K
        return torch.bmm(across, blur_z.transpose(1, 2))

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

    def information(self, weights: torch.Tensor) -> torch.Tensor:
        """(I, J, K): sum over all pixels of their weights (2, I, K) times the squared rate of 1 MBq in each voxel."""
        n_j, total = self.grid.shape[1], 0.0
        for v in range(len(VIEWS)):
            across = self.blur_x[v].unflatten(0, (-1, n_j)).unflatten(2, (RANK, -1))  # G, J, R, I', I
            along = self.blur_z[v].unflatten(0, (-1, n_j, RANK))  # G, J, R, K', K
            seen = self.factors[v].unflatten(0, (-1, n_j))  # G, J, I, K
            terms = [(g, r) for g in range(len(seen)) for r in range(RANK)]
            for (g, r), (h, s) in product(terms, terms):
                there = (across[g, :, r] * across[h, :, s]).transpose(1, 2) @ weights[v]
                total = total + seen[g] * seen[h] * (there @ (along[g, :, r] * along[h, :, s]))
        return total.permute(1, 0, 2)
