"""Closed contours of one region on a voxel grid: as many voxels as the region has volume, those that it covers most.

A contour stands for a slab that reaches half-way to the contours before and after it, as planning systems count
volumes. Several contours in one plane are combined by XOR (even-odd rule), so that a contour inside another is a hole;
a keyhole, whose channel has no width, is one without more ado.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from planardose.errors import InputError
from planardose.image import Grid
from planardose.overlap import most_covered

ROWS = 16  # lines per voxel along which a plane is cut; along a line lengths are exact
FLAT = 0.2  # of a voxel, by which the points of a contour may leave their plane
SAME_PLANE_MM = 0.05
MOST_STEP_MM = 10.0  # between contours drawn on neighbouring slices
GAP = 1.5  # steps: contours farther apart have nothing between them
FINE = 3  # samples per voxel and axis of shapes between two contours


@dataclass(frozen=True)
class Plane:
    """Contours at one height.

    Parameters
    ----------
    height : float
        Index along the stacking axis, in voxels.
    polygons : list of (N, 2) float64
        Indices along the two other axes.
    """

    height: float
    polygons: list[np.ndarray]


def stacking_axis(contours: list[np.ndarray], grid: Grid, where: str) -> int:
    """The grid's axis along which every contour, (N, 3) RAS mm, is flat.

    Raises
    ------
    InputError
        No such axis: the contours were drawn on planes that are turned against the grid.
    """
    spread = np.zeros(3)
    for points in contours:
        spread = np.maximum(spread, np.ptp(_indices(points, grid), axis=0))
    axis = int(np.argmin(spread))
    if spread[axis] > FLAT:
        raise InputError(where, "contours in planes that are turned against the CT's slices", "contours on this CT",
                         "export a NIfTI label map on the CT's grid")  # fmt: skip
    return axis


def usual_step_mm(contours: list[np.ndarray], grid: Grid, axis: int) -> float | None:
    """Median distance of neighbouring planes; None where no two are near enough to be of one stack."""
    gaps = np.diff(_heights(contours, grid, axis)) * grid.spacing_mm[axis]
    near = gaps[(gaps > SAME_PLANE_MM) & (gaps <= MOST_STEP_MM)]
    return float(np.median(near)) if near.size else None


def rasterise(
    contours: list[np.ndarray], grid: Grid, axis: int, step_mm: float | None
) -> tuple[tuple[slice, slice, slice], np.ndarray]:
    """Voxels of a region.

    Parameters
    ----------
    contours : list of (N, 3) float64
        RAS mm, closed, flat along `axis`.
    grid : Grid
    axis : int
        From `stacking_axis`.
    step_mm : float or None
        Distance of the planes where the region's own do not tell; None: the grid's.

    Returns
    -------
    box : tuple of slice
        Part of the grid.
    inside : (box's shape) bool
        Their number times the voxel's volume is the region's volume on the grid, to half a voxel; at least one voxel
        of a region that is not empty there.
    """
    spacing = float(grid.spacing_mm[axis])
    step = (usual_step_mm(contours, grid, axis) or step_mm or spacing) / spacing
    planes = _planes(contours, grid, axis)
    box = _box(planes, step, grid, axis)
    cover = np.zeros([s.stop - s.start for s in box], dtype=np.float32)
    slices = np.moveaxis(cover, axis, 0)
    low = np.array([box[a].start for a in range(3) if a != axis])
    for height, thickness, plane in _slabs(planes, step, low, slices.shape[1:]):
        bottom, top = (height + side * thickness / 2 - box[axis].start + 0.5 for side in (-1, 1))
        for k in range(max(0, int(bottom)), min(len(slices), int(np.ceil(top)))):
            slices[k] += max(0.0, min(top, k + 1) - max(bottom, k)) * plane
    return box, most_covered(cover)


def covered(polygons: list[np.ndarray], low: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """Share of each pixel inside the polygons by the even-odd rule.

    Parameters
    ----------
    polygons : list of (N, 2) float64
        Closed; in pixels, centres at whole numbers.
    low : (2,) int
        Pixel with which the result begins.
    shape : tuple of int
        (P, Q).

    Returns
    -------
    (P, Q) float32
        0 to 1: exact along the first axis, the mean of `ROWS` lines along the second.
    """
    points = np.concatenate(polygons) - low + 0.5
    end = np.concatenate([np.roll(p, -1, axis=0) for p in polygons]) - low + 0.5
    line, line_end = (p[:, 1] * ROWS - 0.5 for p in (points, end))
    first = np.clip(np.ceil(np.minimum(line, line_end)), 0, shape[1] * ROWS).astype(int)
    last = np.clip(np.ceil(np.maximum(line, line_end)), 0, shape[1] * ROWS).astype(int)
    count = last - first
    edge = np.repeat(np.arange(len(points)), count)
    row = first[edge] + np.arange(len(edge)) - np.repeat(np.cumsum(count) - count, count)
    along = (row - line[edge]) / (line_end - line)[edge]
    x = np.clip(points[edge, 0] + along * (end - points)[edge, 0], 0, shape[0])
    order = np.lexsort((x, row))
    x, row = x[order], row[order]
    sign = np.where(np.arange(len(x)) % 2, 1.0, -1.0)  # crossings of a line come in pairs: in, out
    pixel = np.minimum(x.astype(int), shape[0] - 1)
    at, width = row * (shape[0] + 1) + pixel, shape[1] * ROWS * (shape[0] + 1)
    change = np.bincount(at, sign * (x - pixel - 1), width) - np.bincount(at + 1, sign * (x - pixel), width)
    lengths = np.cumsum(change.reshape(-1, shape[0] + 1), axis=1)[:, :-1]
    return lengths.reshape(shape[1], ROWS, shape[0]).mean(axis=1).T.astype(np.float32)


def _indices(points: np.ndarray, grid: Grid) -> np.ndarray:
    """Voxel indices (N, 3), not rounded, of points in RAS mm."""
    affine = grid.ras_from_voxel
    return np.linalg.solve(affine[:3, :3], (points - affine[:3, 3]).T).T


def _heights(contours: list[np.ndarray], grid: Grid, axis: int) -> np.ndarray:
    return np.sort([float(_indices(points, grid)[:, axis].mean()) for points in contours])


def _planes(contours: list[np.ndarray], grid: Grid, axis: int) -> list[Plane]:
    """Contours by their height, each once: a copy of one would cancel it."""
    others = [a for a in range(3) if a != axis]
    planes: list[Plane] = []
    for points in sorted((_indices(p, grid) for p in contours), key=lambda p: p[:, axis].mean()):
        height, polygon = float(points[:, axis].mean()), points[:, others]
        if not planes or (height - planes[-1].height) * grid.spacing_mm[axis] > SAME_PLANE_MM:
            planes.append(Plane(height, []))
        if not any(p.shape == polygon.shape and np.allclose(p, polygon, atol=1e-6) for p in planes[-1].polygons):
            planes[-1].polygons.append(polygon)
    return planes


def _box(planes: list[Plane], step: float, grid: Grid, axis: int) -> tuple[slice, slice, slice]:
    """Part of the grid that may hold the region; empty slices where it lies beyond."""
    points = np.concatenate([p for plane in planes for p in plane.polygons])
    low, high = points.min(axis=0), points.max(axis=0)
    low, high = (np.insert(x, axis, h) for x, h in (
        (low, planes[0].height - step / 2), (high, planes[-1].height + step / 2)
    ))  # fmt: skip
    starts = np.clip(np.floor(low + 0.5), 0, grid.shape).astype(int)
    stops = np.clip(np.ceil(high + 0.5), 0, grid.shape).astype(int)
    return tuple(slice(int(a), int(max(a, b))) for a, b in zip(starts, stops, strict=True))


def _slabs(
    planes: list[Plane], step: float, low: np.ndarray, shape: tuple[int, int]
) -> Iterator[tuple[float, float, np.ndarray]]:
    """Height, thickness (voxels) and share (P, Q) of the slabs that make up the region, with what lies between planes.

    Planes farther apart than `GAP` slices of the grid get the shapes between them, by their signed distances (Raya and
    Udupa, IEEE Trans Med Imaging 1990;9:32), so that no voxel's height decides alone.
    """
    if 0 in shape:
        return
    between = round(step) if step > GAP else 1
    for n, plane in enumerate(planes):
        below = plane.height - planes[n - 1].height if n else np.inf
        above = planes[n + 1].height - plane.height if n + 1 < len(planes) else np.inf
        down, up = (min(d, step) / 2 if d > GAP * step else d / (2 * between) for d in (below, above))
        yield plane.height + (up - down) / 2, up + down, covered(plane.polygons, low, shape)
        if between > 1 and above <= GAP * step:
            for m, share in enumerate(_shapes_between(plane, planes[n + 1], between, low, shape), start=1):
                yield plane.height + m * above / between, above / between, share


def _shapes_between(
    one: Plane, other: Plane, parts: int, low: np.ndarray, shape: tuple[int, int]
) -> Iterator[np.ndarray]:
    """Share (P, Q) at the heights that cut the way from one plane to the other into `parts`, without its ends."""
    fine_shape = (shape[0] * FINE, shape[1] * FINE)
    ends = []
    for plane in (one, other):
        fine = covered([(p - low + 0.5) * FINE - 0.5 for p in plane.polygons], np.zeros(2), fine_shape) >= 0.5
        padded = np.pad(fine, 1)  # the outside is never far
        distance = ndimage.distance_transform_edt(padded) - ndimage.distance_transform_edt(~padded)
        ends.append(distance[1:-1, 1:-1])
    for m in range(1, parts):
        inside = ends[0] * (parts - m) + ends[1] * m > 0
        yield inside.reshape(shape[0], FINE, shape[1], FINE).mean(axis=(1, 3), dtype=np.float32)
