"""The cube with its reference's simplifications: free electrons, no coherent scattering, the energy window alone."""

from dataclasses import replace

import numpy as np
import warp as wp
import xraylib

from planardose.heads import opposed_heads
from planardose.patient_model import MATERIALS
from planardose.physics.attenuation import MM_PER_CM, density_g_ml, mass_fractions
from planardose.physics.compton import moments
from planardose.sim.montecarlo import Options, setup_of
from planardose.sim.montecarlo_device import Setup, Tracker
from planardose.sim.montecarlo_kernel import FIXED_POINT
from planardose.sim.montecarlo_tables import EnergyTables, energy_tables
from planardose.sim.raster import Raster
from planardose.validation.check import Effort, Measured
from planardose.validation.scenes import DEVICE, REPEATS, bare, cube, lutetium, melp, one_line
from planardose.validation.slow_cube import scatter_to_primary

AVOGADRO_PER_BARN = 0.602214076  # electrons per g and barn to 1/cm2
THICK_CRYSTAL_MM = 1000.0  # absorbs everything


def free_electrons(tables: EnergyTables) -> EnergyTables:
    """Compton scattering by Klein and Nishina's cross section alone."""
    per_g = [sum(w * z / xraylib.AtomicWeight(z) for z, w in mass_fractions(m).items()) for m in MATERIALS]
    barn = np.array([moments(e)[0] for e in tables.energies_kev])
    compton = AVOGADRO_PER_BARN * barn[:, None] * per_g
    return replace(tables, total=tables.total - tables.compton + compton, compton=compton, incoherent_norm=barn)


def cube_scatter(effort: Effort) -> Measured:
    """Scatter over primary of a point in the middle of a cube of soft tissue, 208 keV alone, both heads together."""
    scene, camera, nuclide = cube(), bare(melp(), THICK_CRYSTAL_MM), one_line()
    windows = (lutetium().photopeak,)
    tables = free_electrons(energy_tables(camera, nuclide, windows, False, False))
    raster, options = Raster(scene.grid, opposed_heads(scene.face_mm)), Options(DEVICE, penetration=False)
    setup = setup_of(scene.density, scene.activity, raster, camera, tables, windows, options)
    tracker = Tracker(setup, DEVICE, effort.threads)
    tracker.tables.incoherent = wp.array(np.ones(tracker.tables.incoherent.shape[0]), dtype=wp.float32, device=DEVICE)
    primary = _primary(setup, nuclide.imaged_line().energy_kev)
    count = effort.count(1e6 / REPEATS)
    scores = [tracker.follow(effort.seed, n * count, (n + 1) * count)[0].sum() for n in range(REPEATS)]
    ratios = np.array(scores) / (FIXED_POINT * count * primary)
    return Measured(float(ratios.mean()), float(ratios.std(ddof=1) / np.sqrt(REPEATS)))


def cube_analog(effort: Effort) -> Measured:
    """The same against the separate analog code of `slow_cube`."""
    ours, camera, window = cube_scatter(effort), melp(), lutetium().photopeak
    energy, density = one_line().lines[0].energy_kev, density_g_ml("soft_tissue")
    side, voxel = cube().grid.spacing_mm[0] * cube().grid.shape[0], cube().grid.spacing_mm[0]
    resolution = (camera.energy_resolution * camera.reference_kev, camera.reference_kev)
    separate, error = scatter_to_primary(
        side, voxel, "soft_tissue", density, energy, (window.low_kev, window.high_kev), resolution,
        effort.count(3e6), np.random.default_rng(effort.seed),
    )  # fmt: skip
    return Measured(ours.ours, float(np.hypot(ours.u_ours, error)), separate)


def _primary(setup: Setup, energy_kev: float) -> float:
    """Counts per photon that passes the holes, unscattered, both heads together, from the only active voxel."""
    tables, mass_ahead = setup.tables, setup.masses[tuple(np.argwhere(setup.activity)[0])]
    mu = tables.read_at(tables.total, energy_kev)
    half_voxel = 0.5 * mu @ setup.density.max(axis=(0, 1, 2)) * setup.raster.grid.spacing_mm[1] / MM_PER_CM
    seen = tables.read_at(tables.efficiency, energy_kev)[0]
    return float(seen * (np.exp(-mass_ahead @ mu) * np.sinh(half_voxel) / half_voxel).sum())
