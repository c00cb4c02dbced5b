"""Organ-wise likelihood: one non-negative concentration per organ from the counts of both views.

The expected counts are exposure x (responses @ concentrations) + additive scatter. The fit solves the score equations
of the Poisson likelihood by iteratively reweighted non-negative least squares, its variance enlarged by a relative
model error, so that bright pixels do not claim more than the model can know. With no model error the fixed point is
the Poisson maximum-likelihood estimate.
"""

from dataclasses import dataclass, field, replace

import numpy as np
from scipy.linalg import cho_factor, cho_solve, cholesky, solve_triangular
from scipy.optimize import nnls

from planardose.patient_model import PatientModel
from planardose.recon.acquired import Acquired
from planardose.recon.camera_views import CameraViews, Responses

MODEL_ERROR = 0.05  # of the expected counts per pixel: texture within organs, borders, residual scatter and shift
OUTSIDE_ERROR = 0.5  # the same beyond the CT, where one slice is repeated
ITERATIONS = 6
FLOOR_COUNTS = 0.3  # smallest variance of a pixel: keeps empty pixels from infinite weight
LEAST_RESPONSE = 1e-9  # of the largest response: an organ below it is not seen by the camera
LEAST_IN_SIGHT = 0.1  # of an organ's counts: with less in the fitted cells it is not seen; blur alone tells nothing


@dataclass(frozen=True)
class OrganFit:
    """Concentrations of all organs of a model.

    Parameters
    ----------
    concentrations : (O,) float64
        MBq/mL.
    covariance : (O, O) float64
        Of the concentrations, from counts and model error; infinite variance where an organ is not seen.
    counting : (O, O) float64
        The part of the covariance that counting statistics make; 0 where an organ is not seen.
    expected : (2, I, K) float64
        Fitted counts.
    misfit : float
        Weighted sum of squared residuals per pixel with expected counts (about 1 when the model holds).
    """

    concentrations: np.ndarray
    covariance: np.ndarray = field(repr=False)
    counting: np.ndarray = field(repr=False)
    expected: np.ndarray = field(repr=False)
    misfit: float

    def map(self, model: PatientModel) -> np.ndarray:
        """(I, J, K) float64 MBq per voxel: each organ evenly filled."""
        return np.tensordot(self.concentrations * model.grid.voxel_ml, model.fractions.astype(np.float64), axes=1)


def variance(expected: np.ndarray, model_error: float | np.ndarray) -> np.ndarray:
    """Variance of each pixel's counts, of the shape of `expected`: Poisson, plus the model's relative error."""
    return np.maximum(expected, FLOOR_COUNTS) + (model_error * expected) ** 2


def nonnegative_solution(normal: np.ndarray, right: np.ndarray) -> np.ndarray:
    """argmin over x >= 0 of x'Nx/2 - b'x for a positive definite N (n, n) and b (n,)."""
    if not len(right):
        return np.zeros(0)  # scipy's nnls ends the process
    lower = cholesky(normal, lower=True)
    return nnls(lower.T, solve_triangular(lower, right, lower=True))[0]


def normal_matrix(rows: np.ndarray, weights: np.ndarray | float = 1.0) -> np.ndarray:
    """Normal matrix (O, O) of rows (O, P) with weights (P,), its diagonal raised so that it stays positive definite."""
    normal = (rows * weights) @ rows.T
    normal[np.diag_indices_from(normal)] *= 1 + 1e-9
    return normal


def fit_concentrations(
    counts: np.ndarray,
    responses: np.ndarray,
    additive: np.ndarray,
    model_error: float | np.ndarray = MODEL_ERROR,
    of_body: np.ndarray | None = None,
) -> OrganFit:
    """Fit concentrations to counts; an organ that the camera does not see gets 0, with infinite variance.

    Parameters
    ----------
    counts : (2, I, K) float
    responses : (O, 2, I, K) float
        Expected counts per MBq/mL of each organ (rates x exposure).
    additive : (2, I, K) float
        Expected counts that do not depend on the concentrations (scatter).
    model_error : float or array that broadcasts to (2, I, K)
        Relative, per pixel.
    of_body : (2, I, K) bool or None
        Cells that are fitted; None: all.

    Returns
    -------
    OrganFit
    """
    y, a = counts.ravel(), additive.ravel()
    relative = np.broadcast_to(model_error, counts.shape).ravel()
    all_rows = responses.reshape(len(responses), -1)
    sums = all_rows.sum(axis=1)
    in_sight = sums if of_body is None else all_rows @ of_body.ravel()
    seen = np.flatnonzero((sums > LEAST_RESPONSE * max(sums.max(), 1e-300)) & (in_sight > LEAST_IN_SIGHT * sums))
    scale = sums[seen]
    rows = all_rows[seen] / scale[:, None]  # unknowns are counts per organ: well scaled
    used = (rows.sum(axis=0) > 1e-12) | (a > 1e-12)
    if of_body is not None:
        used &= of_body.ravel()
    x = np.full(len(seen), max(y.sum() - a.sum(), 1.0) / max(len(seen), 1))
    for _ in range(ITERATIONS):
        weights = used / variance(x @ rows + a, relative)
        x = nonnegative_solution(normal_matrix(rows, weights), (rows * weights) @ (y - a))
    expected = x @ rows + a
    weights = used / variance(expected, relative)
    inverse = cho_solve(cho_factor(normal_matrix(rows, weights)), np.eye(len(seen)))
    covariance = np.diag(np.full(len(responses), np.inf))
    covariance[np.ix_(seen, seen)] = inverse / np.outer(scale, scale)
    counting = np.zeros_like(covariance)
    by_counts = inverse @ rows * weights  # how the fit answers each pixel
    counting[np.ix_(seen, seen)] = (by_counts * expected) @ by_counts.T / np.outer(scale, scale)
    concentrations = np.zeros(len(responses))
    concentrations[seen] = x / scale
    misfit = float((weights * (y - expected) ** 2).sum() / max(used.sum(), 1))
    return OrganFit(concentrations, covariance, counting, expected.reshape(counts.shape), misfit)


def model_errors(model: PatientModel) -> np.ndarray:
    """(K,) relative model error per slice: larger where the anatomy is not known, beyond the CT."""
    errors = np.full(model.grid.shape[2], OUTSIDE_ERROR)
    errors[model.ct_slices] = MODEL_ERROR
    return errors


def qplanar(
    projector: CameraViews, model: PatientModel, acquired: Acquired, responses: Responses | None = None
) -> OrganFit:
    """Organ concentrations of one acquisition, scatter modelled with each organ.

    Parameters
    ----------
    projector : CameraViews
    model : PatientModel
    acquired : Acquired
        Its own scatter estimate is not used.
    responses : Responses or None
        ``projector.organ_responses(model.fractions)`` when it is at hand already (it does not depend on the counts).
    """
    if responses is None:
        responses = projector.organ_responses(model.fractions)
    total = responses.total * acquired.exposure_s
    none, errors = np.zeros_like(acquired.counts), model_errors(model)
    return fit_concentrations(acquired.counts, total, none, errors, acquired.of_body)


def with_modelled_scatter(acquired: Acquired, fit: OrganFit, responses: Responses) -> Acquired:
    """The same counts with the scatter that the fitted organs cause, instead of the energy windows' estimate."""
    scatter = np.tensordot(fit.concentrations, responses.scatter, axes=1) * acquired.exposure_s
    return replace(acquired, scatter=scatter)
