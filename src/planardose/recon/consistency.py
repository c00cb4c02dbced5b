"""Do images, CT and pose belong together? Statistics of one acquisition, before any voxel method can hide a misfit.

A voxel map explains almost any counts; the fit of organs and foci with its few unknowns does not. What it leaves
unexplained, in which view, strip and direction, tells the input that is wrong: another patient's CT, a wrong pose,
exchanged views, another nuclide, a source beside the patient. Foci take up bright lesions that nobody outlined, which
are no fault; they do not take up what is missing where the anatomy expects counts. What right acquisitions show was
measured on validation cohorts (``benchmarks/gate/calibrate.py``, ``data/gate.yaml``); the score is the distance from
it.

Counting noise is no fault. What may differ either way has its standard uncertainty from the counts of the acquisition,
added to what is usual in quadrature. What is odd only when large (shares, misfits, moves: squares, which noise raises)
is taken as large as the counts are sure of: without its noise, and less `SURE` standard deviations of it.
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
from planardose.recon.fitted import Fitted
from planardose.recon.foci import NAME
from planardose.recon.gate import GATE_ERROR, ct_slices, judged_cells, model_excess, model_misfit, strips_of
from planardose.recon.prior_shapes import FOCUS
from planardose.recon.qplanar import OrganFit, normal_matrix, variance
from planardose.recon.tissues import TISSUES

BESIDE_CELLS = 20  # on each side of the grid: where a source beside the body is looked for
ALONG_MM = 150.0  # what reaches along more than half of it is no spot
SPOT_CELLS = 3  # edge of the square whose counts are a spot
OUTLIER = 5.0  # residuals beyond so many standard deviations count linearly, as in the registration
SURE = 2.0  # standard deviations
# Less is no fault, and what few counts are sure of; before the logarithm.
LEAST_SHARE = 0.01  # of the counts, unexplained
LEAST_MISFIT = 0.1  # `model_misfit`
LEAST_MOVE_MM = 0.5
LEAST_RATIO = 0.01
LEAST_BESIDE = 1e-3  # of the counts: arms that the CT does not show leave up to 1.3e-3
# no shape of their own
BACKGROUND = ("lungs", "skeleton", "blood_pool", "muscle", "brain", REMAINDER, OUTSIDE_CT, *TISSUES)


@dataclass(frozen=True)
class Usual:
    """Mean and standard deviation of a statistic over right acquisitions; `one_sided`: only large values are odd."""

    mean: float
    sd: float
    one_sided: bool

    def distance(self, value: float, counting_u: float = 0.0) -> float:
        """Standard deviations from the mean, not negative; `counting_u` is what the value's noise adds to them."""
        z = (value - self.mean) / math.hypot(self.sd, counting_u)
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


def score(
    statistics: dict[str, float], usual: dict[str, Usual], counting_u: dict[str, float] | None = None
) -> tuple[float, str]:
    """Distance from what is usual (root of the sum of squared `Usual.distance`), and the statistic with most of it.

    `counting_u` are standard uncertainties of statistics by their counts. Statistics without a `Usual` and those that
    could not be computed are left out.
    """
    u = counting_u or {}
    found = {k: v for k, v in statistics.items() if k in usual and np.isfinite(v)}
    distances = {k: usual[k].distance(v, u.get(k, 0.0)) for k, v in found.items()}
    return math.sqrt(sum(d**2 for d in distances.values())), max(distances, key=distances.get)


def with_a_place(source: str) -> bool:
    """Whether a source of the fit is an organ whose place the CT tells: no large background, no lesion, no focus."""
    return source not in BACKGROUND and not is_lesion(source) and not source.startswith((NAME, FOCUS))


def statistics(
    fitted: Fitted,
    measured: Acquired,
    modelled: np.ndarray,
    fit: OrganFit,
    beside: np.ndarray,
    scatter_gain: float = 1.0,
) -> tuple[dict[str, float], dict[str, float]]:
    """Statistics of one acquisition, and the standard uncertainty that its counts give those odd either way.

    Parameters
    ----------
    fitted : Fitted
        Model and sources.
    measured : Acquired
    modelled : (2, I, K) float
        Scatter counts that the fitted sources cause.
    fit : OrganFit
        Of the sources.
    beside : (2, I + 2 B, K) float
        Photopeak counts on `wide_grid`.
    scatter_gain : float
        `acquired.scatter_gain`.

    Returns
    -------
    (dict, dict)
        Shares and ratios as natural logarithms (`organ_shift` of mm), shifts in mm. `scatter_*` only with a scatter
        window.
    """
    model, counts, expected = fitted.model, measured.counts, fit.expected
    body, inside = judged_cells(model, measured.of_body), ct_slices(model)
    responses = fitted.responses.total * measured.exposure_s
    misplaced = Misplaced(model, responses, counts, expected, body)
    out = {"unexplained": _log(model_excess(counts, expected, body, SURE), LEAST_SHARE)}
    out["worst_strip"] = worst_strip(model, measured, expected)
    sums = [(counts[v][body].sum(), expected[v][body].sum()) for v in range(len(VIEWS))]
    ratios = [_log(seen / max(told, 1.0), LEAST_RATIO) for seen, told in sums]
    out["view_ratio"] = ratios[0] - ratios[1]
    u = {"view_ratio": math.sqrt(sum(1.0 / max(seen, 1.0) for seen, _ in sums))}
    for v, name in enumerate(VIEWS):
        move = misplaced.of_view(expected, v)
        for n, axis in enumerate("xz"):
            out[f"shift_{axis}_{name}_mm"], u[f"shift_{axis}_{name}_mm"] = move.mm[n], math.sqrt(move.noise[n, n])
        if measured.scatter is not None:
            # of the windows, and of the photopeak that the fit takes its scatter from
            told, caused = measured.scatter[v][body].sum(), modelled[v][body].sum()
            out[f"scatter_{name}"] = _log(told / max(caused, 1e-9), LEAST_RATIO)
            u[f"scatter_{name}"] = math.sqrt(scatter_gain / max(caused, scatter_gain) + 1.0 / max(sums[v][0], 1.0))
    out["organ_shift"] = _log(misplaced.of_organs(fitted.sources.organs, responses, fit), LEAST_MOVE_MM)
    step_mm = float(model.grid.spacing_mm[2])
    out["beside"] = _log(beside_share(body, inside, beside, expected, step_mm), LEAST_BESIDE)
    return {k: float(v) for k, v in out.items()}, u


def worst_strip(model: PatientModel, measured: Acquired, expected: np.ndarray) -> float:
    """Logarithm of the largest `model_misfit` that the counts are sure of in a strip of a view."""
    strips, counts = strips_of(model, measured.of_body), measured.counts
    found = [model_misfit(counts[v], expected[v], s, SURE) for v in range(len(VIEWS)) for s in strips]
    return _log(max(found), LEAST_MISFIT)


def _log(value: float, least: float) -> float:
    return float(np.log(max(value, least)))


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

    Of a spot's counts, as many as they are sure of: `SURE` of their standard deviations are taken off.

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
        spot, seen = (
            uniform_filter(x, SPOT_CELLS, mode="constant") * SPOT_CELLS**2 for x in (rest, np.where(free, view, 0.0))
        )
        spot = spot - SURE * np.sqrt(np.maximum(seen, 0.0))
        sides = [spot[side][:, inside].max(axis=0) for side in (left, ~left)]
        hottest = max(float((s - median_filter(s, along, mode="nearest")).max()) for s in sides)
        shares.append(hottest / max(view[:, inside].sum(), 1.0))
    return max(shares)


@dataclass(frozen=True)
class Move:
    """(x, z) in mm, the information (2, 2) on it, 1/mm^2, and the covariance (2, 2) mm^2 that counting noise makes."""

    mm: np.ndarray
    information: np.ndarray
    noise: np.ndarray


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
        self.residual, self.noise = (counts - expected).ravel(), np.maximum(expected, 0.0).ravel()
        self.trust = weights / np.sqrt(1.0 + self.residual**2 * weights / OUTLIER**2)

    def step(self, part: np.ndarray) -> Move:
        """Of a part (2, I, K) of the expected counts."""
        slopes = []
        for axis, step_mm in zip((1, 2), self.step_mm, strict=True):
            slope = (-np.gradient(part, axis=axis) / step_mm).ravel()
            slopes.append(slope - cho_solve(self.factor, self.weighted @ slope) @ self.rows)
        slopes = np.array(slopes)
        information = (slopes * self.trust) @ slopes.T + 1e-12 * np.eye(2)
        answer = np.linalg.solve(information, slopes * self.trust)  # mm per count
        return Move(answer @ self.residual, information, (answer * self.noise) @ answer.T)

    def of_view(self, expected: np.ndarray, view: int) -> Move:
        """Of one whole view."""
        part = np.zeros_like(expected)
        part[view] = expected[view]
        return self.step(part)

    def of_organs(self, names: tuple[str, ...], responses: np.ndarray, fit: OrganFit) -> float:
        """Root mean square move, mm, of the organs `with_a_place`, by what the counts know of each.

        As large as the counts are sure of: the noise's mean square is taken off, and `SURE` times its deviation.
        """
        squares, known, spread = 0.0, 1e-12, 0.0
        for name, response, concentration in zip(names, responses, fit.concentrations, strict=True):
            if with_a_place(name) and concentration > 0:
                move = self.step(concentration * response)
                weights = np.diag(move.information)
                squares += float(weights @ (move.mm**2 - np.diag(move.noise)))
                known += float(weights.sum())
                pulled = weights * move.mm
                both = np.outer(weights, weights) * move.noise**2
                spread += float(2 * both.sum() + 4 * pulled @ move.noise @ pulled)
        return math.sqrt(max(squares - SURE * math.sqrt(spread), 0.0) / known)
