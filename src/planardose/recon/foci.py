"""Foci that the counts show and no outline tells of: lesions, missed glands, urine. Found one after the other.

The voxel whose spot would explain most of what the organ-wise fit leaves is the next candidate; it is placed
(`recon.focus`), and kept where it holds several times the concentration around it: uneven uptake and wrong outlines
leave residuals too, but shallow ones. With every focus kept all sources are fitted again.

Figures on validation cohorts: benchmarks/foci/README.md.
"""

from dataclasses import dataclass, replace

import numpy as np
import torch
from scipy.ndimage import gaussian_filter

from planardose.image import Grid
from planardose.patient_model import PatientModel
from planardose.recon.acquired import Acquired
from planardose.recon.camera_views import Responses
from planardose.recon.focus import WIDTH_MM, Focus, Free, Sight, drifts, likeliest_depth, place, share_of_body
from planardose.recon.projector import Projector
from planardose.recon.qplanar import OrganFit, fit_concentrations, model_errors, variance
from planardose.recon.tissues import inner_part

NAME = "focal_uptake_"
LEAST_GAIN = 100.0  # `Focus.gain`: ten standard deviations
LEAST_CONTRAST = 3.5  # of its concentration over that of what lies around it
MOST_CONTRAST = 1000.0  # told at most: the fit may leave nothing around a focus
MOST_DEPTH_U_MM = 20.0
LEAST_IN_SIGHT = 0.95  # of its counts: what the images' edge cuts would be placed and weighed by the part that is left
MOST, MOST_TRIED = 15, 30
APART_MM = 20.0  # across, in every depth: two views do not tell two foci behind each other apart


@dataclass(frozen=True)
class Foci:
    """The foci of one acquisition, brightest first, and their concentration over what lies around each."""

    found: tuple[Focus, ...]
    contrasts: tuple[float, ...]

    def beside(self, sources: PatientModel, model: PatientModel) -> PatientModel:
        """Sources of the patient's model with one more for each focus: its shape, 1 at the peak, as its fraction."""
        if not self.found:
            return sources
        shapes = [f.shape(model) for f in self.found]
        names = tuple(f"{NAME}{n}" for n in range(1, len(shapes) + 1))
        fractions = np.concatenate([sources.fractions, np.array([s / s.max() for s in shapes])])
        return replace(sources, organs=sources.organs + names, fractions=fractions, mass_g=None)

    def hosts(self, model: PatientModel) -> np.ndarray:
        """(F,) organ of the model that holds most of each focus."""
        return np.array([np.tensordot(model.fractions, f.sharp(model), axes=3).argmax() for f in self.found], dtype=int)


NO_FOCI = Foci((), ())


def find_foci(
    projector: Projector, model: PatientModel, sources: PatientModel, acquired: Acquired, responses: Responses
) -> Foci:
    """Search an acquisition for foci.

    Parameters
    ----------
    projector, model : Projector, PatientModel
        The patient's.
    sources : PatientModel
        What QPlanar fits: organs and tissues, with the shapes of a prior image where there is one.
    acquired : Acquired
        Opposed pair.
    responses : Responses
        Of the sources.
    """
    search = _Search(projector, model, sources, acquired, responses)
    tried = np.zeros(acquired.counts.shape[1:], dtype=bool)
    for _ in range(MOST_TRIED):
        at = search.brightest(tried)
        if at is None or len(search.foci) == MOST:
            break
        tried |= _around(at, model.grid)
        search.take(np.array(at, dtype=np.float64), WIDTH_MM)
        for focus in search.foci:
            tried |= _around(focus.index, model.grid)
    search.place_again()
    mbq = search.fit.concentrations[len(search.rows) :]
    # one that fits where it lies, but not beside the others, is none
    found = tuple(search.foci[n] for n in np.argsort(-mbq, kind="stable") if mbq[n] > 0)
    return Foci(found, tuple(search.contrast(f) for f in found))


def _around(index: tuple | np.ndarray, grid: Grid) -> np.ndarray:
    """(I, K) bool: columns within `APART_MM` of a place."""
    near = [
        np.abs(np.arange(grid.shape[a]) - round(float(index[a]))) * grid.spacing_mm[a] <= APART_MM for a in (0, 2)
    ]
    return np.outer(*near)


class _Search:
    """The sources' rows, those of the foci kept so far, and the fit of all."""

    def __init__(
        self,
        projector: Projector,
        model: PatientModel,
        sources: PatientModel,
        acquired: Acquired,
        responses: Responses,
    ):
        inside = inner_part(model)
        inside[..., : model.ct_slices.start] = inside[..., model.ct_slices.stop :] = False
        self.sight = Sight(model.grid, share_of_body(model), projector, acquired.exposure_s, inside)
        self.model, self.sources, self.acquired, self.errors = model, sources, acquired, model_errors(model)
        self.rows = (responses.total * acquired.exposure_s).reshape(len(sources.organs), -1)
        self.of_body = projector.of_body(model).ravel()
        self.foci: list[Focus] = []
        self.of_foci: list[np.ndarray] = []  # counts (P,) of 1 MBq of each
        self.fit = self.fitted()
        weights = projector.tensor(self.weights().reshape(acquired.counts.shape))
        with torch.no_grad():
            held = projector.information(weights).cpu().numpy() * acquired.exposure_s**2
        self.held = np.maximum(held, 1e-6 * held[inside].max(initial=1e-12))

    def fitted(self) -> OrganFit:
        counts = self.acquired.counts
        rows = np.stack([*self.rows, *self.of_foci]).reshape(-1, *counts.shape)
        return fit_concentrations(counts, rows, np.zeros_like(counts), self.errors, self.acquired.of_body)

    def weights(self) -> np.ndarray:
        """(P,) of the fit's pixels."""
        used = 1.0 if self.acquired.of_body is None else self.acquired.of_body
        return (used / variance(self.fit.expected, self.errors)).ravel()

    def brightest(self, tried: np.ndarray) -> tuple[int, int, int] | None:
        """The voxel not in the columns `tried` (I, K) whose spot would explain most; None: too little everywhere."""
        projector, counts = self.sight.projector, self.acquired.counts
        rest = self.weights().reshape(counts.shape) * (counts - self.fit.expected) * self.acquired.exposure_s
        with torch.no_grad():
            pull = projector.adjoint(projector.tensor(rest)).cpu().numpy()
        pull = gaussian_filter(pull, WIDTH_MM / self.model.grid.spacing_mm, mode="constant")
        gain = np.where(self.sight.allowed & ~tried[:, None, :] & (pull > 0), pull**2 / self.held, 0.0)
        at = np.unravel_index(int(gain.argmax()), gain.shape)
        return None if gain[at] < LEAST_GAIN else tuple(int(n) for n in at)

    def take(self, index: np.ndarray, width_mm: float) -> None:
        """Place a focus from `index` on, and keep it where it is one."""
        rest = (self.acquired.counts - self.fit.expected).ravel()
        others, without = self._others(index), self.fit
        index = likeliest_depth(self.sight, index, width_mm, rest, others)
        focus = place(self.sight, index, width_mm, rest, others)
        if focus is None or focus.gain < LEAST_GAIN or focus.u_mm[1] > MOST_DEPTH_U_MM:
            return
        shape = focus.shape(self.model)
        counts = self.sight.primary([shape])[0] + self.sight.scatter(shape)
        if self._in_sight(counts) < LEAST_IN_SIGHT:
            return
        self.foci.append(focus)
        self.of_foci.append(counts)
        self.fit = self.fitted()
        if self.contrast(focus) < LEAST_CONTRAST:
            del self.foci[-1], self.of_foci[-1]
            self.fit = without

    def _in_sight(self, counts: np.ndarray) -> float:
        """Share of counts (P,), of those with body in sight, that lies in the images."""
        shown = self.of_body if self.acquired.of_body is None else self.acquired.of_body.ravel()
        return float(counts @ shown / max(counts @ self.of_body, 1e-12))

    def place_again(self) -> None:
        """Every focus once more, now that all others are known."""
        for _ in range(len(self.foci)):
            focus, _ = self.foci.pop(0), self.of_foci.pop(0)
            self.fit = self.fitted()
            self.take(focus.index, focus.width_mm)

    def _others(self, index: np.ndarray) -> Free:
        """All sources of the fit, free to adapt, and what they show around a place, free to be somewhat off."""
        rows = np.stack([*self.rows, *self.of_foci])[self.fit.concentrations > 0]
        return Free(rows, self.weights(), drifts(self.model.grid, index, self.fit.expected))

    def contrast(self, focus: Focus) -> float:
        """Concentration of a focus over that of the other sources where it lies, both weighted by its shape."""
        shape = focus.sharp(self.model).astype(np.float64)
        there = shape > 0
        around = self.fit.concentrations[: len(self.rows)] @ self.sources.fractions[:, there]
        own = focus.mbq / self.model.grid.voxel_ml * float((shape[there] ** 2).sum())
        return own / max(float(around @ shape[there]), own / MOST_CONTRAST)
