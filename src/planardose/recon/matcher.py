"""How well the organs of a CT explain planar counts that lie at any pose: the misfit that the registration lowers."""

from copy import copy
from dataclasses import dataclass, field

import numpy as np
from scipy.ndimage import binary_dilation, distance_transform_edt, gaussian_filter, map_coordinates

from planardose.frames import PlanarPose
from planardose.patient_model import PatientModel
from planardose.planar import rebin
from planardose.recon.gate import body_cells, ct_slices, noise_deviation
from planardose.recon.qplanar import nonnegative_solution

SEARCH_ERROR = 0.10  # relative model error of a pixel during the search
OUTLINE_SMOOTHING_MM = 10.0
OUTLINE = 0.35  # of a slice's median counts over the body
WHOLE = 0.98  # of a cell's pixels: it lies in the image
BESIDE_MM = 20.5  # a little more than two voxels of 10 mm: farther from the body, counts are not held against it


@dataclass(frozen=True)
class Images:
    """What is registered: total photopeak counts of both views, before any rebinning.

    `counts` (2, U, V) in the order of `PlanarPair.ras`, `pixel_mm` (row, column).
    """

    counts: np.ndarray = field(repr=False)
    pixel_mm: tuple[float, float]


def pooled(images: np.ndarray) -> np.ndarray:
    """Sums of 2 x 2 cells of the last two axes; an odd last cell is dropped."""
    a, b = images.shape[-2] // 2, images.shape[-1] // 2
    return images[..., : 2 * a, : 2 * b].reshape(*images.shape[:-2], a, 2, b, 2).sum(axis=(-3, -1))


def coarser(images: Images, largest_mm: float) -> Images:
    """Pixels joined two by two as long as they stay within `largest_mm` and the middle of the matrix stays put."""
    while max(images.pixel_mm) * 2 <= largest_mm and all(n % 2 == 0 for n in images.counts.shape[1:]):
        images = Images(pooled(images.counts), (2 * images.pixel_mm[0], 2 * images.pixel_mm[1]))
    return images


def least_squares(counts: np.ndarray, rows: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Amounts (O,) of the non-negative weighted fit of the counts (P,) by the organs' rows (O, P)."""
    weighted = rows * weights
    normal = weighted @ rows.T
    diagonal = np.diag_indices_from(normal)
    normal[diagonal] += 1e-9 * normal[diagonal].max() + 1e-12
    return nonnegative_solution(normal, weighted @ counts)


def explained(counts: np.ndarray, expected: np.ndarray) -> float:
    """Counts (P,) less their excess and deficit against those expected (P,).

    A pose that hides counts from the model explains as few of them.
    """
    return float((counts - np.abs(counts - expected)).sum())


def unexplained(counts: np.ndarray, expected: np.ndarray, covered: np.ndarray) -> float:
    """Share of the counts (2, I, K) in excess or deficit of the model, beyond Poisson noise: 0 to about 1."""
    y, e = counts[:, covered], expected[:, covered]
    return float(max(np.abs(y - e).sum() - noise_deviation(e).sum(), 0.0) / max(y.sum(), 1.0))


def matched_cells(model: PatientModel) -> np.ndarray:
    """(I, K) bool: cells with body in sight and their neighbours, in the CT.

    What lies beside the body, such as arms that the CT does not show, is not for its organs to explain; the lack of
    counts just beside it tells where its edge is.
    """
    return binary_dilation(body_cells(model)) & ct_slices(model)


class Matcher:
    """Fits the organs to the counts at any pose. Grid cells are (I, K), along +x and +z; views as `PlanarPair.ras`.

    Parameters
    ----------
    model : PatientModel
    responses : (O, 2, I, K) float
        Rates per concentration of each organ, scatter included; their common scale does not matter.
    images : Images
    """

    def __init__(self, model: PatientModel, responses: np.ndarray, images: Images):
        self.grid, self.images = model.grid, images
        seen = responses.reshape(len(responses), -1).sum(axis=1)
        kept = responses[seen > 1e-6 * seen.max()]
        self.rows = kept / kept.sum(axis=(1, 2, 3), keepdims=True)
        self.even = responses.sum(axis=0)
        self.slices = ct_slices(model)  # beyond the CT the anatomy is not known
        self.body, self.matched = body_cells(model), matched_cells(model)
        self.ones = np.ones((1, *images.counts.shape[1:]))
        self.cell = float(np.prod(model.grid.spacing_mm[[0, 2]]) / np.prod(images.pixel_mm))

    def stretched(self, across: float, along: float) -> "Matcher":
        """The same with images that are larger by these factors along x and z, about their middle."""
        other, (row, column) = copy(self), self.images.pixel_mm
        other.images = Images(self.images.counts, (row * along, column * across))
        other.cell = self.cell / (across * along)
        return other

    def at(self, pose: PlanarPose) -> tuple[np.ndarray, np.ndarray]:
        """Counts (2, I, K) on the grid, and which of the `matched_cells` (I, K) the images cover."""
        counts, covered = self.seen(pose)
        return counts, covered & self.matched

    def seen(self, pose: PlanarPose) -> tuple[np.ndarray, np.ndarray]:
        """Counts (2, I, K) on the grid, and which cells (I, K) the images cover, beside the body as well."""
        both = rebin(np.concatenate([self.images.counts, self.ones]), self.images.pixel_mm, self.grid, pose)
        return both[:2], (both[2] > WHOLE * self.cell) & self.slices

    def amounts(self, counts: np.ndarray, covered: np.ndarray, weights: np.ndarray) -> np.ndarray:
        """(O,) of the organs' `rows`; `weights` (2, I, K)."""
        used = np.broadcast_to(covered, counts.shape).ravel()
        rows = self.rows.reshape(len(self.rows), -1)[:, used]
        return least_squares(counts.ravel()[used], rows, weights.ravel()[used])

    def fitted(self, counts: np.ndarray, covered: np.ndarray, weights: np.ndarray) -> np.ndarray:
        """Expected counts (2, I, K); `weights` (2, I, K)."""
        return np.tensordot(self.amounts(counts, covered, weights), self.rows, axes=1) * covered

    def moved(self, image: np.ndarray, pose: PlanarPose, other: "Matcher", there: PlanarPose) -> np.ndarray:
        """What `other`, another size of these images, would see of counts (2, I, K) here if they lay at `there`.

        Beyond the CT the counts go on as in its last slice.
        """
        x, z = np.meshgrid(self.grid.axis_mm(0), self.grid.axis_mm(2), indexing="ij")
        (row, column), size = self.images.pixel_mm, np.array(other.images.pixel_mm)
        u, v = there.from_ras(x, z)
        x, z = pose.to_ras(u * column / size[1], v * row / size[0])
        inside = np.flatnonzero(self.slices)
        at = [(p - self.grid.axis_mm(a)[n]) / self.grid.spacing_mm[a] for p, a, n in ((x, 0, 0), (z, 2, inside[0]))]
        seen = [map_coordinates(view[:, inside], at, order=1, mode="nearest") for view in image]
        return np.stack(seen) * (row * column / size.prod())

    def residual(self, pose: PlanarPose, covered: np.ndarray, root: np.ndarray) -> np.ndarray:
        """Weighted residuals of the covered cells (I, K) at a pose; `root` (2, I, K) is the root of the weights."""
        counts, _ = self.at(pose)
        return (root * (counts - self.fitted(counts, covered, root**2)))[:, covered].ravel()

    def converged(self, pose: PlanarPose) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """Counts (2, I, K), covered cells (I, K), expected counts and weights (2, I, K) at a pose, reweighted."""
        counts, covered = self.at(pose)
        expected = counts
        for _ in range(3):
            weights = 1.0 / (np.maximum(expected, 0.5) + (SEARCH_ERROR * expected) ** 2)
            expected = self.fitted(counts, covered, weights)
        return counts, covered, expected, weights

    def shown(self, pose: PlanarPose) -> tuple[np.ndarray, np.ndarray]:
        """Counts, beside the body as well, and the fit to those of the `matched_cells`, each (2, I, K)."""
        counts, _, expected, _ = self.converged(pose)
        return counts, expected

    def outline(self, pose: PlanarPose) -> float:
        """Overlap (Dice, 0 to 1) of the body's outline in the counts and as an evenly filled body would show it.

        The outline is where a slice's counts pass `OUTLINE` of their median over the body, in both views together.
        Counts farther than `BESIDE_MM` from the body are left out: arms may be there.
        """
        counts, covered = self.seen(pose)
        sigma = OUTLINE_SMOOTHING_MM / self.grid.spacing_mm[[0, 2]]
        both = [gaussian_filter(x.sum(axis=0), sigma, mode="constant") * covered for x in (counts, self.even)]
        within = both[1] > OUTLINE * both[1].max(axis=0, keepdims=True)
        shapes = []
        for image in both:
            level = np.ma.median(np.ma.array(image, mask=~within), axis=0).filled(np.inf)
            shapes.append(image > OUTLINE * np.maximum(level, 1e-9))
        seen, body = shapes
        seen &= distance_transform_edt(~body, self.grid.spacing_mm[[0, 2]]) <= BESIDE_MM
        return float(2 * (seen & body).sum() / max(seen.sum() + body.sum(), 1))

    def explained(self, pose: PlanarPose) -> float:
        """Counts `explained` at a pose, in cells with body in sight."""
        counts, covered, expected, _ = self.converged(pose)
        used = np.broadcast_to(covered & self.body, counts.shape)
        return explained(counts[used], expected[used])

    def misfit(self, pose: PlanarPose) -> float:
        """`unexplained` at a pose."""
        counts, covered, expected, _ = self.converged(pose)
        return unexplained(counts, expected, covered)
