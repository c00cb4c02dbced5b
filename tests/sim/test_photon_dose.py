"""The photon dose: balance, reciprocity, closed forms, stated errors, units, input."""

import dataclasses

import numpy as np
import pytest
from dose_scene import LU, LU_KEV, mixed_phantom

from planardose.image import Grid
from planardose.library import Line
from planardose.sim.dose_tables import (
    WATER,
    Matter,
)
from planardose.sim.photon_dose import DoseOptions, dose_gy, photon_dose
from planardose.validation.water_sphere import sphere_absorbed_fraction

IN_WATER = DoseOptions(matter=WATER)


def deposited(dose):
    """Energy left in the grid, keV per decay, from the balance."""
    return sum(dose.balance[part] for part in ("recoil", "photoabsorbed", "below_cut"))


def test_the_energy_balance_closes():
    density, source, grid = mixed_phantom()
    dose = photon_dose(density, source, grid, LU.lines, 1e5, 5, np.ones((1, *grid.shape)))
    b = dose.balance
    assert b["emitted"] == pytest.approx(LU_KEV, rel=0.01)
    assert deposited(dose) + b["escaped"] == pytest.approx(b["emitted"], rel=1e-12)
    assert min(b[k] for k in ("photoabsorbed", "recoil", "escaped")) > 0
    assert dose.kev_per_decay.sum() == pytest.approx(dose.region_kev_per_decay[0], rel=1e-12)
    assert abs(dose.kev_per_decay.sum() - deposited(dose)) < 6 * dose.region_error_kev[0]


def test_the_map_agrees_with_what_collisions_left_in_a_large_run():
    """Two estimators of one energy: the map's expected absorption, the balance's real collisions."""
    density, source, grid = mixed_phantom()
    dose = photon_dose(density, source, grid, (Line(80.0, 1.0),), 1e6, 6)
    assert dose.kev_per_decay.sum() == pytest.approx(deposited(dose), rel=2e-3)


def test_cross_doses_are_reciprocal():
    """Photon energy per decay and gram, both ways: two blocks of 64 and 98 g, 80 mm apart, in water."""
    grid = Grid.axis_aligned((35, 25, 25), 8.0, 0.0)
    blocks = np.zeros((2, *grid.shape), dtype=bool)
    blocks[0, 10:15, 10:15, 10:15] = True
    blocks[1, 21:24, 9:17, 10:18] = True
    density = np.zeros((3, *grid.shape), dtype=np.float32)
    density[0] = 1.0

    def absorbed(source, target, seed):
        dose = photon_dose(density, source, grid, LU.lines, 3e5, seed, target[None], IN_WATER)
        mass_g = target.sum() * grid.voxel_ml
        return dose.region_kev_per_decay[0] / mass_g, dose.region_error_kev[0] / mass_g

    (a, error_a), (b, error_b) = absorbed(blocks[0], blocks[1], 1), absorbed(blocks[1], blocks[0], 2)
    assert abs(a - b) < 4 * np.hypot(error_a, error_b)
    assert np.hypot(error_a, error_b) < 0.03 * a


def test_energy_spreads_alike_along_axes_of_different_voxels():
    """Second moments in mm about an off-centre voxel, 30 keV in water: a swapped axis or spacing would show."""
    grid = Grid.axis_aligned((41, 31, 51), (6.0, 8.0, 5.0), 0.0)
    density = np.zeros((3, *grid.shape), dtype=np.float32)
    density[0] = 1.0
    source = np.zeros(grid.shape)
    source[18, 16, 27] = 1.0
    kev = photon_dose(density, source, grid, (Line(30.0, 1.0),), 2e5, 1, options=IN_WATER).kev_per_decay
    assert np.unravel_index(kev.argmax(), kev.shape) == (18, 16, 27)
    for axis, index in enumerate((18, 16, 27)):
        profile = kev.sum(axis=tuple(a for a in range(3) if a != axis))
        at = grid.axis_mm(axis) - grid.axis_mm(axis)[index]
        mean, second = (at * profile).sum() / kev.sum(), (at**2 * profile).sum() / kev.sum()
        assert abs(mean) < 0.5
        assert second - grid.spacing_mm[axis] ** 2 / 12 == pytest.approx(kev_second_moment(kev, grid), rel=0.03)


def kev_second_moment(kev, grid):
    """Mean over the three axes, voxels' own width taken off."""
    found = []
    for axis, index in enumerate((18, 16, 27)):
        at = (grid.axis_mm(axis) - grid.axis_mm(axis)[index]) ** 2
        profile = kev.sum(axis=tuple(a for a in range(3) if a != axis))
        found.append((at * profile).sum() / kev.sum() - grid.spacing_mm[axis] ** 2 / 12)
    return np.mean(found)


def test_the_inverse_square_law_and_nists_absorption_give_the_dose_far_away_in_vacuum():
    """Thin voxels of water in vacuum round a source: E x mu_en / (4 pi d2) per mass."""
    grid = Grid.axis_aligned((61, 61, 61), 4.0, -120.0)
    x, y, z = np.meshgrid(*(grid.axis_mm(a) for a in range(3)), indexing="ij")
    distance = np.sqrt(x**2 + y**2 + z**2)
    shell = np.abs(distance - 100.0) < 6.0
    density = np.zeros((3, *grid.shape), dtype=np.float32)
    density[0][shell] = 0.01  # so thin that little scatters
    density[0, 0, 0, 0] = 5.0  # raises the bound, and with it the number of places that score
    source = (distance == 0.0).astype(float)
    dose = photon_dose(density, source, grid, (Line(100.0, 1.0),), 2e5, 1, shell[None], IN_WATER)
    per_gram = 100.0 * 0.02546 * (1.0 / (4 * np.pi * (distance[shell] / 10) ** 2)).sum()  # NIST mu_en/rho, cm
    expected = per_gram * 0.01 * grid.voxel_ml
    assert dose.region_error_kev[0] < 0.004 * expected
    assert abs(dose.region_kev_per_decay[0] - expected) < 4 * dose.region_error_kev[0]
    assert dose.balance["escaped"] > 0.99 * dose.balance["emitted"]


def test_a_line_below_the_cut_stays_where_it_is_emitted():
    density, source, grid = mixed_phantom()
    dose = photon_dose(density, source, grid, (Line(4.0, 0.3),), 2e5, 1)
    expected = 1.2 * source / source.sum()
    assert dose.kev_per_decay == pytest.approx(expected, abs=5 * 1.2 * np.sqrt(expected.max() / 1.2 / 2e5))
    assert dose.balance["below_cut"] == pytest.approx(1.2, rel=1e-6)


def test_doses_are_linear_in_yields_and_do_not_depend_on_the_sources_unit():
    density, source, grid = mixed_phantom()
    doubled = tuple(dataclasses.replace(x, per_decay=2 * x.per_decay) for x in LU.lines)
    one = photon_dose(density, source, grid, LU.lines, 1e4, 5).kev_per_decay
    assert photon_dose(density, source, grid, doubled, 1e4, 5).kev_per_decay == pytest.approx(2 * one, rel=1e-12)
    assert photon_dose(density, 8 * source, grid, LU.lines, 1e4, 5).kev_per_decay == pytest.approx(one, rel=1e-12)


def test_bound_electrons_of_bone_instead_of_tissue_hardly_matter():
    """The size of taking soft tissue's scattering functions everywhere: a block of bone, 60 keV."""
    grid = Grid.axis_aligned((12, 12, 12), 5.0, 0.0)
    density = np.zeros((3, *grid.shape), dtype=np.float32)
    density[2] = 1.92
    setting = (density, np.ones(grid.shape), grid, (Line(60.0, 1.0),), 2e5, 1, np.ones((1, *grid.shape)))
    matters = (Matter(bound_electrons=m) for m in ("soft_tissue", "bone"))
    tissue, bone = (photon_dose(*setting, DoseOptions(matter=m)) for m in matters)
    assert tissue.region_kev_per_decay == pytest.approx(bone.region_kev_per_decay, rel=5e-3)


def test_the_stated_errors_are_true_and_fall_with_the_root_of_photons():
    density, source, grid = mixed_phantom()
    organs = np.stack([np.indices(grid.shape)[0] == i for i in range(10)])
    setting, split, single = (density, source, grid, LU.lines), DoseOptions(batches=40), DoseOptions(batches=1)
    few, many = (photon_dose(*setting, n, 1, organs, split) for n in (2e4, 3.2e5))
    assert few.relative_error.mean() / many.relative_error.mean() == pytest.approx(4.0, rel=0.15)
    runs = [photon_dose(*setting, 2e4, 100 + s, organs, single) for s in range(24)]
    spread = np.std([r.region_kev_per_decay for r in runs], axis=0, ddof=1)
    assert few.region_error_kev.mean() == pytest.approx(spread.mean(), rel=0.2)
    matter = density.sum(axis=0) > 0
    voxels = np.array([r.kev_per_decay[matter] for r in runs])
    relative = voxels.std(axis=0, ddof=1) / voxels.mean(axis=0)
    assert few.relative_error[matter].mean() == pytest.approx(relative.mean(), rel=0.1)
    assert np.isnan(runs[0].region_error_kev).all()


def test_dose_from_energy_activity_and_mass():
    """1 MBq h is 3.6e9 decays; 1 keV in 1 g is 1.602176634e-13 Gy."""
    gy = dose_gy(np.array([2.0, 1.0, 1.0]), 5.0, np.array([1.0, 4.0, 0.0]))
    assert gy == pytest.approx([2 * 5 * 3.6e9 * 1.602176634e-13, 5 * 3.6e9 * 1.602176634e-13 / 4, 0.0], rel=1e-12)


def test_wrong_input_is_refused():
    density, source, grid = mixed_phantom()
    for bad, message in (
        ((density, source[1:], grid, LU.lines), "must lie on the grid"),
        ((density[:2], source, grid, LU.lines), "must lie on the grid"),
        ((density, -source, grid, LU.lines), "source must be finite, not negative"),
        ((density, 0 * source, grid, LU.lines), "not zero everywhere"),
        ((density * np.nan, source, grid, LU.lines), "density must be finite"),
        ((density, source, grid, ()), "at least one photon line"),
        ((density, source, grid, (Line(1460.8, 0.1),)), "above the cross sections"),
    ):
        with pytest.raises(ValueError, match=message):
            photon_dose(*bad, 1e3, 1)
    with pytest.raises(ValueError, match="cut above 0"):
        photon_dose(density, source, grid, LU.lines, 1e3, 1, options=DoseOptions(cut_kev=0.0))
    with pytest.raises(ValueError, match="stack of maps"):
        photon_dose(density, source, grid, LU.lines, 1e3, 1, source)
    with pytest.raises(ValueError, match="water or vacuum"):
        sphere_absorbed_fraction(10, LU.lines, "air", 1e3, 1)
