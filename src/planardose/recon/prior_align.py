"""Where a prior image lies in the planning CT's frame, by the organs that it shows: rigid.

Two views cannot tell whether the image is off along y; the image, which is 3D, can: moved to its right place, evenly
filled organs of the CT explain most of what it shows.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy import fft, ndimage

from planardose.image import Grid, Volume
from planardose.patient_model import PatientModel
from planardose.recon.prior_shapes import FWHM_MM, Anatomy, PriorImage

REFINE_MM = (6.0, 3.0, 1.5)  # steps of the pattern search by the organs
REFINE_DEG = (2.0, 1.0, 0.5)


def rigid(parameters: np.ndarray, centre: np.ndarray) -> np.ndarray:
    """(4, 4) transform that turns about `centre` by (3,) degrees about x, y, z and then moves by (3,) mm.

    `parameters` are the three shifts and the three angles.
    """
    cx, cy, cz = np.cos(np.deg2rad(parameters[3:]))
    sx, sy, sz = np.sin(np.deg2rad(parameters[3:]))
    turn = (
        np.array([[cz, -sz, 0], [sz, cz, 0], [0, 0, 1.0]])
        @ np.array([[cy, 0, sy], [0, 1.0, 0], [-sy, 0, cy]])
        @ np.array([[1.0, 0, 0], [0, cx, -sx], [0, sx, cx]])
    )
    out = np.eye(4)
    out[:3, :3], out[:3, 3] = turn, centre + parameters[:3] - turn @ centre
    return out


def resampled_on(image: Volume, grid: Grid, image_from_ct: np.ndarray, fill: float) -> np.ndarray:
    """Values (I, J, K) float32 of an image on a grid of the CT's frame, linear between voxels, `fill` outside."""
    index = np.linalg.inv(image.grid.ras_from_voxel) @ image_from_ct @ grid.ras_from_voxel
    data = np.asarray(image.data, dtype=np.float32)
    return ndimage.affine_transform(
        data, index[:3, :3], index[:3, 3], output_shape=grid.shape, order=1, mode="constant", cval=fill
    )


def resampled(image: Volume, model: PatientModel, image_from_ct: np.ndarray) -> PriorImage:
    """The image on the grid of `PriorImage`.

    Parameters
    ----------
    image : Volume
    model : PatientModel
    image_from_ct : (4, 4) float
        Rigid transform: a point of the CT's frame (RAS mm) to the same anatomy in the image's frame.
    """
    return PriorImage(resampled_on(image, PriorImage.grid_of(model), image_from_ct, np.nan))


def _coarse_grid(grid: Grid, step_mm: float) -> Grid:
    """RAS-aligned grid of cubic voxels over another grid's box."""
    low, high = grid.bounds_mm()
    return Grid.covering(low, high, step_mm)


@dataclass(frozen=True)
class OrganMatch:
    """`parameters` (6,) mm and degrees relative to the start; the share of the image that the organs explain."""

    parameters: np.ndarray
    explained_before: float
    explained: float
    fwhm_mm: float


def pattern_search(value: Callable[[np.ndarray], float], steps: np.ndarray) -> np.ndarray:
    """Parameters (P,) of a largest `value`, from 0, along one axis at a time by steps (rounds, P) that get smaller."""
    at = np.zeros(steps.shape[1])
    top = value(at)
    for row in steps:
        improved = True
        while improved:
            improved = False
            for d in np.diag(row):
                if not d.any():
                    continue
                for trial in (at + d, at - d):
                    found = value(trial)
                    if found > top:
                        at, top, improved = trial, found, True
                        break
    return at


def match_organs(image: Volume, anatomy: Anatomy, image_from_ct: np.ndarray, turning: bool) -> OrganMatch:
    """Move the image so that evenly filled organs explain most of it.

    Parameters
    ----------
    image : Volume
    anatomy : Anatomy
    image_from_ct : (4, 4) float
        Where to start.
    turning : bool
        Search the three angles too.
    """
    model = anatomy.model
    centre = np.mean(model.grid.bounds_mm(), axis=0)
    start = resampled(image, model, image_from_ct)
    values, covered = start.on_grid((0.0, 0.0, 0.0), model.grid.spacing_mm)
    before = anatomy.fit(values, covered, FWHM_MM)

    def explained(parameters: np.ndarray) -> float:
        if turning:
            moved = resampled(image, model, image_from_ct @ rigid(parameters, centre))
            found = moved.on_grid((0.0, 0.0, 0.0), model.grid.spacing_mm)
        else:
            found = start.on_grid(tuple(-parameters[:3]), model.grid.spacing_mm)
        return anatomy.fit(*found, (before.fwhm_mm,)).explained

    steps = np.array([[mm] * 3 + [deg * turning] * 3 for mm, deg in zip(REFINE_MM, REFINE_DEG, strict=True)])
    best = pattern_search(explained, steps)
    moved = resampled(image, model, image_from_ct @ rigid(best, centre))
    after = anatomy.fit(*moved.on_grid((0.0, 0.0, 0.0), model.grid.spacing_mm), FWHM_MM)
    return OrganMatch(best, before.explained, after.explained, after.fwhm_mm)


def lattice_by_organs(image: Volume, anatomy: Anatomy) -> np.ndarray:
    """(4, 4) shift in whole voxels, over all of the image, at which the organs explain most of it (square roots, so
    that one hot organ does not decide).
    """  # fmt: skip
    model = anatomy.model
    step = float(model.grid.spacing_mm[0])
    grid = _coarse_grid(image.grid, step)
    values = np.sqrt(np.maximum(resampled_on(image, grid, np.eye(4), 0.0), 0.0)).astype(np.float64)
    organs = model.fractions[:, :, :, model.ct_slices].astype(np.float64)
    shape = [fft.next_fast_len(a + b - 1, real=True) for a, b in zip(organs.shape[1:], values.shape, strict=True)]
    seen = fft.rfftn(values, shape)
    products = np.array([fft.irfftn(np.conj(fft.rfftn(o, shape)) * seen, shape) for o in organs])
    normal = np.einsum("oijk,pijk->op", organs, organs, optimize=True)
    normal[np.diag_indices_from(normal)] += 1e-6 * np.trace(normal) / len(normal)
    score = np.einsum("oijk,oijk->ijk", products, np.tensordot(np.linalg.inv(normal), products, axes=1), optimize=True)
    peak = np.unravel_index(np.argmax(score), shape)
    cells = np.array([p if p < n else p - s for p, n, s in zip(peak, values.shape, shape, strict=True)])
    out = np.eye(4)
    out[:3, 3] = grid.ras_from_voxel[:3, 3] + cells * step - model.ct_grid.ras_from_voxel[:3, 3]
    return out
