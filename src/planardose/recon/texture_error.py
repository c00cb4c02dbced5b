"""What an organ's total owes to uptake that is not even: random textures, propagated through the organ-wise fit.

The fit fills every organ evenly. Real uptake varies inside each organ, and what an organ's bright part adds to the
counts is shared out among all organs that lie before or behind it. The error of a total therefore belongs to its
neighbours as much as to itself: a gall bladder on a bright liver is hard to tell, whatever it holds, and an organ that
was fitted as empty keeps an error above zero. Smooth random textures of all organs are projected and fitted (linearly,
with the fit's own weights), and the spread of the organs' totals is the error for a coefficient of variation of 1.
How much of it real patients have is learnt on validation cohorts (`recon.uncertainty`).
"""

import numpy as np
import torch
from scipy.linalg import cho_factor, cho_solve
from scipy.ndimage import gaussian_filter

from planardose.patient_model import PatientModel
from planardose.recon.camera_views import Responses
from planardose.recon.organ_totals import split_map
from planardose.recon.projector import Projector
from planardose.recon.qplanar import OrganFit, model_errors, normal_matrix, variance

DRAWS = 24  # the spread is known to 15 %
LENGTH_MM = 24.0  # standard deviation of the smoothing: parts of organs and their surroundings rather than fine grain
SEED = 20262
AT_A_TIME = 8  # draws projected together: bounds the memory


def texture_spread(
    projector: Projector,
    model: PatientModel,
    fit: OrganFit,
    responses: Responses,
    exposure_s: float,
    hosts: np.ndarray | None = None,
    of_body: np.ndarray | None = None,
) -> np.ndarray:
    """Error of each organ's total for textures with a coefficient of variation of 1.

    Scatter is left out of both the textures' counts and the fit's responses: it is too broad to show texture.

    Parameters
    ----------
    projector, model : Projector, PatientModel
    fit : OrganFit
        Of the acquisition; its map is what gets the textures.
    responses : Responses
        ``projector.organ_responses(model.fractions)``.
    exposure_s : float
    hosts : (S,) int or None
        Organ to whose total each "organ" of the model, one of S sources, belongs; None: its own. What an organ's
        sources take from each other is no error of its total.
    of_body : (2, I, K) bool or None
        Cells that were fitted; None: those with body in sight.

    Returns
    -------
    (O,) float64
        MBq, root mean square over `DRAWS` textures; 0 for an organ that the camera does not see.
    """
    even, seen = fit.map(model), np.isfinite(np.diag(fit.covariance))
    of_body = projector.of_body(model) if of_body is None else of_body
    solve = _linear_fit(responses.primary[seen] * exposure_s, fit.expected, model, of_body)
    volumes, hosts = model.volumes_ml(), np.arange(len(model.organs)) if hosts is None else hosts
    square = np.zeros(hosts.max() + 1)
    rng = np.random.default_rng(SEED)
    for first in range(0, DRAWS, AT_A_TIME):
        maps = np.stack([even * _texture(model, rng) for _ in range(min(AT_A_TIME, DRAWS - first))])
        with torch.no_grad():
            counts = projector.forward(projector.tensor(maps)).cpu().numpy().astype(np.float64) * exposure_s
        for shown, held in zip(counts, split_map(maps, model, fit.concentrations), strict=True):
            found = np.zeros(len(model.organs))
            found[seen] = solve(shown) * volumes[seen] - held[seen]
            square += np.bincount(hosts, found) ** 2
    return np.sqrt(square / DRAWS)


def _texture(model: PatientModel, rng: np.random.Generator) -> np.ndarray:
    """(I, J, K) smooth Gaussian field, standard deviation 1."""
    field = gaussian_filter(rng.standard_normal(model.grid.shape), LENGTH_MM / model.grid.spacing_mm)
    return field / field.std()


def _linear_fit(rows: np.ndarray, expected: np.ndarray, model: PatientModel, of_body: np.ndarray):
    """Function from counts (2, I, K) to concentrations (S,), by the weights that the fit ended with."""
    flat = rows.reshape(len(rows), -1)
    scale = flat.sum(axis=1)
    flat = flat / scale[:, None]
    weights = (of_body / variance(expected, model_errors(model))).ravel()
    weighted = flat * weights
    factor = cho_factor(normal_matrix(flat, weights))
    return lambda counts: cho_solve(factor, weighted @ counts.ravel()) / scale
