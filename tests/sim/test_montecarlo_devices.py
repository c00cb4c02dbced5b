"""The same bits of the Monte Carlo camera whatever threads, launches and processes; CPU and GPU agree."""

import os
import subprocess
import sys

import numpy as np
import pytest
import warp as wp
from montecarlo_scenes import CAMERA, LU, WINDOWS, mixed_phantom, simulate_views

from planardose.errors import InputError
from planardose.physics.warp_runtime import warp_device


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
