"""Synthetic patients: a parametric head-to-thigh anatomy of any seed and body size, evaluated at any points.

The anatomy is a list of solids painted in order (`planardose.anatomy.phantom_parts`), so that it can be sampled on any
grid and in any rigid pose; the truth of the demo cohort and its images come from different grids and poses.
"""

from dataclasses import dataclass, field, fields

import numpy as np

from planardose.anatomy.phantom_parts import Part, node_sites, parts_of, skeleton_sites
from planardose.anatomy.phantom_shapes import Ellipsoid
from planardose.image import Grid
from planardose.organs import LESION_BASE
from planardose.units import sphere_radius_mm

AIR_HU = -1000.0
BOTTOM_MM, TOP_MM = -140.0, 905.0  # mid-thigh and above the vertex, of the design anatomy
PIVOT_MM = np.array([0.0, 0.0, 350.0])  # rigid poses turn about this point
# Volumes in mL: of the design anatomy as painted (neighbours cut into each other), and the range drawn from.
DESIGN_ML = {
    "liver": 1755.0, "spleen": 195.0, "stomach": 275.0, "urinary_bladder": 167.0, "prostate": 27.8,
    "kidney_right": 162.0, "kidney_left": 162.0, "parotid_gland_right": 21.3, "parotid_gland_left": 21.3,
    "submandibular_gland_right": 9.4, "submandibular_gland_left": 9.4,
}  # fmt: skip
RANGE_ML = {
    "liver": (1350.0, 1950.0), "spleen": (130.0, 270.0), "stomach": (200.0, 350.0), "urinary_bladder": (80.0, 230.0),
    "prostate": (18.0, 45.0), "kidney": (138.0, 182.0), "parotid_gland": (18.0, 30.0),
    "submandibular_gland": (7.0, 13.0),
}  # fmt: skip
SIDE_SPREAD = 0.04  # of the logarithm of the volume of one of a pair of organs


@dataclass(frozen=True)
class Lesion:
    """A lesion: label 1000 + n, centre in design mm, volume, whether the chain is told of it."""

    label: int
    site: str
    centre: tuple[float, float, float]
    volume_ml: float
    known: bool


@dataclass(frozen=True)
class Pose:
    """Rigid displacement of the patient: turned about x, then y, z (degrees) at `PIVOT_MM`, then shifted (mm)."""

    shift_mm: tuple[float, float, float] = (0.0, 0.0, 0.0)
    rotation_deg: tuple[float, float, float] = (0.0, 0.0, 0.0)

    def matrix(self) -> np.ndarray:
        """(3, 3) rotation."""
        matrix = np.eye(3)
        for axis, angle in enumerate(np.deg2rad(self.rotation_deg)):
            a, b = (axis + 1) % 3, (axis + 2) % 3
            turn = np.eye(3)
            turn[[a, a, b, b], [a, b, a, b]] = np.cos(angle), -np.sin(angle), np.sin(angle), np.cos(angle)
            matrix = turn @ matrix
        return matrix

    def to_patient(self, points: np.ndarray) -> np.ndarray:
        """Points (N, 3) of the room in the frame of the undisplaced patient."""
        return (points - PIVOT_MM - np.array(self.shift_mm)) @ self.matrix() + PIVOT_MM


@dataclass(frozen=True)
class Sampled:
    """The anatomy on a grid, arrays (I, J, K).

    `labels` int16 with lesions, `host` int16 without, CT numbers and relative uptake float32, `body` bool.
    """

    labels: np.ndarray
    host: np.ndarray
    hu: np.ndarray
    uptake: np.ndarray
    body: np.ndarray


def _empty_sample(shape: tuple[int, ...]) -> Sampled:
    """Air everywhere."""
    return Sampled(
        np.zeros(shape, np.int16), np.zeros(shape, np.int16), np.full(shape, AIR_HU, np.float32),
        np.zeros(shape, np.float32), np.zeros(shape, bool),
    )  # fmt: skip


@dataclass(frozen=True)
class Phantom:
    """A synthetic patient.

    Parameters
    ----------
    parts : tuple of Part
        In painting order, lengths of the design anatomy.
    scale : (3,) float64
        This patient's size over the design's, along x, y, z.
    lesions : tuple of Lesion
    """

    parts: tuple[Part, ...] = field(repr=False)
    scale: np.ndarray
    lesions: tuple[Lesion, ...]

    def extent_mm(self, margin_mm: float) -> tuple[np.ndarray, np.ndarray]:
        """Box (low, high), each (3,), from mid-thigh to the vertex with a margin in x and y."""
        surface = [part.shape.bounds() for part in self.parts if part.label == 0]
        low = np.min([b[0] for b in surface], axis=0) * self.scale - margin_mm
        high = np.max([b[1] for b in surface], axis=0) * self.scale + margin_mm
        low[2], high[2] = BOTTOM_MM * self.scale[2], TOP_MM * self.scale[2]
        return low, high

    def sample(self, points: np.ndarray) -> Sampled:
        """The anatomy at points (N, 3) in mm: arrays (N,)."""
        out = _empty_sample((len(points),))
        design = points / self.scale
        low, high = design.min(axis=0), design.max(axis=0)
        for part in self.parts:
            a, b = part.shape.bounds()
            if (a > high).any() or (b < low).any():
                continue
            near = np.flatnonzero(((design >= a) & (design <= b)).all(axis=1))
            hit = near[part.shape.inside(design[near])]
            out.labels[hit], out.hu[hit], out.uptake[hit], out.body[hit] = part.label, part.hu, part.uptake, True
            if part.label < LESION_BASE:
                out.host[hit] = part.label
        return out

    def on_grid(self, grid: Grid, pose: Pose | None = None, slab: int = 4) -> Sampled:
        """The anatomy at the voxel centres of a grid, the patient displaced by `pose`."""
        pose = pose or Pose()
        out = _empty_sample(grid.shape)
        for start in range(0, grid.shape[2], slab):
            stop = min(start + slab, grid.shape[2])
            points = pose.to_patient(_grid_points(grid, slice(start, stop)))
            sampled = self.sample(points)
            for one in fields(Sampled):
                values = getattr(sampled, one.name).reshape(*grid.shape[:2], stop - start)
                getattr(out, one.name)[:, :, start:stop] = values
        return out


def _grid_points(grid: Grid, slices: slice) -> np.ndarray:
    """RAS points (N, 3) of the voxel centres of some slices, in C order of (i, j, k)."""
    k = np.arange(grid.shape[2])[slices]
    index = np.stack(np.meshgrid(np.arange(grid.shape[0]), np.arange(grid.shape[1]), k, indexing="ij"), axis=-1)
    return index.reshape(-1, 3) @ grid.ras_from_voxel[:3, :3].T + grid.ras_from_voxel[:3, 3]


def density_of_hu(hu: np.ndarray) -> np.ndarray:
    """Mass density in g/mL of noise-free CT numbers: two lines, water 1 at 0 HU, bone 1.9 at 1500 HU."""
    return np.clip(np.where(hu < 0, 1.0 + hu / 1000.0, 1.0 + 0.6 * hu / 1000.0), 0.0, None)


def _value(rng: np.random.Generator, low: float, high: float, unusual: bool) -> float:
    """A value of the range; an unusual one lies beyond it by up to half its width, and not below half its low end."""
    if not unusual:
        return rng.uniform(low, high)
    beyond = rng.uniform(-0.5, 0.5) * (high - low)
    return max(low + beyond, 0.5 * low) if beyond < 0 else high + beyond


def _volume_factors(rng: np.random.Generator, scale: np.ndarray, unusual: bool) -> dict[str, float]:
    drawn = {name: _value(rng, *limits, unusual) for name, limits in RANGE_ML.items()}
    factors = {}
    for name, design in DESIGN_ML.items():
        base = name.removesuffix("_right").removesuffix("_left")
        side = np.exp(SIDE_SPREAD * rng.standard_normal()) if base != name else 1.0
        factors[name] = float(drawn[base] * side / (design * np.prod(scale)))
    return factors | {"medulla": float(rng.uniform(0.5, 0.8))}


def _draw_lesions(rng: np.random.Generator, known: int, hidden: int) -> tuple[Lesion, ...]:
    bones, nodes = rng.permutation(skeleton_sites()), rng.permutation(node_sites())
    # kept inside the liver's right lobe, below its dome
    liver = [(70.0 + u, 10.0 + v, 390.0 + w) for u, v, w in rng.uniform(-30, 30, (known + hidden, 3))]
    lesions = []
    for n in range(known + hidden):
        site = ("skeleton", "node", "skeleton", "liver")[int(rng.choice(4, p=(0.45, 0.3, 0.15, 0.1)))]
        place = {"skeleton": bones, "node": nodes, "liver": liver}[site][n % 8]
        low, high = (4.0, 20.0) if n < known else (2.0, 12.0)
        volume = float(np.exp(rng.uniform(np.log(low), np.log(high))))
        lesions.append(Lesion(LESION_BASE + 1 + n, site, tuple(float(v) for v in place), volume, n < known))
    return tuple(lesions)


def _lesion_part(lesion: Lesion, scale: np.ndarray) -> Part:
    radius = sphere_radius_mm(lesion.volume_ml)
    hu = {"skeleton": 420.0, "node": 45.0, "liver": 52.0}[lesion.site]
    semi = radius / scale
    return Part(lesion.label, hu, 1.0, Ellipsoid(lesion.centre, (float(semi[0]), float(semi[1]), float(semi[2]))))


def draw_phantom(
    rng: np.random.Generator, known: int = 2, hidden: int = 3, arms: bool = False, unusual: bool = False
) -> Phantom:
    """A patient of random size, organ volumes and lesions.

    Parameters
    ----------
    rng : Generator
        The only source of randomness.
    known, hidden : int
        Number of lesions that the chain is told of, and is not; at most 8 together.
    arms : bool
        Arms beside the trunk instead of raised out of the images; nothing else changes.
    unusual : bool
        Size, fat and organ volumes outside the ranges that usual phantoms are drawn from.

    Raises
    ------
    ValueError
        With more than 8 lesions.
    """
    if known + hidden > len(node_sites()):
        raise ValueError(f"at most {len(node_sites())} lesions, got {known + hidden}")
    width = _value(rng, 0.92, 1.08, unusual)
    scale = np.array([width, width * _value(rng, 0.97, 1.05, unusual), _value(rng, 0.93, 1.07, unusual)])
    fat_mm = float(_value(rng, 8.0, 32.0, unusual))
    phase = tuple(float(v) for v in rng.uniform(0, 2 * np.pi, 3))
    parts = parts_of(_volume_factors(rng, scale, unusual), fat_mm, arms, phase)
    lesions = _draw_lesions(rng, known, hidden)
    return Phantom((*parts, *(_lesion_part(x, scale) for x in lesions)), scale, lesions)
