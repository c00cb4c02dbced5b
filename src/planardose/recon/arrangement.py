"""Other ways in which a pair's views may lie: heads exchanged, one or both views mirrored, both upside down."""

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from planardose.frames import PlanarPose
from planardose.patient_model import PatientModel
from planardose.recon.matcher import Images
from planardose.recon.register import register

# Above it every arrangement is tried, below the first alone, which is the likeliest and looks most like the right one:
# mirrored views of 24 validation patients (seed 5001) had 0.09 to 0.29, exchanged ones 0.11 to 0.31, right ones 0.04 to
# 0.13.
SUSPICIOUS_MISFIT = 0.12
# Of the misfit: another arrangement below it may be the right one. The right one has 0.5 to 0.83 of what mirrored views
# have; where they are right others have 1.1 times and more, but for bright lesions that nobody outlined (0.77 once).
NEARLY_AS_WELL = 0.95


@dataclass(frozen=True)
class Arrangement:
    """How views may lie. `put_right` takes counts (2, ..., U, V) in the order of `PlanarPair.ras`; `key` is that of the
    config which does it, None where the images must be exported anew."""

    name: str
    put_right: Callable[[np.ndarray], np.ndarray] = field(repr=False)
    key: str | None


def _posterior_mirrored(counts: np.ndarray) -> np.ndarray:
    return np.stack([counts[0], counts[1][..., ::-1, :]])


ARRANGEMENTS = (
    Arrangement("with the posterior view mirrored", _posterior_mirrored, "flip_posterior"),
    Arrangement("with the two heads exchanged", lambda counts: counts[::-1, ..., ::-1, :], "head_order"),
    Arrangement("with both views mirrored", lambda counts: counts[..., ::-1, :], None),
    Arrangement("with both views turned upside down", lambda counts: counts[..., ::-1, ::-1], "upside_down"),
)


@dataclass(frozen=True)
class Rival:
    """An arrangement that explains the counts about as well as the one that is told, with its pose and misfit."""

    arrangement: Arrangement
    pose: PlanarPose
    misfit: float


def best_rival(
    model: PatientModel,
    responses: np.ndarray,
    images: Images,
    max_shift_mm: float,
    max_rotation_deg: float,
    misfit: float,
) -> Rival | None:
    """The other arrangement that explains the counts best, if it may be the right one.

    Takes one search, or as many as there are arrangements where the misfit is suspicious.

    Parameters
    ----------
    model, responses, images, max_shift_mm, max_rotation_deg
        As for `register`.
    misfit : float
        Of the images as they are, at the pose that was found.
    """
    rivals = []
    for arrangement in ARRANGEMENTS if misfit > SUSPICIOUS_MISFIT else ARRANGEMENTS[:1]:
        shown = Images(arrangement.put_right(images.counts), images.pixel_mm)
        found = register(model, responses, shown, max_shift_mm, max_rotation_deg)
        rivals.append(Rival(arrangement, found.pose, found.misfit_after))
    best = min(rivals, key=lambda rival: rival.misfit)
    return best if best.misfit < NEARLY_AS_WELL * misfit else None
