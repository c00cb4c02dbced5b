"""Heads at any angle, couch, contour, analog detection and the stopping rule."""

import dataclasses

import numpy as np
import pytest

from planardose.heads import Head, opposed_heads
from planardose.image import Grid
from planardose.library import load_camera, load_nuclide
from planardose.physics.attenuation import density_g_ml, mass_attenuation_cm2_g, mu_per_mm
from planardose.physics.sensitivity import air_sensitivity_cps_per_mbq
from planardose.planar import EnergyWindow
from planardose.sim.montecarlo import Options, simulate
from planardose.sim.montecarlo_columns import masses_ahead
from planardose.sim.montecarlo_device import load_kernels
from planardose.sim.raster import Raster

CAMERA, LU = load_camera("siemens_symbia_melp"), load_nuclide("177Lu")
ONE_LINE = dataclasses.replace(LU, lines=tuple(x for x in LU.lines if 208 < x.energy_kev < 209))
PHOTOPEAK = (LU.photopeak,)
NO_LEAD = Options(penetration=False)


def cylinder(radius=80.0, step=4.0, at=(0.0, 0.0), soft=1.06):
    """Upright cylinder of soft tissue about the z axis, 1 MBq in the voxel nearest to (x, y) = at, mid height."""
    n = int(2 * (radius + 12) / step) | 1
    grid = Grid.axis_aligned((n, n, 31), step, (-(n - 1) / 2 * step, -(n - 1) / 2 * step, -60.0))
    fine = ((grid.axis_mm(0)[:, None] + step * ((np.arange(8) + 0.5) / 8 - 0.5)).ravel()) ** 2
    inside = (fine[:, None] + fine < radius**2).reshape(n, 8, n, 8).mean(axis=(1, 3))  # share of edge voxels
    density = np.zeros((3, *grid.shape), dtype=np.float32)
    density[1] = soft * inside[:, :, None]
    activity = np.zeros(grid.shape)
    i, j = (int(np.abs(grid.axis_mm(a) - at[a]).argmin()) for a in range(2))
    activity[i, j, 15] = 1.0
    return density, activity, grid, (float(grid.axis_mm(0)[i]), float(grid.axis_mm(1)[j]))


@pytest.mark.parametrize("angle", [0.0, 30.0, 90.0, 137.0, 180.0, 270.0])
def test_primary_of_a_point_in_a_cylinder_at_any_angle(angle):
    """Counts exp(-mu d) with d in closed form, in the pixel and height where the source is, at 160 mm."""
    radius = 80.0
    density, activity, grid, (x, y) = cylinder(radius, at=(38.0, -22.0))
    head = Head(angle, 160.0)
    views = simulate(density, activity, grid, CAMERA, ONE_LINE, PHOTOPEAK, (head,), 1e3, 1, NO_LEAD)
    n, t = head.normal, head.tangent
    along, across = x * n[0] + y * n[1], x * t[0] + y * t[1]
    depth = np.sqrt(radius**2 - across**2) - along
    mu = float(mu_per_mm(density[:, grid.shape[0] // 2, grid.shape[1] // 2, 0].astype(float), 208.37))
    air = air_sensitivity_cps_per_mbq(CAMERA, ONE_LINE, LU.photopeak, penetration=False)
    expected = air * np.exp(-mu * depth)
    image = views.primary[0, 0]
    assert image.sum() == pytest.approx(expected, rel=0.015)  # 1 mm of depth: the edge in voxels of 4 mm
    columns = Raster(grid, (head,)).columns.centres_mm
    assert (columns @ image.sum(axis=1)) / image.sum() == pytest.approx(across, abs=0.3)
    assert (grid.axis_mm(2) @ image.sum(axis=0)) / image.sum() == pytest.approx(0.0, abs=0.1)


def test_scatter_does_not_depend_on_the_angle_around_an_axis():
    density, activity, grid, _ = cylinder()
    heads = tuple(Head(a, 120.0) for a in (0.0, 45.0, 90.0, 200.0, 300.0))
    views = simulate(density, activity, grid, CAMERA, LU, PHOTOPEAK, heads, 4e5, 1, NO_LEAD)
    scatter = (views.rate - views.primary).sum(axis=(1, 2, 3))
    assert scatter == pytest.approx([scatter.mean()] * 5, rel=0.02)
    assert views.primary.sum(axis=(1, 2, 3)) == pytest.approx([views.primary.sum() / 5] * 5, rel=0.015)


def test_rays_equal_sums_along_the_axis_and_the_length_across():
    load_kernels("cpu")
    rng = np.random.default_rng(1)
    grid = Grid.axis_aligned((7, 5, 3), (4.0, 6.0, 5.0), 0.0)
    density = rng.random((*grid.shape, 3)).astype(np.float32)
    heads = tuple(Head(a, 1.0) for a in (0.0, 1e-7, 180.0, 180.0 - 1e-7))
    turned = masses_ahead(density, Raster(grid, heads))
    assert turned[:, :, :, 1] == pytest.approx(turned[:, :, :, 0], rel=1e-5)
    assert turned[:, :, :, 3] == pytest.approx(turned[:, :, :, 2], rel=1e-5)
    even = masses_ahead(np.ones_like(density), Raster(grid, (Head(45.0, 1.0),)))[:, :, :, 0, 0]
    x, y = grid.bounds_mm()[1][:2, None, None] - np.meshgrid(grid.axis_mm(0), grid.axis_mm(1), indexing="ij")
    assert even[:, :, 1] == pytest.approx(0.1 * np.sqrt(2) * np.minimum(x, y), rel=1e-5)


def test_voxels_of_any_thickness_give_the_same_scatter():
    """A block of two even halves, of which one is active, holds the same in 2 voxels along y as in 20."""
    counts = []
    for parts in (1, 10):
        shape, step = (21, 2 * parts, 21), (20.0, 60.0 / parts, 20.0)
        grid = Grid.axis_aligned(shape, step, tuple(-(n - 1) / 2 * s for n, s in zip(shape, step, strict=True)))
        density, activity = np.zeros((3, *shape), dtype=np.float32), np.zeros(shape)
        density[1, 5:-5, :, 5:-5] = 1.06
        activity[8:13, :parts, 8:13] = 0.1 / parts
        setting = (density, activity, grid, CAMERA, LU, (LU.photopeak, LU.scatter_windows[0]))
        views = simulate(*setting, opposed_heads((90.0, -90.0)), 4e5, 1, NO_LEAD)
        counts.append([image.sum(axis=(2, 3)) for image in (views.primary, views.rate - views.primary)])
    (primary, scatter), (primary_of_thin, scatter_of_thin) = counts
    assert primary == pytest.approx(primary_of_thin, rel=1e-4)
    assert scatter == pytest.approx(scatter_of_thin, rel=0.02)


def test_the_couch_costs_the_posterior_view_what_aluminium_absorbs():
    density, activity, grid, _ = cylinder()
    faces = (120.0, -120.0)
    bare, couch = (
        simulate(density, activity, grid, CAMERA, ONE_LINE, PHOTOPEAK, opposed_heads(faces, mm), 1e4, 1, NO_LEAD)
        for mm in (0.0, 1.0)
    )
    mu = mass_attenuation_cm2_g("aluminium", 208.37) * density_g_ml("aluminium") / 10
    ratio = couch.primary.sum(axis=(1, 2, 3)) / bare.primary.sum(axis=(1, 2, 3))
    assert ratio == pytest.approx([1.0, np.exp(-mu)], rel=1e-6)
    assert 0.02 < 1 - ratio[1] < 0.04
    scatter = [(v.rate - v.primary).sum(axis=(1, 2, 3)) for v in (couch, bare)]
    assert (scatter[0] / scatter[1]) == pytest.approx([1.0, np.exp(-mu)], rel=3e-3)


WINDOWS = (*LU.scatter_windows, LU.photopeak, EnergyWindow(100.0, 126.0))


def test_forced_detection_equals_analog_in_every_window():
    """Photons that leave within 6 degrees of 12 heads' normals; 6e7 histories show 0.3 to 0.6 % more in analog mode."""
    density, activity, grid, _ = cylinder(radius=60.0, step=6.0)
    activity[:] = density[1] > 0
    activity *= np.random.default_rng(2).random(grid.shape)
    heads = tuple(Head(30.0 * n, 100.0) for n in range(12))
    setting = (density, activity, grid, CAMERA, LU, WINDOWS, heads)
    analog = dataclasses.replace(NO_LEAD, analog_deg=6.0, batches=1)
    ours = [simulate(*setting, 2e4, n, NO_LEAD) for n in range(6)]
    other = [simulate(*setting, 2e5, 100 + n, analog) for n in range(10)]
    mean, error = [], []
    for runs in (ours, other):
        counts = np.array([v.rate.sum(axis=(0, 2, 3)) for v in runs])
        mean.append(counts.mean(axis=0))
        error.append(counts.std(axis=0, ddof=1) / np.sqrt(len(runs)))
    assert (np.abs(mean[1] - mean[0]) < 3 * np.hypot(*error)).all()
    assert (np.hypot(*error) < [0.02 * mean[0][0], 0.06 * mean[0][1], *(0.02 * mean[0][2:])]).all()
    absorbed, error = (f([v.balance["absorbed"] for v in other]) for f in (np.mean, np.std))
    assert absorbed == pytest.approx(np.mean([v.balance["absorbed"] for v in ours]), abs=3 * error / np.sqrt(10) + 2e-5)


def test_histories_are_followed_until_the_error_is_reached():
    density, activity, grid, _ = cylinder()
    setting = (density, activity, grid, CAMERA, LU, PHOTOPEAK, opposed_heads((120.0, -120.0)))
    views = simulate(*setting, 1e6, 1, dataclasses.replace(NO_LEAD, relative_error=0.01))
    assert 1e4 < views.histories < 1e6
    assert views.clear_error <= 0.01
    seeds = [simulate(*setting, views.histories, s, dataclasses.replace(NO_LEAD, batches=1)) for s in range(8)]
    clear = seeds[0].rate[:, 0] > 0.1 * seeds[0].rate[:, 0].max()
    rates = np.array([v.rate[:, 0][clear] for v in seeds])
    assert np.median(rates.std(axis=0, ddof=1) / rates.mean(axis=0)) == pytest.approx(views.clear_error, rel=0.25)
    short = simulate(*setting, 2e4, 1, dataclasses.replace(NO_LEAD, relative_error=1e-4))
    assert short.histories == 20_000 and short.clear_error > 1e-4
