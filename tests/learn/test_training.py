"""Training, resuming, determinism."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from learn_small import tiny_problem

from planardose.learn.features import CHANNELS
from planardose.learn.loop import Plan, fit, load_checkpoint, reproducible
from planardose.learn.network import new_network

HERE = Path(__file__).parent
STEPS = 12


def run_training(problem, folder, stop_after=None, steps=STEPS, fingerprint="f"):
    plan = Plan(steps, 5e-3, 4, fingerprint)
    network = new_network(len(CHANNELS), 4, 9)
    with reproducible(1):
        progress = fit(
            network, problem.batch_of, problem.loss_of, problem.scores, plan, folder / "checkpoint.pt", stop_after
        )
    return network, progress


def same(first, second):
    a, b = first.state_dict(), second.state_dict()
    return all(torch.equal(a[k], b[k]) for k in a)


@pytest.fixture(scope="module")
def whole(problem, tmp_path_factory):
    return run_training(problem, tmp_path_factory.mktemp("whole"))


def test_training_lowers_the_loss_and_beats_zero_output(problem, tmp_path):
    network, progress = run_training(problem, tmp_path, steps=60)
    zero, best = progress.rows[0], min(progress.rows, key=lambda r: r[3])
    assert best[3] < 0.9 * zero[3]
    assert best[4] < 0.95 * zero[4]
    scores = problem.scores(network)  # it ends with the best weights, not the last ones
    assert scores == pytest.approx(best[3:], rel=1e-6)


def test_stopped_training_goes_on_to_bitwise_the_same_weights(whole, tmp_path):
    for stop in (6, 9):  # between checkpoints: steps 5-6 and 9 are done twice
        run_training(tiny_problem(), tmp_path, stop_after=stop)
    network, progress = run_training(tiny_problem(), tmp_path)
    assert same(network, whole[0])
    assert progress.rows[1:] == whole[1].rows[1:]


def test_checkpoint_of_another_training_or_a_damaged_one_is_not_used(problem, whole, tmp_path):
    run_training(problem, tmp_path, stop_after=8, fingerprint="other")
    network, _ = run_training(problem, tmp_path)
    assert same(network, whole[0])
    (tmp_path / "checkpoint.pt").write_bytes(b"damaged")
    assert load_checkpoint(tmp_path / "checkpoint.pt", {"network": network}, Plan(STEPS, 5e-3, 4, "f")) is None


def test_a_full_gpu_is_no_damaged_checkpoint(problem, tmp_path, monkeypatch):
    """The file is read onto the CPU; memory that lacks when the weights are copied is a fault, not a new training."""
    network, _ = run_training(problem, tmp_path, stop_after=4)
    load, places = torch.load, []
    monkeypatch.setattr(torch, "load", lambda *a, **k: places.append(k["map_location"]) or load(*a, **k))

    def full(state):
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(network, "load_state_dict", full)
    with pytest.raises(torch.OutOfMemoryError):
        load_checkpoint(tmp_path / "checkpoint.pt", {"network": network}, Plan(STEPS, 5e-3, 4, "f"))
    assert places == ["cpu"]


def test_settings_hold_inside_and_are_put_back():
    before = torch.backends.cudnn.allow_tf32, torch.get_deterministic_debug_mode(), torch.get_num_threads()
    with reproducible(1):
        assert not torch.backends.cudnn.allow_tf32 and torch.get_deterministic_debug_mode() == 2
        assert os.environ["CUBLAS_WORKSPACE_CONFIG"] == ":4096:8"
    assert before == (
        torch.backends.cudnn.allow_tf32, torch.get_deterministic_debug_mode(), torch.get_num_threads()
    )  # fmt: skip


def test_batches_repeat_for_one_step_and_renew_after_the_pool_is_used_up(problem):
    first, again, other = problem.batch_of(3), problem.batch_of(3), problem.batch_of(4)
    assert torch.equal(first.channels, again.channels) and torch.equal(first.truth, again.truth)
    assert not torch.equal(first.truth, other.truth)


def test_validation_scores_of_the_untrained_network_are_those_of_the_base(problem):
    network = new_network(len(CHANNELS), 4, 9)
    maps = problem.maps(network)
    assert all(torch.equal(m, e.base) for m, e in zip(maps, problem.validation, strict=True))
    u = problem.organ_relative_u(network)
    fractions = problem.maker.fractions
    liver = [float((fractions[0] * e.base).sum() / (fractions[0] * e.truth).sum() - 1) for e in problem.validation]
    assert u["liver"] == pytest.approx((sum(x * x for x in liver) / len(liver)) ** 0.5, rel=1e-4)


SCRIPT = """
import sys
sys.path.insert(0, {here!r})
from pathlib import Path
from test_training import run_training
from learn_small import tiny_problem
network, _ = run_training(tiny_problem(), Path({folder!r}))
import torch
torch.save(network.state_dict(), {folder!r} + "/final.pt")
"""


def start(folder, cores):
    script = SCRIPT.format(here=str(HERE), folder=str(folder))
    setting = {**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    prefix = ["taskset", "-c", cores] if cores else []
    return subprocess.Popen([*prefix, sys.executable, "-c", script], env=setting, stderr=subprocess.DEVNULL)


def test_kill_9_and_other_cores_end_with_the_same_weights(whole, tmp_path):
    """Killed hard after the first checkpoint on one core, finished on all cores, equals the run of this process."""
    first = start(tmp_path, "0" if Path("/usr/bin/taskset").exists() else "")
    deadline = time.monotonic() + 300
    while not (tmp_path / "checkpoint.pt").exists() and time.monotonic() < deadline and first.poll() is None:
        time.sleep(0.02)
    first.send_signal(signal.SIGKILL)
    assert first.wait() == -signal.SIGKILL, "finished before it could be killed"
    assert (tmp_path / "checkpoint.pt").exists() and not (tmp_path / "final.pt").exists()
    assert start(tmp_path, "").wait(timeout=300) == 0
    weights = torch.load(tmp_path / "final.pt", weights_only=True)
    assert all(torch.equal(v, weights[k]) for k, v in whole[0].state_dict().items())
