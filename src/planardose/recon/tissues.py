"""Remainder and skeleton by tissue: rows of their own for fat and for the outermost layer of the body.

Fat and skin take up less than muscle. With one value for all of the remainder the fitted body is too bright along its
edge and too dark inside: a registration errs by 1.5 mm along z, where shoulders and vertex have one edge only, and the
map and the organs that lie above fat are wrong. Each row has its own free concentration; nothing is assumed of them.
"""

from dataclasses import dataclass, field

import numpy as np
from scipy.ndimage import binary_erosion

from planardose.organs import REMAINDER
from planardose.patient_model import PatientModel
from planardose.recon.acquired import Acquired
from planardose.recon.projector import Projector, Responses
from planardose.recon.qplanar import OrganFit, fit_concentrations, model_errors

LAYER_MM = 10.0  # thickness of the outermost layer: skin and some of the fat below it
SPLIT = (REMAINDER, "skeleton")  # whose outermost layer is a row of its own


@dataclass(frozen=True)
class Tissues:
    """Rows of a model's organs, then the outermost layer, then the fat.

    Parameters
    ----------
    fractions : (O + 2, I, J, K) float32
        They add up to the model's.
    responses : Responses
        (O + 2, 2, I, K).
    organs_of_rows : (O, O + 2) float64
        Mean concentrations of the organs from those of the rows: shares of their volumes.
    """

    fractions: np.ndarray = field(repr=False)
    responses: Responses = field(repr=False)
    organs_of_rows: np.ndarray = field(repr=False)


def inner_part(model: PatientModel) -> np.ndarray:
    """(I, J, K) bool: body deeper than `LAYER_MM`. The grid's lower end is no surface; above its upper end is air."""
    body = model.fractions.sum(axis=0) > 0.5
    padded = np.pad(body, ((1, 1), (1, 1), (0, 1)))
    padded = np.concatenate([padded[:, :, :1], padded], axis=2)
    cells = max(1, round(LAYER_MM / float(model.grid.spacing_mm.min())))
    return binary_erosion(padded, iterations=cells)[1:-1, 1:-1, 1:-1]


def tissues_of(projector: Projector, model: PatientModel, responses: Responses) -> Tissues:
    """Rows with fat and the outermost layer apart.

    Parameters
    ----------
    projector : Projector
    model : PatientModel
    responses : Responses
        Of the model's organs.
    """
    inner = inner_part(model)
    fat = model.partial_density[0] / np.maximum(model.density, 1e-6)
    split = [model.organs.index(name) for name in SPLIT if name in model.organs]
    remainder, number = model.organs.index(REMAINDER), len(model.organs)
    parts = np.array([model.fractions[o] * ~inner for o in split] + [model.fractions[remainder] * inner * fat])
    of_parts = projector.organ_responses(parts)
    owners = [*split, remainder]

    def rows(whole: np.ndarray, taken: np.ndarray) -> np.ndarray:
        out = np.concatenate([whole, taken[:-1].sum(axis=0, keepdims=True), taken[-1:]])
        for o, part in zip(owners, taken, strict=True):
            out[o] = np.maximum(out[o] - part, 0.0)
        return out

    shares = np.zeros((number, number + 2))
    volumes, apart = model.fractions.sum(axis=(1, 2, 3), dtype=np.float64), parts.sum(axis=(1, 2, 3), dtype=np.float64)
    shares[np.arange(number), np.arange(number)] = volumes
    for n, (o, volume) in enumerate(zip(owners, apart, strict=True)):
        shares[o, o] -= volume
        shares[o, number if n < len(split) else number + 1] += volume
    shares /= np.maximum(volumes, 1e-12)[:, None]
    counted = Responses(rows(responses.primary, of_parts.primary), rows(responses.scatter, of_parts.scatter))
    return Tissues(rows(model.fractions, parts.astype(np.float32)), counted, shares)


@dataclass(frozen=True)
class TissueFit(OrganFit):
    """An `OrganFit` whose remainder and skeleton are fitted by tissue: `concentrations` are the organs' means.

    Parameters
    ----------
    activity : (I, J, K) float64
        MBq per voxel: each row evenly filled.
    scatter : (2, I, K) float64
        Fitted counts of photons scattered in the patient.
    """

    activity: np.ndarray = field(repr=False)
    scatter: np.ndarray = field(repr=False)

    def map(self, model: PatientModel) -> np.ndarray:
        """(I, J, K) float64 MBq per voxel."""
        return self.activity


def qplanar_by_tissue(tissues: Tissues, model: PatientModel, acquired: Acquired) -> TissueFit:
    """As `qplanar.qplanar`, with the rows of `tissues_of`."""
    total = tissues.responses.total * acquired.exposure_s
    fit = fit_concentrations(acquired.counts, total, np.zeros_like(acquired.counts), model_errors(model))
    mix, seen = tissues.organs_of_rows, np.isfinite(np.diag(fit.covariance))
    covariance = mix @ np.where(np.outer(seen, seen), fit.covariance, 0.0) @ mix.T
    unseen = (mix[:, ~seen] > 0).any(axis=1)
    covariance[unseen, unseen] = np.inf
    per_voxel = fit.concentrations * model.grid.voxel_ml
    return TissueFit(
        concentrations=mix @ fit.concentrations,
        covariance=covariance,
        expected=fit.expected,
        misfit=fit.misfit,
        activity=np.tensordot(per_voxel, tissues.fractions.astype(np.float64), axes=1),
        scatter=np.tensordot(fit.concentrations, tissues.responses.scatter, axes=1) * acquired.exposure_s,
    )
