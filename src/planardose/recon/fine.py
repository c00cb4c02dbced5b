"""Fine placement of a planar pair: rigid pose, the posterior head against the anterior, and organs that moved.

Starts from the pose of `planardose.recon.register`. All displacements and the organs' concentrations are fitted
together by Gauss-Newton steps on the organ-wise likelihood, the remainder split by tissue (`recon.tissues`): the
expected images are displaced, nothing is projected again. The pose is free; heads and organs carry priors, so that what
the counts do not tell stays at zero. A move along y, and turns about x and z, are not fitted: two opposed views hardly
see them. What an organ's unknown depth does to its activity is in `Fine.activity_u`.
"""

from dataclasses import dataclass

import numpy as np
from scipy.linalg import block_diag, cho_factor, cho_solve

from planardose.frames import PlanarPose
from planardose.patient_model import PatientModel
from planardose.planar import rebin
from planardose.recon.gauss_newton import OUTLIER
from planardose.recon.matcher import SEARCH_ERROR, WHOLE, Images, coarser, matched_cells, unexplained
from planardose.recon.motion import Movable, motion_prior, movable, moved_images, moved_responses
from planardose.recon.placement import Placement, about, middle_of
from planardose.recon.qplanar import OrganFit, fit_concentrations, normal_matrix, variance

HEAD_PRIOR = np.array([2.0, 2.0, 0.3])  # mm, mm, degrees: how far two heads are apart, standard deviations
FIXED = 1e-6  # standard deviation of a parameter that is kept
# Texture and organ borders err alike over so many cells: what the fit's information is divided by. With it, organs that
# did not move were found within 1.08 standard uncertainties (root mean square, 27 organs of 6 validation sweeps).
CORRELATED = 6.0
HEAD_PAYS = 9.0  # fall of the penalised misfit that a displaced head must bring; without displacement at most 2
ORGANS_PAY = 4.0  # the same of all organs together
PROBE_MM = 2.0
STEPS = 5
LARGEST_MM, LARGEST_DEG = 8.0, 1.0
CONVERGED_MM = 0.2


@dataclass(frozen=True)
class Fine:
    """A placement with what is known of it.

    Parameters
    ----------
    placement : Placement
    uncertainty : dict
        Standard uncertainty (mm, degrees) by the names of `FinePlacer.names`.
    activity_u : (O,) float64
        Relative standard uncertainty of each organ's activity from the placement, unseen depth included.
    misfit : float
        `matcher.unexplained` with the remainder split by tissue.
    counts, expected : (2, I, K) float64
        All counts, and the fit to those of the `matcher.matched_cells`.
    cost, square : float
        Penalised misfit, and the mean square (times `CORRELATED`) that it is counted in.
    """

    placement: Placement
    uncertainty: dict[str, float]
    activity_u: np.ndarray
    misfit: float
    counts: np.ndarray
    expected: np.ndarray
    cost: float
    square: float


@dataclass(frozen=True)
class _Linear:
    """The problem around some parameters: `slopes` (P, 2, I, K), weights and what the normal equations need."""

    fit: OrganFit
    slopes: np.ndarray
    weights: np.ndarray
    residual: np.ndarray
    rows: np.ndarray
    scale: np.ndarray
    seen: np.ndarray
    cost: float
    square: float


class FinePlacer:
    """Fits the placement of a pair of images.

    Parameters
    ----------
    model : PatientModel
    rows : (R, 2, I, K) float
        Rates per concentration, those of the model's organs first (`tissues.Tissues.responses`).
    images : Images
    mu_per_mm : float
        Attenuation of water at the imaged line: what a move along y changes.
    heads, organs : bool
        Whether the posterior head, and organs, may be displaced.
    max_rotation_deg : float
        Largest rotation of the pose.
    """

    def __init__(
        self,
        model: PatientModel,
        rows: np.ndarray,
        images: Images,
        mu_per_mm: float,
        heads: bool = True,
        organs: bool = True,
        max_rotation_deg: float = np.inf,
    ):
        self.grid, self.images, self.centre, self.mu_per_mm = model.grid, images, middle_of(model.grid), mu_per_mm
        self.rows, who, self.names_of_rows = rows, movable(model), model.organs
        self.movers = who
        self.who = who if organs else Movable(who.remainder, {})
        self.heads, self.max_rotation_deg = heads, max_rotation_deg
        self.matched = matched_cells(model)
        self.ones = np.ones((1, *images.counts.shape[1:]))
        self.cell = float(np.prod(model.grid.spacing_mm[[0, 2]]) / np.prod(images.pixel_mm))
        number = len(self.who.members)
        turn = np.inf if max_rotation_deg > 0 else FIXED
        wide = np.concatenate([[np.inf, np.inf, turn], HEAD_PRIOR if heads else np.full(3, FIXED)])
        moves = np.linalg.inv(motion_prior().covariance(tuple(self.who.members)))
        self.precision = block_diag(np.diag(1.0 / wide**2), moves)
        limits = [LARGEST_MM, LARGEST_MM, LARGEST_DEG]
        self.largest = np.array(limits + limits + [LARGEST_MM] * 2 * number)
        own = [f"{name} {axis}" for name in self.who.members for axis in "xz"]
        self.names = ("x", "z", "turn", "head x", "head z", "head turn", *own)

    def placed(self, start: PlanarPose, at: np.ndarray) -> Placement:
        """The placement with parameters (P,), counted from the pose `start`."""
        organs = {n: (float(at[6 + 2 * m]), float(at[7 + 2 * m])) for m, n in enumerate(self.who.members)}
        head = (float(at[3]), float(at[4]), float(at[5])) if self.heads else (0.0, 0.0, 0.0)
        return Placement(about(start, self.centre, -at[:3]), head, organs)

    def counts(self, placement: Placement) -> tuple[np.ndarray, np.ndarray]:
        """Counts (2, I, K) and the `matched_cells` (I, K) that both views cover."""
        out, covered = [], self.matched
        for view, pose in enumerate(placement.poses(self.centre)):
            both = np.concatenate([self.images.counts[view : view + 1], self.ones])
            binned = rebin(both, self.images.pixel_mm, self.grid, pose)
            out.append(binned[0])
            covered = covered & (binned[1] > WHOLE * self.cell)
        return np.stack(out), covered

    def fitted(self, placement: Placement) -> tuple[np.ndarray, np.ndarray, np.ndarray, OrganFit]:
        """Counts and moved rows of the covered cells, which cells these are, and the concentrations fitted to them."""
        counts, covered = self.counts(placement)
        rows = moved_responses(self.rows, self.who, placement.organs, self.grid.spacing_mm) * covered
        return counts * covered, rows, covered, fit_concentrations(counts * covered, rows, 0 * counts, SEARCH_ERROR)

    def _displaced(self, image: np.ndarray, at: tuple[float, float] = (0.0, 0.0)) -> list[np.ndarray]:
        """Change of an image (2, I, K) per mm along x and along z, after a move by `at`."""
        ends = [
            [moved_images(image, at[0] + s * a, at[1] + s * b, self.grid.spacing_mm) for s in (PROBE_MM, -PROBE_MM)]
            for a, b in ((1.0, 0.0), (0.0, 1.0))
        ]
        return [(high - low) / (2 * PROBE_MM) for high, low in ends]

    def _own(self, name: str, fit: OrganFit) -> np.ndarray:
        """(2, I, K) what an organ adds to the remainder that would fill its place."""
        c = fit.concentrations
        return sum((c[o] - c[self.who.remainder]) * self.rows[o] for o in self.movers.members[name])

    def _slopes(self, placement: Placement, fit: OrganFit, covered: np.ndarray) -> np.ndarray:
        """(P, 2, I, K) change of the expected counts with each parameter."""
        across, along = self._displaced(fit.expected)
        x, z = self.grid.axis_mm(0)[:, None] - self.centre[0], self.grid.axis_mm(2)[None, :] - self.centre[1]
        rigid = np.stack([across, along, np.deg2rad(x * along - z * across)])
        head = rigid * np.array([0.0, 1.0])[None, :, None, None]
        own = [s for name, at in placement.organs.items() for s in self._displaced(self._own(name, fit), at)]
        return np.concatenate([rigid, head, *([np.array(own)] if own else [])]) * covered

    def _linear(self, placement: Placement, penalty: float, square: float | None) -> _Linear:
        counts, rows, covered, fit = self.fitted(placement)
        plain = covered / variance(fit.expected, SEARCH_ERROR)
        residual = np.sqrt(plain) * (counts - fit.expected)
        trust = 1.0 / (1.0 + (residual / OUTLIER) ** 2)
        if square is None:
            square = float((trust * residual**2).sum() / max(2 * covered.sum(), 1)) * CORRELATED
        seen = np.flatnonzero(fit.concentrations > 0)
        flat = rows[seen].reshape(len(seen), -1)
        scale = flat.sum(axis=1)
        slopes = self._slopes(placement, fit, covered).reshape(len(self.names), -1)
        cost = float((OUTLIER**2 * np.log1p((residual / OUTLIER) ** 2)).sum() / square) + penalty
        off = (counts - fit.expected).ravel()
        return _Linear(fit, slopes, (plain * trust).ravel(), off, flat / scale[:, None], scale, seen, cost, square)

    def _solved(self, linear: _Linear, at: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Step (P,), covariance (P, P), and the change (S, P) of the seen rows' contents with the parameters."""
        rows, slopes, w = linear.rows, linear.slopes, linear.weights
        mixed = (slopes * w) @ rows.T
        solved = cho_solve(cho_factor(normal_matrix(rows, w)), np.column_stack([mixed.T, (rows * w) @ linear.residual]))
        information = ((slopes * w) @ slopes.T - mixed @ solved[:, :-1]) / linear.square
        right = ((slopes * w) @ linear.residual - mixed @ solved[:, -1]) / linear.square - self.precision @ at
        covariance = np.linalg.inv(information + self.precision + 1e-9 * np.eye(len(at)))
        return covariance @ right, covariance, -solved[:, :-1]

    def fit(self, start: PlanarPose, square: float | None = None) -> Fine:
        """Displacements that explain the counts best, from a pose that is right within some 10 mm.

        Parameters
        ----------
        start : PlanarPose
        square : float or None
            `Fine.square` of another fit to the same images, so that their costs can be compared.
        """
        at = np.zeros(len(self.names))
        turns = start.rotation_deg - self.max_rotation_deg, start.rotation_deg + self.max_rotation_deg
        for _ in range(STEPS):
            linear = self._linear(self.placed(start, at), 0.0, square)
            square, step = linear.square, self._solved(linear, at)[0]
            at = at + np.clip(step, -self.largest, self.largest)
            at[2] = np.clip(at[2], *turns)
            if (np.abs(step) < CONVERGED_MM).all():
                break
        linear = self._linear(self.placed(start, at), float(at @ self.precision @ at), square)
        _, covariance, change = self._solved(linear, at)
        return self._described(self.placed(start, at), linear, covariance, change)

    def kept(self, pose: PlanarPose) -> Fine:
        """The placement at a pose that is given, nothing moved.

        Its uncertainty is what a fit there would have, and beside it, as one more deviation, the step that the counts
        ask for from there.
        """
        at = np.zeros(len(self.names))
        placement = self.placed(pose, at)
        linear = self._linear(placement, 0.0, None)
        step, covariance, change = self._solved(linear, at)
        step = np.clip(step, -self.largest, self.largest)
        return self._described(Placement(pose), linear, covariance + np.outer(step, step), change)

    def _described(self, placement: Placement, linear: _Linear, covariance: np.ndarray, change: np.ndarray) -> Fine:
        """The placement with its uncertainty, around which `linear` holds."""
        counts, covered = self.counts(placement)
        u = dict(zip(self.names, np.sqrt(np.diag(covariance)).tolist(), strict=True))
        misfit = unexplained(counts, linear.fit.expected, covered)
        activity_u = self._activity_u(linear, covariance, change)
        return Fine(placement, u, activity_u, misfit, counts, linear.fit.expected, linear.cost, linear.square)

    def _activity_u(self, linear: _Linear, covariance: np.ndarray, change: np.ndarray) -> np.ndarray:
        """(O,) relative, at most 1, from the parameters' covariance and the depth of each movable organ."""
        spread = change @ covariance @ change.T
        normal = normal_matrix(linear.rows, linear.weights)
        nearer = np.array([1.0, -1.0])[:, None, None] * self.mu_per_mm * motion_prior().depth_mm
        deep = [(nearer * self._own(name, linear.fit)).ravel() for name in self.movers.members]
        if deep:
            depth = cho_solve(cho_factor(normal), (linear.rows * linear.weights) @ np.array(deep).T)
            spread = spread + depth @ depth.T
        content = linear.fit.concentrations[linear.seen] * linear.scale
        out = np.zeros(len(linear.fit.concentrations))
        out[linear.seen] = np.minimum(np.sqrt(np.diag(spread)) / content, 1.0)
        return out[: len(self.names_of_rows)]


def kept(
    model: PatientModel, rows: np.ndarray, images: Images, pose: PlanarPose, mu_per_mm: float
) -> Fine:
    """A pose set by hand, with the uncertainty of `FinePlacer.kept`; parameters as for `place`."""
    images = coarser(images, 0.5 * float(model.grid.spacing_mm[0]))
    return FinePlacer(model, rows, images, mu_per_mm, heads=False).kept(pose)


def place(
    model: PatientModel,
    rows: np.ndarray,
    images: Images,
    pose: PlanarPose,
    mu_per_mm: float,
    max_rotation_deg: float,
) -> Fine:
    """Fine placement from a registered pose, with organs and heads displaced where that pays.

    Parameters
    ----------
    model, rows, mu_per_mm, max_rotation_deg
        As for `FinePlacer`.
    images : Images
    pose : PlanarPose
        From `register.register`.
    """
    images = coarser(images, 0.5 * float(model.grid.spacing_mm[0]))

    def fit(start: Fine | None, heads: bool, organs: bool) -> Fine:
        placer = FinePlacer(model, rows, images, mu_per_mm, heads, organs, max_rotation_deg)
        return placer.fit(pose) if start is None else placer.fit(start.placement.pose, start.square)

    rigid = fit(None, False, False)
    moved = fit(rigid, False, True)
    kept = moved if rigid.cost - moved.cost > ORGANS_PAY else rigid
    turned = fit(kept, True, kept is moved)
    return turned if kept.cost - turned.cost > HEAD_PAYS else kept
