"""Fine placement of a planar pair: one rigid pose, the posterior head against the anterior, and organs that moved.

Starts from the pose of `planardose.recon.register`. All displacements and the organs' concentrations are fitted
together by Gauss-Newton steps on the organ-wise likelihood: the expected images are displaced, nothing is projected
again. The pose is free; heads and organs carry priors, so that what the counts do not tell stays at zero.
"""

from dataclasses import dataclass, field

import numpy as np
from scipy.linalg import cho_factor, cho_solve

from planardose.frames import PlanarPose
from planardose.patient_model import PatientModel
from planardose.planar import rebin
from planardose.recon.motion import Movable, motion_prior, movable, moved_images, moved_responses
from planardose.recon.qplanar import OrganFit, fit_concentrations, variance
from planardose.recon.register import OUTLIER, SEARCH_ERROR, Images, about, middle_of, unexplained

HEAD_PRIOR = np.array([2.0, 2.0, 0.3])  # mm, mm, degrees
CORRELATED = 6.0  # cells over which texture and borders err alike: what the fit's information is divided by
PROBE_MM = 2.0
STEPS = 5
LARGEST_MM = 8.0
CONVERGED_MM = 0.2


@dataclass(frozen=True)
class Placement:
    """Where a planar pair lies.

    Parameters
    ----------
    pose : PlanarPose
        Of the anterior view.
    head : (x mm, z mm, degrees)
        Where the posterior view shows a point less where the anterior view does, turned about the grid's middle.
    organs : dict
        Organ -> (x mm, z mm): where it lay, less its place in the CT.
    """

    pose: PlanarPose
    head: tuple[float, float, float] = (0.0, 0.0, 0.0)
    organs: dict[str, tuple[float, float]] = field(default_factory=dict)

    def poses(self, centre: tuple[float, float]) -> tuple[PlanarPose, PlanarPose]:
        """Of the anterior and the posterior view; `centre` as `middle_of` gives it."""
        return self.pose, about(self.pose, centre, -np.array(self.head))


@dataclass(frozen=True)
class Fine:
    """Result of `fine`: the placement, its standard uncertainties by the names of `FinePlacer.names`, its misfit."""

    placement: Placement
    uncertainty: dict[str, float]
    misfit: float
    cost: float
    square: float


class FinePlacer:
    """Fits the placement of a pair of images.

    Parameters
    ----------
    model : PatientModel
    responses : (O, 2, I, K) float
    images : Images
    heads, organs : bool
        Whether the posterior head, and organs, may be displaced.
    """

    def __init__(
        self, model: PatientModel, responses: np.ndarray, images: Images, heads: bool = True, organs: bool = True
    ):
        self.grid, self.images, self.centre = model.grid, images, middle_of(model.grid)
        self.responses, who = responses, movable(model)
        self.who = who if organs else Movable(who.remainder, {})
        self.slices = np.zeros(model.grid.shape[2], dtype=bool)
        self.slices[model.ct_slices] = True
        self.ones = np.ones((1, *images.counts.shape[1:]))
        self.cell = float(np.prod(model.grid.spacing_mm[[0, 2]]) / np.prod(images.pixel_mm))
        prior = motion_prior()
        wide = np.concatenate([
            np.full(3, np.inf), HEAD_PRIOR if heads else np.full(3, 1e-6),
            np.tile([prior.across_mm, prior.along_mm], len(self.who.members)),
        ])  # fmt: skip
        self.precision = 1.0 / wide**2
        self.names = ("x", "z", "turn", "head x", "head z", "head turn") + tuple(
            f"{name} {axis}" for name in self.who.members for axis in "xz"
        )

    def placed(self, start: PlanarPose, at: np.ndarray) -> Placement:
        """The placement with parameters (P,), counted from the pose `start`."""
        organs = {n: (float(at[6 + 2 * m]), float(at[7 + 2 * m])) for m, n in enumerate(self.who.members)}
        return Placement(about(start, self.centre, -at[:3]), tuple(float(v) for v in at[3:6]), organs)

    def counts(self, placement: Placement) -> tuple[np.ndarray, np.ndarray]:
        """Counts (2, I, K) and the cells (I, K) that both views cover."""
        out, covered = [], self.slices[None, :]
        for view, pose in enumerate(placement.poses(self.centre)):
            both = np.concatenate([self.images.counts[view : view + 1], self.ones])
            binned = rebin(both, self.images.pixel_mm, self.grid, pose)
            out.append(binned[0])
            covered = covered & (binned[1] > 0.98 * self.cell)
        return np.stack(out), covered

    def fitted(self, placement: Placement) -> tuple[np.ndarray, np.ndarray, np.ndarray, OrganFit]:
        """Counts and moved responses of the covered cells, which cells these are, and the organs fitted to them."""
        counts, covered = self.counts(placement)
        rows = moved_responses(self.responses, self.who, placement.organs, self.grid.spacing_mm) * covered
        return counts * covered, rows, covered, fit_concentrations(counts * covered, rows, 0 * counts, SEARCH_ERROR)

    def _slopes(self, placement: Placement, fit: OrganFit, covered: np.ndarray) -> np.ndarray:
        """(P, 2, I, K) change of the expected counts with each parameter."""
        spacing, c = self.grid.spacing_mm, fit.concentrations

        def both(image: np.ndarray, at: tuple[float, float] = (0.0, 0.0)) -> list[np.ndarray]:
            ends = [
                [moved_images(image, at[0] + s * a, at[1] + s * b, spacing) for s in (PROBE_MM, -PROBE_MM)]
                for a, b in ((1.0, 0.0), (0.0, 1.0))
            ]
            return [(high - low) / (2 * PROBE_MM) for high, low in ends]

        across, along = both(fit.expected)
        x, z = self.grid.axis_mm(0)[:, None] - self.centre[0], self.grid.axis_mm(2)[None, :] - self.centre[1]
        rigid = np.stack([across, along, np.deg2rad(x * along - z * across)])
        head = rigid * np.array([0.0, 1.0])[None, :, None, None]
        own = []
        for name, members in self.who.members.items():
            at = placement.organs[name]
            image = sum((c[o] - c[self.who.remainder]) * self.responses[o] for o in members)
            own += both(image, at)
        return np.concatenate([rigid, head, *([np.array(own)] if own else [])]) * covered

    def step(
        self, at: np.ndarray, start: PlanarPose, square: float | None = None
    ) -> tuple[np.ndarray, np.ndarray, float, float]:
        """A Gauss-Newton step (P,) from parameters, the covariance (P, P) there, the penalised misfit, `square`."""
        placement = self.placed(start, at)
        counts, rows, covered, fit = self.fitted(placement)
        weights = covered / variance(fit.expected, SEARCH_ERROR)
        residual = np.sqrt(weights) * (counts - fit.expected)
        trust = 1.0 / (1.0 + (residual / OUTLIER) ** 2)
        slopes, w = self._slopes(placement, fit, covered).reshape(len(at), -1), (weights * trust).ravel()
        seen = fit.concentrations > 0
        organs = rows[seen].reshape(seen.sum(), -1)
        organs = organs / organs.sum(axis=1, keepdims=True)
        if square is None:
            square = float((trust * residual**2).sum() / max(covered.sum() * 2, 1)) * CORRELATED
        normal = (organs * w) @ organs.T
        normal[np.diag_indices_from(normal)] *= 1 + 1e-9
        mixed = (slopes * w) @ organs.T
        off = (w * (counts - fit.expected).ravel())
        solved = cho_solve(cho_factor(normal), np.column_stack([mixed.T, organs @ off]))
        information = ((slopes * w) @ slopes.T - mixed @ solved[:, :-1]) / square
        right = (slopes @ off - mixed @ solved[:, -1]) / square
        penalty = np.where(self.precision > 0, self.precision * at, 0.0)
        covariance = np.linalg.inv(information + np.diag(self.precision + 1e-9))
        cost = float((OUTLIER**2 * np.log1p((residual / OUTLIER) ** 2)).sum() / square + (penalty * at).sum())
        return covariance @ (right - penalty), covariance, cost, square

    def fit(self, start: PlanarPose, square: float | None = None) -> Fine:
        """Displacements that explain the counts best, from a pose that is right within some 10 mm."""
        at, limits = np.zeros(len(self.names)), np.array([LARGEST_MM, LARGEST_MM, 1.0])
        limits = np.concatenate([limits, limits, np.full(len(self.names) - 6, LARGEST_MM)])
        for _ in range(STEPS):
            step, covariance, cost, square = self.step(at, start, square)
            at = at + np.clip(step, -limits, limits)
            if (np.abs(step) < CONVERGED_MM).all():
                break
        placement = self.placed(start, at)
        counts, _, covered, fit = self.fitted(placement)
        u = dict(zip(self.names, np.sqrt(np.diag(covariance)).tolist(), strict=True))
        return Fine(placement, u, unexplained(counts, fit.expected, covered), cost, square)
