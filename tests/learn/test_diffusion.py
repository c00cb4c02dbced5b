"""The diffusion model: folding, scaling, training, draws, and the scales of their spread."""

import numpy as np
import pytest
import torch
from learn_small import tiny_problem

from planardose.learn.calibration import Calibration, calibrated
from planardose.learn.denoiser import folded, new_denoiser, unfolded
from planardose.learn.diffusion_problem import DiffusionProblem
from planardose.learn.draws import draw_maps, residuals
from planardose.learn.features import CHANNELS
from planardose.learn.loop import Plan, fit, reproducible
from planardose.learn.noise import neighbour_correlation, noise_like, smoothing_of, unit_noise
from planardose.learn.residual import log_ratio

STEPS = 12


@pytest.fixture(scope="module")
def diffusion(problem):
    """The tiny patient's diffusion problem, around the physics base."""
    return DiffusionProblem(problem, None)


def untrained(seed=4):
    return new_denoiser(len(CHANNELS) + 1, 8, seed)


def train(diffusion, folder, stop_after=None, steps=STEPS):
    denoiser = untrained()
    plan = Plan(steps, 5e-3, 4, "f")
    with reproducible(1):
        progress = fit(
            denoiser, diffusion.batch_of, diffusion.loss_of, diffusion.scores, plan, folder / "c.pt", stop_after
        )
    return denoiser, progress


@pytest.fixture(scope="module")
def trained(diffusion, tmp_path_factory):
    return train(diffusion, tmp_path_factory.mktemp("trained"), steps=60)


def noise_for(diffusion, draws=4, name="test"):
    return diffusion.problem.maker.projector.tensor(diffusion.noise.pairs(1, name, "P01", draws))


def deviance(consistency, maps):
    """Mean over draws of the Poisson deviance per pixel."""
    expected = consistency.expected(maps).double().clamp_min(1e-3)
    counts = consistency.projector.tensor(consistency.acquired.counts).double()
    terms = expected - counts + torch.xlogy(counts, counts / expected)
    return float(2 * terms.mean())


def test_folding_keeps_every_voxel_and_puts_neighbours_into_channels():
    maps = torch.randn(2, 4, 6, 8)
    assert folded(maps).shape == (2, 8, 2, 3, 4)
    assert torch.equal(unfolded(folded(maps)), maps)
    one = torch.zeros(1, 4, 6, 8)
    one[0, 2, 5, 7] = 1  # cube (1, 2, 3), corner (0, 1, 1)
    assert folded(one)[0, :, 1, 2, 3].tolist() == [0, 0, 0, 1, 0, 0, 0, 0]


def test_residuals_have_the_spread_of_each_organ_and_give_the_activity_back(diffusion):
    p = diffusion.problem
    cases = [diffusion._case(n) for n in range(16)]
    truth, reference = (torch.stack([getattr(c, k) for c in cases]) for k in ("truth", "reference"))
    found = diffusion.scaling.residual(truth, reference)
    for organ in p.maker.fractions:
        values = found[:, organ > 0.99]
        assert float(values.mean()) == pytest.approx(0, abs=0.02)
        assert float(values.std()) == pytest.approx(1, abs=0.02)
    back = diffusion.scaling.activity(found, reference)
    inside = (log_ratio(truth, reference, p.body).abs() < 3.99) & (p.body > 0)
    assert torch.allclose(back[inside], truth[inside], rtol=1e-3, atol=float(truth.mean()) * 1e-4)


@pytest.mark.parametrize("correlation", [0.0, 0.3, 0.65, 0.8])
def test_noise_has_unit_variance_and_the_correlation_it_was_asked_for(correlation):
    """Found in 96 000 voxels, of which some 20 000 are independent at most: deviation below 0.01."""
    noise = unit_noise(np.random.default_rng(2), (40, 40, 60), smoothing_of(correlation))
    found = neighbour_correlation(torch.tensor(noise)[None], torch.ones(noise.shape))
    assert float(noise.std()) == pytest.approx(1, abs=0.03)
    assert found == pytest.approx(correlation, abs=0.02)


def test_noise_takes_smoothness_and_common_shares_from_residuals():
    """Half of the variance of one organ is common, none of the other's."""
    rng, shape = np.random.default_rng(7), (24, 24, 24)
    fractions = torch.zeros(2, *shape)
    fractions[0, :12], fractions[1, 12:] = 1, 1
    residuals = np.stack([unit_noise(rng, shape, 0.8) for _ in range(60)])
    residuals[:, :12] = np.sqrt(0.5) * (residuals[:, :12] + rng.standard_normal((60, 1, 1, 1)))
    found = noise_like(torch.tensor(residuals), fractions, torch.ones(shape), rng)
    assert found.common == pytest.approx([0.5, 0.0], abs=0.2)  # the sample variance of 60 has a deviation of 18 %
    drawn = torch.tensor(found.pairs(1, "x", "P", 120))
    assert float(drawn.std()) == pytest.approx(1, abs=0.05)
    means = drawn[::2].mean(dim=(2, 3))
    assert float(means[:, :12].mean(dim=1).var()) == pytest.approx(found.common[0], rel=0.6)
    assert float(means[:, 12:].mean(dim=1).var()) < 0.02


def test_untrained_draws_are_the_noise_with_the_organs_spread_whatever_the_steps(diffusion):
    """A network that says zero leaves the unit normal as it is; DDIM's step would narrow it to cos(pi / 8)^4 = 0.73."""
    case, _ = diffusion.validation[0]
    noise = noise_for(diffusion)
    with torch.no_grad():
        found = residuals(untrained(), diffusion.scaling, case, noise, 4)
    assert torch.allclose(found, noise * diffusion.scaling.body, atol=1e-5)


class Normal:
    """The exact velocity where residuals are normal with mean `m` and standard deviation `s` in every voxel."""

    m, s = 0.8, 0.4

    def condition(self, channels):
        return channels

    def __call__(self, noisy, angle, _):
        cos, sin = (f(angle).view(-1, 1, 1, 1) for f in (torch.cos, torch.sin))
        variance = (cos * self.s) ** 2 + sin**2
        return -sin * self.m + (noisy - cos * self.m) * sin * cos * (1 - self.s**2) / variance


def test_steps_follow_the_curve_to_second_order(diffusion):
    """From noise e the curve ends at m + s e: half the steps leave four times the error, Euler's twice as much."""
    case, _ = diffusion.validation[0]
    noise, body = noise_for(diffusion), diffusion.scaling.body
    exact, errors = (Normal.m + Normal.s * noise) * body, []
    for steps in (16, 32, 64):
        found = residuals(Normal(), diffusion.scaling, case, noise, steps)
        errors.append(float((found - exact).abs().mean() / body.mean()))
    assert errors[0] < 0.02
    assert errors[1] < errors[0] / 3 and errors[2] < errors[1] / 3


def test_zero_residual_without_spread_is_the_reference(diffusion):
    """Where the reference is always right, every draw is the reference."""
    p, (case, _) = diffusion.problem, diffusion.validation[0]
    scaling = type(diffusion.scaling)(torch.zeros_like(p.body), torch.full_like(p.body, 1e-6), p.body)
    with torch.no_grad():
        found = residuals(untrained(), scaling, case, noise_for(diffusion), 4)
    maps = scaling.activity(found, case.reference[None])
    assert torch.allclose(maps, case.reference.expand_as(maps), rtol=1e-4)


def test_training_lowers_the_loss_below_that_of_the_noise(trained):
    _, progress = trained
    untouched, best = progress.rows[0], min(progress.rows, key=lambda r: r[3])
    assert untouched[3] == pytest.approx(1, abs=0.35)
    assert best[3] < 0.9 * untouched[3]
    assert best[0] > 0


def test_stopped_training_goes_on_to_bitwise_the_same_weights(diffusion, tmp_path):
    whole, progress = train(diffusion, tmp_path / "whole")
    for stop in (6, 9):
        train(DiffusionProblem(tiny_problem(), None), tmp_path / "parts", stop_after=stop)
    resumed, again = train(DiffusionProblem(tiny_problem(), None), tmp_path / "parts")
    a, b = whole.state_dict(), resumed.state_dict()
    assert all(torch.equal(a[k], b[k]) for k in a)
    assert again.rows[1:] == progress.rows[1:]


def test_draws_repeat_for_one_name_come_in_opposite_pairs_and_differ_otherwise(diffusion, trained):
    case, consistency = diffusion.validation[0]
    noise = noise_for(diffusion)
    assert torch.equal(noise[0], -noise[1]) and not torch.equal(noise[0], noise[2])
    assert torch.equal(noise_for(diffusion, 6)[:4], noise)

    def drawn(name):
        with reproducible(1):
            return draw_maps(
                trained[0], diffusion.scaling, case, noise_for(diffusion, name=name), 4, consistency
            )

    assert torch.equal(drawn("test"), drawn("test"))
    assert not torch.equal(drawn("test"), drawn("other"))
    assert float(drawn("test").min()) >= 0


def test_draws_explain_the_counts_better_with_guidance_than_without(diffusion, trained):
    """Each of four draws of each validation sample; and their mean better than the reference, fitted organ by organ."""
    for case, consistency in diffusion.validation:
        noise = noise_for(diffusion)
        with torch.no_grad():
            free = residuals(trained[0], diffusion.scaling, case, noise, 6)
            free = diffusion.scaling.activity(free, case.reference[None])
        guided = draw_maps(trained[0], diffusion.scaling, case, noise, 6, consistency)
        for n in range(len(noise)):
            assert deviance(consistency, guided[n : n + 1]) < 0.5 * deviance(consistency, free[n : n + 1])
        assert deviance(consistency, guided.mean(dim=0)[None]) < deviance(consistency, case.reference[None])


def test_the_scale_is_error_over_spread():
    """Spreads twice too narrow."""
    generator = torch.Generator().manual_seed(6)
    error = torch.randn(4000, 9, generator=generator, dtype=torch.float64)
    found = Calibration(2 * error.abs())
    assert found.voxel_scale == pytest.approx(2, rel=0.02)


def test_calibrated_intervals_hold_their_share_of_the_voxels(diffusion, trained):
    """On the samples it was made from; the spread alone holds less."""
    found = calibrated(trained[0], diffusion, 6, 4)
    held = float((found.voxel_ratio < 1.645 * found.voxel_scale).double().mean())
    assert held == pytest.approx(0.90, abs=0.005)
    assert float((found.voxel_ratio < 1.645).double().mean()) < 0.88
    assert found.voxel_scale == calibrated(trained[0], diffusion, 6, 4).voxel_scale
