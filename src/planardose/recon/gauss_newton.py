"""Gauss-Newton steps on the robust misfit of planar counts: residuals of outliers count linearly.

Noise in the slopes of measured counts passes for information: the search stops where it began, and calls that certain.
Where it prevails, the slopes of the expected counts are taken instead.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy.linalg import cho_factor, cho_solve

from planardose.frames import PlanarPose
from planardose.recon.matcher import Matcher
from planardose.recon.qplanar import normal_matrix

OUTLIER = 5.0  # residuals beyond so many standard deviations count linearly: a lesion that nobody segmented
REFINEMENTS = 6
PROBE = np.array([3.0, 3.0, 0.4])  # mm, mm, degrees: half width of the difference quotients
LARGEST_STEP = np.array([8.0, 8.0, 1.0])
CONVERGED = np.array([0.3, 0.3, 0.05])
NOISY = 5.0  # noise over what is to be seen of a move: arms that the CT does not show mislead the expected slopes


@dataclass(frozen=True)
class Steps:
    """Per parameter: half width of the difference quotient, largest step, step that counts as none, limits."""

    probe: np.ndarray
    largest: np.ndarray
    converged: np.ndarray
    low: np.ndarray
    high: np.ndarray


def gauss_newton(
    placed: Callable[[np.ndarray], tuple[Matcher, PlanarPose]], steps: Steps
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Find the parameters of the least robust misfit, from 0.

    Parameters
    ----------
    placed : callable
        Turns parameters (P,) into a matcher and a pose.
    steps : Steps
        Each of its arrays (P,), in the parameters' units.

    Returns
    -------
    move : (P,) float64
    normal : (P, P) float64
        Normal matrix at the last step, residuals in standard deviations.
    square : (R,) float64
        Squared residuals of the covered cells, outliers weighted down.
    """
    number = len(steps.probe)
    move, normal, square = np.zeros(number), np.eye(number), np.ones(1)
    for _ in range(REFINEMENTS):
        matcher, pose = placed(move)
        counts, covered, _, weights = matcher.converged(pose)
        root = np.sqrt(weights * covered)

        def residual(at: np.ndarray, covered=covered, root=root) -> np.ndarray:
            matcher, pose = placed(at)
            return matcher.residual(pose, covered, root)

        here = residual(move)
        slope = np.array([(residual(move + d) - residual(move - d)) / (2 * d.sum()) for d in np.diag(steps.probe)])
        shown = np.tensordot(matcher.amounts(counts, covered, weights), matcher.rows, axes=1)
        ends = [[matcher.moved(shown, pose, *placed(move + s * d)) for s in (1, -1)] for d in np.diag(steps.probe)]
        expected = _organs_adapted(ends, steps.probe, matcher, root, covered)
        # of counts that a move by the probe takes across the edges of a cell, against what is to be seen of the move
        passing = [1.0 / (s * p) for s, p in zip(matcher.grid.spacing_mm[[0, 2]], steps.probe[:2], strict=True)]
        noise = np.array(passing) * (weights * covered * shown).sum()
        if (noise > NOISY * (expected[:2] ** 2).sum(axis=1)).all():
            slope = expected
        trust = 1.0 / np.sqrt(1.0 + (here / OUTLIER) ** 2)
        normal, square = (slope * trust) @ slope.T, trust * here**2
        damped = normal + 1e-9 * np.diag(np.diag(normal)) + 1e-12 * np.eye(number)
        step = -np.linalg.solve(damped, (slope * trust) @ here)
        move = np.clip(move + np.clip(step, -steps.largest, steps.largest), steps.low, steps.high)
        if (np.abs(step) < steps.converged).all():
            break
    return move, normal, square


def _organs_adapted(
    ends: list, probe: np.ndarray, matcher: Matcher, root: np.ndarray, covered: np.ndarray
) -> np.ndarray:
    """(P, R) slopes of the residuals from expected counts at both ends, less what the organs' amounts take up."""
    seen = np.array([(root * (high - low))[:, covered].ravel() for high, low in ends]) / (2 * probe[:, None])
    rows = (matcher.rows * root)[:, :, covered].reshape(len(matcher.rows), -1)
    return seen - cho_solve(cho_factor(normal_matrix(rows)), rows @ seen.T).T @ rows
