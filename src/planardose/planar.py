"""Planar acquisitions: energy windows, the pair of opposed views, and its rebinning into the CT's coronal plane."""

from dataclasses import dataclass, field
from datetime import datetime, timedelta

import numpy as np

from planardose.frames import PlanarPose
from planardose.image import Grid

VIEWS = ("anterior", "posterior")
SWEPT_S = 1.0  # a pair whose duration exceeds its exposure by more than this was swept


@dataclass(frozen=True, order=True)
class EnergyWindow:
    """Energy window with its edges in keV; edges that are not 0 < low < high raise ValueError."""

    low_kev: float
    high_kev: float

    def __post_init__(self) -> None:
        if not 0 < self.low_kev < self.high_kev:
            raise ValueError(f"energy window must have 0 < low < high, got {self.low_kev}-{self.high_kev} keV")

    @property
    def width_kev(self) -> float:
        return self.high_kev - self.low_kev

    @property
    def centre_kev(self) -> float:
        return 0.5 * (self.low_kev + self.high_kev)

    def contains(self, energy_kev: float) -> bool:
        return self.low_kev <= energy_kev <= self.high_kev


def columns_to(angle_deg: float) -> np.ndarray:
    """(3,) RAS direction of growing column as a head at this angle sees it: 0 anterior, 90 at the patient's right."""
    angle = np.deg2rad(angle_deg)
    return np.array([-np.cos(angle), np.sin(angle), 0.0])


@dataclass(frozen=True)
class MoreViews:
    """Views of the same acquisition beside the opposed pair, each as long as a view of the pair.

    Parameters
    ----------
    angles_deg : tuple of float
        Where each head stood: 0 anterior, 90 at the patient's right, 180 posterior.
    counts : (E, W, R, C) float32
        As `PlanarPair.counts`: row 0 is the head, columns as the camera sees them.
    distance_mm : tuple of float or None
        Of each face from the axis of the body.
    """

    angles_deg: tuple[float, ...]
    counts: np.ndarray = field(repr=False)
    distance_mm: tuple[float, ...] | None = None

    def along(self, view: int, tangent: np.ndarray) -> np.ndarray:
        """(W, u, z) counts of a view, u along the head's tangent and z to the head."""
        image = self.counts[view][:, ::-1, :]
        image = image if float(columns_to(self.angles_deg[view]) @ tangent) > 0 else image[:, :, ::-1]
        return np.ascontiguousarray(image.transpose(0, 2, 1))


@dataclass(frozen=True)
class PlanarPair:
    """Anterior and posterior planar images of one acquisition, as the camera sees them.

    Parameters
    ----------
    counts : (2, W, R, C) float32
        Counts per (view, window, row, column); view 0 is anterior, 1 posterior. Row 0 is the head. In the anterior
        view column 0 is the patient's right, in the posterior view the patient's left.
    windows : tuple of EnergyWindow
        Length W, in any order; see `library.Nuclide.peak_index`.
    pixel_mm : (row, column) float
    exposure_s : float
        Seconds during which each point of the patient is in the field of view: the duration of a static image, or
        axial field length / scan speed of a sweep.
    acquired_at : datetime
        Start of the acquisition.
    duration_s : float
        Start to end (equal to `exposure_s` for a static image).
    detector_distance_mm : tuple of float or None
        Distance of the collimator face of (anterior, posterior) head from the axis of the body, as DICOM's Radial
        Position (0018,1142); None where the acquisition does not say.
    more : MoreViews or None
        Oblique or lateral views beside the pair.

    Raises
    ------
    ValueError
        On wrong shapes, non-finite or negative counts, or non-positive sizes and times.
    """

    counts: np.ndarray = field(repr=False)
    windows: tuple[EnergyWindow, ...]
    pixel_mm: tuple[float, float]
    exposure_s: float
    acquired_at: datetime
    duration_s: float
    detector_distance_mm: tuple[float, float] | None = None
    more: MoreViews | None = None

    def __post_init__(self) -> None:
        c = self.counts
        if c.ndim != 4 or c.shape[0] != len(VIEWS) or c.shape[1] != len(self.windows):
            raise ValueError(f"counts must be (2, {len(self.windows)}, rows, columns), got {c.shape}")
        if not np.isfinite(c).all() or c.min() < 0:
            raise ValueError("counts must be finite and not negative")
        if min(*self.pixel_mm, self.exposure_s, self.duration_s) <= 0:
            raise ValueError(
                f"pixel size, times must be positive, got {self.pixel_mm} mm, {self.exposure_s} s, {self.duration_s} s"
            )

    @property
    def mid_time(self) -> datetime:
        """Middle of the acquisition, to which activities refer."""
        return self.acquired_at + timedelta(seconds=self.duration_s / 2)

    @property
    def is_swept(self) -> bool:
        """Whether the field moved along the patient: the whole took longer than a point was seen."""
        return self.duration_s - self.exposure_s > SWEPT_S

    def ras(self) -> np.ndarray:
        """Counts as (view, window, x, z), x ascending to the patient's right and z to the head, for both views.

        The only place of the package where a view is mirrored: the anterior camera sees the patient's right on its
        left, so its columns run towards -x; the posterior camera's columns run towards +x.
        """
        flipped = self.counts[:, :, ::-1, :].copy()
        flipped[0] = flipped[0, :, :, ::-1]
        return np.ascontiguousarray(flipped.transpose(0, 1, 3, 2))

    @classmethod
    def counts_from_ras(cls, ras: np.ndarray) -> np.ndarray:
        """Inverse of `ras`: (view, window, x, z) to camera order (view, window, row, column)."""
        camera = ras.transpose(0, 1, 3, 2)[:, :, ::-1, :].copy()
        camera[0] = camera[0, :, :, ::-1]
        return camera

    def rebinned(self, grid: Grid, pose: PlanarPose) -> np.ndarray:
        """Counts on the columns and slices of a RAS-aligned grid: (view, window, I, K) float64. See `rebin`."""
        ras = self.ras()
        flat = rebin(ras.reshape(-1, *ras.shape[2:]), self.pixel_mm, grid, pose)
        return flat.reshape(*ras.shape[:2], *flat.shape[1:])


def rebin(images: np.ndarray, pixel_mm: tuple[float, float], grid: Grid, pose: PlanarPose) -> np.ndarray:
    """Collect images on the columns and slices of a RAS-aligned grid.

    Parameters
    ----------
    images : (N, U, V) float
        u to the patient's right, v to the head (`PlanarPair.ras`).
    pixel_mm : (row, column) float
        Pixel size along (v, u).
    grid : Grid
    pose : PlanarPose

    Returns
    -------
    (N, I, K) float64
        Each pixel is shared among the cells that it overlaps, exactly at rotation 0; a turned pixel counts as four
        upright quarters, moved to where they belong. Counts are conserved; what falls outside the grid is left out.
    """
    n_u, n_v = images.shape[1:]
    dv_mm, du_mm = pixel_mm
    split_u = max(2, int(np.ceil(du_mm / grid.spacing_mm[0])))
    split_v = max(2, int(np.ceil(dv_mm / grid.spacing_mm[2])))
    u = (np.arange(n_u * split_u) - (n_u * split_u - 1) / 2) * (du_mm / split_u)
    v = (np.arange(n_v * split_v) - (n_v * split_v - 1) / 2) * (dv_mm / split_v)
    x, z = pose.to_ras(*np.meshgrid(u, v, indexing="ij"))
    pixel = (np.arange(n_u * split_u) // split_u)[:, None] * n_v + np.arange(n_v * split_v) // split_v
    shape = (grid.shape[0], grid.shape[2])
    columns = _overlap(x.ravel(), du_mm / split_u, grid, 0)
    slices = _overlap(z.ravel(), dv_mm / split_v, grid, 2)
    target, source, share = [], [], []
    for i, share_i in columns:
        for k, share_k in slices:
            inside = (i >= 0) & (i < shape[0]) & (k >= 0) & (k < shape[1])
            target.append((i * shape[1] + k)[inside])
            source.append(pixel.ravel()[inside])
            share.append((share_i * share_k)[inside] / (split_u * split_v))
    target, source, share = (np.concatenate(x) for x in (target, source, share))
    images = images.astype(np.float64).reshape(len(images), -1)
    cells = shape[0] * shape[1]
    return np.array([np.bincount(target, share * image[source], cells) for image in images]).reshape(-1, *shape)


def _overlap(centre_mm: np.ndarray, width_mm: float, grid: Grid, axis: int) -> list[tuple[np.ndarray, np.ndarray]]:
    """The two cells that intervals (no wider than a cell) touch, each with the share of the interval in it."""
    step = grid.spacing_mm[axis]
    low = (centre_mm - width_mm / 2 - grid.axis_mm(axis)[0]) / step + 0.5
    first = np.floor(low).astype(np.int64)
    share = np.minimum((first + 1 - low) * step / width_mm, 1.0)
    return [(first, share), (first + 1, 1.0 - share)]
