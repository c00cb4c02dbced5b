"""Organ views simulated once and mixed."""

import numpy as np
import pytest
from benchmarks.organ_views import views_of_maps

from planardose.heads import opposed_heads
from planardose.image import Grid
from planardose.library import load_camera, load_nuclide
from planardose.sim.montecarlo import Options, simulate

CAMERA, LU = load_camera("siemens_symbia_melp"), load_nuclide("177Lu")
AMOUNTS = np.array([3.0, 0.5, 12.0])
HEADS = opposed_heads((100.0, -120.0))
WINDOWS = (LU.photopeak, LU.scatter_windows[0])


@pytest.fixture(scope="module")
def patient():
    """Soft tissue with lung and bone, and three organs (1 MBq each) that overlap in both views."""
    grid = Grid.axis_aligned((15, 12, 17), (12.0, 14.0, 11.0), (-84.0, -77.0, -88.0))
    density = np.zeros((3, *grid.shape), dtype=np.float32)
    density[1, 1:-1, 1:-1] = 1.06
    density[1, 2:6, 3:9] = 0.26
    density[2, 7:9, 2:4] = 0.9
    maps = np.zeros((3, *grid.shape))
    maps[0, 3:6, 4:8, 9:14] = 1.0
    maps[1, 9:13, 3:6, 4:9] = 1.0
    maps[2, 6:10, 6:10, 6:12] = 1.0
    return density, maps / maps.sum(axis=(1, 2, 3), keepdims=True), grid


@pytest.fixture(scope="module")
def views(patient):
    density, maps, grid = patient
    return views_of_maps(density, maps, grid, CAMERA, LU, WINDOWS, HEADS, 1e5, (11, 12, 13), Options(batches=16))


def test_the_mixture_is_a_direct_simulation_within_error(patient, views):
    """Primaries are exact; of the scattered pixels, differences over their joint error have unit variance (4 sigma)."""
    density, maps, grid = patient
    activity = np.tensordot(AMOUNTS, maps, axes=1)
    direct = simulate(density, activity, grid, CAMERA, LU, WINDOWS, HEADS, 3e5, 7, Options(batches=16))
    rate, error = views.mixed(AMOUNTS)
    assert np.tensordot(AMOUNTS, views.primary, axes=1) == pytest.approx(direct.primary, rel=1e-5, abs=1e-6)
    both = np.hypot(error * rate, direct.relative_error * direct.rate)
    seen = rate > 0.05 * rate.max(axis=(2, 3), keepdims=True)
    z = ((rate - direct.rate) / both)[seen]
    assert abs(z.mean()) < 0.6  # pixels share histories: 0.15 is their spread
    assert 0.8 < z.std() < 1.3
    assert rate.sum(axis=(2, 3)) == pytest.approx(direct.rate.sum(axis=(2, 3)), rel=0.01)


def test_the_stated_error_of_a_mixture_is_the_spread_of_seeds(patient):
    density, maps, grid = patient
    setting = (grid, CAMERA, LU, WINDOWS[:1], HEADS, 2e4)
    repeats = [views_of_maps(density, maps, *setting, (3 * n, 3 * n + 1, 3 * n + 2)).mixed(AMOUNTS) for n in range(12)]
    rates = np.array([r for r, _ in repeats])
    seen = rates.mean(axis=0) > 0.05 * rates.mean(axis=0).max()
    spread = (rates.std(axis=0, ddof=1) / rates.mean(axis=0))[seen].mean()
    assert np.mean([e[seen].mean() for _, e in repeats]) == pytest.approx(spread, rel=0.2)


def test_one_seed_for_each_map(patient):
    density, maps, grid = patient
    with pytest.raises(ValueError, match="argument 2"):
        views_of_maps(density, maps, grid, CAMERA, LU, WINDOWS, HEADS, 1e3, (1, 2))
