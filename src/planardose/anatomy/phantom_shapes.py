"""Solids of the parametric anatomy: each tells which points lie inside, and its bounding box.

All lengths in mm in the anatomy's own RAS frame: x = 0 in the sagittal plane and growing to the patient's right, y = 0
near the middle of the trunk and growing forward, z = 0 at the perineum and growing to the head.
"""

from dataclasses import dataclass
from typing import Protocol

import numpy as np

Point = tuple[float, float, float]


class Shape(Protocol):
    """What a part of the anatomy needs of its solid."""

    def bounds(self) -> tuple[np.ndarray, np.ndarray]:
        """Lower and upper corner (3,) of a box around the solid."""
        ...

    def inside(self, p: np.ndarray) -> np.ndarray:
        """(N,) bool for points (N, 3)."""
        ...


@dataclass(frozen=True)
class Ellipsoid:
    """Ellipsoid with semi-axes in mm, turned by `tilt_deg` about y (positive: +x towards +z)."""

    centre: Point
    semi: Point
    tilt_deg: float = 0.0

    def bounds(self) -> tuple[np.ndarray, np.ndarray]:
        """Lowest and highest x, y, z in mm: two of (3,)."""
        c, s = abs(np.cos(np.deg2rad(self.tilt_deg))), abs(np.sin(np.deg2rad(self.tilt_deg)))
        a, b, d = self.semi
        reach = np.array([np.hypot(c * a, s * d), b, np.hypot(s * a, c * d)])
        return np.array(self.centre) - reach, np.array(self.centre) + reach

    def inside(self, p: np.ndarray) -> np.ndarray:
        """(N,) bool: which of the points (N, 3), mm, lie in it."""
        d = p - np.array(self.centre)
        c, s = np.cos(np.deg2rad(self.tilt_deg)), np.sin(np.deg2rad(self.tilt_deg))
        u, w = c * d[:, 0] + s * d[:, 2], -s * d[:, 0] + c * d[:, 2]
        return (u / self.semi[0]) ** 2 + (d[:, 1] / self.semi[1]) ** 2 + (w / self.semi[2]) ** 2 <= 1.0

    def scaled(self, volume_factor: float) -> "Ellipsoid":
        """The same centre and form with another volume."""
        f = volume_factor ** (1 / 3)
        return Ellipsoid(self.centre, (self.semi[0] * f, self.semi[1] * f, self.semi[2] * f), self.tilt_deg)


@dataclass(frozen=True)
class Tube:
    """Points within `radius` of a chain of straight segments through `points`."""

    points: tuple[Point, ...]
    radius: float

    def bounds(self) -> tuple[np.ndarray, np.ndarray]:
        q = np.array(self.points)
        return q.min(axis=0) - self.radius, q.max(axis=0) + self.radius

    def inside(self, p: np.ndarray) -> np.ndarray:
        found = np.zeros(len(p), bool)
        for a, b in zip(self.points, self.points[1:], strict=False):
            start, along = np.array(a), np.array(b) - np.array(a)
            d = p - start
            t = np.clip(d @ along / (along @ along), 0.0, 1.0)
            found |= ((d - t[:, None] * along) ** 2).sum(axis=1) <= self.radius**2
        return found


@dataclass(frozen=True)
class Loops:
    """Winding loops (small bowel) inside an ellipsoid: where a gyroid of period `period_mm` is not too low."""

    hull: Ellipsoid
    period_mm: float
    phase: Point

    def bounds(self) -> tuple[np.ndarray, np.ndarray]:
        return self.hull.bounds()

    def inside(self, p: np.ndarray) -> np.ndarray:
        x, y, z = (2 * np.pi * p / self.period_mm + np.array(self.phase)).T
        gyroid = np.sin(x) * np.cos(y) + np.sin(y) * np.cos(z) + np.sin(z) * np.cos(x)
        return self.hull.inside(p) & (gyroid > -0.35)


@dataclass(frozen=True)
class Trunk:
    """Stack of superelliptic cross-sections, exponent 2.5.

    `sections` rows are (z, half width x, half width y, centre y), linear in between; `grow_mm` moves the surface out.
    """

    sections: tuple[tuple[float, float, float, float], ...]
    grow_mm: float = 0.0

    def half_widths(self, z: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Half width in x, in y, and centre y at heights z."""
        table = np.array(self.sections)
        a, b, centre = (np.interp(z, table[:, 0], table[:, n]) for n in (1, 2, 3))
        return a + self.grow_mm, b + self.grow_mm, centre

    def bounds(self) -> tuple[np.ndarray, np.ndarray]:
        t = np.array(self.sections)
        a, b = t[:, 1].max() + self.grow_mm, t[:, 2].max() + np.abs(t[:, 3]).max() + self.grow_mm
        return np.array([-a, -b, t[0, 0]]), np.array([a, b, t[-1, 0]])

    def inside(self, p: np.ndarray) -> np.ndarray:
        a, b, centre = self.half_widths(p[:, 2])
        height = (p[:, 2] >= self.sections[0][0]) & (p[:, 2] <= self.sections[-1][0])
        return height & (np.abs(p[:, 0] / a) ** 2.5 + np.abs((p[:, 1] - centre) / b) ** 2.5 <= 1.0)


@dataclass(frozen=True)
class Rib:
    """One rib: a band of the chest wall that falls to the front, from the spine to `front_mm` (y).

    `side` is +1 right, -1 left; `behind_mm` is where it starts (y), so that cartilage continues a rib.
    """

    wall: Trunk
    side: int
    z_back: float
    front_mm: float
    behind_mm: float = -300.0
    slope: float = 0.35
    half_height_mm: float = 6.0
    thickness_mm: float = 8.0

    def _height(self, y: np.ndarray) -> np.ndarray:
        return self.z_back - self.slope * (y + 80.0)

    def bounds(self) -> tuple[np.ndarray, np.ndarray]:
        low, high = self.wall.bounds()
        z = self._height(np.array([low[1], high[1]]))
        low, high = low.copy(), high.copy()
        low[2], high[2] = z.min() - self.half_height_mm, z.max() + self.half_height_mm
        low[0], high[0] = (0.0, high[0]) if self.side > 0 else (low[0], 0.0)
        return low, high

    def inside(self, p: np.ndarray) -> np.ndarray:
        x, y, z = p.T
        band = (np.abs(z - self._height(y)) <= self.half_height_mm) & (y <= self.front_mm) & (y > self.behind_mm)
        band &= x * self.side > 14.0
        a, b, centre = self.wall.half_widths(z)
        rho = (np.abs(x / a) ** 2.5 + np.abs((y - centre) / b) ** 2.5) ** (1 / 2.5)
        return band & (rho <= 1.0) & (rho >= 1.0 - self.thickness_mm / np.minimum(a, b))
