"""A sphere of water with a uniform source: the share of its photon energy that it absorbs, by the dose mode."""

import numpy as np

from planardose.image import Grid
from planardose.library import Line
from planardose.sim.dose_tables import WATER
from planardose.sim.photon_dose import CUT_KEV, DoseOptions, photon_dose
from planardose.units import MM3_PER_ML, sphere_radius_mm

VOXELS_PER_RADIUS = 16  # the rough surface of a sphere of voxels lowers absorbed fractions by 0.4 / 16^2 = 0.2 %
BEYOND_MM = 60.0  # of water about a sphere, and its diameter besides: more returns 0.1 % of the absorbed energy


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
    threads: int = 1, voxels_per_radius: int = VOXELS_PER_RADIUS,
) -> tuple[float, float]:  # fmt: skip
    """Share of the photon energy of a uniform source in a sphere of water that the sphere absorbs.

    Parameters
    ----------
    mass_g : float
        Of the sphere, g.
    lines : tuple of Line
        Of a nuclide, or one of any yield for a single energy.
    surround : str
        ``"water"`` (photons come back from it) or ``"vacuum"``.
    photons, seed, cut_kev, threads
        As in `photon_dose` and `DoseOptions`.
    voxels_per_radius : int
        How finely the sphere is divided.

    Returns
    -------
    (float, float)
        Fraction of the emitted energy, 0 to 1, and its standard error.

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
    options = DoseOptions(cut_kev, WATER, threads=threads)
    found = photon_dose(density, inside, grid, lines, photons, seed, inside[None], options)
    emitted = sum(x.energy_kev * x.per_decay for x in lines)
    return float(found.region_kev_per_decay[0]) / emitted, float(found.region_error_kev[0]) / emitted
