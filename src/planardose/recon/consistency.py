"""Do images, CT and pose belong together? Statistics of one acquisition, before any voxel method can hide a misfit.

A voxel map explains almost any counts; the organ-wise fit with its few unknowns does not. What it leaves unexplained,
in which view, strip and direction, tells the input that is wrong: another patient's CT, a wrong pose, exchanged views,
another nuclide, a source beside the patient. What right acquisitions show was measured on a validation cohort
(``benchmarks/gate/calibrate.py``, ``data/gate.yaml``); the score is the distance from it.
"""

import math
from dataclasses import dataclass
from functools import cache

import numpy as np
import yaml
from scipy.linalg import cho_factor, cho_solve
from scipy.ndimage import binary_dilation, median_filter, uniform_filter

from planardose.image import Grid
from planardose.library import DATA
from planardose.organs import OUTSIDE_CT, REMAINDER, is_lesion
from planardose.patient_model import PatientModel
from planardose.planar import VIEWS
from planardose.recon.acquired import Acquired
from planardose.recon.gate import GATE_ERROR, ct_slices, deviance, judged_cells, strips_of
from planardose.recon.matcher import unexplained
from planardose.recon.qplanar import OrganFit, normal_matrix, variance
from planardose.recon.tissues import TISSUES

BESIDE_CELLS = 20  # on each side of the grid: where a source beside the body is looked for
ALONG_MM = 150.0  # what reaches along more than half of it is no spot
SPOT_CELLS = 3  # edge of the square whose counts are a spot
OUTLIER = 5.0  # residuals beyond so many standard deviations count linearly, as in the registration
LEAST = 1e-6  # of a share, before its logarithm
LEAST_BESIDE = 1e-3  # the same of `beside_share`: arms that the CT does not show leave up to 1.3e-3
# no shape of their own
BACKGROUND = ("lungs", "skeleton", "blood_pool", "muscle", "brain", REMAINDER, OUTSIDE_CT, *TISSUES)


@dataclass(frozen=True)
class Usual:
    """Mean and standard deviation of a statistic over right acquisitions; `one_sided`: only large values are odd."""

    mean: float
    sd: float
    one_sided: bool

    def distance(self, value: float) -> float:
        """Standard deviations from the mean, not negative."""
        z = (value - self.mean) / self.sd
        return max(z, 0.0) if self.one_sided else abs(z)


@dataclass(frozen=True)
class Limits:
    """Content of ``data/gate.yaml``: what is usual per statistic, the largest score that passes, and per method the
    largest deviance of its map in a strip of a view."""

    usual: dict[str, Usual]
    score: float
    strip_deviance: dict[str, float]


@cache
def limits() -> Limits:
    """The limits of ``data/gate.yaml``."""
    read = yaml.safe_load((DATA / "gate.yaml").read_text())
    usual = {k: Usual(**v) for k, v in read["usual"].items()}
    return Limits(usual, read["score"], read["strip_deviance"])


def score(statistics: dict[str, float], usual: dict[str, Usual]) -> tuple[float, str]:
    """Distance from what is usual (root of the sum of squared `Usual.distance`), and the statistic with most of it.

    Statistics without a `Usual` and those that could not be computed are left out.
    """
    distances = {k: usual[k].distance(v) for k, v in statistics.items() if k in usual and np.isfinite(v)}
    return math.sqrt(sum(d**2 for d in distances.values())), max(distances, key=distances.get)


def statistics(
    model: PatientModel,
    responses: np.ndarray,
    measured: Acquired,
    modelled: np.ndarray,
    fit: OrganFit,
    beside: np.ndarray,
) -> dict[str, float]:
    """Statistics of one acquisition.

    Parameters
    ----------
    model : PatientModel
    responses : (O, 2, I, K) float64
        Expected counts per MBq/mL (rates x exposure).
    measured : Acquired
    modelled : (2, I, K) float
        Scatter counts that the fitted organs cause.
    fit : OrganFit
    beside : (2, I + 2 B, K) float
        Photopeak counts on `wide_grid`.

    Returns
    -------
    dict
        Shares and ratios as natural logarithms (`organ_shift` of mm), shifts in mm. `scatter_*` only with a scatter
        window.
    """
    body, inside = judged_cells(model, measured.of_body), ct_slices(model)
    counts, expected = measured.counts, fit.expected
    misplaced = Misplaced(model, responses, counts, expected, body)
    out = {"unexplained": _log(unexplained(counts, expected, body))}
    worst = [deviance(counts[v], expected[v], s) for v in range(len(VIEWS)) for s in strips_of(model, measured.of_body)]
    out["worst_strip"] = _log(max(worst))
    sums = [(counts[v][body].sum(), expected[v][body].sum()) for v in range(len(VIEWS))]
    out["view_ratio"] = _log(sums[0][0] / max(sums[0][1], 1.0)) - _log(sums[1][0] / max(sums[1][1], 1.0))
    for v, name in enumerate(VIEWS):
        for axis, d in zip("xz", misplaced.of_view(expected, v), strict=True):
            out[f"shift_{axis}_{name}_mm"] = d
        if measured.scatter is not None:
            out[f"scatter_{name}"] = _log(measured.scatter[v][body].sum() / max(modelled[v][body].sum(), 1e-9))
    out["organ_shift"] = _log(misplaced.of_organs(model, responses, fit))
    step_mm = float(model.grid.spacing_mm[2])
    out["beside"] = _log(max(beside_share(body, inside, beside, expected, step_mm), LEAST_BESIDE))
    return {k: float(v) for k, v in out.items()}


def _log(share: float) -> float:
    return float(np.log(max(share, LEAST)))


def wide_grid(grid: Grid) -> Grid:
    """The grid with `BESIDE_CELLS` more cells on either side along x."""
    affine = grid.ras_from_voxel.copy()
    affine[0, 3] -= BESIDE_CELLS * affine[0, 0]
    i, j, k = grid.shape
    return Grid((i + 2 * BESIDE_CELLS, j, k), affine)


def beside_share(
    body: np.ndarray, inside: np.ndarray, counts: np.ndarray, explained: np.ndarray, step_mm: float
) -> float:
    """Counts of the hottest spot beside the body beyond those explained, over the view's counts; the larger view.

    What goes on along the side, such as an arm that the CT does not show, is no spot: of each slice, the median of the
    hottest spots of its side over `ALONG_MM` is taken off.

    Parameters
    ----------
    body : (I, K) bool
        Cells with body in sight.
    inside : (K,) bool
        Slices in the CT.
    counts : (2, I + 2 `BESIDE_CELLS`, K) float
        On `wide_grid`.
    explained : (2, I, K) float
        Counts that the organ-wise fit expects.
    step_mm : float
        Slice spacing, mm.
    """
    pad = ((BESIDE_CELLS, BESIDE_CELLS), (0, 0))
    # one cell around the body: what blur and a slightly wrong outline put there is no source
    free = ~np.pad(binary_dilation(body), pad) & inside
    left, along = np.arange(len(free)) < len(free) // 2, 2 * int(ALONG_MM / step_mm / 2) + 1
    shares = []
    for view, known in zip(counts, explained, strict=True):
        rest = np.where(free, view - np.pad(known, pad), 0.0)
        spot = uniform_filter(rest, SPOT_CELLS, mode="constant") * SPOT_CELLS**2
        sides = [spot[side][:, inside].max(axis=0) for side in (left, ~left)]
        hottest = max(float((s - median_filter(s, along, mode="nearest")).max()) for s in sides)
        shares.append(hottest / max(view[:, inside].sum(), 1.0))
    return max(shares)


class Misplaced:
    """How far parts of the expected counts want to move to fit better: one Gauss-Newton step, organs free to adapt.

    Parameters
    ----------
    model : PatientModel
    responses : (O, 2, I, K) float64
        Expected counts per MBq/mL.
    counts, expected : (2, I, K) float
        Measured, and of the organ-wise fit.
    body : (I, K) bool
        Cells that count.
    """

    def __init__(
        self, model: PatientModel, responses: np.ndarray, counts: np.ndarray, expected: np.ndarray, body: np.ndarray
    ):
        seen = (responses * body).reshape(len(responses), -1).sum(axis=1)
        kept = responses[seen > 1e-9 * seen.max()]
        self.rows = (kept / kept.sum(axis=(1, 2, 3), keepdims=True)).reshape(len(kept), -1)
        weights = (body / variance(expected, GATE_ERROR)).ravel()
        self.weighted = self.rows * weights
        self.factor = cho_factor(normal_matrix(self.rows, weights))
        self.step_mm = model.grid.spacing_mm[[0, 2]]
        self.residual = (counts - expected).ravel()
        self.trust = weights / np.sqrt(1.0 + self.residual**2 * weights / OUTLIER**2)

    def step(self, part: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Move (x, z) in mm of a part (2, I, K) of the expected counts, and the information (2, 2) on it, 1/mm^2."""
        slopes = []
        for axis, step_mm in zip((1, 2), self.step_mm, strict=True):
            slope = (-np.gradient(part, axis=axis) / step_mm).ravel()
            slopes.append(slope - cho_solve(self.factor, self.weighted @ slope) @ self.rows)
        slopes = np.array(slopes)
        information = (slopes * self.trust) @ slopes.T + 1e-12 * np.eye(2)
        return np.linalg.solve(information, (slopes * self.trust) @ self.residual), information

    def of_view(self, expected: np.ndarray, view: int) -> np.ndarray:
        """(x, z) in mm of one whole view."""
        part = np.zeros_like(expected)
        part[view] = expected[view]
        return self.step(part)[0]

    def of_organs(self, model: PatientModel, responses: np.ndarray, fit: OrganFit) -> float:
        """Root mean square move, mm, of the organs that are no large background, by what the counts know of each."""
        squares, known = 0.0, 1e-12
        for organ, response, concentration in zip(model.organs, responses, fit.concentrations, strict=True):
            if organ not in BACKGROUND and not is_lesion(organ) and concentration > 0:
                move, information = self.step(concentration * response)
                squares += float(np.diag(information) @ move**2)
                known += float(np.trace(information))
        return math.sqrt(squares / known)
