"""Remainder and skeleton by tissue: rows of their own for fat and for the outermost layer of the body.

Fat and skin take up less than muscle. With one value for all of the remainder the fitted body is too bright along its
edge; at the shoulders and the vertex, which have one edge along z only, a registration then errs by 1.5 mm. The rows
serve the registration; organs and maps stay as they are.
"""

import numpy as np
from scipy.ndimage import binary_erosion

from planardose.organs import REMAINDER
from planardose.patient_model import PatientModel
from planardose.recon.camera_views import CameraViews

LAYER_MM = 10.0  # thickness of the outermost layer: skin and some of the fat below it
SPLIT = (REMAINDER, "skeleton")  # whose outermost layer is a row of its own


def inner_part(model: PatientModel) -> np.ndarray:
    """(I, J, K) bool: body deeper than `LAYER_MM`. The grid's lower end is no surface; above its upper end is air."""
    body = model.fractions.sum(axis=0) > 0.5
    padded = np.pad(body, ((1, 1), (1, 1), (0, 1)))
    padded = np.concatenate([padded[:, :, :1], padded], axis=2)
    cells = max(1, round(LAYER_MM / float(model.grid.spacing_mm.min())))
    return binary_erosion(padded, iterations=cells)[1:-1, 1:-1, 1:-1]


def tissue_responses(projector: CameraViews, model: PatientModel, total: np.ndarray) -> np.ndarray:
    """Responses with fat and the outermost layer apart.

    Parameters
    ----------
    projector : CameraViews
    model : PatientModel
    total : (O, 2, I, K) float
        Of the model's organs (`Responses.total`).

    Returns
    -------
    (O + 2, 2, I, K) float64
        The organs, those of `SPLIT` without their outermost layer and the remainder without fat; the layer; the fat.
    """
    inner = inner_part(model)
    fat = model.partial_density[0] / np.maximum(model.density, 1e-6)
    split = [model.organs.index(name) for name in SPLIT if name in model.organs]
    remainder = model.organs.index(REMAINDER)
    parts = [model.fractions[o] * ~inner for o in split] + [model.fractions[remainder] * inner * fat]
    rows = projector.organ_responses(np.array(parts)).total
    out = total.copy()
    for o, row in zip(split, rows, strict=False):
        out[o] -= row
    out[remainder] -= rows[-1]
    return np.concatenate([np.maximum(out, 0.0), rows[:-1].sum(axis=0, keepdims=True), rows[-1:]])
