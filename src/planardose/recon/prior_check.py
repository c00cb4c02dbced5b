"""Does a prior image explain the planar counts better than evenly filled organs do? Where, and how far to trust it.

The organ-wise fit is made with and without the image's shapes. What does not lower the misfit is not used: the texture
has no free amplitude, so that its weight is a plain comparison; each focus has to earn its amplitude, and to fit where
it is better than it would fit beside it.
"""

from dataclasses import dataclass, field
from functools import cache, partial

import numpy as np
from scipy.ndimage import shift

from planardose.patient_model import PatientModel
from planardose.recon.acquired import Acquired
from planardose.recon.camera_views import CameraViews, Responses
from planardose.recon.prior_align import pattern_search
from planardose.recon.prior_shapes import Anatomy, PriorImage, Shapes, Sources, shapes_of
from planardose.recon.qplanar import model_errors, nonnegative_solution, qplanar, variance

STEPS_MM = (5.0, 2.5, 1.25)  # of the search, one after the other
ROUNDS = 3  # of search and new shapes
LARGEST_MM = 12.0  # an image that the counts move farther cannot be trusted along y either
WEIGHTS = (0.0, 0.5, 0.75, 1.0)  # of the texture
LEAST_GAIN = 0.05  # of the misfit, for the texture and for all: a wrong texture gains 0 to 0.02, a right one 0.3
FOCUS_GAIN = 9.0  # weighted squares that a focus must explain: three standard deviations
FOCUS_CONTRAST = 1.5  # its gain over that of copies displaced by `BESIDE` voxels
BESIDE = ((1, 2), (1, -2), (2, 2), (2, -2))  # axis of a view, voxels


@dataclass(frozen=True)
class Decision:
    """Whether a prior image is used for one acquisition, and why.

    Parameters
    ----------
    sources : Sources or None
        What QPlanar fits; None: evenly filled organs.
    reason : str
    shift_mm : (x, y, z) float
        By which the image is moved against the anatomy: x and z by the counts, y by its own likeness to the organs.
    misfit_without, misfit_with : float
        Weighted squares per pixel.
    """

    sources: Sources | None = field(repr=False)
    reason: str
    shift_mm: tuple[float, float, float]
    misfit_without: float
    misfit_with: float


@dataclass(frozen=True)
class Projected:
    """Shapes with their expected counts: `texture` (2, I, K) with the even fit's amplitudes, `foci` (F, 2, I, K)."""

    shapes: Shapes
    texture: np.ndarray = field(repr=False)
    foci: np.ndarray = field(repr=False)


class Checker:
    """Fits sources to the counts of one acquisition with fixed weights.

    Parameters
    ----------
    projector : CameraViews
    model : PatientModel
    acquired : Acquired
    responses : Responses
        Of the model's evenly filled organs.
    """

    def __init__(self, projector: CameraViews, model: PatientModel, acquired: Acquired, responses: Responses):
        self.projector, self.model, self.acquired = projector, model, acquired
        self.even, self.anatomy = responses, Anatomy(model)
        self.rows = responses.total * acquired.exposure_s
        fit = qplanar(projector, model, acquired, responses)
        self.concentrations = fit.concentrations
        weights = 1.0 / variance(fit.expected, model_errors(model))
        weights[:, :, : model.ct_slices.start] = weights[:, :, model.ct_slices.stop :] = 0.0
        weights *= (self.rows.sum(axis=0) > 1e-12) if acquired.of_body is None else acquired.of_body
        self.root, self.pixels = np.sqrt(weights), np.count_nonzero(weights)
        self.alone = self.fitted(self.rows, 0.0)[1]

    def fitted(self, rows: np.ndarray, additive: np.ndarray | float) -> tuple[np.ndarray, float]:
        """Amplitudes (S,) of sources with expected counts `rows` (S, 2, I, K), and the misfit per pixel."""
        a = (rows * self.root).reshape(len(rows), -1)
        y = ((self.acquired.counts - additive) * self.root).ravel()
        size = np.sqrt((a**2).sum(axis=1))
        size = np.maximum(size, 1e-9 * size.max())
        a = a / size[:, None]
        normal = a @ a.T
        normal[np.diag_indices_from(normal)] += 1e-7
        x = nonnegative_solution(normal, a @ y)
        return x / size, float(((y - x @ a) ** 2).sum()) / self.pixels

    def seen(self, maps: np.ndarray) -> np.ndarray:
        """Expected counts (N, 2, I, K) of maps (N, I, J, K) in MBq per voxel, scatter included."""
        if len(maps) == 0:
            return np.zeros((0, *self.acquired.counts.shape))
        seen = [self.projector.primary(m) + self.projector.scatter(m) for m in maps]
        return np.array(seen) * self.acquired.exposure_s

    def texture_counts(self, shapes: Shapes) -> np.ndarray:
        """(2, I, K): how the counts change when the organs, with the amplitudes of the even fit, get the texture."""
        textured = Sources(self.model, shapes, 1.0, ()).textured.fractions
        change = np.tensordot(self.concentrations, textured - self.model.fractions, axes=1)
        return self.seen((change * self.model.grid.voxel_ml)[None])[0]

    def depth(self, prior: PriorImage) -> float:
        """Shift along y, which the views do not show, at which the organs explain most of the image."""
        step = self.model.grid.spacing_mm
        width = (self.anatomy.fit(*prior.on_grid((0.0, 0.0, 0.0), step)).fwhm_mm,)

        def explained(at: np.ndarray) -> float:
            return self.anatomy.fit(*prior.on_grid((0.0, float(at[0]), 0.0), step), width).explained

        return float(pattern_search(explained, np.array(STEPS_MM)[:, None])[0])

    def projected(self, prior: PriorImage, shift_mm: tuple[float, float, float]) -> Projected:
        """Shapes of the image moved by `shift_mm`, and what the camera sees of them."""
        shapes = shapes_of(prior, self.anatomy, shift_mm)
        return Projected(shapes, self.texture_counts(shapes), self.seen(shapes.foci * self.model.grid.voxel_ml))

    def misfit_moved(self, seen: Projected, shift_mm: tuple[float, float]) -> float:
        """Misfit with the projections moved in their plane: what a move of the image by a few mm does, cheaply."""
        by = np.array(shift_mm) / self.model.grid.spacing_mm[[0, 2]]
        images = np.concatenate([seen.texture[None], seen.foci])
        moved = shift(images, (0, 0, *by), order=1) if any(shift_mm) else images
        rows = np.concatenate([self.rows, moved[1:]])
        return min(self.fitted(rows, weight * moved[0])[1] for weight in WEIGHTS[::2])

    def search(self, seen: Projected) -> tuple[float, float]:
        """Shift (x, z) of the least misfit: a pattern search from 0 to a step beyond `LARGEST_MM`."""
        at, value = (0.0, 0.0), cache(partial(self.misfit_moved, seen))
        for step in STEPS_MM:
            while max(map(abs, at)) <= LARGEST_MM:
                around = [(at[0] + dx, at[1] + dz) for dx, dz in ((0, step), (0, -step), (step, 0), (-step, 0))]
                best = min(around, key=value)
                if value(best) >= value(at):
                    break
                at = best
        return at

    def check(self, prior: PriorImage) -> Decision:
        """Find the shift, the weight of the texture and the foci that the counts support."""
        total = (0.0, self.depth(prior), 0.0)
        for _ in range(ROUNDS):
            seen = self.projected(prior, total)
            move = self.search(seen)
            total = (total[0] + move[0], total[1], total[2] + move[1])
            if np.linalg.norm(total) > LARGEST_MM:
                return self._none(f"{np.linalg.norm(total):.0f} mm or more off the anatomy", total)
            if np.hypot(*move) < STEPS_MM[-1]:
                break
        else:
            seen = self.projected(prior, total)
        weight = self._weight(seen)
        chosen = self._worth(seen.foci, weight * seen.texture)
        misfit = self.fitted(np.concatenate([self.rows, seen.foci[list(chosen)]]), weight * seen.texture)[1]
        gain = 1.0 - misfit / self.alone
        if gain < LEAST_GAIN:
            return self._none("it does not explain the counts better", total, misfit)
        sources = Sources(self.model, seen.shapes, weight, chosen)
        return Decision(sources, "it explains the counts better", total, self.alone, misfit)

    def _weight(self, seen: Projected) -> float:
        """Weight of the texture with the least misfit; 0 where the texture does not clearly lower it."""
        rows = np.concatenate([self.rows, seen.foci])
        misfits = {w: self.fitted(rows, w * seen.texture)[1] for w in WEIGHTS}
        best = min(misfits, key=misfits.get)
        return best if misfits[0.0] - misfits[best] > LEAST_GAIN * self.alone else 0.0

    def _worth(self, foci: np.ndarray, additive: np.ndarray) -> tuple[int, ...]:
        """Foci without which the misfit would be clearly larger, and that fit where they are, not as well beside it."""
        chosen = list(range(len(foci)))
        while chosen:
            worth = [self._merit(foci[chosen], n, additive) for n in range(len(chosen))]
            weakest = int(np.argmin(worth))
            if worth[weakest] >= 1.0:
                break
            del chosen[weakest]
        return tuple(chosen)

    def _merit(self, foci: np.ndarray, n: int, additive: np.ndarray) -> float:
        """Merit of focus `n` among `foci` (F, 2, I, K): below 1 it explains too little, or as much beside its place."""
        rows, at = np.concatenate([self.rows, foci]), len(self.rows) + n
        without = self.fitted(np.delete(rows, at, axis=0), additive)[1]
        gain, beside = without - self.fitted(rows, additive)[1], 0.0
        for axis, by in BESIDE:
            rows[at] = np.roll(foci[n], by, axis=axis)
            beside = max(beside, without - self.fitted(rows, additive)[1])
        return min(gain * self.pixels / FOCUS_GAIN, gain / max(FOCUS_CONTRAST * beside, 1e-12))

    def _none(self, reason: str, shift: tuple[float, float, float], misfit: float = np.nan) -> Decision:
        return Decision(None, reason, shift, self.alone, misfit)
