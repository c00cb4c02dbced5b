"""Speed, time to 1 %, memory and voxel error of the Monte Carlo camera on this machine.

    python benchmarks/montecarlo/measure.py [--seeds 20] [--skip-memory] [--memory-mm 2]

Prints a table. The patient is a torso of ellipsoids with lungs, spine, fat, liver and kidneys; 177Lu, Symbia MELP.
"""

import argparse
import os
import platform
import subprocess
import sys
import tempfile
import time
from dataclasses import replace

import nibabel as nib
import numpy as np
import warp as wp

from planardose.heads import opposed_heads
from planardose.image import Grid
from planardose.library import load_camera, load_nuclide
from planardose.machine import load, processor
from planardose.physics.warp_runtime import start_warp
from planardose.sim import montecarlo
from planardose.sim.montecarlo import Options, simulate
from planardose.sim.montecarlo_device import Tracker

CAMERA, LU = load_camera("siemens_symbia_melp"), load_nuclide("177Lu")
PHOTOPEAK, WINDOWS = (LU.photopeak,), (LU.photopeak, *LU.scatter_windows)
FACES, MBQ = (135.0, -175.0), 500.0
SIZE_MM = (422.4, 259.2, 504.0)
HISTORIES = 200_000  # of one timing; the best of REPEATS counts
REPEATS = 7
BIG = (512, 256, 512)


def torso_slab(x, y, z):
    """Partial densities (3, ...) in g/mL, activity (...) relative, HU (...) at points in mm that broadcast."""
    body = (x / 190) ** 2 + (y / 115) ** 2 + 0 * z < 1
    fat = body & ((x / 165) ** 2 + (y / 92) ** 2 > 1)
    lung = ((np.abs(x) - 85) / 60) ** 2 + (y / 80) ** 2 < 1
    lung = lung & (z > 90)
    spine = (x / 20) ** 2 + ((y + 75) / 20) ** 2 + 0 * z < 1
    liver = ((x - 70) / 85) ** 2 + ((y - 10) / 75) ** 2 + ((z - 20) / 70) ** 2 < 1
    kidneys = ((np.abs(x) - 70) / 28) ** 2 + ((y + 50) / 25) ** 2 + ((z + 80) / 55) ** 2 < 1
    activity = np.where(kidneys, 1.0, np.where(liver, 0.1, 0.02)) * body
    hu = np.select([~body, lung, spine, fat], [-1000, -740, 350, -100], 40)
    zero = np.zeros(body.shape, dtype=np.float32)
    soft = np.select([~body | fat, lung, spine], [0.0, 0.26, 0.7], 1.06)
    return np.stack([zero + 0.95 * (fat & ~lung), soft, zero + 0.6 * spine]).astype(np.float32), activity, hu


def torso(step_mm: float):
    """Density, activity (MBq per voxel), grid."""
    shape = tuple(round(s / step_mm) for s in SIZE_MM)
    grid = Grid.axis_aligned(shape, step_mm, tuple(-(n - 1) / 2 * step_mm for n in shape))
    density, activity, _ = torso_slab(*np.ix_(*(grid.axis_mm(a) for a in range(3))))
    activity = (activity * (MBQ / activity.sum())).astype(np.float32)
    return density, activity, grid


def best(function, clock=time.process_time) -> float:
    times = []
    for _ in range(REPEATS):
        start = clock()
        function()
        times.append(clock() - start)
    return min(times)


def machine() -> None:
    start_warp()
    gpu = wp.get_device("cuda:0").name if wp.is_cuda_available() else "none"
    print(f"machine: {processor()}, load {load():.1f}; GPU: {gpu}; "
          f"Python {platform.python_version()}, numpy {np.__version__}, warp {wp.__version__}")  # fmt: skip


def simulation(density, activity, grid, windows, device="cpu"):
    heads = opposed_heads(FACES, CAMERA.couch_mm)
    return montecarlo._Simulation(density, activity, grid, CAMERA, LU, windows, heads, Options(device))


def per_history(density, activity, grid, windows, heads=True, device="cpu") -> float:
    """CPU seconds (GPU: elapsed) per history of the kernel alone."""
    setup = simulation(density, activity, grid, windows, device).setup
    if not heads:
        setup = replace(setup, raster=replace(setup.raster, heads=()), masses=setup.masses[:, :, :, :0],
                        efficiency=setup.efficiency[:0])  # fmt: skip
    tracker, clock = Tracker(setup, device, 1), time.process_time if device == "cpu" else time.perf_counter
    count = HISTORIES if device == "cpu" else 200 * HISTORIES
    tracker.follow(1, 0, 1000)
    return best(lambda: tracker.follow(1, 0, count), clock) / count


def speed() -> None:
    density, activity, grid = torso(4.8)
    print(f"\nkernel, CPU s of one core, best of {REPEATS} x {HISTORIES} histories, {grid.shape} voxels of 4.8 mm")
    for windows in (PHOTOPEAK, WINDOWS):
        print(f"  {len(windows)} window(s): {1e-6 / per_history(density, activity, grid, windows):.2f} "
              "million histories/s/core, both heads scored")  # fmt: skip
    everything = per_history(density, activity, grid, WINDOWS)
    transport = per_history(density, activity, grid, WINDOWS, heads=False)
    emission = per_history(density * np.float32(1e-6), activity, grid, WINDOWS, heads=False)
    print(f"  of {1e9 * everything:.0f} ns: emission and leaving {1e9 * emission:.0f}, transport "
          f"{1e9 * (transport - emission):.0f}, scoring {1e9 * (everything - transport):.0f}")  # fmt: skip
    run = simulation(density, activity, grid, WINDOWS)
    tracker = Tracker(run.setup, "cpu", 1)
    scores, _ = tracker.follow(1, 0, 1000)
    run.image(scores, 1.0), run.primary()
    print("around it, CPU seconds once the responses are known: "
          f"columns and tables {best(lambda: simulation(density, activity, grid, WINDOWS)):.2f}, "
          f"upload {best(lambda: Tracker(run.setup, 'cpu', 1)):.2f}, primaries {best(run.primary):.2f}, "
          f"convolution of one batch {best(lambda: run.image(scores, 1.0)):.2f}")  # fmt: skip
    if wp.is_cuda_available():
        rate = 1e-6 / per_history(density, activity, grid, WINDOWS, device="cuda:0")
        print(f"  GPU, 3 windows: {rate:.0f} million histories/s")
    else:
        print("  GPU: no GPU: not measured")


def time_to_one_percent(seeds: int) -> None:
    density, activity, grid = torso(4.8)
    setting = (density, activity, grid, CAMERA, LU, PHOTOPEAK, opposed_heads(FACES, CAMERA.couch_mm))
    simulate(*setting, 1e4, 1)  # tables and compiled kernels
    for device in ("cpu", "cuda:0"):
        if device != "cpu" and not wp.is_cuda_available():
            print("  GPU: no GPU: not measured")
            continue
        options = Options(device, threads=min(2, os.cpu_count() or 1), relative_error=0.01)
        start, cpu = time.perf_counter(), time.process_time()
        views = simulate(*setting, 1e9, 1, options)
        wall, cpu = time.perf_counter() - start, time.process_time() - cpu
        print(f"\n1 % (median over pixels above 10 % of the maximum), 177Lu photopeak pair of 4.8 mm, {device}: "
              f"{wall:.1f} s elapsed, {cpu:.1f} s CPU, {options.threads} thread(s), {views.histories} histories, "
              f"own estimate {100 * views.clear_error:.2f} %")  # fmt: skip
        once = replace(options, relative_error=None, batches=1)
        rates = np.array([simulate(*setting, views.histories, 100 + s, once).rate[:, 0] for s in range(seeds)])
        mean = rates.mean(axis=0)
        clear = mean > montecarlo.CLEAR * mean.max()
        spread = np.median(rates.std(axis=0, ddof=1)[clear] / mean[clear])
        print(f"  spread of {seeds} seeds at that number: {100 * spread:.2f} %")


def voxel_error() -> None:
    """Expected unscattered rates with voxels of 4.8 mm merged from 2.4 mm, against those of 2.4 mm."""
    density, activity, grid = torso(2.4)
    shape = np.array(grid.shape) // 2
    blocks = np.ravel(np.column_stack([shape, [2, 2, 2]]))
    coarse = Grid.axis_aligned(tuple(int(n) for n in shape), 4.8, grid.ras_from_voxel[:3, 3] + 1.2)
    merged = (density.reshape(3, *blocks).mean(axis=(2, 4, 6)), activity.reshape(blocks).sum(axis=(1, 3, 5)), coarse)
    options = Options(penetration=False)
    images = []
    for given in ((density, activity, grid), merged):
        run = montecarlo._Simulation(*given, CAMERA, LU, PHOTOPEAK, opposed_heads(FACES), options)
        images.append(run.primary()[:, 0])
    fine = images[0].reshape(2, shape[0], 2, shape[2], 2).sum(axis=(2, 4))
    clear = fine > montecarlo.CLEAR * fine.max()
    error = images[1][clear] / fine[clear] - 1
    print(f"\nvoxels of 4.8 mm for 2.4 mm, mass and activity kept: unscattered pixels above 10 % change by "
          f"{100 * error.std():.2f} % (standard deviation), {100 * np.abs(error).max():.1f} % at most; "
          f"total by {100 * (images[1].sum() / fine.sum() - 1):+.2f} %")  # fmt: skip


def memory(voxel_mm: float) -> None:
    """`planardose project` on a CT and an activity map of 512 x 256 x 512 voxels of 1 mm, in a process of its own."""
    grid = Grid.axis_aligned(BIG, 1.0, tuple(-(n - 1) / 2 for n in BIG))
    with tempfile.TemporaryDirectory() as folder:
        hu, bq = np.empty(BIG, dtype=np.int16), np.empty(BIG, dtype=np.float32)
        x, y = (grid.axis_mm(a) for a in (0, 1))
        for k, z in enumerate(grid.axis_mm(2)):
            _, activity, hu[:, :, k] = (v[..., 0] for v in torso_slab(*np.ix_(x, y, [z])))
            bq[:, :, k] = 1e5 * activity
        for name, data in (("ct", hu), ("act", bq)):
            image = nib.Nifti1Image(data, grid.ras_from_voxel)
            image.set_sform(grid.ras_from_voxel, 1)
            nib.save(image, f"{folder}/{name}.nii")
        del hu, bq
        words = ["project", "--activity", f"{folder}/act.nii", "--ct", f"{folder}/ct.nii", "--seconds-per-row", "145",
                 "--histories", "1e6", "--grid-mm", f"{voxel_mm:g}", "--out", f"{folder}/view.npz"]  # fmt: skip
        code = f"import resource, sys; sys.argv = {['planardose', *words]!r}\nfrom planardose.cli import app\n" \
               "try: app(standalone_mode=False)\n" \
               "finally: print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)"  # fmt: skip
        start = time.perf_counter()
        found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
        print(f"\n512 x 256 x 512 patient, transport voxels of {voxel_mm:g} mm, 1 million histories: peak memory "
              f"{int(found.stdout.split()[-1]) / 1024**2:.2f} GiB, {time.perf_counter() - start:.0f} s")  # fmt: skip


if __name__ == "__main__":
    given = argparse.ArgumentParser(description=__doc__)
    given.add_argument("--seeds", type=int, default=20)
    given.add_argument("--skip-memory", action="store_true")
    given.add_argument("--memory-mm", type=float, default=2.0, help="transport voxels of the big patient")
    given = given.parse_args()
    machine()
    speed()
    time_to_one_percent(given.seeds)
    voxel_error()
    if not given.skip_memory:
        memory(given.memory_mm)
