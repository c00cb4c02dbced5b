"""Planar acquisitions: energy windows, the pair of opposed views, and its rebinning into the CT's coronal plane."""

from dataclasses import dataclass, field
from datetime import datetime, timedelta

import numpy as np

from planardose.frames import PlanarPose
from planardose.image import Grid

VIEWS = ("anterior", "posterior")


@dataclass(frozen=True, order=True)
class EnergyWindow:
    """Energy window with its edges in keV."""

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


@dataclass(frozen=True)
class PlanarPair:
    """Anterior and posterior planar images of one acquisition, as the camera sees them.

    Parameters
    ----------
    counts : (2, W, R, C) float32
        Counts per (view, window, row, column); view 0 is anterior, 1 posterior. Row 0 is the head. In the anterior
        view column 0 is the patient's right, in the posterior view the patient's left.
    windows : tuple of EnergyWindow
        Length W, in any order; see `window_index`.
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

    def __post_init__(self) -> None:
        c = self.counts
        if c.ndim != 4 or c.shape[0] != len(VIEWS) or c.shape[1] != len(self.windows):
            raise ValueError(f"counts must be (2, {len(self.windows)}, rows, columns), got {c.shape}")
        if not np.isfinite(c).all() or c.min() < 0:
            raise ValueError("counts must be finite and not negative")
        if min(*self.pixel_mm, self.exposure_s, self.duration_s) <= 0:
            raise ValueError(
                f"pixel size and times must be positive, got {self.pixel_mm} mm, {self.exposure_s} s, {self.duration_s} s"
            )

    @property
    def mid_time(self) -> datetime:
        """Middle of the acquisition, to which activities refer."""
        return self.acquired_at + timedelta(seconds=self.duration_s / 2)

    def window_index(self, energy_kev: float) -> int:
        """Index of the narrowest window that holds `energy_kev`; raises KeyError when none does."""
        inside = [(w.width_kev, n) for n, w in enumerate(self.windows) if w.contains(energy_kev)]
        if not inside:
            raise KeyError(energy_kev)
        return min(inside)[1]

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

    def rebinned(self, grid: Grid, pose: PlanarPose, split: int = 3) -> np.ndarray:
        """Counts collected on the columns and slices of a RAS-aligned grid: (view, window, I, K) float64.

        Each pixel is split into `split` x `split` equal parts, each put where `pose` says. Counts are conserved; what
        falls outside the grid is left out.
        """
        ras = self.ras()
        _, _, n_u, n_v = ras.shape
        dv_mm, du_mm = self.pixel_mm
        parts = (np.arange(split) + 0.5) / split - 0.5
        u = ((np.arange(n_u) - (n_u - 1) / 2)[:, None] + parts).ravel() * du_mm
        v = ((np.arange(n_v) - (n_v - 1) / 2)[:, None] + parts).ravel() * dv_mm
        x, z = pose.to_ras(*np.meshgrid(u, v, indexing="ij"))
        i = np.floor((x - grid.axis_mm(0)[0]) / grid.spacing_mm[0] + 0.5).astype(np.int64)
        k = np.floor((z - grid.axis_mm(2)[0]) / grid.spacing_mm[2] + 0.5).astype(np.int64)
        n_i, _, n_k = grid.shape
        inside = (i >= 0) & (i < n_i) & (k >= 0) & (k < n_k)
        target = (i * n_k + k)[inside]
        out = np.empty((*ras.shape[:2], n_i, n_k))
        for view in range(ras.shape[0]):
            for window in range(ras.shape[1]):
                fine = np.repeat(np.repeat(ras[view, window], split, axis=0), split, axis=1)[inside] / split**2
                out[view, window] = np.bincount(target, fine, n_i * n_k).reshape(n_i, n_k)
        return out
