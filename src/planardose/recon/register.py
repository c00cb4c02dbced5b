"""Rigid in-plane registration of a planar pair to the CT, by the misfit of the organ-wise likelihood.

First a lattice search over z and x of the whole planar image (which may be much longer than the CT), scored by the
counts that the organs explain where the CT has body in sight; then z, x and rotation below the voxel. Two opposed views
cannot see a shift along y or a turn about x or z: none is claimed.
"""

from dataclasses import dataclass, replace

import numpy as np

from planardose.frames import PlanarPose
from planardose.image import Grid
from planardose.patient_model import PatientModel
from planardose.planar import rebin
from planardose.recon.gauss_newton import CONVERGED, LARGEST_STEP, PROBE, Steps, gauss_newton
from planardose.recon.matcher import SEARCH_ERROR, Images, Matcher, coarser, explained, least_squares, pooled
from planardose.recon.placement import about, middle_of

LEAST_OVERLAP = 0.6  # of the shorter of CT and planar image along z
TURN_DEG = 2.0  # a lattice search finds the right shift if the rotation is off by up to about 2 degrees
CANDIDATES = 12  # poses with the best scores, which are compared by the counts that they explain in full resolution
NEARLY = 0.9  # of the counts that the best of them explains: four sweeps' right places came to explain up to 8 % more
X_REACH_MM = 80.0  # lattice search across, either side of the middle of the counts


@dataclass(frozen=True)
class Registered:
    """Result of `register`. Misfits are `unexplained` counts, `outline` is `Matcher.outline`; lengths in mm."""

    pose: PlanarPose
    start: PlanarPose
    misfit_before: float
    misfit_after: float
    outline: float


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
    stacked = pooled(rebin(np.concatenate([images.counts, matcher.ones]), images.pixel_mm, extended, start))
    rows, known = pooled(matcher.rows), pooled(matcher.slices[None].repeat(2, axis=0))[0] == 4
    i, k = rows.shape[2:]
    body = pooled(matcher.body) >= 2  # at least half of the cells
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


def turned_search(
    matcher: Matcher, images: Images, start: PlanarPose, max_shift_mm: float, max_rotation_deg: float
) -> list[PlanarPose]:
    """Poses from which to search finely, best first, of lattice searches at rotations `TURN_DEG` apart.

    A turn hides the right shift, so all rotations up to the largest are tried. Several where one farther away than
    `max_shift_mm` explains nearly as many counts as the best: on a lattice the right one can come second.
    """
    number = int(max_rotation_deg // TURN_DEG)
    turned = [replace(start, rotation_deg=n * TURN_DEG) for n in sorted(range(-number, number + 1), key=abs)]
    found = [scored for pose in turned for scored in lattice_search(matcher, images, pose)]
    best = [pose for _, pose in sorted(found, key=lambda scored: -scored[0])[:CANDIDATES]]
    explained = [matcher.explained(pose) for pose in best]
    apart: list[PlanarPose] = []
    for n in sorted(range(len(best)), key=lambda n: -explained[n]):
        x, z = best[n].x_mm, best[n].z_mm
        is_new = all(np.hypot(x - other.x_mm, z - other.z_mm) > max_shift_mm for other in apart)
        if is_new and explained[n] >= NEARLY * max(explained):
            apart.append(best[n])
    return apart or [start]  # none where nothing overlaps enough


def _explained(rows: np.ndarray, counts: np.ndarray, used: np.ndarray) -> float:
    """`explained` of the non-negative fit to the cells `used` (I, K)."""
    used = np.broadcast_to(used, counts.shape)
    y, rows = counts[used], rows[:, used]
    weights = 1.0 / (np.maximum(y, 1.0) + (2 * SEARCH_ERROR * y) ** 2)
    return explained(y, least_squares(y, rows, weights) @ rows)


def refine(matcher: Matcher, pose: PlanarPose, max_shift_mm: float, max_rotation_deg: float) -> PlanarPose:
    """Pose of the least robust misfit near `pose`, by Gauss-Newton."""
    centre = middle_of(matcher.grid)
    bound, begun = np.array([max_shift_mm, max_shift_mm, max_rotation_deg]), np.array([0.0, 0.0, pose.rotation_deg])
    steps = Steps(PROBE, 2 * LARGEST_STEP, CONVERGED, -bound - begun, bound - begun)
    move, _, _ = gauss_newton(lambda m: (matcher, about(pose, centre, m)), steps)
    return about(pose, centre, move)


def refined(
    matcher: Matcher, starts: list[PlanarPose], max_shift_mm: float, max_rotation_deg: float
) -> tuple[PlanarPose, PlanarPose]:
    """Start and `refine`d pose of the start whose pose explains most counts."""
    found = [(start, refine(matcher, start, max_shift_mm, max_rotation_deg)) for start in starts]
    return max(found, key=lambda x: matcher.explained(x[1])) if len(found) > 1 else found[0]


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
        Largest move of the fine search from the lattice search's result, mm and degrees.

    Returns
    -------
    Registered
        The pose found, whether or not it is a good one: refusals are the step's.
    """
    images = coarser(images, 0.5 * float(model.grid.spacing_mm[0]))
    matcher = Matcher(model, responses, images)
    starts = turned_search(matcher, images, outline_start(matcher, images), max_shift_mm, max_rotation_deg)
    start, pose = refined(matcher, starts, max_shift_mm, max_rotation_deg)
    return Registered(pose, start, matcher.misfit(start), matcher.misfit(pose), matcher.outline(pose))
