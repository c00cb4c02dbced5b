"""Organs that lie elsewhere in the planar images than in the CT: breathing, filling, another arm of the couch.

An organ's projected response is moved in the image plane; the remainder fills the place that it left and makes room
where it went. Attenuation stays that of the CT (an organ moved by 5 mm along z passes the same tissue within 1 %), and
a move along y is not seen at all.

**Activity belongs to the organ, so maps stay in the CT's frame**: the counts are brought back instead. What the fitted
organs give at their place in the CT, less what they give where they lay, is added to the measured counts
(`brought_back`); every method after it, and the gate, then need not know of the move, and the residuals of the fit are
kept as they are.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache

import numpy as np
import yaml
from scipy.ndimage import gaussian_filter, shift

from planardose.library import DATA
from planardose.organs import REMAINDER, is_lesion
from planardose.patient_model import PatientModel

SURROUNDINGS_MM = 10.0  # standard deviation of the smoothing that tells in which organ a lesion lies

Moves = Mapping[str, tuple[float, float]]  # organ -> (x mm, z mm): where it lay in the images, less its place in the CT


@dataclass(frozen=True)
class MotionPrior:
    """Standard deviations in mm (`data/physics/organ_motion.yaml`), and each organ's share of the diaphragm's move."""

    diaphragm_mm: float
    own_mm: float
    alone_mm: float
    across_mm: float
    depth_mm: float
    follows: dict[str, float]

    def covariance(self, organs: tuple[str, ...]) -> np.ndarray:
        """(2 O, 2 O) mm^2 of the moves along x and z of organs, in that order for each."""
        share = np.array([self.follows[o] for o in organs])
        out = np.diag(np.full(2 * len(organs), self.across_mm**2))
        out[1::2, 1::2] = np.outer(share, share) * self.diaphragm_mm**2
        own = np.where(share > 0, self.own_mm, self.alone_mm)
        out[1::2, 1::2] += np.diag(own**2)
        return out


@cache
def motion_prior() -> MotionPrior:
    """The numbers of ``data/physics/organ_motion.yaml``."""
    read = yaml.safe_load((DATA / "physics" / "organ_motion.yaml").read_text())
    return MotionPrior(**{k: read[k] for k in MotionPrior.__dataclass_fields__})


@dataclass(frozen=True)
class Movable:
    """The organs of a model that may move, each with the classes that go with it, by their index."""

    remainder: int
    members: dict[str, tuple[int, ...]] = field(repr=False)


def movable(model: PatientModel) -> Movable:
    """Organs of the prior that the model holds, with the lesions that lie in them."""
    names, sigma = list(model.organs), SURROUNDINGS_MM / model.grid.spacing_mm
    there = [n for n in motion_prior().follows if n in names and model.fractions[names.index(n)].any()]
    members = {n: [names.index(n)] for n in there}
    hosts = [o for o, n in enumerate(names) if not is_lesion(n)]
    for o, name in enumerate(names):
        if is_lesion(name) and model.fractions[o].any():
            near = gaussian_filter(model.fractions[o], sigma)
            host = names[max(hosts, key=lambda h: float((model.fractions[h] * near).sum()))]
            if host in members:
                members[host].append(o)
    return Movable(names.index(REMAINDER), {n: tuple(m) for n, m in members.items()})


def moved_images(images: np.ndarray, x_mm: float, z_mm: float, spacing_mm: np.ndarray) -> np.ndarray:
    """Images (..., I, K) displaced by (x, z) mm, by cubic splines; what comes in from outside is zero."""
    steps = (x_mm / float(spacing_mm[0]), z_mm / float(spacing_mm[2]))
    flat = images.reshape(-1, *images.shape[-2:])
    return np.stack([shift(one, steps, order=3, mode="constant") for one in flat]).reshape(images.shape)


def moved_responses(responses: np.ndarray, who: Movable, moves: Moves, spacing_mm: np.ndarray) -> np.ndarray:
    """Responses (O, 2, I, K) with organs where they lay; their sum over organs stays the evenly filled body's.

    Parameters
    ----------
    responses : (O, 2, I, K) float
        With every organ at its place in the CT.
    who : Movable
        Of the same model.
    moves : mapping
        Organ -> (x mm, z mm).
    spacing_mm : (3,) float
        Of the grid.
    """
    if not moves:
        return responses
    out = responses.copy()
    for name, (x, z) in moves.items():
        for o in who.members[name]:
            out[o] = moved_images(responses[o], x, z, spacing_mm)
            out[who.remainder] += responses[o] - out[o]
    return out


def brought_back(
    counts: np.ndarray, concentrations: np.ndarray, responses: np.ndarray, moved: np.ndarray
) -> np.ndarray:
    """Counts (2, I, K) as they would be with every organ at its place in the CT, not below 0.

    Parameters
    ----------
    counts : (2, I, K) float
    concentrations : (O,) float
        Fitted with `moved`.
    responses, moved : (O, 2, I, K) float
        Counts per concentration with the organs in the CT's place and where they lay.
    """
    return np.maximum(counts + np.tensordot(concentrations, responses - moved, axes=1), 0.0)
