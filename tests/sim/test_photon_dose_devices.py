"""The same bits of the photon dose whatever threads and launches, short memory, CPU and GPU."""

import numpy as np
import pytest
import warp as wp
from dose_scene import LU, mixed_phantom

from planardose.errors import InputError
from planardose.physics.warp_runtime import warp_device
from planardose.sim import photon_dose as module
from planardose.sim.photon_dose import DoseOptions, photon_dose


def test_threads_do_not_change_a_bit():
    setting = (*mixed_phantom(), LU.lines, 20_001, 11)
    one = photon_dose(*setting)
    for threads in (2, 3):
        other = photon_dose(*setting, options=DoseOptions(threads=threads))
        assert np.array_equal(one.kev_per_decay, other.kev_per_decay)
        assert np.array_equal(one.relative_error, other.relative_error) and one.balance == other.balance
    assert not np.array_equal(one.kev_per_decay, photon_dose(*setting[:-1], 12).kev_per_decay)


def test_split_launches_add_up_to_the_same_bits():
    density, source, grid = mixed_phantom()
    warp_device("cpu")
    tables = module._upload(density, source, grid, LU.lines, DoseOptions())
    tallies = module._Tallies(source.size, 1, "cpu")
    whole = tallies.follow(tables, 3, 0, 5000)
    parts = [tallies.follow(tables, 3, a, b) for a, b in ((0, 1), (1, 1700), (1700, 5000))]
    for n in range(2):
        assert np.array_equal(whole[n], sum(p[n] for p in parts))
    assert whole[0].sum() > 0


def test_short_launches_give_the_same_bits(monkeypatch):
    setting = (*mixed_phantom(), LU.lines, 20_001, 11)
    whole = photon_dose(*setting, options=DoseOptions(threads=2))
    monkeypatch.setattr("planardose.sim.device.LARGEST_LAUNCH", 170)
    short = photon_dose(*setting, options=DoseOptions(threads=2))
    assert np.array_equal(whole.kev_per_decay, short.kev_per_decay) and whole.balance == short.balance
    assert np.array_equal(whole.relative_error, short.relative_error)


@pytest.mark.parametrize("part", ["_upload", "_Tallies"])
def test_no_memory_is_told_in_one_line(monkeypatch, part):
    def no_room(*_):
        raise RuntimeError("Failed to allocate 8 bytes on device 'cuda:0'")

    monkeypatch.setattr(module, part, no_room)
    with pytest.raises(InputError, match="device cuda:0: not enough memory; expected coarser voxels; or use"):
        photon_dose(*mixed_phantom(), LU.lines, 1e3, 11)


def gpu():
    warp_device("auto")
    return wp.is_cuda_available()


@pytest.mark.skipif(not gpu(), reason="no GPU")
def test_gpu_and_cpu_agree():
    setting = (*mixed_phantom(), LU.lines, 4e5, 11, np.ones((1, *mixed_phantom()[2].shape)))
    cpu, cuda = (photon_dose(*setting, options=DoseOptions(device=d)) for d in ("cpu", "cuda:0"))
    error = np.hypot(cpu.region_error_kev, cuda.region_error_kev)[0]
    assert abs(cpu.region_kev_per_decay[0] - cuda.region_kev_per_decay[0]) < 4 * error
    assert np.array_equal(cuda.kev_per_decay, photon_dose(*setting, options=DoseOptions(device="cuda:0")).kev_per_decay)
