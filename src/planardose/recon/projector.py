"""Analytic projector: activity to the expected primary photopeak rates of two opposed heads, and its exact adjoint.

Attenuation along +-y at the imaged line, depth-dependent Gaussian resolution (collimator and intrinsic), absolute cps
per MBq. Linear and differentiable (torch). Scatter is apart: `Projector.scatter`.
"""

import math
from dataclasses import dataclass, field

import numpy as np
import torch

from planardose.library import Camera, Nuclide
from planardose.patient_model import PatientModel
from planardose.physics.attenuation import mu_per_mm
from planardose.physics.collimator import FWHM_PER_SIGMA, fwhm_mm
from planardose.physics.sensitivity import air_sensitivity_cps_per_mbq
from planardose.planar import VIEWS
from planardose.recon.scatter import effective_sources, kernel


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


def blur_matrix(sigma_mm: float, size: int, step_mm: float) -> np.ndarray:
    """Share of the light of an evenly filled voxel that falls into each pixel, both `step_mm` wide: (size, size).

    A Gaussian averaged over the source's and integrated over the pixel's width: second difference of
    H(t) = t Phi(t/s) + s phi(t/s). Columns sum to one but for what leaves the grid.
    """
    offsets = np.arange(-size, size + 1) * step_mm
    if sigma_mm <= 1e-3 * step_mm:
        h = np.maximum(offsets, 0.0)
    else:
        u = offsets / sigma_mm
        phi = np.exp(-0.5 * u * u) / math.sqrt(2.0 * math.pi)
        cdf = 0.5 * (1.0 + np.vectorize(math.erf)(u / math.sqrt(2.0)))
        h = offsets * cdf + sigma_mm * phi
    kernel = np.zeros(2 * size + 1)
    kernel[1:-1] = (h[2:] - 2.0 * h[1:-1] + h[:-2]) / step_mm
    index = np.arange(size)[:, None] - np.arange(size)[None, :] + size
    return np.maximum(kernel[index], 0.0)


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
        device: str = "cpu",
        dtype: torch.dtype = torch.float32,
    ):
        grid, energy = model.grid, nuclide.imaged_line().energy_kev
        self.grid, self.device, self.dtype = grid, torch.device(device), dtype
        self.density = model.density
        self.scatter_kernel = kernel(camera, nuclide, tuple(float(s) for s in grid.spacing_mm))
        # cps/MBq of one head, in air
        self.sensitivity = scale * air_sensitivity_cps_per_mbq(camera, nuclide, nuclide.photopeak)
        distances = self._distances(model, face_mm)
        step = grid.spacing_mm
        factors = self.sensitivity * attenuation_factors(mu_per_mm(model.partial_density, energy), step[1])
        sigma = np.array([[float(fwhm_mm(camera, d, energy)) for d in row] for row in distances]) / FWHM_PER_SIGMA
        n_i, _, n_k = grid.shape
        blur_x = [[blur_matrix(s, n_i, step[0]) for s in row] for row in sigma]
        blur_z = [[blur_matrix(s, n_k, step[2]) for s in row] for row in sigma]
        self.factors = self.tensor(factors.transpose(0, 2, 1, 3))  # (2, J, I, K): cps/MBq before blur
        self.blur_x = self.tensor(np.array(blur_x))  # (2, J, I', I)
        self.blur_z = self.tensor(np.array(blur_z))  # (2, J, K', K)

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
        n, n_i, n_j, n_k = activity.shape
        layers = activity.permute(2, 1, 0, 3)  # J, I, N, K
        views = []
        for v in range(len(VIEWS)):
            weighted = (layers * self.factors[v][:, :, None, :]).reshape(n_j, n_i, n * n_k)
            across = torch.bmm(self.blur_x[v], weighted).reshape(n_j, n_i * n, n_k)
            along = torch.bmm(across, self.blur_z[v].transpose(1, 2)).sum(dim=0)
            views.append(along.reshape(n_i, n, n_k).permute(1, 0, 2))
        return torch.stack(views, dim=1)

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
            flat = rates[:, v].permute(1, 0, 2).reshape(1, n_i * n, n_k).expand(n_j, -1, -1)
            along = torch.bmm(flat, self.blur_z[v]).reshape(n_j, n_i, n * n_k)
            across = torch.bmm(self.blur_x[v].transpose(1, 2), along).reshape(n_j, n_i, n, n_k)
            parts.append((across * self.factors[v][:, :, None, :]).permute(2, 1, 0, 3))
        return torch.stack(parts)

    def scatter(self, activity: np.ndarray) -> np.ndarray:
        """Photopeak rates (2, I, K) float64 in cps of photons scattered in the patient, of one map (I, J, K)."""
        with torch.no_grad():
            sources = self.tensor(effective_sources(np.asarray(activity), self.density, self.scatter_kernel))
            return np.stack([self.forward(s)[v].cpu().numpy() for v, s in enumerate(sources)]).astype(np.float64)

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
