"""Set-ups with a known answer for the dose mode, shared by the tests and by ``planardose validate-physics``."""

import csv
from dataclasses import dataclass

import numpy as np

from planardose.image import Grid
from planardose.library import DATA, Line
from planardose.sim.dose_tables import WATER
from planardose.sim.photon_dose import CUT_KEV, photon_dose
from planardose.units import MM3_PER_ML, sphere_radius_mm

VOXELS_PER_RADIUS = 16  # the rough surface of a sphere of voxels lowers absorbed fractions by 0.4 / 16^2 = 0.2 %
BEYOND_MM = 60.0  # of water about a sphere, and its diameter besides: more returns 0.1 % of the absorbed energy


@dataclass(frozen=True)
class SphereReference:
    """One row of ``data/validation/sphere_fractions.tsv``: fractions of the emitted energy."""

    mass_g: float
    energy_kev: float
    surround: str
    listed: float
    independent: float
    independent_error: float


def sphere_references() -> list[SphereReference]:
    """Photon self-absorbed fractions of water spheres, as listed for the project and by an independent code."""
    with (DATA / "validation" / "sphere_fractions.tsv").open() as f:
        rows = csv.DictReader((line for line in f if not line.startswith("#")), delimiter="\t")
        return [SphereReference(**{k: v if k == "surround" else float(v) for k, v in row.items()}) for row in rows]


def water_sphere(
    mass_g: float, surround_mm: float, voxels_per_radius: int = VOXELS_PER_RADIUS
) -> tuple[np.ndarray, Grid]:
    """A sphere of water (1 g/mL) in the middle of a cube.

    Returns
    -------
    inside : (N, N, N) bool
        Voxels with their centre in the sphere.
    grid : Grid
        Its voxels are scaled so that those of the sphere hold `mass_g` exactly; at least `surround_mm` lie between the
        sphere and the faces.
    """
    half = int(np.ceil(surround_mm / sphere_radius_mm(mass_g) * voxels_per_radius)) + voxels_per_radius
    squares = np.arange(-half, half + 1) ** 2
    inside = squares[:, None, None] + squares[:, None] + squares <= voxels_per_radius**2
    voxel_mm = (MM3_PER_ML * mass_g / inside.sum()) ** (1 / 3)
    return inside, Grid.axis_aligned(inside.shape, voxel_mm, -half * voxel_mm)


def sphere_absorbed_fraction(
    mass_g: float, lines: tuple[Line, ...], surround: str, photons: float, seed: int, cut_kev: float = CUT_KEV,
    threads: int = 1, device: str = "cpu", voxels_per_radius: int = VOXELS_PER_RADIUS,
) -> tuple[float, float]:  # fmt: skip
    """Share of the photon energy of a uniform source in a sphere of water that the sphere absorbs.

    Parameters
    ----------
    mass_g : float
    lines : tuple of Line
        Of a nuclide, or one of any yield for a single energy.
    surround : str
        ``"water"`` (photons come back from it) or ``"vacuum"``.
    photons, seed, cut_kev, threads, device
        As in `photon_dose`.

    Returns
    -------
    (fraction, standard error)

    Raises
    ------
    ValueError
        On another surround.
    """
    if surround not in ("water", "vacuum"):
        raise ValueError(f"surround is '{surround}', expected water or vacuum")
    beyond = BEYOND_MM + 2 * sphere_radius_mm(mass_g) if surround == "water" else 0.0
    inside, grid = water_sphere(mass_g, beyond, voxels_per_radius)
    density = np.zeros((3, *grid.shape), dtype=np.float32)
    density[0] = 1.0 if surround == "water" else inside
    found = photon_dose(density, inside, grid, lines, photons, seed, inside[None], cut_kev, WATER, device, threads)
    emitted = sum(x.energy_kev * x.per_decay for x in lines)
    return float(found.region_kev_per_decay[0]) / emitted, float(found.region_error_kev[0]) / emitted


def cut_effect(lines: tuple[Line, ...], cut_kev: float, photons: float, seed: int) -> float:
    """Relative change of the absorbed fraction of 100 g in vacuum with another cut than `CUT_KEV`, photon by photon."""
    here, there = (
        sphere_absorbed_fraction(100.0, lines, "vacuum", photons, seed, cut, voxels_per_radius=8)[0]
        for cut in (CUT_KEV, cut_kev)
    )
    return there / here - 1.0


def cross_absorption(
    lines: tuple[Line, ...], photons: float, seed: int, threads: int = 1, device: str = "cpu"
) -> list[tuple[float, float]]:
    """Photon energy per decay and gram from a to b and from b to a: two blocks of 64 and 98 g, 80 mm apart, in water.

    Equal by reciprocity, because there is water all around.

    Returns
    -------
    two of (keV per decay and g, standard error)
    """
    grid = Grid.axis_aligned((35, 25, 25), 8.0, 0.0)
    blocks = np.zeros((2, *grid.shape), dtype=bool)
    blocks[0, 10:15, 10:15, 10:15] = True
    blocks[1, 21:24, 9:17, 10:18] = True
    density = np.zeros((3, *grid.shape), dtype=np.float32)
    density[0] = 1.0
    found = []
    for n in range(2):
        dose = photon_dose(density, blocks[n], grid, lines, photons, seed + n, blocks[1 - n : 2 - n], CUT_KEV, WATER,
                           device, threads)
        mass_g = float(blocks[1 - n].sum() * grid.voxel_ml)
        found.append((float(dose.region_kev_per_decay[0]) / mass_g, float(dose.region_error_kev[0]) / mass_g))
    return found
