"""The shipped population network, and what a patient's training keeps of it."""

import shutil

import pytest
import torch
from learn_small import tiny_problem

from planardose.config import POPULATION_WIDTH
from planardose.errors import InputError
from planardose.learn.features import CHANNELS
from planardose.learn.loop import COLUMNS, Plan, Progress, fit, reproducible
from planardose.learn.network import new_network
from planardose.learn.population import FOLDER, NAME, load_population, save_population
from planardose.steps.train import PATIENT, POPULATION, ZERO, choose

STEPS = 24


@pytest.fixture(scope="module")
def started(tmp_path_factory):
    """Weights that fit the tiny patient, as a population network would."""
    problem, network = tiny_problem(), new_network(len(CHANNELS), 4, 9)
    folder = tmp_path_factory.mktemp("start")
    with reproducible(1):
        plan = Plan(40, 5e-3, 20, "start")
        fit(network, problem.batch_of, problem.loss_of, problem.scores, plan, folder / "c.pt")
    return {k: v.clone() for k, v in network.state_dict().items()}


def fine_tuned(problem, weights, folder, learning_rate, steps=STEPS):
    network = new_network(len(CHANNELS), 4, 1)
    network.load_state_dict(weights)
    with reproducible(1):
        plan = Plan(steps, learning_rate, 8, "f")
        progress = fit(network, problem.batch_of, problem.loss_of, problem.scores, plan, folder / "c.pt")
        return network, choose(network, weights, progress, problem.scores, problem.base_scores(), POPULATION)


def test_shipped_network_is_the_one_described_and_small():
    population = load_population(16)
    assert (FOLDER / NAME).stat().st_size < 1e6
    assert population.network.head.in_channels == POPULATION_WIDTH
    scores = population.training["scores"]
    assert scores["network"]["validation_mae"] < 0.95 * scores["zero_output"]["validation_mae"]
    channels, base = torch.zeros((1, len(CHANNELS), 8, 8, 8)), torch.ones((1, 8, 8, 8))
    out = population.network(channels, base)
    assert torch.isfinite(out).all() and not torch.equal(out, base)


def test_weights_that_are_not_those_described_are_refused(tmp_path):
    for name in (NAME, "unet.yaml"):
        shutil.copy(FOLDER / name, tmp_path / name)
    path = tmp_path / NAME
    load_population(16, path=path)
    with pytest.raises(InputError, match=r"train\.width: 8; expected 16"):
        load_population(8, path=path)
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    with pytest.raises(InputError, match="population model: SHA-256"):
        load_population(16, path=path)
    path.unlink()
    with pytest.raises(InputError, match="population model: FileNotFoundError"):
        load_population(16, path=path)


def test_saved_network_comes_back_and_equal_weights_give_equal_bytes(tmp_path):
    network = new_network(len(CHANNELS), 4, 3)
    for name in ("a.safetensors", "b.safetensors"):
        save_population(tmp_path / name, network, 10.0, {"seed": 1})
    assert (tmp_path / "a.safetensors").read_bytes() == (tmp_path / "b.safetensors").read_bytes()
    found = load_population(4, path=tmp_path / "a.safetensors")
    assert all(torch.equal(v, network.state_dict()[k]) for k, v in found.network.state_dict().items())
    assert (found.grid_mm, found.training["seed"]) == (10.0, 1)


def test_fine_tuned_weights_are_kept_where_they_win(problem, started, tmp_path):
    network, choice = fine_tuned(problem, started, tmp_path, 2e-3)
    loss = {name: s["validation_loss"] for name, s in choice["scores"].items()}
    assert choice["kept"] == PATIENT and choice["best_step"] > 0
    assert loss[PATIENT] < loss[POPULATION] < loss[ZERO]
    assert problem.scores(network)[0] == pytest.approx(loss[PATIENT], rel=1e-6)


def test_the_patients_network_is_half_way_between_population_and_fine_tuning(problem, started):
    network = new_network(len(CHANNELS), 4, 1)
    tuned = {k: v + 0.5 for k, v in started.items() if k != "scale"} | {"scale": started["scale"]}
    network.load_state_dict(tuned)
    base = problem.base_scores()
    rows = [(0.0, 2e-3, 0.0, 0.9 * base[0], 0.9 * base[1], base[2]), (8.0, 2e-3, 0.0, 0.7 * base[0], *base[1:])]
    better = (0.8 * base[0], 0.8 * base[1], base[2])
    choice = choose(network, started, Progress(rows=rows), lambda _: better, base, POPULATION)
    assert choice["kept"] == PATIENT and choice["scores"][PATIENT]["validation_loss"] == better[0]
    for name, value in network.state_dict().items():
        expected = started[name] if name == "scale" else started[name] + 0.25
        assert torch.allclose(value, expected), name


def test_population_weights_are_kept_where_fine_tuning_harms(problem, started, tmp_path):
    network, choice = fine_tuned(problem, started, tmp_path, 3.0)
    assert choice["kept"] == POPULATION and choice["best_step"] == 0 and choice["scale"] == 1.0
    assert all(torch.equal(v, started[k]) for k, v in network.state_dict().items())


def test_population_weights_are_kept_where_fine_tuning_lowers_the_loss_but_spoils_the_mae(problem, started, tmp_path):
    network, _ = fine_tuned(problem, started, tmp_path, 2e-3)
    base = problem.base_scores()
    start = (0.0, 2e-3, 0.0, 0.9 * base[0], 0.9 * base[1], base[2])
    tuned = (0.8 * base[0], 1.1 * base[1], base[2])
    progress = Progress(rows=[start, (8.0, 2e-3, 0.0, *tuned)])
    choice = choose(network, started, progress, lambda _: tuned, base, POPULATION)
    assert choice["kept"] == POPULATION and choice["best_step"] == 0 and choice["scale"] == 1.0
    assert all(torch.equal(v, started[k]) for k, v in network.state_dict().items())


def test_no_steps_keep_the_population_weights(problem, started, tmp_path):
    network, choice = fine_tuned(problem, started, tmp_path, 2e-3, steps=0)
    assert choice["kept"] == POPULATION
    assert all(torch.equal(v, started[k]) for k, v in network.state_dict().items())


@pytest.mark.parametrize(("loss", "mae", "kept"), [(1.01, 1.015, POPULATION), (1.01, 1.03, ZERO), (1.03, 0.99, ZERO)])
def test_the_population_network_may_lose_a_little_to_its_base(problem, started, loss, mae, kept):
    network, base = new_network(len(CHANNELS), 4, 1), problem.base_scores()
    rows = [(0.0, 2e-3, 0.0, loss * base[0], mae * base[1], base[2])]
    choice = choose(network, started, Progress(rows=rows), lambda _: base, base, POPULATION)
    assert choice["kept"] == kept and choice["scale"] == float(kept == POPULATION)


def test_base_is_kept_where_no_network_wins(problem, started, tmp_path):
    harmful = {k: v.clone() for k, v in started.items()}
    harmful["head.bias"] += 1.0  # every voxel at e times its activity
    network, choice = fine_tuned(problem, harmful, tmp_path, 1e-9)
    assert choice["kept"] == ZERO and choice["scale"] == 0.0
    example = problem.validation[0]
    assert torch.equal(problem.maps(network)[0], example.base)
    assert list(choice["scores"])[:2] == [ZERO, POPULATION]
    assert list(choice["scores"][ZERO]) == list(COLUMNS[3:])


def test_without_steps_the_population_network_is_checked_and_nothing_else(problem, started, tmp_path):
    network, choice = fine_tuned(problem, started, tmp_path, 1e-3, steps=0)
    assert list(choice["scores"]) == [ZERO, POPULATION] and (choice["kept"], choice["best_step"]) == (POPULATION, 0)
    assert all(torch.equal(v, started[k]) for k, v in network.state_dict().items())
