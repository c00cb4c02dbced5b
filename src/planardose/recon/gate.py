"""Consistency gate: does the map explain the counts? Deviance of its re-projection per view and organ strip."""

from dataclasses import dataclass

import numpy as np
from scipy.optimize import brentq
from scipy.special import gammaln

from planardose.organs import OUTSIDE_CT
from planardose.patient_model import PatientModel
from planardose.planar import VIEWS
from planardose.recon.qplanar import variance

GATE_ERROR = 0.10  # relative model error of a cell that a good map may have: projector, scatter, residual shift
STRIPS = 8
EDGE = 0.25  # of an organ's largest projected thickness: the outline of its strip


@dataclass(frozen=True)
class Gate:
    """Deviances, 1 where only noise and the allowed error remain: whole body, 2 x `STRIPS` strips, and per organ.

    `strips` holds for each view its strips across the body from the feet to the head; `organs` (organ -> anterior,
    posterior) the cells of each organ's outline. `deviance_of_map` is that of the map as it is written.
    """

    deviance: float
    strips: list[list[float]]
    organs: dict[str, list[float]]
    passed: bool
    deviance_of_map: float


def deviance(counts: np.ndarray, expected: np.ndarray, where: np.ndarray) -> float:
    """Mean squared residual over its variance (Poisson and `GATE_ERROR`) in the cells `where` (bool, same shape)."""
    if not where.any():
        return 0.0
    y, e = counts[where], expected[where]
    return float(((y - e) ** 2 / variance(e, GATE_ERROR)).mean())


def noise_deviation(expected: np.ndarray) -> np.ndarray:
    """Mean of |counts - m| of Poisson counts with these means m, of the same shape: 2 e^-m m^(n + 1) / n! for n = [m].

    Source: Crow, Biometrika 45 (1958) 556.
    """
    e = np.maximum(expected, 1e-12)
    whole = np.floor(e)
    return 2.0 * np.exp((whole + 1) * np.log(e) - e - gammaln(whole + 1))


def model_excess(counts: np.ndarray, expected: np.ndarray, covered: np.ndarray, sure: float = 0.0) -> float:
    """Share of the counts (2, I, K) in excess or deficit of the model in the cells `covered`, Poisson noise apart.

    That of a model with one relative error in all cells which, with the noise, leaves as much in excess and deficit:
    with few counts or small cells as large as with many or large ones. `sure` as for `model_misfit`.
    """
    y, e = counts[:, covered], np.maximum(expected[:, covered], 1e-12)
    noise = noise_deviation(e)
    left = float(np.abs(y - e).sum() - sure * np.sqrt((e - noise**2).sum()))

    def missing(share: float) -> float:
        return float(np.hypot(noise, share * e).sum()) - left

    if missing(0.0) >= 0.0:
        return 0.0
    return brentq(missing, 0.0, left / float(e.sum())) * float(e.sum()) / max(float(y.sum()), 1.0)


def model_misfit(counts: np.ndarray, expected: np.ndarray, where: np.ndarray, sure: float = 0.0) -> float:
    """Mean square of the model's relative error over `GATE_ERROR`'s, Poisson noise taken off.

    `counts`, `expected` and the cells `where` (bool) have one shape.

    However many counts there are, 1 where the model is off by the allowed error. With `sure` above 0 a lower limit,
    that many standard deviations of the noise below it.
    """
    y, e = counts[where], np.maximum(expected[where], 0.0)
    weights = 1.0 / variance(e, GATE_ERROR)
    noise = np.sqrt((weights**2 * (2 * e**2 + e)).sum())
    excess = (weights * ((y - e) ** 2 - e)).sum() - sure * noise
    return float(excess / max((weights * (GATE_ERROR * e) ** 2).sum(), 1e-12))


def ct_slices(model: PatientModel) -> np.ndarray:
    """(K,) bool: slices in the CT."""
    inside = np.zeros(model.grid.shape[2], dtype=bool)
    inside[model.ct_slices] = True
    return inside


def body_cells(model: PatientModel) -> np.ndarray:
    """(I, K) bool: cells with body before or behind them (as `CameraViews.of_body`), in the CT."""
    return model.body.any(axis=1) & ct_slices(model)


def judged_cells(model: PatientModel, looked_at: np.ndarray | None) -> np.ndarray:
    """(I, K) bool: `body_cells` among the cells (V, I, K) that every view shows (None: all)."""
    return body_cells(model) if looked_at is None else body_cells(model) & looked_at.all(axis=0)


def strips_of(model: PatientModel, looked_at: np.ndarray | None = None) -> list[np.ndarray]:
    """(I, K) bool each: `STRIPS` strips across the body, from the feet to the head; `looked_at` as `judged_cells`."""
    inside, body = ct_slices(model), judged_cells(model, looked_at)
    slices = np.arange(len(inside))
    return [body & np.isin(slices, part) for part in np.array_split(slices[inside], STRIPS)]


def check(
    model: PatientModel,
    counts: np.ndarray,
    expected: np.ndarray,
    limit: float,
    strip_limit: float = np.inf,
    looked_at: np.ndarray | None = None,
) -> Gate:
    """Compare measured and re-projected counts.

    Parameters
    ----------
    model : PatientModel
    counts, expected : (2, I, K) float
        Photopeak counts as measured, and as the map should give, scatter included.
    limit, strip_limit : float
        Largest deviance that passes: over the whole body, and of the worst strip of a view.
    looked_at : (2, I, K) bool or None
        Cells that the images show; None: all.
    """
    thickness = model.fractions.sum(axis=2, dtype=np.float64)
    body = judged_cells(model, looked_at)
    views = range(len(VIEWS))

    def of(region: np.ndarray) -> list[float]:
        return [deviance(counts[v], expected[v], region) for v in views]

    strips = [of(strip) for strip in strips_of(model, looked_at)]
    regions = {o: (t > EDGE * t.max()) & body for o, t in zip(model.organs, thickness, strict=True) if o != OUTSIDE_CT}
    organs = {o: of(r) for o, r in regions.items() if r.any()}
    overall = deviance(counts, expected, np.stack([body, body]))
    passed = overall <= limit and max(max(s) for s in strips) <= strip_limit
    return Gate(overall, [[s[v] for s in strips] for v in views], organs, passed, overall)
