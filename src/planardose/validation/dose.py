"""Rows on the dose mode: photon energy absorbed in spheres of water."""

from functools import partial

from planardose.library import Line
from planardose.validation.check import Effort, Measured
from planardose.validation.references import sphere_fraction
from planardose.validation.water_sphere import VOXELS_PER_RADIUS, sphere_absorbed_fraction

MASSES_G = (10, 100, 1000)
COARSE = 8  # voxels per radius with fewer histories: their surface then takes 0.6 %
ENERGIES_KEV = (50, 100, 200, 364)


def sphere(mass_g: float, surround: str, energy_kev: float, effort: Effort) -> Measured:
    """Share of the photon energy of a uniform source in a sphere of water that the sphere absorbs."""
    line = (Line(float(energy_kev), 1.0),)
    voxels = VOXELS_PER_RADIUS if effort.scale >= 1 else COARSE
    found = sphere_absorbed_fraction(
        mass_g, line, surround, effort.count(4e5), effort.seed, threads=effort.threads, voxels_per_radius=voxels
    )
    return Measured(*found, reference=sphere_fraction(mass_g, energy_kev, surround))


ROWS = {
    **{f"sphere_{m}_{e}": partial(sphere, m, "water", e) for m in MASSES_G for e in ENERGIES_KEV},
    **{f"sphere_vacuum_100_{e}": partial(sphere, 100, "vacuum", e) for e in ENERGIES_KEV},
}
