"""What the two opposed heads see of an activity map: the camera's model as arrays, and organs' responses. No torch.

The camera is the Monte Carlo's: attenuation along +-y per photon line, the head's response at every depth
(`physics.head_response`, with penetration and scatter in the lead) as a short sum of separable kernels
(`recon.blur`), absolute cps per MBq. `recon.projector` is the same as a differentiable operator.
"""

from dataclasses import dataclass, field

import numpy as np

from planardose.library import Camera, Nuclide
from planardose.patient_model import PatientModel
from planardose.physics.attenuation import mu_per_mm
from planardose.physics.couch import couch_transmission
from planardose.physics.sensitivity import air_sensitivity_cps_per_mbq
from planardose.planar import VIEWS
from planardose.recon.blur import RANK, banded, counted_lines, layer_profiles, line_groups
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


@dataclass(frozen=True)
class Responses:
    """What the camera sees of each organ: (O, 2, I, K) float64 each, cps per MBq/mL, photopeak window."""

    primary: np.ndarray = field(repr=False)
    scatter: np.ndarray = field(repr=False)

    @property
    def total(self) -> np.ndarray:
        """(O, 2, I, K) float64 cps per MBq/mL: primary and scatter."""
        return self.primary + self.scatter

    def beside(self, others: "Responses") -> "Responses":
        """These, then those of other sources."""
        pairs = ((self.primary, others.primary), (self.scatter, others.scatter))
        return Responses(*(np.concatenate(p) for p in pairs))


class CameraViews:
    """Photopeak rates of a patient model in both views.

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
    ):
        self.grid = model.grid
        groups, split_kev = line_groups(camera, nuclide, penetration)
        self.scatter_model = ScatterModel(model, camera, nuclide, penetration, split_kev, scatter)
        # cps/MBq of one head, in air
        self.sensitivity = scale * air_sensitivity_cps_per_mbq(camera, nuclide, nuclide.photopeak, penetration)
        couch_mm = camera.couch_mm if couch else 0.0
        # of the posterior head's counts in air that the couch lets through
        self.couch_share = sum(
            share * float(couch_transmission(energy, couch_mm))
            for energy, share in counted_lines(camera, nuclide, penetration).items()
        )
        # (2, G J, I, K): the layers of one group of lines after the other
        scattered = [{energy: 1.0} for energy in self.scatter_model.mean_kev]
        self.seen, self.seen_scattered = (
            np.concatenate([self._escaping(model, lines, couch_mm) for lines in of_groups], axis=1)
            for of_groups in (groups, scattered)
        )
        i, j, k = self.grid.shape
        pixel_mm = (float(self.grid.spacing_mm[0]), float(self.grid.spacing_mm[2]))
        profiles = [
            layer_profiles(camera, nuclide, float(distance_mm), pixel_mm, penetration, g)
            for distances_mm in self._distances(model, face_mm)
            for g in range(len(groups))
            for distance_mm in distances_mm
        ]
        across, along = (
            np.array([banded(p, n) for p in lines], dtype=np.float32)
            for lines, n in zip(zip(*profiles, strict=True), (i, k), strict=True)
        )
        self.across = across.reshape(2, len(groups) * j, -1, i)  # (2, G J, R I', I)
        self.along = along.reshape(2, -1, k, k)  # (2, G J R, K', K)

    def _escaping(self, model: PatientModel, lines: dict[float, float], couch_mm: float) -> np.ndarray:
        """(2, J, I, K): cps/MBq of photons of these energies and shares."""
        out = 0.0
        for energy, share in lines.items():
            through = np.reshape([1.0, couch_transmission(energy, couch_mm)], (2, 1, 1, 1))
            mu = mu_per_mm(model.partial_density, energy)
            out = out + share * through * attenuation_factors(mu, float(self.grid.spacing_mm[1]))
        return (self.sensitivity * out.transpose(0, 2, 1, 3)).astype(np.float32)

    @staticmethod
    def _distances(model: PatientModel, face_mm: tuple[float, float]) -> np.ndarray:
        """(2, J) mm from each layer to the faces; layers without body may lie behind a face."""
        y = model.grid.axis_mm(1)
        distances = np.stack([face_mm[0] - y, y - face_mm[1]])
        occupied = (model.fractions.sum(axis=0) > 0).any(axis=(0, 2))
        if (distances[:, occupied] < -model.grid.spacing_mm[1]).any():
            raise ValueError(f"a collimator face ({face_mm} mm) lies inside the body")
        return np.maximum(distances, 0.0)

    def _view(self, sources: np.ndarray, seen: np.ndarray, view: int) -> np.ndarray:
        """Rates (I, K) of a map per group (G, I, J, K) in one view; `seen` (G J, I, K)."""
        n_g, n_i, n_j, n_k = sources.shape
        weighted = sources.transpose(0, 2, 1, 3).reshape(n_g * n_j, n_i, n_k) * seen
        across = (self.across[view] @ weighted).reshape(n_g * n_j * RANK, n_i, n_k)
        return (across @ self.along[view].transpose(0, 2, 1)).sum(axis=0)

    def primary(self, activity: np.ndarray) -> np.ndarray:
        """Rates (2, I, K) float64 in cps of photons that did not scatter, of a map (I, J, K) in MBq per voxel."""
        of_group = np.broadcast_to(activity, (self.seen.shape[1] // self.grid.shape[1], *np.shape(activity)))
        return self._views([of_group] * len(VIEWS), self.seen)

    def scatter(self, activity: np.ndarray) -> np.ndarray:
        """Rates (2, I, K) float64 in cps of photons scattered in the patient, of a map (I, J, K)."""
        return self._views(self.scatter_model.sources(np.asarray(activity)), self.seen_scattered)

    def _views(self, sources, seen: np.ndarray) -> np.ndarray:
        """Rates (2, I, K) float64 of maps (G, I, J, K) per view."""
        views = [self._view(s.astype(np.float32), seen[v], v) for v, s in enumerate(sources)]
        return np.stack(views).astype(np.float64)

    @staticmethod
    def of_body(model: PatientModel) -> np.ndarray:
        """(2, I, K) bool: cells in whose lines of sight the model has body.

        Counts beside it, such as those of arms that the CT does not show, say nothing about the organs of the CT, of
        which only blur and scatter reach there: fits leave them out.
        """
        return np.repeat(model.body.any(axis=1)[None], len(VIEWS), axis=0)

    def primary_totals(self, fractions: np.ndarray) -> np.ndarray:
        """(O, 2) float64 cps per MBq/mL: primaries of organs (O, I, J, K) in views without an edge, evenly filled."""
        layers = self.seen.reshape(len(VIEWS), -1, *fractions.transpose(0, 2, 1, 3).shape[1:]).sum(axis=1)
        return np.einsum("oijk,vjik->ov", fractions, layers, dtype=np.float64) * self.grid.voxel_ml

    def organ_responses(self, fractions: np.ndarray) -> Responses:
        """Primary and scatter rates of every organ, from its fractions (O, I, J, K), evenly filled."""
        volumes = [f * np.float32(self.grid.voxel_ml) for f in fractions]
        return Responses(*(np.array([f(v) for v in volumes]) for f in (self.primary, self.scatter)))
