"""Segments drawn on another grid than the CT's (a PET's, another reconstruction's), brought to it, volumes kept."""

import numpy as np

from planardose.errors import InputError
from planardose.image import Grid
from planardose.io.dicom_regions import Naming, Segment
from planardose.io.dicom_seg_frames import Frame
from planardose.overlap import interval_overlap, most_covered
from planardose.units import MM3_PER_ML

TURNED_MM = 1.0  # how far an end of a frame may lie off the axes of the grid
UNEVEN = 0.1  # of a slice: how far frames may lie off even steps
SAME_PLANE_MM = 0.1
DO = "resample the segmentation onto the CT, or export it as RTSTRUCT"


def resampled(frames: list[Frame], namings: list[Naming], grid: Grid, where: str) -> list[Segment]:
    """Every segment on the grid: as many voxels as its volume within the grid, those that it covers most.

    Shares are exact: a pixel with the slice's thickness is a box along the grid's axes.

    Raises
    ------
    InputError
        Frames that are turned against the grid, lie in several directions, at uneven steps, or do not tell how thick
        they are.
    """
    boxes = [_Box(f, grid, where) for f in frames]
    if len({b.axes for b in boxes}) > 1:
        raise InputError(where, "frames in several directions, none on the CT's voxels", "slices of one direction", DO)
    thickness = _thickness(boxes, grid, where)
    return [_segment(n, [b for b in boxes if b.frame.number == n.number], thickness, grid) for n in namings]


class _Box:
    """A frame in voxel indices of the grid (not rounded): its plane, and the edges of its rows and columns."""

    def __init__(self, frame: Frame, grid: Grid, where: str):
        step = np.linalg.solve(grid.ras_from_voxel[:3, :3], frame.step_mm)
        origin = np.linalg.solve(grid.ras_from_voxel, (*frame.origin_mm, 1.0))[:3]
        first, second = (int(a) for a in np.abs(step).argmax(axis=0))
        off = step.copy()
        off[(first, second), (0, 1)] = 0.0
        beyond_mm = np.abs(off) @ frame.inside.shape * grid.spacing_mm
        if first == second or beyond_mm.max() > TURNED_MM:
            raise InputError(where, f"frames that are turned against the CT's axes ({frame.told})", "the CT's axes", DO)
        self.frame, self.axes = frame, (first, second, 3 - first - second)
        self.height = float(origin[self.axes[2]] + 0.5 * off[self.axes[2]] @ (np.array(frame.inside.shape) - 1))
        self.edges, self.inside = [], frame.inside
        for n, axis in enumerate(self.axes[:2]):
            edges = origin[axis] + step[axis, n] * (np.arange(frame.inside.shape[n] + 1) - 0.5)
            if step[axis, n] < 0:
                edges, self.inside = edges[::-1], np.flip(self.inside, n)
            self.edges.append(edges)


def _thickness(boxes: list[_Box], grid: Grid, where: str) -> float:
    """From slice to slice in slices of the grid: the frames' own step, as many of it as the header says where some are
    missing.
    """
    first, second = boxes[0].axes[:2]
    area_mm2 = np.linalg.norm(np.cross(grid.ras_from_voxel[:3, first], grid.ras_from_voxel[:3, second]))
    slice_mm = grid.voxel_ml * MM3_PER_ML / area_mm2
    told_mm = np.median([b.frame.thickness_mm for b in boxes])
    if not told_mm > 0:
        raise InputError(where, "frames off the CT's voxels that do not tell how thick their slices are",
                         "SliceThickness or SpacingBetweenSlices", DO)  # fmt: skip
    gaps = np.diff(np.sort([b.height for b in boxes])) * slice_mm
    gaps = gaps[gaps > SAME_PLANE_MM]
    if not gaps.size:
        return float(told_mm / slice_mm)
    step_mm = gaps.min() / max(1, round(gaps.min() / told_mm))
    if (np.abs(gaps / step_mm - np.rint(gaps / step_mm)) > UNEVEN).any():
        raise InputError(where, f"frames at uneven steps of {gaps.min():.3g} to {gaps.max():.3g} mm", "even steps", DO)
    return float(step_mm / slice_mm)


def _segment(naming: Naming, boxes: list[_Box], thickness: float, grid: Grid) -> Segment:
    """The voxels of one segment, from the frames' shares of them."""
    nothing = Segment(naming, (slice(0, 0),) * 3, np.zeros((0, 0, 0), dtype=bool))
    if not boxes:
        return nothing
    first, second, third = boxes[0].axes
    spans = {
        first: (min(b.edges[0][0] for b in boxes), max(b.edges[0][-1] for b in boxes)),
        second: (min(b.edges[1][0] for b in boxes), max(b.edges[1][-1] for b in boxes)),
        third: (min(b.height for b in boxes) - thickness / 2, max(b.height for b in boxes) + thickness / 2),
    }
    low = [int(np.clip(np.floor(spans[a][0] + 0.5), 0, grid.shape[a])) for a in range(3)]
    high = [int(np.clip(np.ceil(spans[a][1] + 0.5), low[a], grid.shape[a])) for a in range(3)]
    if any(a == b for a, b in zip(low, high, strict=True)):
        return nothing
    edges = [np.arange(a, b + 1) - 0.5 for a, b in zip(low, high, strict=True)]
    cover = np.zeros([high[a] - low[a] for a in (first, second, third)], dtype=np.float32)
    for b in boxes:
        rows, columns = (interval_overlap(edges[a], e) for a, e in zip((first, second), b.edges, strict=True))
        slab = b.height + np.array([-thickness / 2, thickness / 2])
        depth = interval_overlap(edges[third], slab)[:, 0]
        held = np.flatnonzero(depth)
        cover[:, :, held] += (rows @ b.inside @ columns.T)[:, :, None] * depth[held]
    inside = most_covered(np.ascontiguousarray(cover.transpose(np.argsort((first, second, third)))))
    return Segment(naming, tuple(slice(a, b) for a, b in zip(low, high, strict=True)), inside)
