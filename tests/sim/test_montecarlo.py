"""The Monte Carlo camera against closed forms, ray tracing and a separate slow Monte Carlo in numpy (here)."""

import dataclasses
import os
import subprocess
import sys

import numpy as np
import pytest
import warp as wp

from planardose.errors import InputError
from planardose.heads import Head, opposed_heads
from planardose.image import Grid
from planardose.library import load_camera, load_nuclide
from planardose.physics.attenuation import mass_attenuation_cm2_g, mu_per_mm
from planardose.physics.compton import differential_barn_sr, scattered_energy_kev
from planardose.physics.detector import detection_efficiency
from planardose.physics.form_factors import HC_KEV_ANGSTROM, STEP, form_factors
from planardose.physics.sensitivity import air_sensitivity_cps_per_mbq
from planardose.physics.warp_runtime import warp_device
from planardose.planar import EnergyWindow
from planardose.sim import montecarlo, montecarlo_device
from planardose.sim.montecarlo_tables import emission_tables, energy_tables, majorant_per_mm

CAMERA, LU = load_camera("siemens_symbia_melp"), load_nuclide("177Lu")
ONE_LINE = dataclasses.replace(LU, lines=tuple(x for x in LU.lines if 208 < x.energy_kev < 209))
WINDOWS = (LU.photopeak, *LU.scatter_windows)
PHOTOPEAK = (LU.photopeak,)


def simulate_views(density, activity, grid, camera, nuclide, windows, faces, histories, seed, **options):
    """Two opposed heads, without lead that photons go through: closed forms and other codes here have none."""
    setting = (density, activity, grid, camera, nuclide, windows, opposed_heads(faces), histories, seed)
    return montecarlo.simulate(*setting, montecarlo.Options(penetration=False, **options))


def point_in_box(index=(12, 3, 5), shape=(17, 9, 13), spacing=(8.0, 12.0, 10.0), soft=1.06):
    """1 MBq in one voxel of a uniform box with three different axes."""
    grid = Grid.axis_aligned(shape, spacing, (-50.0, 20.0, 600.0))
    density = np.zeros((3, *shape), dtype=np.float32)
    density[1] = soft
    activity = np.zeros(shape)
    activity[index] = 1.0
    low, high = grid.bounds_mm()
    return density, activity, grid, (high[1] + 30.0, low[1] - 50.0)


def mixed_phantom():
    """Air, adipose, soft tissue and bone in blocks; activity spread unevenly."""
    rng = np.random.default_rng(4)
    grid = Grid.axis_aligned((10, 7, 9), (14.0, 20.0, 18.0), (-60.0, -60.0, -70.0))
    density = np.zeros((3, *grid.shape), dtype=np.float32)
    kind = rng.integers(0, 4, grid.shape)
    for material, rho in enumerate((0.95, 1.06, 1.92)):
        density[material][kind == material] = rho
    return density, rng.random(grid.shape) * (kind < 3), grid, (100.0, -110.0)


def centre_of_mass(image, grid):
    x, z = grid.axis_mm(0)[:, None], grid.axis_mm(2)[None, :]
    return (x * image).sum() / image.sum(), (z * image).sum() / image.sum()


# --- closed forms -------------------------------------------------------------------------------------------------


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


# --- transport ----------------------------------------------------------------------------------------------------


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


# --- bits and errors ----------------------------------------------------------------------------------------------


def test_threads_do_not_change_a_bit():
    setting = (*mixed_phantom()[:3], CAMERA, LU, WINDOWS, (100.0, -110.0), 20_001, 11)
    one = simulate_views(*setting, threads=1)
    for threads in (2, 3):
        other = simulate_views(*setting, threads=threads)
        assert np.array_equal(one.rate, other.rate) and np.array_equal(one.relative_error, other.relative_error)
        assert one.balance == other.balance
    assert not np.array_equal(one.rate, simulate_views(*setting[:-1], 12).rate)


def test_split_launches_and_heads_add_up_to_the_same_bits(monkeypatch):
    setting = (*mixed_phantom()[:3], CAMERA, LU, WINDOWS, (100.0, -110.0), 20_001, 11)
    whole = simulate_views(*setting, batches=2)
    monkeypatch.setattr("planardose.sim.device.LARGEST_LAUNCH", 1700)
    split = simulate_views(*setting, batches=2)
    assert np.array_equal(whole.rate, split.rate) and whole.balance == split.balance


HEADS = tuple(Head(angle, 150.0) for angle in (0.0, 50.0, 100.0, 180.0, 300.0))
CELLS_OF_A_HEAD = 3 * 10 * 15 * 9  # windows, layers, columns, slices


def five_heads():
    options = montecarlo.Options(penetration=False)
    return montecarlo.simulate(*mixed_phantom()[:3], CAMERA, LU, WINDOWS, HEADS, 20_001, 11, options)


def lend(monkeypatch, cells, device="cpu"):
    """Let Warp's `zeros` find no memory for more cells; the heads for which it is asked, one entry a tally."""
    zeros, asked = wp.zeros, []

    def allocate(size, *args, **kwargs):
        asked.extend([size // CELLS_OF_A_HEAD] if size >= CELLS_OF_A_HEAD else [])
        if size > cells:
            raise RuntimeError(f"Failed to allocate {8 * size} bytes on device '{device}'")
        return zeros(size, *args, **kwargs)

    monkeypatch.setattr(wp, "zeros", allocate)
    return asked


@pytest.mark.parametrize(("fit", "tried"), [(3, [5, 3, 2]), (1, [5, 3, 2, 1, 1, 1, 1, 1])])
def test_short_memory_takes_fewer_heads_at_a_time(monkeypatch, caplog, fit, tried):
    """The same bits, and a warning."""
    whole = five_heads()
    asked = lend(monkeypatch, fit * CELLS_OF_A_HEAD)
    parts = five_heads()
    assert np.array_equal(whole.rate, parts.rate) and whole.balance == parts.balance
    assert asked[: len(tried)] == tried
    assert f"{fit} at a time" in caplog.text


def test_no_memory_is_told_in_one_line(monkeypatch):
    with monkeypatch.context() as scarce, pytest.raises(InputError, match="device cpu: not enough memory"):
        lend(scarce, 100)
        five_heads()
    # the host's memory while the device is a GPU, or the other way round: fewer heads at a time would not help
    with monkeypatch.context() as scarce, pytest.raises(InputError, match=r"device cuda:0: not enough memory.*cpu"):
        lend(scarce, 4 * CELLS_OF_A_HEAD, "cuda:0")
        five_heads()

    def no_room(*_, **__):
        raise RuntimeError("Failed to allocate 8 bytes on device 'cuda:0'")

    with monkeypatch.context() as scarce, pytest.raises(InputError, match="coarser voxels"):
        scarce.setattr(montecarlo_device, "upload_tables", no_room)
        five_heads()


def test_more_cells_than_can_be_counted_are_taken_in_parts(monkeypatch):
    whole = five_heads()
    monkeypatch.setattr(montecarlo_device, "LARGEST_TALLY", 3 * CELLS_OF_A_HEAD - 1)
    asked = lend(monkeypatch, np.inf)
    parts = five_heads()
    assert np.array_equal(whole.rate, parts.rate) and whole.balance == parts.balance
    assert asked[:3] == [2, 2, 1]
    monkeypatch.setattr(montecarlo_device, "LARGEST_TALLY", CELLS_OF_A_HEAD - 1)
    with pytest.raises(InputError, match="cells per head are too many"):
        five_heads()


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


# --- devices and processes ----------------------------------------------------------------------------------------


def gpu():
    warp_device("auto")
    return wp.is_cuda_available()


@pytest.mark.skipif(not gpu(), reason="no GPU")
def test_gpu_and_cpu_agree():
    setting = (*mixed_phantom()[:3], CAMERA, LU, WINDOWS, (100.0, -110.0), 2e5, 11)
    cpu, cuda = (simulate_views(*setting, device=d) for d in ("cpu", "cuda:0"))
    assert cuda.rate.sum() == pytest.approx(cpu.rate.sum(), rel=2e-3)
    assert np.array_equal(cuda.rate, simulate_views(*setting, device="cuda:0").rate)


def test_cuda_without_a_gpu_is_refused(monkeypatch):
    monkeypatch.setattr(wp, "is_cuda_available", lambda: False)
    assert warp_device("auto") == "cpu"
    with pytest.raises(InputError, match="no CUDA device"):
        warp_device("cuda")


def test_processes_that_compile_at_the_same_time_agree(tmp_path):
    """Two fresh processes share an empty kernel cache; neither prints a word."""
    code = (
        "import numpy as np\n"
        "from planardose.heads import opposed_heads\n"
        "from planardose.image import Grid\n"
        "from planardose.library import load_camera, load_nuclide\n"
        "from planardose.physics.warp_runtime import warp_device\n"
        "from planardose.sim.montecarlo import Options, simulate\n"
        "lu = load_nuclide('177Lu')\n"
        "grid = Grid.axis_aligned((4, 4, 4), 30.0, -45.0)\n"
        "v = simulate(np.full((3, 4, 4, 4), 0.3), np.ones((4, 4, 4)), grid, load_camera('siemens_symbia_melp'), lu,\n"
        "             (lu.photopeak,), opposed_heads((80.0, -80.0)), 1e3, 1,\n"
        "             Options(warp_device('cpu'), penetration=False))\n"
        "print(v.rate.sum().hex())\n"
    )
    environment = {**os.environ, "WARP_CACHE_PATH": str(tmp_path)}
    running = [subprocess.Popen([sys.executable, "-c", code], env=environment, stdout=subprocess.PIPE,
                                stderr=subprocess.PIPE, text=True) for _ in range(2)]
    results = [p.communicate(timeout=400) for p in running]
    assert [p.returncode for p in running] == [0, 0], results
    assert results[0] == results[1]
    assert results[0][1] == "" and len(results[0][0].splitlines()) == 1
