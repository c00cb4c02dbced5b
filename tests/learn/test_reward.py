"""The reward stage: its terms by construction, its gradient, and when it is kept."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from learn_small import tiny_problem

from planardose.learn.dataset import acquire, mixed
from planardose.learn.features import CHANNELS
from planardose.learn.loop import Plan, Progress, fit, record, reproducible
from planardose.learn.network import new_network
from planardose.learn.reward import FIRST, HOT, TERMS, Reinforcement
from planardose.steps.reinforce import no_worse


@pytest.fixture(scope="module")
def stage():
    with reproducible(1):
        return Reinforcement(tiny_problem(), ("remainder",))


def costs(stage, estimate, example, observed):
    return dict(zip(TERMS, stage.reward.terms(estimate, example, observed).tolist(), strict=True))


def test_truth_costs_nothing_but_noise(stage):
    """Organs, lesions and sites are perfect, and so are counts that hold the base's scatter."""
    data = stage.problem.data
    drawn = acquire(*mixed(data, 0, 0, 1.0), 7.0, np.zeros(2), data.step_mm, np.random.default_rng(1))
    example, observed = stage.seen([drawn], [0])
    maker = stage.problem.maker
    change = torch.zeros((1, *maker.model.grid.shape))
    change[:, *maker.box] = example.truth - example.base
    counts = observed.expected + maker.projector.forward(change) * observed.exposure_s[:, None, None, None]
    observed = replace(observed, counts=counts)
    found = costs(stage, example.truth, example, observed)
    base = costs(stage, example.base, example, observed)
    assert found["organs"] == pytest.approx(0.0, abs=1e-6)
    assert found["lesions"] == pytest.approx(0.0, abs=1e-6)
    assert base["counts"] == pytest.approx(1.0)
    assert found["counts"] == pytest.approx(0.0, abs=1e-4)


def test_a_tenth_too_much_in_every_organ_costs_one(stage):
    example, observed = stage.validation[0]
    assert costs(stage, 1.1 * example.truth, example, observed)["organs"] == pytest.approx(1.0, rel=1e-4)
    assert costs(stage, 0.8 * example.truth, example, observed)["organs"] == pytest.approx(4.0, rel=1e-4)
    assert costs(stage, 3.0 * example.truth, example, observed)["organs"] == pytest.approx(25.0, rel=1e-4)  # the most


def test_lost_lesion_and_activity_in_an_implausible_place_cost(stage):
    example, observed = stage.validation[0]
    truth, base = example.truth.clone(), example.base
    remainder, liver = (stage.reward.fractions[n] == 1 for n in (2, 0))
    place = tuple(torch.nonzero(remainder & (base[0] > 0))[5].tolist())
    truth[(0, *place)] = 5 * base[(0, *place)]  # a hidden lesion in the remainder, a site
    planted = type(example)(example.channels, base, truth)
    assert costs(stage, base, planted, observed)["lesions"] > costs(stage, truth, planted, observed)["lesions"] + 0.3
    wrong = truth.clone()
    wrong[(0, *torch.nonzero(liver)[0].tolist())] *= 3 * HOT  # the liver is no site here
    assert costs(stage, wrong, planted, observed)["sites"] > costs(stage, truth, planted, observed)["sites"] + 0.3


def test_acquisitions_are_not_those_of_the_first_stage(stage):
    first = stage.batch_of(0)[0].truth
    again = stage.batch_of(0)[0].truth
    assert torch.equal(first, again)
    assert not torch.equal(first, stage.problem.batch_of(0).truth)
    assert FIRST > 10**5


def test_stage_lowers_its_cost_and_resumes_to_the_same_weights(stage, tmp_path):
    def run(folder, stop_after=None):
        network = new_network(len(CHANNELS), 4, 9)
        with reproducible(1):
            plan = Plan(16, 3e-3, 4, "r")
            progress = fit(
                network, stage.batch_of, stage.cost, stage.scores, plan, folder / "c.pt", stop_after
            )  # fmt: skip
        return network, progress

    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    whole, progress = run(tmp_path / "a")
    assert min(r[3] for r in progress.rows) < 0.97 * progress.rows[0][3]
    run(tmp_path / "b", stop_after=6)
    resumed, again = run(tmp_path / "b")
    assert all(torch.equal(v, resumed.state_dict()[k]) for k, v in whole.state_dict().items())
    assert again.rows[1:] == progress.rows[1:]


@pytest.mark.parametrize(
    ("after", "kept"),
    [((0.9, 0.5, 1.0), 1), ((0.9, 0.5, 1.01), 0), ((0.9, 0.51, 1.0), 0), ((1.0, 0.4, 0.9), 0), ((0.9, 0.501, 0.9), 1)],
)
def test_the_lowest_cost_is_kept_where_mae_and_nrmse_are_no_worse(after, kept):
    """Cost, MAE and NRMSE were 1, 0.5 and 1 before; a lower cost at a far higher MAE comes last and is never kept."""
    progress, network = Progress(), torch.nn.Linear(1, 1)
    for step, scores in enumerate([(1.0, 0.5, 1.0), after, (0.1, 0.9, 1.0)]):
        torch.nn.init.constant_(network.weight, step)
        record(progress, network, 0.0, 0.0, scores, no_worse)
        progress.step += 1
    assert float(progress.best["weight"]) == kept
