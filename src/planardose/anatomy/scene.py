"""Any CT and activity map on one grid of cubic voxels for the transport: mass and activity conserved."""

import logging
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from planardose.anatomy.body import body_mask
from planardose.anatomy.corrupted import Corruption
from planardose.anatomy.materials import partial_density_from_hu
from planardose.anatomy.orient import closest_ras
from planardose.anatomy.pushing import Pusher
from planardose.errors import InputError
from planardose.image import Grid, Volume, box_of
from planardose.io.ct import read_ct
from planardose.io.nifti import read_volume
from planardose.patient_model import MATERIALS
from planardose.units import BQ_PER_MBQ

OUTSIDE_REFUSED = 0.01  # share of the activity outside the CT: more is another patient's or a shifted map
PAD_MM = (60.0, 20.0, 60.0)  # around the patient: blurred counts beside it
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Scene:
    """What is simulated: mass (3, I, J, K) g/mL and activity (I, J, K) MBq per voxel, float32, on a grid.

    `body` (I, J, K) is the share of each voxel that is body. `outside_ct` and `outside_body` are shares of the activity
    read: the first is left out, the second (blur of a reconstruction) kept.
    """

    grid: Grid
    partial_density: np.ndarray = field(repr=False)
    activity_mbq: np.ndarray = field(repr=False)
    body: np.ndarray = field(repr=False)
    outside_ct: float
    outside_body: float


def _read_activity(path: Path) -> Volume:
    """Activity in Bq/mL from a NIfTI file.

    Raises
    ------
    InputError
        If it cannot be read, holds NaN or negative values, or nothing at all.
    """
    where = "--activity"
    if not path.exists():
        raise InputError(where, "no such file", "a NIfTI file in Bq/mL")
    volume = read_volume(path, "activity concentration", "Bq/mL", where)
    bad = int(np.count_nonzero(~np.isfinite(volume.data)))
    if bad:
        raise InputError(where, f"{bad} of {volume.data.size} voxels are NaN or infinite", "Bq/mL in every voxel")
    if volume.data.min() < 0:
        count = int(np.count_nonzero(volume.data < 0))
        raise InputError(where, f"{count} negative voxels, lowest {volume.data.min():g}", "Bq/mL of 0 or more",
                         "set negative noise to 0 yourself: it changes totals")
    if volume.data.max() == 0:
        raise InputError(where, "every voxel is 0", "a map with activity")
    return closest_ras(volume)


def read_scene(activity: Path, ct: Path, grid_mm: float) -> Scene:
    """Read CT and activity and lay both on a grid of `grid_mm`.

    The CT's own couch and the air around the body count as vacuum. Metal gets the density of water.

    Raises
    ------
    InputError
        On unreadable or wrong files, or where the activity does not lie in the CT.
    """
    source = _read_activity(activity)
    image = closest_ras(read_ct(ct, "--ct"))
    outside = _clear_outside(source, image.grid)
    body = body_mask(image, "--ct")
    grid = _grid_around(body, image.grid, source, grid_mm)
    density, share = _mass_on(image, body, grid)
    mbq = _activity_on(source, grid)
    lost = float(mbq[share < 1e-3].sum(dtype=np.float64) / mbq.sum(dtype=np.float64))
    if not source.grid.same_as(image.grid):
        log.info("activity (%s voxels) and CT (%s) on different grids: both laid on %s voxels of %g mm, totals kept",
                 _shape(source.grid), _shape(image.grid), _shape(grid), grid_mm)  # fmt: skip
    if lost > OUTSIDE_REFUSED:
        log.warning("%.1f %% of the activity lies in the air around the body", 100 * lost)
    return Scene(grid, density, mbq, share, outside, lost)


def _shape(grid: Grid) -> str:
    return " x ".join(str(n) for n in grid.shape)


def _clear_outside(source: Volume, ct_grid: Grid) -> float:
    """Set activity outside the CT to 0; its share, which must be small."""
    total, outside = source.data.sum(dtype=np.float64), 0.0
    ct_from_source = np.linalg.inv(ct_grid.ras_from_voxel) @ source.grid.ras_from_voxel
    upper = np.array(ct_grid.shape) - 0.5
    i, j = (x.ravel() for x in np.meshgrid(*(np.arange(n) for n in source.grid.shape[:2]), indexing="ij"))
    for k in range(source.grid.shape[2]):
        at = ct_from_source[:3, :3] @ np.stack([i, j, np.full(i.shape, k)]) + ct_from_source[:3, 3:]
        beyond = ((at < -0.5 - 1e-6) | (at > upper[:, None] + 1e-6)).any(axis=0).reshape(source.grid.shape[:2])
        outside += source.data[:, :, k][beyond].sum(dtype=np.float64)
        source.data[:, :, k][beyond] = 0
    share = float(outside / total)
    if share > OUTSIDE_REFUSED:
        what = "CT and activity do not overlap" if share > 1 - 1e-9 else f"{share:.1%} of the activity is out of the CT"
        raise InputError("--activity", what, f"at most {OUTSIDE_REFUSED:.0%}", "check that both are in one frame")
    if share > 0:
        log.warning("%.2g %% of the activity lies outside the CT and is left out", 100 * share)
    return share


def _grid_around(body: np.ndarray, ct_grid: Grid, source: Volume, grid_mm: float) -> Grid:
    """Cubic voxels around body and activity."""
    corners = []
    for mask, grid in ((body, ct_grid), (source.data > 0, source.grid)):
        faces = [(s.start - 0.5, s.stop - 0.5) for s in box_of(mask)]
        points = np.array(np.meshgrid(*faces, indexing="ij")).reshape(3, -1)
        corners.append(grid.ras_from_voxel[:3, :3] @ points + grid.ras_from_voxel[:3, 3:])
    corners = np.concatenate(corners, axis=1)
    low, high = corners.min(axis=1) - PAD_MM, corners.max(axis=1) + PAD_MM
    shape = np.ceil((high - low) / grid_mm).astype(int)
    start = 0.5 * (low + high - shape * grid_mm) + 0.5 * grid_mm
    return Grid.axis_aligned(tuple(int(n) for n in shape), grid_mm, start)


def _push(pusher: Pusher, mask: np.ndarray, k: int, values: list[np.ndarray], sums: list[np.ndarray]) -> None:
    """Add values (n,) of the voxels `mask` (I, J) of source slice `k`, times their shares of volume, to `sums`."""
    i, j = np.nonzero(mask)
    voxel, cell, weight = pusher.slice_parts(i, j, k)
    if voxel.size == 0:
        return
    first, last = int(cell[2].min()), int(cell[2].max()) + 1
    shape = (*pusher.shape[:2], last - first)
    flat = (cell[0] * shape[1] + cell[1]) * shape[2] + cell[2] - first
    for out, value in zip(sums, values, strict=True):
        out[:, :, first:last] += np.bincount(flat, weight * value[voxel], int(np.prod(shape))).reshape(shape)


def _mass_on(ct: Volume, body: np.ndarray, grid: Grid) -> tuple[np.ndarray, np.ndarray]:
    """Partial densities (3, I, J, K) and share of body (I, J, K), float32."""
    none = Volume(np.broadcast_to(np.int16(0), ct.grid.shape), ct.grid, "labels", "1")
    corruption = Corruption(ct, none)
    for note in corruption.notes:
        log.warning("--ct: %s", note)
    pusher = Pusher(ct.grid, grid)
    out = np.zeros((len(MATERIALS) + 1, *grid.shape), dtype=np.float32)
    for k in range(ct.grid.shape[2]):
        mask = body[:, :, k]
        hu = ct.data[:, :, k][mask]
        matter = partial_density_from_hu(corruption.trusted_hu(hu, np.zeros(hu.size, dtype=np.int64)))
        _push(pusher, mask, k, [*matter, np.ones(hu.size)], list(out))
    return out[:-1], out[-1]


def _activity_on(source: Volume, grid: Grid) -> np.ndarray:
    """MBq per voxel (I, J, K) float32; the total is that of the source."""
    pusher, out = Pusher(source.grid, grid), np.zeros(grid.shape, dtype=np.float32)
    for k in range(source.grid.shape[2]):
        mask = source.data[:, :, k] > 0
        if mask.any():
            _push(pusher, mask, k, [source.data[:, :, k][mask].astype(np.float64)], [out])
    out *= np.float32(grid.voxel_ml / BQ_PER_MBQ)
    return out
