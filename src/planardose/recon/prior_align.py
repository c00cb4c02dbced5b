"""Where a prior image lies in the planning CT's frame: rigid, by its own CT, or by the organs that it shows itself.

Two views cannot tell whether the image is off along y; the image, which is 3D, can: moved to its right place, evenly
filled organs of the CT explain most of what it shows.
"""

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from scipy import fft, ndimage

from planardose.image import Grid, Volume
from planardose.patient_model import PatientModel
from planardose.recon.prior_shapes import FWHM_MM, Anatomy, PriorImage

HU_WINDOW = (-400.0, 300.0)  # what two CTs of one patient share; lung and table air become one value
CT_STEPS_MM = (8.0, 4.0)  # grids of the refinement, one after the other
ITERATIONS = 12
CONVERGED_MM = 0.05
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


def lattice_shift(fixed: np.ndarray, moving: np.ndarray) -> np.ndarray:
    """(3,) whole voxels by which `moving` has to move for the largest correlation with `fixed` (both with mean 0)."""
    shape = [fft.next_fast_len(a + b - 1, real=True) for a, b in zip(fixed.shape, moving.shape, strict=True)]
    product = fft.rfftn(fixed, shape) * np.conj(fft.rfftn(moving, shape))
    peak = np.unravel_index(np.argmax(fft.irfftn(product, shape)), shape)
    return np.array([p if p < n else p - s for p, n, s in zip(peak, fixed.shape, shape, strict=True)])


def coarse_grid(grid: Grid, step_mm: float) -> Grid:
    """RAS-aligned grid of cubic voxels over another grid's box."""
    low, high = grid.bounds_mm()
    return Grid.axis_aligned(tuple(np.ceil((high - low) / step_mm).astype(int)), step_mm, low + step_mm / 2)


@dataclass(frozen=True)
class CtMatch:
    """`image_from_ct` (4, 4), and the correlation coefficient of both CTs where they overlap."""

    image_from_ct: np.ndarray = field(repr=False)
    correlation: float


def match_cts(ct: Volume, other: Volume) -> CtMatch:
    """Rigid transform between two CTs of a patient: correlation over all shifts, then least squares of clipped HU.

    Parameters
    ----------
    ct, other : Volume
        HU, any orientation.
    """
    step = CT_STEPS_MM[0]
    grids = [coarse_grid(v.grid, step) for v in (ct, other)]
    eye = np.eye(4)
    images = [_clipped(_smoothed(v, step), g, eye) - HU_WINDOW[0] for v, g in zip((ct, other), grids, strict=True)]
    cells = lattice_shift(images[0] - images[0].mean(), images[1] - images[1].mean())
    first = [g.ras_from_voxel[:3, 3] for g in grids]
    shift = first[1] - first[0] - cells * step  # a point of the CT's frame moves by it into the other's
    centre = np.mean(ct.grid.bounds_mm(), axis=0)
    parameters = np.concatenate([shift, np.zeros(3)])
    for step in CT_STEPS_MM:
        parameters, correlation = _least_squares(ct, other, coarse_grid(ct.grid, step), step, parameters, centre)
    return CtMatch(rigid(parameters, centre), correlation)


def _smoothed(volume: Volume, step_mm: float) -> Volume:
    sigma = 0.4 * step_mm / volume.grid.spacing_mm
    data = np.clip(np.asarray(volume.data, dtype=np.float32), *HU_WINDOW)
    return Volume(ndimage.gaussian_filter(data, sigma), volume.grid, volume.quantity, volume.unit)


def _clipped(volume: Volume, grid: Grid, transform: np.ndarray) -> np.ndarray:
    return resampled_on(volume, grid, transform, HU_WINDOW[0])


def _least_squares(
    ct: Volume, other: Volume, grid: Grid, step_mm: float, parameters: np.ndarray, centre: np.ndarray
) -> tuple[np.ndarray, float]:
    """Gauss-Newton on the difference of both CTs in the voxels that both cover; parameters and their correlation."""
    ct, other = _smoothed(ct, step_mm), _smoothed(other, step_mm)
    fixed = resampled_on(ct, grid, np.eye(4), np.nan)
    probe = np.array([1.0, 1.0, 1.0, 0.3, 0.3, 0.3])
    best, correlation = parameters, 0.0
    for _ in range(ITERATIONS):
        moved = resampled_on(other, grid, rigid(best, centre), np.nan)
        both = np.isfinite(fixed) & np.isfinite(moved)
        both &= (fixed > HU_WINDOW[0] + 50) | (moved > HU_WINDOW[0] + 50)
        if both.sum() < 100:
            break
        residual = (fixed - moved)[both]
        correlation = float(np.corrcoef(fixed[both], moved[both])[0, 1])
        slopes = []
        for n, d in enumerate(np.diag(probe)):
            plus, minus = (resampled_on(other, grid, rigid(best + s * d, centre), HU_WINDOW[0]) for s in (1, -1))
            slopes.append((plus - minus)[both] / (2 * probe[n]))
        a = np.array(slopes, dtype=np.float64)
        change = np.linalg.solve(a @ a.T + 1e-6 * np.trace(a @ a.T) / 6 * np.eye(6), a @ residual)
        best = best + np.clip(change, -2 * step_mm, 2 * step_mm)
        if np.abs(change).max() < CONVERGED_MM:
            break
    return best, correlation


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
    grid = coarse_grid(image.grid, step)
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
