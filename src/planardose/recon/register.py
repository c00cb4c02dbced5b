"""Rigid in-plane registration of a planar pair to the CT, by the misfit of the organ-wise likelihood.

First a lattice search over z and x of the whole planar image (which may be much longer than the CT), scored by the
counts that the organs explain where the CT has body in sight; then z, x and rotation below the voxel. Two opposed views
cannot see a shift along y or a turn about x or z: none is claimed.
"""

from collections.abc import Callable
from copy import copy
from dataclasses import dataclass, field, replace

import numpy as np
from scipy.ndimage import binary_dilation, distance_transform_edt, gaussian_filter

from planardose.errors import InputError
from planardose.frames import PlanarPose
from planardose.image import Grid
from planardose.patient_model import PatientModel
from planardose.planar import rebin
from planardose.recon.gate import body_cells, ct_slices
from planardose.recon.qplanar import nonnegative_solution

SEARCH_ERROR = 0.10  # relative model error of a pixel during the search
OUTLINE_SMOOTHING_MM = 10.0
OUTLINE = 0.35  # of a slice's median counts over the body
BESIDE_MM = 20.5  # a little more than two voxels of 10 mm: farther from the body, counts are not held against it
LEAST_OVERLAP = 0.6  # of the shorter of CT and planar image along z
TURN_DEG = 2.0  # a lattice search finds the right shift if the rotation is off by up to about 2 degrees
CANDIDATES = 12  # poses with the best scores, of which the one that explains most counts in full resolution is taken
X_REACH_MM = 80.0  # lattice search across, either side of the middle of the counts
OUTLIER = 5.0  # residuals beyond so many standard deviations count linearly: a lesion that nobody segmented
REFINEMENTS = 6
PROBE = np.array([3.0, 3.0, 0.4])  # mm, mm, degrees: half width of the difference quotients
LARGEST_STEP = np.array([8.0, 8.0, 1.0])
CONVERGED = np.array([0.3, 0.3, 0.05])
SUSPICIOUS_MISFIT = 0.12  # above it the views may be exchanged or mirrored: seven right demo pairs have 0.03 to 0.11
BY_KEY = "patients.<id>.<timepoint>.{} in the config puts them right"
BY_HAND = "export the images as the camera saw them, or give patients.<id>.<timepoint>.shift_mm if they are right"
CLEARLY_BETTER = 0.75  # of the misfit: another arrangement of the views below it is the right one
LEAST_UNCERTAINTY_MM = 1.0  # texture within organs moves the optimum by about this on Monte Carlo data


@dataclass(frozen=True)
class Images:
    """What is registered: total photopeak counts of both views, before any rebinning.

    `counts` (2, U, V) in the order of `PlanarPair.ras`, `pixel_mm` (row, column).
    """

    counts: np.ndarray = field(repr=False)
    pixel_mm: tuple[float, float]


@dataclass(frozen=True)
class Registered:
    """Result of `register`. Misfits are `unexplained` counts, `outline` is `Matcher.outline`; lengths in mm."""

    pose: PlanarPose
    start: PlanarPose
    misfit_before: float
    misfit_after: float
    uncertainty_mm: float
    outline: float


def least_squares(counts: np.ndarray, rows: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Amounts (O,) of the non-negative weighted fit of the counts (P,) by the organs' rows (O, P)."""
    weighted = rows * weights
    normal = weighted @ rows.T
    diagonal = np.diag_indices_from(normal)
    normal[diagonal] += 1e-9 * normal[diagonal].max() + 1e-12
    return nonnegative_solution(normal, weighted @ counts)


def explained(counts: np.ndarray, expected: np.ndarray) -> float:
    """Counts less their excess and deficit. A pose that hides counts from the model explains as few of them."""
    return float((counts - np.abs(counts - expected)).sum())


def unexplained(counts: np.ndarray, expected: np.ndarray, covered: np.ndarray) -> float:
    """Share of the counts (2, I, K) in excess or deficit of the model, beyond Poisson noise: 0 to about 1."""
    y, e = counts[:, covered], expected[:, covered]
    noise = np.sqrt(2.0 / np.pi) * np.sqrt(np.maximum(e, 0.0)).sum()
    return float(max(np.abs(y - e).sum() - noise, 0.0) / max(y.sum(), 1.0))


def matched_cells(model: PatientModel) -> np.ndarray:
    """(I, K) bool: cells with body in sight and their neighbours, in the CT.

    What lies beside the body, such as arms that the CT does not show, is not for its organs to explain; the lack of
    counts just beside it tells where its edge is.
    """
    return binary_dilation(body_cells(model)) & ct_slices(model)


class Matcher:
    """Fits the organs to the counts at any pose.

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
        return both[:2], (both[2] > 0.98 * self.cell) & self.slices

    def fitted(self, counts: np.ndarray, covered: np.ndarray, weights: np.ndarray) -> np.ndarray:
        """Expected counts (2, I, K); `weights` (2, I, K)."""
        used = np.broadcast_to(covered, counts.shape).ravel()
        rows = self.rows.reshape(len(self.rows), -1)
        out = np.zeros(counts.size)
        out[used] = least_squares(counts.ravel()[used], rows[:, used], weights.ravel()[used]) @ rows[:, used]
        return out.reshape(counts.shape)

    def residual(self, pose: PlanarPose, covered: np.ndarray, root: np.ndarray) -> np.ndarray:
        """Weighted residuals of the covered cells (I, K) at a pose; `root` (2, I, K) is the root of the weights."""
        counts, _ = self.at(pose)
        return (root * (counts - self.fitted(counts, covered, root**2)))[:, covered].ravel()

    def converged(self, pose: PlanarPose) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """Counts, covered, expected and weights at a pose after reweighting."""
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
        """`explained` at a pose, in cells with body in sight."""
        counts, covered, expected, _ = self.converged(pose)
        used = np.broadcast_to(covered & self.body, counts.shape)
        return explained(counts[used], expected[used])

    def misfit(self, pose: PlanarPose) -> float:
        """`unexplained` at a pose."""
        counts, covered, expected, _ = self.converged(pose)
        return unexplained(counts, expected, covered)


def _pooled(images: np.ndarray) -> np.ndarray:
    """Sums of 2 x 2 cells of the last two axes; an odd last cell is dropped."""
    a, b = images.shape[-2] // 2, images.shape[-1] // 2
    return images[..., : 2 * a, : 2 * b].reshape(*images.shape[:-2], a, 2, b, 2).sum(axis=(-3, -1))


def coarser(images: Images, largest_mm: float) -> Images:
    """Pixels joined two by two as long as they stay within `largest_mm` and the middle of the matrix stays put."""
    while max(images.pixel_mm) * 2 <= largest_mm and all(n % 2 == 0 for n in images.counts.shape[1:]):
        images = Images(_pooled(images.counts), (2 * images.pixel_mm[0], 2 * images.pixel_mm[1]))
    return images


def _extended(grid: Grid, images: Images) -> tuple[Grid, tuple[int, int]]:
    """The grid widened so that every lattice shift stays inside, and by how many cells (even) on each side."""
    reach = X_REACH_MM, images.counts.shape[2] * images.pixel_mm[0]
    wide, long = (2 * int(np.ceil(r / (2 * grid.spacing_mm[a]))) for r, a in zip(reach, (0, 2), strict=True))
    affine = grid.ras_from_voxel.copy()
    affine[0, 3] -= wide * affine[0, 0]
    affine[2, 3] -= long * affine[2, 2]
    i, j, k = grid.shape
    return Grid((i + 2 * wide, j, k + 2 * long), affine), (wide, long)


def lattice_search(matcher: Matcher, images: Images, start: PlanarPose) -> list[tuple[float, PlanarPose]]:
    """Scores and poses of shifts from `start` by two cells at a time: all of z, and `X_REACH_MM` in x."""
    extended, (wide, long) = _extended(matcher.grid, images)
    stacked = _pooled(rebin(np.concatenate([images.counts, matcher.ones]), images.pixel_mm, extended, start))
    rows, known = _pooled(matcher.rows), _pooled(matcher.slices[None].repeat(2, axis=0))[0] == 4
    i, k = rows.shape[2:]
    body = _pooled(matcher.body) >= 2  # at least half of the cells
    full = stacked[2] > 0.98 * 4 * matcher.cell
    least = LEAST_OVERLAP * min(known.sum(), full.any(axis=0).sum())
    found = []
    for dk in range(stacked.shape[2] - k + 1):
        for di in range(stacked.shape[1] - i + 1):
            covered = full[di : di + i, dk : dk + k] & known
            if covered.any(axis=0).sum() < least:
                continue
            score = _explained(rows, stacked[:2, di : di + i, dk : dk + k], covered & body)
            dx, dz = ((2 * n - m) * matcher.grid.spacing_mm[a] for n, m, a in ((di, wide, 0), (dk, long, 2)))
            found.append((score, PlanarPose(start.x_mm - dx, start.z_mm - dz, start.rotation_deg)))
    return found


def turned_search(matcher: Matcher, images: Images, start: PlanarPose, max_rotation_deg: float) -> PlanarPose:
    """Best pose of lattice searches at rotations `TURN_DEG` apart, up to the largest: a turn hides the right shift."""
    number = int(max_rotation_deg // TURN_DEG)
    turned = [replace(start, rotation_deg=n * TURN_DEG) for n in sorted(range(-number, number + 1), key=abs)]
    found = [scored for pose in turned for scored in lattice_search(matcher, images, pose)]
    best = sorted(found, key=lambda scored: -scored[0])[:CANDIDATES]
    return max((pose for _, pose in best), key=matcher.explained, default=start)  # none where nothing overlaps enough


def _explained(rows: np.ndarray, counts: np.ndarray, used: np.ndarray) -> float:
    """`explained` of the non-negative fit to the cells `used` (I, K)."""
    used = np.broadcast_to(used, counts.shape)
    y, rows = counts[used], rows[:, used]
    weights = 1.0 / (np.maximum(y, 1.0) + (2 * SEARCH_ERROR * y) ** 2)
    return explained(y, least_squares(y, rows, weights) @ rows)


def about(pose: PlanarPose, centre: tuple[float, float], move: np.ndarray) -> PlanarPose:
    """The pose moved by (x mm, z mm, degrees), turning about the point `centre` of RAS (x, z)."""
    angle = np.deg2rad(move[2])
    c, s = np.cos(angle), np.sin(angle)
    x, z = pose.x_mm - centre[0], pose.z_mm - centre[1]
    return PlanarPose(
        float(c * x - s * z + centre[0] + move[0]),
        float(s * x + c * z + centre[1] + move[1]),
        float(pose.rotation_deg + move[2]),
    )


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
    """Parameters (P,) of the least robust misfit, from 0; their normal matrix, and the trusted squared residuals.

    `placed` turns parameters into a matcher and a pose.
    """
    number = len(steps.probe)
    move, normal, square = np.zeros(number), np.eye(number), np.ones(1)
    for _ in range(REFINEMENTS):
        matcher, pose = placed(move)
        _, covered, _, weights = matcher.converged(pose)
        root = np.sqrt(weights * covered)

        def residual(at: np.ndarray, covered=covered, root=root) -> np.ndarray:
            matcher, pose = placed(at)
            return matcher.residual(pose, covered, root)

        here = residual(move)
        slope = np.array([(residual(move + d) - residual(move - d)) / (2 * d.sum()) for d in np.diag(steps.probe)])
        trust = 1.0 / np.sqrt(1.0 + (here / OUTLIER) ** 2)
        normal, square = (slope * trust) @ slope.T, trust * here**2
        damped = normal + 1e-9 * np.diag(np.diag(normal)) + 1e-12 * np.eye(number)
        step = -np.linalg.solve(damped, (slope * trust) @ here)
        move = np.clip(move + np.clip(step, -steps.largest, steps.largest), steps.low, steps.high)
        if (np.abs(step) < steps.converged).all():
            break
    return move, normal, square


def middle_of(grid: Grid) -> tuple[float, float]:
    """RAS (x, z) of the grid's middle, about which a pose turns while it is refined."""
    x, z = (float(grid.axis_mm(a).mean()) for a in (0, 2))
    return x, z


def refine(
    matcher: Matcher, pose: PlanarPose, max_shift_mm: float, max_rotation_deg: float
) -> tuple[PlanarPose, float]:
    """Pose of the least robust misfit near `pose` by Gauss-Newton, and the standard uncertainty of its shift in mm."""
    centre = middle_of(matcher.grid)
    bound, begun = np.array([max_shift_mm, max_shift_mm, max_rotation_deg]), np.array([0.0, 0.0, pose.rotation_deg])
    steps = Steps(PROBE, 2 * LARGEST_STEP, CONVERGED, -bound - begun, bound - begun)
    move, normal, square = gauss_newton(lambda m: (matcher, about(pose, centre, m)), steps)
    errors = np.sqrt(np.diag(np.linalg.inv(normal + 1e-12 * np.eye(3))) * square.mean())
    return about(pose, centre, move), float(min(np.hypot(errors[:2].max(), LEAST_UNCERTAINTY_MM), max_shift_mm))


def outline_start(matcher: Matcher, images: Images) -> PlanarPose:
    """The pose that puts the middle of the counts across on the middle of the body, image and grid centres along z."""
    # the geometric mean's middle does not depend on depth
    u = (np.arange(images.counts.shape[1]) - (images.counts.shape[1] - 1) / 2) * images.pixel_mm[1]
    profile = np.sqrt(np.maximum(images.counts[0] * images.counts[1], 0.0)).sum(axis=1)
    body = matcher.rows.sum(axis=(0, 1, 3))
    middle = float((matcher.grid.axis_mm(0) * body).sum() / body.sum())
    shift = middle - float((u * profile).sum() / max(profile.sum(), 1e-12))
    return PlanarPose(shift, float(matcher.grid.axis_mm(2).mean()))


def register(
    model: PatientModel, responses: np.ndarray, images: Images, max_shift_mm: float, max_rotation_deg: float
) -> Registered:
    """Find the pose of a planar pair in the CT's coronal plane.

    Parameters
    ----------
    model : PatientModel
    responses : (O, 2, I, K) float
        `Responses.total` of the acquisition's projector.
    images : Images
    max_shift_mm, max_rotation_deg : float
        Largest move of the fine search from the lattice search's result.
    """
    images = coarser(images, 0.5 * float(model.grid.spacing_mm[0]))
    matcher = Matcher(model, responses, images)
    start = turned_search(matcher, images, outline_start(matcher, images), max_rotation_deg)
    pose, uncertainty = refine(matcher, start, max_shift_mm, max_rotation_deg)
    return Registered(pose, start, matcher.misfit(start), matcher.misfit(pose), uncertainty, matcher.outline(pose))


def check_arrangement(
    model: PatientModel,
    responses: np.ndarray,
    images: Images,
    max_shift_mm: float,
    max_rotation_deg: float,
    misfit: float,
    where: str,
) -> None:
    """Refuse views that would explain the counts clearly better with the heads exchanged, or one or both mirrored.

    Takes three more searches, so it is asked only of a misfit above `SUSPICIOUS_MISFIT`.

    Parameters
    ----------
    model, responses, images, max_shift_mm, max_rotation_deg
        As for `register`.
    misfit : float
        Of the images as they are, at the pose that was found.
    where : str
        Sheet row, for errors.

    Raises
    ------
    InputError
        Naming what puts the views right.
    """
    if misfit <= SUSPICIOUS_MISFIT:
        return
    anterior, posterior = images.counts
    arrangements = {
        "with the two heads exchanged": (BY_KEY.format("head_order"), [posterior[::-1], anterior[::-1]]),
        "with the posterior view mirrored": (BY_KEY.format("flip_posterior"), [anterior, posterior[::-1]]),
        "with both views mirrored": (BY_HAND, [anterior[::-1], posterior[::-1]]),
    }
    rivals = []
    for name, (do, counts) in arrangements.items():
        rival = Images(np.stack(counts), images.pixel_mm)
        rivals.append((register(model, responses, rival, max_shift_mm, max_rotation_deg).misfit_after, name, do))
    other, name, do = min(rivals)
    if other < CLEARLY_BETTER * misfit:
        raise InputError(
            f"{where} planar",
            f"{100 * misfit:.0f} % of its counts do not fit this patient's CT, {100 * other:.0f} % {name}",
            "the anterior and the posterior view as the camera sees them",
            f"look at the images; {do}",
        )


def check_misfit(misfit: float, limit: float, where: str) -> None:
    """Refuse a planar image that this anatomy cannot explain."""
    if misfit > limit:
        raise InputError(
            f"{where} planar",
            f"{100 * misfit:.0f} % of its counts do not fit this patient's CT after registration",
            f"at most {100 * limit:.0f} %",
            "check that CT and planar show the same patient and the views are not mirrored; or give "
            "patients.<id>.<timepoint>.shift_mm in the config",
        )
