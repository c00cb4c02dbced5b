"""Faults of a segmentation: how the organs that a reconstruction is told differ from those that hold the activity.

A surface that lies `e` mm too far out changes the fraction of a voxel by e times the fraction's gradient, taken on the
side that the surface comes from (upwind, Osher and Sethian 1988, J Comput Phys 79:12). On a grid whose voxels are
larger than the faults that is all there is to know, and needs neither CT nor label map.
"""

from dataclasses import replace

import numpy as np
from scipy import ndimage

from planardose.organs import OUTSIDE_CT, REMAINDER, is_lesion
from planardose.patient_model import PatientModel
from planardose.units import FWHM_PER_SIGMA

OFFSET_MM, LOCAL_MM = 1.5, 1.5  # standard deviations: of a whole surface, and of its ups and downs
LENGTH_MM = 20.0  # over which those are smooth (FWHM)
MISSED_ML = 60.0  # organs up to this size can be missed altogether,
MISSED = 0.5  # one of them in this share of the segmentations


def with_faults(model: PatientModel, rng: np.random.Generator) -> PatientModel:
    """The model with the surfaces of its organs misplaced, and sometimes one small organ missed.

    A voxel keeps its share of the body and its matter: what an organ gains the others lose in proportion, and what it
    loses goes to the remainder. Lesions that the user told, and what lies beyond the CT, stay.
    """
    moved = [n for n, name in enumerate(model.organs) if not (is_lesion(name) or name in (OUTSIDE_CT, REMAINDER))]
    parts = model.fractions[[*moved, model.organs.index(REMAINDER)]].astype(np.float64)  # the remainder last
    whole, steps = parts.sum(axis=0), model.grid.spacing_mm
    sigma = LENGTH_MM / FWHM_PER_SIGMA / steps
    for n in range(len(moved)):
        local = ndimage.gaussian_filter(rng.standard_normal(model.grid.shape), sigma)
        out_mm = OFFSET_MM * rng.standard_normal() + LOCAL_MM * local / local.std()
        grown, shrunk = (np.maximum(side * out_mm, 0.0) * _slope(side * parts[n], steps) for side in (1, -1))
        _give(parts, n, np.clip(parts[n] + grown - shrunk, 0.0, whole))
    small = [n for n in range(len(moved)) if 0 < parts[n].sum() * model.grid.voxel_ml < MISSED_ML]
    if small and rng.random() < MISSED:
        _give(parts, int(rng.choice(small)), np.zeros(model.grid.shape))
    fractions = model.fractions.copy()
    fractions[[*moved, model.organs.index(REMAINDER)]] = parts
    return replace(model, fractions=fractions, mass_g=None)


def _slope(fraction: np.ndarray, steps: np.ndarray) -> np.ndarray:
    """Upwind slope (I, J, K) per mm towards larger neighbours."""
    squares = np.zeros(fraction.shape)
    for axis, step in enumerate(steps):
        rise = np.diff(fraction, axis=axis) / step
        ends = [(1, 0) if a == axis else (0, 0) for a in range(3)], [(0, 1) if a == axis else (0, 0) for a in range(3)]
        squares += np.maximum(np.maximum(np.pad(rise, ends[1]), np.pad(-rise, ends[0])), 0.0) ** 2
    return np.sqrt(squares)


def _give(parts: np.ndarray, organ: int, value: np.ndarray) -> None:
    """Set an organ's fraction (I, J, K); the others make room in proportion, the last part takes what is left."""
    gain = value - parts[organ]
    parts[organ] = 0.0
    parts *= np.clip(1 - np.maximum(gain, 0.0) / np.maximum(parts.sum(axis=0), 1e-9), 0.0, 1.0)
    parts[-1] += np.maximum(-gain, 0.0)
    parts[organ] = value
