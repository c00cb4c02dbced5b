"""The Monte Carlo camera where memory is short: fewer heads at a time, the same bits, or one line that says so."""

import numpy as np
import pytest
import warp as wp
from montecarlo_scenes import CAMERA, LU, WINDOWS, mixed_phantom

from planardose.errors import InputError
from planardose.heads import Head
from planardose.sim import montecarlo, montecarlo_device

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
