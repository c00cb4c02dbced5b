"""The Monte Carlo camera against other code: ray tracing, and a separate slow Monte Carlo in numpy (here)."""

import numpy as np
import pytest
from montecarlo_scenes import CAMERA, LU, ONE_LINE, PHOTOPEAK, mixed_phantom, simulate_views

from planardose.image import Grid
from planardose.physics.attenuation import mass_attenuation_cm2_g, mu_per_mm
from planardose.physics.compton import differential_barn_sr, scattered_energy_kev
from planardose.physics.detector import detection_efficiency
from planardose.physics.form_factors import HC_KEV_ANGSTROM, STEP, form_factors
from planardose.sim import montecarlo


def uncollided_share(density, activity, grid, rays, rng):
    """Mean of exp(-integral of mu) from random emission points in random directions, by small steps."""
    mu = mu_per_mm(density.astype(np.float64), 208.37)
    voxels = rng.choice(activity.size, size=rays, p=activity.ravel() / activity.sum())
    position = np.stack(np.unravel_index(voxels, activity.shape), axis=1) + rng.random((rays, 3))
    cosine, azimuth = rng.uniform(-1, 1, rays), rng.uniform(0, 2 * np.pi, rays)
    sine = np.sqrt(1 - cosine**2)
    step_mm = 1.0
    step = step_mm * np.stack([sine * np.cos(azimuth), sine * np.sin(azimuth), cosine], axis=1) / grid.spacing_mm
    depth = np.zeros(rays)
    position = position + step / 2
    for _ in range(int(np.linalg.norm(grid.spacing_mm * grid.shape) / step_mm)):
        inside = ((position >= 0) & (position < grid.shape)).all(axis=1)
        index = tuple(np.where(inside[:, None], position, 0).astype(int).T)
        depth += np.where(inside, mu[index], 0.0) * step_mm
        position += step
    through = np.exp(-depth)
    return through.mean(), through.std() / np.sqrt(rays)


def test_delta_tracking_equals_ray_tracing():
    density, activity, grid, faces = mixed_phantom()
    histories = 200_000
    views = simulate_views(density, activity, grid, CAMERA, ONE_LINE, PHOTOPEAK, faces, histories, 7)
    ours = views.balance["escaped_unscattered"]
    traced, error = uncollided_share(density, activity, grid, 40_000, np.random.default_rng(8))
    assert abs(ours - traced) < 4 * np.hypot(error, np.sqrt(ours * (1 - ours) / histories)) + 1e-3
    assert 0.2 < ours < 0.8


def sphere(radius=60.0):
    grid = Grid.axis_aligned((43, 43, 43), 3.0, -63.0)
    x, y, z = np.meshgrid(*(grid.axis_mm(a) for a in range(3)), indexing="ij")
    density = np.zeros((3, *grid.shape), dtype=np.float32)
    density[1] = 1.06 * (x**2 + y**2 + z**2 < radius**2)
    activity = np.zeros(grid.shape)
    activity[21, 21, 21] = 1.0
    return density, activity, grid, (80.0, -80.0)


def angle_table(energies):
    """Cumulative distribution of the cosine, Klein-Nishina times S, one row per energy."""
    cosine = np.linspace(-1, 1, 801)
    x = energies[:, None] / HC_KEV_ANGSTROM * np.sqrt((1 - cosine) / 2)
    bound = np.interp(x, np.arange(form_factors().incoherent.size) * STEP, form_factors().incoherent)
    density = differential_barn_sr(energies[:, None], cosine) * bound
    cumulative = np.cumsum(density[:, 1:] + density[:, :-1], axis=1)
    cumulative = np.concatenate([np.zeros((energies.size, 1)), cumulative], axis=1)
    return cosine, cumulative / cumulative[:, -1:]


def slow_monte_carlo(photons, radius, window, rng):
    """Photons from the centre of a sphere of soft tissue, one by one steps, nothing forced.

    By symmetry what leaves in all directions is what leaves toward a head, times 4 pi per steradian. Gives the primary
    and scattered counts per photon, and of the scattered ones the mean square distance of the last collision from the
    line of flight through the centre (mm2).
    """
    energies = np.arange(100.0, 210.0)
    photo, compton = (mass_attenuation_cm2_g("soft_tissue", energies, p) * 0.106 for p in ("photo", "compton"))
    cosines, table = angle_table(energies)
    fine = np.arange(100.0, 210.0, 0.25)
    efficiency = detection_efficiency(CAMERA, window, fine)
    position = (rng.random((photons, 3)) - 0.5) * 3.0
    direction = rng.standard_normal((photons, 3))
    direction /= np.linalg.norm(direction, axis=1, keepdims=True)
    energy, collided = np.full(photons, 208.37), np.zeros(photons, dtype=bool)
    primary, scattered, spread = 0.0, 0.0, 0.0
    while energy.size:
        total = np.interp(energy, energies, photo + compton)
        target = position + direction * rng.exponential(1 / total)[:, None]
        out = (target**2).sum(axis=1) > radius**2
        counted = np.interp(energy[out], fine, efficiency)
        primary += counted[~collided[out]].sum()
        scattered += counted[collided[out]].sum()
        last = position[out] - (position[out] * direction[out]).sum(axis=1)[:, None] * direction[out]
        spread += (counted * (last**2).sum(axis=1))[collided[out]].sum()
        stays = ~out & (rng.random(energy.size) * total < np.interp(energy, energies, compton))
        position, direction, energy = target[stays], direction[stays], energy[stays]
        row = table[np.clip(np.rint(energy - 100.0).astype(int), 0, energies.size - 1)]
        u = rng.random(energy.size)
        n = (row < u[:, None]).sum(axis=1)
        ends = row[np.arange(energy.size), n - 1], row[np.arange(energy.size), n]
        cosine = cosines[n - 1] + (u - ends[0]) / (ends[1] - ends[0]) * (cosines[1] - cosines[0])
        energy = scattered_energy_kev(energy, cosine)
        across = np.cross(direction, rng.standard_normal(direction.shape))
        across /= np.linalg.norm(across, axis=1, keepdims=True)
        direction = cosine[:, None] * direction + np.sqrt(1 - cosine**2)[:, None] * across
        follow = energy > 140.0
        position, direction, energy = position[follow], direction[follow], energy[follow]
        collided = np.ones(energy.size, dtype=bool)
    return primary / photons, scattered / photons, spread / scattered


@pytest.mark.parametrize("window", [LU.photopeak, LU.scatter_windows[0]])
def test_forced_detection_equals_independent_code(window):
    density, activity, grid, faces = sphere()
    views = simulate_views(density, activity, grid, CAMERA, ONE_LINE, (window,), faces, 3e5, 3, rayleigh=False)
    per_photon = 1e6 * ONE_LINE.lines[0].per_decay * montecarlo.geometric_efficiency(CAMERA)
    primary, scattered, spread = slow_monte_carlo(300_000, 60.0, window, np.random.default_rng(9))
    ours = (views.rate - views.primary).sum(axis=(1, 2, 3)) / per_photon
    assert views.primary.sum(axis=(1, 2, 3)) / per_photon == pytest.approx([primary] * 2, rel=0.02)
    assert ours == pytest.approx([scattered] * 2, rel=0.02)
    x = grid.axis_mm(0)
    second, blur = (  # mean square distance from the middle of the image
        sum((image.sum(axis=(0, 1, axis)) * x**2).sum() for axis in (2, 3)) / image.sum()
        for image in (views.rate - views.primary, views.primary)
    )
    assert second - blur == pytest.approx(spread, rel=0.08)
