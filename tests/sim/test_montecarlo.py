"""The Monte Carlo camera against closed forms: attenuation, sensitivity, places, balance, error, linearity."""

import dataclasses

import numpy as np
import pytest
from montecarlo_scenes import CAMERA, LU, ONE_LINE, PHOTOPEAK, WINDOWS, mixed_phantom, point_in_box, simulate_views

from planardose.image import Grid
from planardose.physics.attenuation import mu_per_mm
from planardose.physics.detector import detection_efficiency
from planardose.physics.sensitivity import air_sensitivity_cps_per_mbq
from planardose.planar import EnergyWindow
from planardose.sim import montecarlo
from planardose.sim.montecarlo_tables import emission_tables, energy_tables, majorant_per_mm


def centre_of_mass(image, grid):
    x, z = grid.axis_mm(0)[:, None], grid.axis_mm(2)[None, :]
    return (x * image).sum() / image.sum(), (z * image).sum() / image.sum()


def test_primary_is_air_times_the_exponential_in_both_views():
    density, activity, grid, faces = point_in_box(index=(8, 2, 6))
    views = simulate_views(density, activity, grid, CAMERA, ONE_LINE, PHOTOPEAK, faces, 1e4, 1, batches=1)
    mu = float(mu_per_mm(density[:, :1, :1, :1], 208.37)[0, 0, 0])
    low, high = grid.bounds_mm()
    y, half = grid.axis_mm(1)[2], grid.spacing_mm[1] / 2
    own = np.sinh(mu * half) / (mu * half)  # mean over the voxel's depth
    air = air_sensitivity_cps_per_mbq(CAMERA, ONE_LINE, LU.photopeak, penetration=False)
    expected = [air * own * np.exp(-mu * d) for d in (high[1] - y, y - low[1])]
    ours = views.primary[:, 0].sum(axis=(1, 2))
    assert ours == pytest.approx(expected, rel=2e-3)
    assert ours[0] / ours[1] == pytest.approx(np.exp(mu * ((y - low[1]) - (high[1] - y))), rel=1e-4)


def test_the_geometric_mean_of_primaries_does_not_depend_on_depth():
    means = []
    for j in (1, 4, 7):
        density, activity, grid, faces = point_in_box(index=(8, j, 6), shape=(33, 9, 33), spacing=(10.0, 12.0, 10.0))
        views = simulate_views(density, activity, grid, CAMERA, ONE_LINE, PHOTOPEAK, faces, 1e4, 1, batches=1)
        means.append(np.sqrt(views.primary[:, 0].sum(axis=(1, 2)).prod()))
    assert means == pytest.approx([means[0]] * 3, rel=1e-3)


def test_an_off_centre_voxel_lands_in_its_pixel_in_both_views():
    density, activity, grid, faces = point_in_box()
    density[:] *= 0.01
    views = simulate_views(density, activity, grid, CAMERA, LU, PHOTOPEAK, faces, 1e4, 1)
    for view in range(2):
        image = views.rate[view, 0]
        assert np.unravel_index(image.argmax(), image.shape) == (12, 5)
        x, z = centre_of_mass(image, grid)
        assert (x, z) == pytest.approx((grid.axis_mm(0)[12], grid.axis_mm(2)[5]), abs=0.3)


def test_counts_in_air_are_the_cameras_sensitivity():
    grid = Grid.axis_aligned((41, 5, 41), (5.0, 10.0, 5.0), (-100.0, -20.0, -100.0))
    activity = np.zeros(grid.shape)
    activity[20, 2, 20] = 3.0
    views = simulate_views(np.zeros((3, *grid.shape)), activity, grid, CAMERA, LU, WINDOWS, (100.0, -150.0), 1e4, 1)
    for n, window in enumerate(WINDOWS):
        expected = 3.0 * air_sensitivity_cps_per_mbq(CAMERA, LU, window, penetration=False)
        # lines below the cut-off of 0.1 % of the best efficiency are left out
        assert views.rate[:, n].sum(axis=(1, 2)) == pytest.approx([expected] * 2, rel=5e-3)
    assert views.balance["escaped_unscattered"] == 1.0


def test_scatter_of_a_point_in_a_cube(monkeypatch):
    """Independent value 0.41: 19.7 cm soft tissue, 208 keV alone, crystal equally good at all energies, no Rayleigh."""
    grid = Grid.axis_aligned((41, 41, 41), 4.8, -96.0)
    density = np.zeros((3, *grid.shape), dtype=np.float32)
    density[1] = 1.06
    activity = np.zeros(grid.shape)
    activity[20, 20, 20] = 1.0
    camera = dataclasses.replace(CAMERA, cover_mm=0.0, backscatter_mm=0.0)
    tables = energy_tables(camera, ONE_LINE, PHOTOPEAK, False, False)
    energies = tables.first_kev + np.arange(len(tables.total))
    crystal = detection_efficiency(camera, EnergyWindow(1.0, 1500.0), energies)
    flat = dataclasses.replace(tables, efficiency=tables.efficiency / crystal[:, None])
    monkeypatch.setattr(montecarlo, "energy_tables", lambda *_: flat)
    setting = (density, activity, grid, camera, ONE_LINE, PHOTOPEAK, (150.0, -150.0))
    views = simulate_views(*setting, 2e5, 1, rayleigh=False)
    primary, total = views.primary.sum(), views.rate.sum()
    assert (total - primary) / primary == pytest.approx(0.41, abs=0.03)


def test_the_photon_balance_closes():
    for windows, roulette in ((PHOTOPEAK, False), ((EnergyWindow(45.0, 62.0),), True)):
        density, activity, grid, faces = mixed_phantom()
        b = simulate_views(density, activity, grid, CAMERA, LU, windows, faces, 2e5, 5).balance
        gained = b["emitted"] + b["roulette_gained"]
        assert gained == pytest.approx(b["absorbed"] + b["escaped"] + b["cut_off"] + b["roulette_lost"], abs=1e-7)
        assert b["emitted"] == 1.0
        assert (b["roulette_lost"] > 0) == roulette
        assert b["roulette_gained"] == pytest.approx(b["roulette_lost"], rel=0.2)


def test_the_majorant_bounds_every_voxel_at_every_energy():
    density, _, _, _ = mixed_phantom()
    tables = energy_tables(CAMERA, LU, (EnergyWindow(45.0, 62.0),), True, False)
    bound = majorant_per_mm(np.moveaxis(density, 0, -1), tables.total)
    mu = np.stack([mu_per_mm(density.astype(np.float64), e).max() for e in tables.first_kev + np.arange(len(bound))])
    assert (bound >= mu).all()
    assert (bound < 1.15 * mu).all()


def test_emission_tables_find_every_voxel():
    activity = np.random.default_rng(1).random((4, 3, 5)) * (np.random.default_rng(2).random((4, 3, 5)) > 0.5)
    voxel, cumulative, guide = emission_tables(activity)
    for u in np.random.default_rng(3).random(500):
        n = guide[int(u * guide.size)]
        while cumulative[n] <= u:
            n += 1
        assert n == np.searchsorted(cumulative, u, side="right")
    assert np.diff(cumulative, prepend=0.0) == pytest.approx(activity.ravel()[voxel] / activity.sum())


def test_the_error_estimate_is_true_and_falls_with_the_root_of_histories():
    density, activity, grid, faces = mixed_phantom()
    setting = (density, activity, grid, CAMERA, LU, PHOTOPEAK, faces)
    few, many = (simulate_views(*setting, n, 1, batches=16).relative_error.mean() for n in (1e4, 1.6e5))
    assert few / many == pytest.approx(4.0, rel=0.15)
    rates = [simulate_views(*setting, 1e4, seed, batches=1).rate for seed in range(20)]
    spread = (np.std(rates, axis=0, ddof=1) / np.mean(rates, axis=0)).mean()
    assert few == pytest.approx(spread, rel=0.15)


def test_views_are_linear_in_activity():
    density, activity, grid, faces = mixed_phantom()
    setting = (grid, CAMERA, LU, PHOTOPEAK, faces)
    one, three = (simulate_views(density, f * activity, *setting, 1e4, 1).rate for f in (1.0, 3.0))
    assert three == pytest.approx(3 * one, rel=1e-5)
    half = activity * (np.arange(grid.shape[0]) < 5)[:, None, None]
    parts = [simulate_views(density, a, *setting, 2e5, 1).rate.sum() for a in (half, activity - half, activity)]
    assert parts[0] + parts[1] == pytest.approx(parts[2], rel=0.01)
    assert not simulate_views(density, 0 * activity, *setting, 1e4, 1).rate.any()


def test_wrong_input_is_refused():
    density, activity, grid, faces = mixed_phantom()
    with pytest.raises(ValueError, match="RAS-aligned"):
        simulate_views(density, activity[1:], grid, CAMERA, LU, PHOTOPEAK, faces, 1e4, 1)
    with pytest.raises(ValueError, match="not negative"):
        simulate_views(density, -activity, grid, CAMERA, LU, PHOTOPEAK, faces, 1e4, 1)
    with pytest.raises(ValueError, match="no photon line"):
        simulate_views(density, activity, grid, CAMERA, LU, (EnergyWindow(600.0, 700.0),), faces, 1e4, 1)
