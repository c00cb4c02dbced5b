"""Shapes from a prior image: each organ with the image's relative texture, and hot regions that nobody segmented.

The image is compared with what evenly filled organs would look like at its resolution: their ratio is 1 in an evenly
filled organ, also in border voxels, where the image mixes neighbours (region-based voxel-wise correction, Thomas et al.
2011, Eur J Nucl Med Mol Imaging 38:1104). Only shapes are taken: every amplitude is fitted to the planar counts.
"""

from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np
from scipy import ndimage
from scipy.special import ndtr

from planardose.image import Grid
from planardose.organs import OUTSIDE_CT
from planardose.patient_model import PatientModel
from planardose.recon.qplanar import nonnegative_solution
from planardose.units import FWHM_PER_SIGMA

FINER = 2  # voxels of a registered image per voxel of the model's grid, along each axis
FWHM_MM = (4.0, 6.0, 8.0, 10.0, 13.0, 16.0)  # of the image: the one that fits best is taken
LEAST_VOXELS = 100  # of the body that an image must show before anything is fitted to it
RATIO = (0.2, 3.0)  # texture beyond it is an error of segmentation or registration, not texture
HOT_RATIO = 1.6  # a focus's peak over the even organs
HOT_SIGMAS = 4.0  # and over the spread of the ratio in its organ
HOT_OF_BODY = 1.0  # and over the mean of the body
EDGE_OF_PEAK = 0.25  # of the peak's excess: where a focus ends
MOST_FOCI = 30
FOCUS = "focus_"
ROUNDS = 3  # organ means without the hot voxels that the last round found


@dataclass(frozen=True)
class PriorImage:
    """A prior image registered to the CT, on the model's grid at `FINER` times its resolution.

    Parameters
    ----------
    data : (2I, 2J, 2K) float32
        Relative concentration; NaN where the image does not reach.
    """

    data: np.ndarray = field(repr=False)

    @staticmethod
    def grid_of(model: PatientModel) -> Grid:
        """The grid that `data` lies on."""
        spacing = model.grid.spacing_mm
        low = model.grid.ras_from_voxel[:3, 3] - spacing / 2 + spacing / (2 * FINER)
        return Grid.axis_aligned(tuple(FINER * n for n in model.grid.shape), spacing / FINER, low)

    def on_grid(self, shift_mm: tuple[float, float, float], step_mm: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The image moved by (x, y, z) mm against the anatomy, as means (I, J, K) of voxels; and which are covered."""
        known = np.isfinite(self.data)
        parts = [np.where(known, self.data, 0.0).astype(np.float32), known.astype(np.float32)]
        for axis in range(3):
            rows = _moved_means(self.data.shape[axis], shift_mm[axis] * FINER / float(step_mm[axis]))
            parts = [np.moveaxis(np.tensordot(rows, part, axes=(1, axis)), 0, axis) for part in parts]
        return parts[0].astype(np.float64), parts[1] > 0.99


def _moved_means(fine: int, by: float) -> np.ndarray:
    """(fine / FINER, fine) float32: means of a line's voxels after it moved by so many of them, linear in between."""
    whole, part = int(np.floor(by)), by - np.floor(by)
    out = np.zeros((fine // FINER, fine), dtype=np.float32)
    for n in range(fine):
        for move, weight in ((whole, 1 - part), (whole + 1, part)):
            if 0 <= n + move < fine:
                out[(n + move) // FINER, n] += weight / FINER
    return out


def voxel_kernel(fwhm_mm: float, step_mm: float) -> np.ndarray:
    """Weights (2n + 1,) with which an evenly filled voxel of a line shows in its neighbours' means after a blur."""
    sigma = fwhm_mm / FWHM_PER_SIGMA / step_mm
    n = int(np.ceil(4 * sigma)) + 1
    u = (np.arange(64) + 0.5) / 64 - 0.5
    offset = np.arange(-n, n + 1)[:, None, None] + u[:, None] - u
    return (ndtr((offset + 0.5 / 64) / sigma) - ndtr((offset - 0.5 / 64) / sigma)).sum(axis=2).mean(axis=1)


def blurred(maps: np.ndarray, fwhm_mm: float, step_mm: np.ndarray) -> np.ndarray:
    """Maps (..., I, J, K) at the resolution of an image."""
    for axis in range(3):
        maps = ndimage.correlate1d(maps, voxel_kernel(fwhm_mm, float(step_mm[axis])), axis=axis - 3, mode="nearest")
    return maps


@dataclass(frozen=True)
class Evenly:
    """The image as evenly filled organs explain it.

    `means` (O,) of the organs, `expected` (I, J, K) at the image's resolution, `fwhm_mm`, and the share of the image's
    variation in the body that is explained.
    """

    means: np.ndarray
    expected: np.ndarray = field(repr=False)
    fwhm_mm: float
    explained: float


class Anatomy:
    """The model's organs at an image's resolution, kept for fits at many shifts.

    Parameters
    ----------
    model : PatientModel
    """

    def __init__(self, model: PatientModel):
        self.model = model
        self.inside = np.zeros(model.grid.shape, dtype=bool)
        self.inside[:, :, model.ct_slices] = True
        self.inside &= model.fractions.sum(axis=0) > 0.5
        self.rows: dict[float, np.ndarray] = {}

    def seen(self, fwhm_mm: float) -> np.ndarray:
        """(O, N) float32: each organ's fractions, blurred, in the voxels `inside`."""
        if fwhm_mm not in self.rows:
            step = self.model.grid.spacing_mm
            self.rows[fwhm_mm] = np.array([blurred(f, fwhm_mm, step)[self.inside] for f in self.model.fractions])
        return self.rows[fwhm_mm]

    def fit(self, image: np.ndarray, used: np.ndarray, fwhm_mm: tuple[float, ...] = FWHM_MM) -> Evenly:
        """Organ means that explain an image (I, J, K) best in the voxels `used`, and the best of the resolutions."""
        best, at = None, used[self.inside]
        values = image[self.inside][at]
        if values.size < LEAST_VOXELS or values.mean() <= 0:  # an image beside the body, or an empty one
            return Evenly(np.zeros(len(self.model.organs)), np.zeros(image.shape), fwhm_mm[0], 0.0)
        weight = 1.0 / np.maximum(values, 0.2 * values.mean())  # Poisson-like: hot organs do not decide alone
        total = float((weight * (values - np.average(values, weights=weight)) ** 2).sum())
        for width in fwhm_mm:
            a = self.seen(width)[:, at]
            weighted = a * weight.astype(np.float32)
            normal = (weighted @ a.T).astype(np.float64)
            normal[np.diag_indices_from(normal)] += 1e-5 * np.trace(normal) / len(normal)
            means = nonnegative_solution(normal, weighted.astype(np.float64) @ values)
            left = float((weight * (values - means @ a) ** 2).sum())
            if best is None or left < best[0]:
                best = left, means, width
        left, means, width = best
        expected = np.zeros(image.shape)
        expected[self.inside] = means @ self.seen(width)
        return Evenly(means, expected, width, 1.0 - left / max(total, 1e-30))


@dataclass(frozen=True)
class Shapes:
    """What a prior image says about the sources, for one shift.

    Parameters
    ----------
    ratio : (I, J, K) float64
        Image over evenly filled organs; 1 where the image says nothing.
    foci : (F, I, J, K) float32
        Hot regions, 1 at their peak.
    hosts : tuple of int
        The organ of the model that each focus belongs to.
    heights : tuple of float
        Excess of each focus's peak over the even organs, in the image's unit.
    evenly : Evenly
        The fit of evenly filled organs that the image is compared with.
    """

    ratio: np.ndarray = field(repr=False)
    foci: np.ndarray = field(repr=False)
    hosts: tuple[int, ...]
    heights: tuple[float, ...]
    evenly: Evenly = field(repr=False)


def _spread(ratio: np.ndarray, share: np.ndarray) -> np.ndarray:
    """(I, J, K) spread of the ratio's logarithm in the organ that fills most of a voxel: 1.48 x median deviation."""
    organ, out = share.argmax(axis=0), np.full(ratio.shape, np.inf)
    log = np.log(np.clip(ratio, 1e-2, 1e2))
    for o in range(len(share)):
        inside = (organ == o) & (share[o] > 0)
        if inside.sum() >= 8:
            out[inside] = 1.4826 * np.median(np.abs(log[inside] - np.median(log[inside])))
        elif inside.any():
            out[inside] = 0.3
    return np.clip(out, 0.05, None)


def shapes_of(
    prior: PriorImage,
    anatomy: Anatomy,
    shift_mm: tuple[float, float, float] = (0.0, 0.0, 0.0),
) -> Shapes:
    """Texture and foci of an image moved by `shift_mm` (x, y, z) against the anatomy."""
    model, width = anatomy.model, FWHM_MM
    image, covered = prior.on_grid(shift_mm, model.grid.spacing_mm)
    known = covered & anatomy.inside
    hot = np.zeros_like(known)
    for _ in range(ROUNDS):
        evenly = anatomy.fit(image, known & ~hot, width)
        width = (evenly.fwhm_mm,)
        floor = 0.05 * float(image[known].mean())
        ratio = np.where(known, (image + floor) / (evenly.expected + floor), 1.0)
        spread = _spread(np.where(hot, 1.0, ratio), model.fractions)
        hot = known & (ratio > HOT_RATIO) & (np.log(ratio) > HOT_SIGMAS * spread)
        hot &= image - evenly.expected > HOT_OF_BODY * image[known].mean()
    regions = _regions(image, np.maximum(image - evenly.expected, 0.0) * known, hot)
    foci = np.array([r[0] for r in regions], dtype=np.float32).reshape(-1, *model.grid.shape)
    taken = np.array([r[1] for r in regions], dtype=bool).reshape(-1, *model.grid.shape).any(axis=0)
    beyond = known & (ratio > RATIO[1])  # a rim of an organ that the labels miss, no texture
    ratio = np.where(taken | beyond, 1.0, np.clip(ratio, *RATIO))
    hosts = tuple(int(np.tensordot(model.fractions, f, axes=3).argmax()) for f in foci)
    return Shapes(ratio, foci, hosts, tuple(r[2] for r in regions), evenly)


def _regions(image: np.ndarray, excess: np.ndarray, hot: np.ndarray) -> list[tuple[np.ndarray, np.ndarray, float]]:
    """Hot regions around each local maximum of the image: intensity-weighted shape (peak 1), its voxels, the peak.

    The rim of an organ that the labels draw too small has no maximum of its own: it is no focus.
    """
    peaks = hot & (image >= ndimage.maximum_filter(image, size=3))
    labels, number = ndimage.label(peaks, structure=np.ones((3, 3, 3)))
    if number == 0:
        return []
    nearest = ndimage.distance_transform_edt(labels == 0, return_distances=False, return_indices=True)
    owner = labels[tuple(nearest)]
    found = []
    heights = ndimage.maximum(excess, labels, range(1, number + 1))
    for n in np.argsort(-np.asarray(heights), kind="stable")[:MOST_FOCI] + 1:
        above = (owner == n) & (excess > EDGE_OF_PEAK * heights[n - 1])
        joined, _ = ndimage.label(above, structure=np.ones((3, 3, 3)))
        region = joined == joined[np.unravel_index(np.argmax((labels == n) * excess), excess.shape)]
        found.append((np.where(region, excess / heights[n - 1], 0.0), region, float(heights[n - 1])))
    return found


@dataclass(frozen=True)
class Sources:
    """The model's organs with texture, and foci: what QPlanar fits amplitudes to.

    Parameters
    ----------
    model : PatientModel
        With the organs' true fractions.
    shapes : Shapes
    weight : float
        0: evenly filled organs, 1: the image's texture as it is.
    chosen : tuple of int
        The foci that take part.
    """

    model: PatientModel = field(repr=False)
    shapes: Shapes = field(repr=False)
    weight: float
    chosen: tuple[int, ...]

    @cached_property
    def textured(self) -> PatientModel:
        """The model with textured organs and foci in place of its fractions; each organ keeps its volume."""
        factor = 1.0 + self.weight * (self.shapes.ratio - 1.0)
        organs = [
            f if o == OUTSIDE_CT else _with_volume(f * factor, f)
            for o, f in zip(self.model.organs, self.model.fractions, strict=True)
        ]
        names = tuple(f"{FOCUS}{n}" for n in range(1, len(self.chosen) + 1))
        fractions = np.concatenate([np.array(organs, dtype=np.float32), self.shapes.foci[list(self.chosen)]])
        return replace(self.model, organs=self.model.organs + names, fractions=fractions, mass_g=None)

    @property
    def hosts(self) -> np.ndarray:
        """(S,) organ of the model to whose row each source belongs."""
        return np.array([*range(len(self.model.organs)), *(self.shapes.hosts[n] for n in self.chosen)])


def contrasts(shapes: Shapes, model: PatientModel) -> tuple[tuple[str, float], ...]:
    """Per focus its organ, and its peak excess over that organ's mean in the image, or the body's if that is higher."""
    volumes = model.volumes_ml()
    body = float(shapes.evenly.means @ volumes / volumes.sum())
    at = zip(shapes.hosts, shapes.heights, strict=True)
    return tuple((model.organs[h], height / max(float(shapes.evenly.means[h]), body)) for h, height in at)


def _with_volume(shape: np.ndarray, fraction: np.ndarray) -> np.ndarray:
    total = shape.sum(dtype=np.float64)
    return shape * (fraction.sum(dtype=np.float64) / total) if total > 0 else fraction
