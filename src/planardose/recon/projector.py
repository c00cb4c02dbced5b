"""Analytic projector: activity to the expected primary photopeak rates of two opposed heads, and its exact adjoint.

The camera is the Monte Carlo's: attenuation along +-y per photon line, the head's response at every depth
(`physics.head_response`, with penetration and scatter in the lead) as a short sum of separable kernels
(`recon.blur`), absolute cps per MBq. Linear and differentiable (torch). Scatter is apart: `Projector.scatter`.
"""

from dataclasses import dataclass, field

import numpy as np
import torch

from planardose.library import Camera, Nuclide
from planardose.patient_model import PatientModel
from planardose.physics.attenuation import mu_per_mm
from planardose.physics.couch import couch_transmission
from planardose.physics.sensitivity import air_sensitivity_cps_per_mbq
from planardose.planar import VIEWS
from planardose.recon.blur import RANK, banded, counted_lines, layer_profiles
from planardose.recon.scatter import ScatterModel, ScatterParameters


def attenuation_factors(mu: np.ndarray, step_mm: float) -> np.ndarray:
    """Escape probability of photons that leave each voxel along +y and along -y.

    Parameters
    ----------
    mu : (I, J, K) float
        Linear attenuation coefficient, 1/mm.
    step_mm : float
        Voxel size along y.

    Returns
    -------
    (2, I, J, K) float64
        View 0 looks from +y. Mean of exp(-path) over emission points spread evenly along y in the voxel.
    """
    tau = np.asarray(mu, dtype=np.float64) * step_mm
    own = np.where(tau > 1e-6, -np.expm1(-tau) / np.maximum(tau, 1e-12), 1.0 - tau / 2)
    before = np.cumsum(tau, axis=1) - tau
    beyond = tau.sum(axis=1, keepdims=True) - before - tau
    return np.stack([np.exp(-beyond) * own, np.exp(-before) * own])


class Projector:
    """Primary photopeak rates of a patient model in both views.

    Parameters
    ----------
    model : PatientModel
    camera : Camera
    nuclide : Nuclide
    face_mm : (float, float)
        RAS y of the (anterior, posterior) collimator face, mm.
    scale : float
        Site's in-air calibration over the computed sensitivity (1 without a calibration).
    penetration : bool
        Photons through septa and scattered in the lead take part. False: the open holes alone.
    couch : bool
        The camera's couch lies before the posterior head.
    scatter : ScatterParameters or None
        None: the fitted ones.
    device : str
        Torch device.
    dtype : torch.dtype
        Of maps and projections.

    Raises
    ------
    ValueError
        If a voxel layer of the grid that holds body lies behind a face.
    """

    def __init__(
        self,
        model: PatientModel,
        camera: Camera,
        nuclide: Nuclide,
        face_mm: tuple[float, float],
        scale: float = 1.0,
        penetration: bool = True,
        couch: bool = False,
        scatter: ScatterParameters | None = None,
        device: str = "cpu",
        dtype: torch.dtype = torch.float32,
    ):
        grid, step = model.grid, tuple(float(s) for s in model.grid.spacing_mm)
        self.grid, self.device, self.dtype = grid, torch.device(device), dtype
        self.scatter_model = ScatterModel(model, camera, nuclide, penetration, scatter)
        # cps/MBq of one head, in air
        self.sensitivity = scale * air_sensitivity_cps_per_mbq(camera, nuclide, nuclide.photopeak, penetration)
        self.couch_share, factors = 0.0, 0.0  # of the posterior head's counts in air that the couch lets through
        for energy, share in counted_lines(camera, nuclide, penetration).items():
            through = float(couch_transmission(energy, camera.couch_mm if couch else 0.0))
            escaping = attenuation_factors(mu_per_mm(model.partial_density, energy), step[1])
            factors = factors + share * np.reshape([1.0, through], (2, 1, 1, 1)) * escaping
            self.couch_share += share * through
        self.factors = self.tensor(self.sensitivity * factors.transpose(0, 2, 1, 3))  # (2, J, I, K): cps/MBq
        blur_x, blur_z = [], []
        for row in self._distances(model, face_mm):
            profiles = [layer_profiles(camera, nuclide, float(d), (step[0], step[2]), penetration) for d in row]
            blur_x.append([banded(x, grid.shape[0]) for x, _ in profiles])
            blur_z.append([banded(z, grid.shape[2]) for _, z in profiles])
        self.blur_x = self.tensor(np.array(blur_x)).flatten(2, 3)  # (2, J, R I', I)
        self.blur_z = self.tensor(np.array(blur_z)).flatten(1, 2)  # (2, J R, K', K)

    def tensor(self, array: np.ndarray) -> torch.Tensor:
        """The array on the projector's device and in its precision."""
        return torch.as_tensor(np.ascontiguousarray(array), dtype=self.dtype, device=self.device)

    @staticmethod
    def _distances(model: PatientModel, face_mm: tuple[float, float]) -> np.ndarray:
        """(2, J) mm from each layer to the faces; layers without body may lie behind a face."""
        y = model.grid.axis_mm(1)
        distances = np.stack([face_mm[0] - y, y - face_mm[1]])
        occupied = (model.fractions.sum(axis=0) > 0).any(axis=(0, 2))
        if (distances[:, occupied] < -model.grid.spacing_mm[1]).any():
            raise ValueError(f"a collimator face ({face_mm} mm) lies inside the body")
        return np.maximum(distances, 0.0)

    def forward(self, activity: torch.Tensor) -> torch.Tensor:
        """Rates (N, 2, I, K) in cps of activity maps (N, I, J, K) in MBq per voxel; a single map gives (2, I, K)."""
        if activity.ndim == 3:
            return self.forward(activity[None])[0]
        return torch.stack([self._view(activity, v) for v in range(len(VIEWS))], dim=1)

    def _view(self, activity: torch.Tensor, view: int) -> torch.Tensor:
        """Rates (N, I, K) of maps (N, I, J, K) in one view."""
        n, n_i, n_j, n_k = activity.shape
        layers = activity.permute(2, 1, 0, 3)  # J, I, N, K
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
        n_j = self.grid.shape[1]
        parts = []
        for v in range(len(VIEWS)):
            flat = rates[:, v].permute(1, 0, 2).reshape(1, n_i * n, n_k).expand(n_j * RANK, -1, -1)
            along = torch.bmm(flat, self.blur_z[v]).reshape(n_j, RANK * n_i, n * n_k)
            across = torch.bmm(self.blur_x[v].transpose(1, 2), along).reshape(n_j, n_i, n, n_k)
            parts.append((across * self.factors[v][:, :, None, :]).permute(2, 1, 0, 3))
        return torch.stack(parts)

    def scatter(self, activity: np.ndarray) -> np.ndarray:
        """Photopeak rates (2, I, K) float64 in cps of photons scattered in the patient, of one map (I, J, K)."""
        with torch.no_grad():
            sources = self.tensor(self.scatter_model.sources(np.asarray(activity)))
            views = [self._view(s[None], v)[0].cpu().numpy() for v, s in enumerate(sources)]
            return np.stack(views).astype(np.float64)

    def organ_responses(self, fractions: np.ndarray) -> "Responses":
        """Primary and scatter rates of every organ, from its fractions (O, I, J, K), evenly filled."""
        volumes = [f * np.float32(self.grid.voxel_ml) for f in fractions]
        with torch.no_grad():
            primary = [self.forward(self.tensor(v)).cpu().numpy() for v in volumes]
        return Responses(np.array(primary, dtype=np.float64), np.array([self.scatter(v) for v in volumes]))


@dataclass(frozen=True)
class Responses:
    """What the camera sees of each organ: (O, 2, I, K) float64 each, cps per MBq/mL, photopeak window."""

    primary: np.ndarray = field(repr=False)
    scatter: np.ndarray = field(repr=False)

    @property
    def total(self) -> np.ndarray:
        return self.primary + self.scatter
