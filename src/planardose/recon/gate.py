"""Consistency gate: does the map explain the counts? Deviance of its re-projection per view and organ strip."""

from dataclasses import dataclass

import numpy as np

from planardose.organs import OUTSIDE_CT
from planardose.patient_model import PatientModel
from planardose.planar import VIEWS
from planardose.recon.qplanar import variance

GATE_ERROR = 0.10  # relative model error of a cell that a good map may have: projector, scatter, residual shift
EDGE = 0.25  # of an organ's largest projected thickness: the outline of its strip


@dataclass(frozen=True)
class Gate:
    """`deviance` over the body's outline and per (organ, view) strip; 1 where noise and the allowed error remain."""

    deviance: float
    strips: list[dict]
    passed: bool


def deviance(counts: np.ndarray, expected: np.ndarray, where: np.ndarray) -> float:
    """Mean squared residual over its variance (Poisson and `GATE_ERROR`) in the cells `where` (bool, same shape)."""
    if not where.any():
        return 0.0
    y, e = counts[where], expected[where]
    return float(((y - e) ** 2 / variance(e, GATE_ERROR)).mean())


def check(model: PatientModel, counts: np.ndarray, expected: np.ndarray, limit: float) -> Gate:
    """Compare measured and re-projected counts, both (2, I, K); `limit` on the deviance over the whole body."""
    thickness = model.fractions.sum(axis=2, dtype=np.float64)
    inside = np.zeros(model.grid.shape[2], dtype=bool)
    inside[model.ct_slices] = True
    body = (thickness.sum(axis=0) > 0) & inside
    strips = []
    for o, organ in enumerate(model.organs):
        region = (thickness[o] > EDGE * thickness[o].max()) & body
        if organ == OUTSIDE_CT or not region.any():
            continue
        for v, view in enumerate(VIEWS):
            strips.append({"organ": organ, "view": view, "deviance": deviance(counts[v], expected[v], region)})
    overall = deviance(counts, expected, np.stack([body, body]))
    return Gate(overall, strips, overall <= limit)
