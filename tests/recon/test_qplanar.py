"""Organ-wise likelihood and MLEM on data of known truth."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from planardose.heads import opposed_heads
from planardose.recon.acquired import Acquired
from planardose.recon.mlem import flat_start, mlem
from planardose.recon.projector import Projector
from planardose.recon.qplanar import fit_concentrations, qplanar, variance, with_modelled_scatter
from planardose.sim.montecarlo import simulate

TRUTH = np.array([0.15, 0.70, 0.65, 0.20, 0.02])  # MBq/mL
EXPOSURE_S = 20.0


@pytest.fixture(scope="module")
def responses(model, projector):
    return projector.organ_responses(model.fractions).primary


def exact(responses, scatter=0.0):
    counts = np.tensordot(TRUTH, responses, axes=1) * EXPOSURE_S
    return counts + scatter, np.full_like(counts, scatter)


@pytest.mark.parametrize("model_error", [0.0, 0.05])
def test_recovers_known_concentrations_without_noise(responses, model_error):
    counts, scatter = exact(responses, 3.0)
    fit = fit_concentrations(counts, responses * EXPOSURE_S, scatter, model_error)
    assert fit.concentrations == pytest.approx(TRUTH, rel=1e-4)


def test_scatter_goes_with_its_organ(model, projector):
    """Counts with modelled scatter give back the concentrations, the map's total, and the scatter itself."""
    responses = projector.organ_responses(model.fractions)
    counts = np.tensordot(TRUTH, responses.total, axes=1) * EXPOSURE_S
    acquired = Acquired(counts, np.full_like(counts, 99.0), EXPOSURE_S)
    fit = qplanar(projector, model, acquired, responses)
    assert fit.concentrations == pytest.approx(TRUTH, rel=1e-4)
    again = with_modelled_scatter(acquired, fit, responses)
    assert again.scatter == pytest.approx(np.tensordot(TRUTH, responses.scatter, axes=1) * EXPOSURE_S, rel=1e-3)
    total = (TRUTH * model.volumes_ml()).sum()
    assert fit.map(model).sum() == pytest.approx(total, rel=1e-4)


def test_noise_spreads_as_the_covariance_says(responses):
    """Mean within its error, and the mean Mahalanobis distance equal to the number of organs (chi-square)."""
    counts, scatter = exact(responses, 1.0)
    rng = np.random.default_rng(4)
    draws, distances = 300, []
    concentrations = np.empty((draws, len(TRUTH)))
    for n in range(draws):
        fit = fit_concentrations(rng.poisson(counts).astype(float), responses * EXPOSURE_S, scatter, 0.0)
        difference = fit.concentrations - TRUTH
        concentrations[n] = fit.concentrations
        distances.append(difference @ np.linalg.solve(fit.covariance, difference))
    expected, spread = len(TRUTH), np.sqrt(2 * len(TRUTH) / draws)
    assert abs(np.mean(distances) - expected) < 4 * spread
    standard_error = concentrations.std(axis=0) / np.sqrt(draws)
    assert (np.abs(concentrations.mean(axis=0) - TRUTH) < 4 * standard_error).all()


def test_a_pixels_variance_is_that_of_poisson_and_of_the_models_relative_error():
    expected = np.array([0.0, 0.1, 100.0, 1e4])
    assert variance(expected, 0.1) == pytest.approx([0.3, 0.3 + 1e-4, 100.0 + 10.0**2, 1e4 + 1000.0**2])
    assert variance(expected, 0.0) == pytest.approx([0.3, 0.3, 100.0, 1e4])


def test_what_lies_unevenly_beyond_the_ct_hardly_moves_the_organs_in_it(model, camera, nuclide, faces):
    """Three times as much at the patient's right; trusted like the slices of the CT, it takes a kidney 10 % off."""
    beyond = np.zeros(model.grid.shape[2], dtype=bool)
    beyond[[0, 1, 2, -3, -2, -1]] = True
    outside = model.fractions.sum(axis=0) * beyond
    fractions = np.concatenate([model.fractions * ~beyond, [outside]]).astype(np.float32)
    cut = replace(model, organs=(*model.organs, "outside_ct"), fractions=fractions, margin=(3, 3))
    projector, truth = Projector(cut, camera, nuclide, faces), np.append(TRUTH, 0.03)
    activity = np.tensordot(truth, fractions, axes=1) * model.grid.voxel_ml
    activity[10:, :, beyond] *= 3.0
    counts = (projector.primary(activity) + projector.scatter(activity)) * EXPOSURE_S
    fit = qplanar(projector, cut, Acquired(counts, None, EXPOSURE_S))
    assert fit.concentrations[: len(TRUTH)] == pytest.approx(TRUTH, rel=0.06)


def test_fixed_point_is_the_poisson_maximum(responses):
    counts, scatter = exact(responses, 2.0)
    y = np.random.default_rng(5).poisson(counts).astype(float)
    fit = fit_concentrations(y, responses * EXPOSURE_S, scatter, 0.0)

    def likelihood(c):
        expected = np.tensordot(c, responses, axes=1) * EXPOSURE_S + scatter
        return (y * np.log(expected) - expected).sum()

    best = likelihood(fit.concentrations)
    for o in range(len(TRUTH)):
        for factor in (0.999, 1.001):
            moved = fit.concentrations.copy()
            moved[o] *= factor
            assert likelihood(moved) < best


def test_absent_organ_stays_non_negative_and_unseen_organ_has_no_finite_error(responses):
    truth = TRUTH.copy()
    truth[3] = 0.0
    counts = np.random.default_rng(6).poisson(np.tensordot(truth, responses, axes=1) * EXPOSURE_S).astype(float)
    more = np.concatenate([responses, 0 * responses[:1]])
    fit = fit_concentrations(counts, more * EXPOSURE_S, 0 * counts)
    assert (fit.concentrations >= 0).all()
    assert fit.concentrations[3] < 4 * np.sqrt(fit.covariance[3, 3])
    assert fit.concentrations[5] == 0
    assert np.isinf(fit.covariance[5, 5])


def test_images_that_show_no_body_tell_nothing(responses):
    counts, scatter = exact(responses)
    fit = fit_concentrations(counts, responses, scatter, of_body=np.zeros(counts.shape, dtype=bool))
    assert not fit.concentrations.any() and np.isinf(np.diag(fit.covariance)).all() and not fit.expected.any()


def test_the_flat_start_explains_the_counts_without_their_scatter(model, projector, responses):
    """Of the cells that are looked at: the lower half of the body here."""
    counts, scatter = exact(responses, 3.0)
    shown = np.ones(counts.shape, dtype=bool)
    shown[:, :, 8:] = False
    start = flat_start(projector, model, Acquired(counts, scatter, EXPOSURE_S, shown))
    primary = projector.forward(projector.tensor(start)).numpy().astype(float) * EXPOSURE_S
    assert primary[shown].sum() == pytest.approx((counts - scatter)[shown].sum(), rel=1e-5)
    filled = model.fractions.sum(axis=0) > 0
    assert start[filled] / model.fractions.sum(axis=0)[filled] == pytest.approx(start.max(), rel=1e-5)


def test_mlem_keeps_counts_and_raises_the_likelihood(model, projector, responses):
    counts, scatter = exact(responses, 0.5)
    acquired = Acquired(np.random.default_rng(7).poisson(counts).astype(float), scatter, EXPOSURE_S)
    start = flat_start(projector, model, acquired)
    values = []
    for iterations in (0, 1, 5, 20):
        x = mlem(projector, acquired, start, iterations)
        expected = projector.forward(projector.tensor(x)).numpy().astype(float) * EXPOSURE_S + scatter
        values.append((acquired.counts * np.log(expected) - expected).sum())
        assert (x >= 0).all()
        if iterations:
            assert expected.sum() == pytest.approx(acquired.counts.sum(), rel=2e-3)
    assert values == sorted(values)


def test_arms_that_the_ct_does_not_show_change_neither_fit_nor_map(model, projector):
    """Half as many counts again, beside the body: without the outline liver and map are off."""
    responses, of_body = projector.organ_responses(model.fractions), projector.of_body(model)
    counts = np.tensordot(TRUTH, responses.total, axes=1) * EXPOSURE_S
    beside = np.zeros(counts.shape, bool)
    beside[:, [0, 18], 3:12] = True
    assert not (beside & of_body).any()
    armed = counts + 0.5 * counts.sum() * beside / beside.sum()

    def reconstructed(counts, of_body):
        acquired = Acquired(counts, None, EXPOSURE_S, of_body)
        fit = qplanar(projector, model, acquired, responses)
        return fit.concentrations, mlem(projector, with_modelled_scatter(acquired, fit, responses), fit.map(model), 4)

    plain = reconstructed(counts, None)
    fits, maps = zip(plain, reconstructed(armed, of_body), reconstructed(armed, None), strict=True)
    assert fits[1] == pytest.approx(fits[0], rel=1e-3)
    assert maps[1] == pytest.approx(maps[0], rel=2e-2, abs=1e-3 * maps[0].max())
    assert np.abs(fits[2] / fits[0] - 1).max() > 0.1
    assert np.abs(maps[2] - maps[0]).sum() > 0.1 * maps[0].sum()


def test_mlem_step_against_its_formula(model, camera, nuclide, faces, responses):
    projector = Projector(model, camera, nuclide, faces, dtype=torch.float64)
    counts, scatter = exact(responses, 0.5)
    acquired = Acquired(counts, scatter, EXPOSURE_S)
    start = flat_start(projector, model, acquired)
    x = torch.as_tensor(start)
    ratio = torch.as_tensor(counts) / (projector.forward(x) * EXPOSURE_S + 0.5)
    step = x * projector.adjoint(ratio) / projector.adjoint(torch.ones_like(ratio))
    assert mlem(projector, acquired, start, 1) == pytest.approx(step.numpy(), rel=1e-9)


def test_concentrations_of_monte_carlo_views(model, camera, nuclide, faces, projector):
    """Views with scatter and penetration, free of counting noise: every organ within 1.2 % (measured: 0.5 %)."""
    activity = np.tensordot(TRUTH * model.grid.voxel_ml, model.fractions.astype(np.float64), axes=1)
    setting = (model.partial_density, activity, model.grid, camera, nuclide, (nuclide.photopeak,))
    counts = simulate(*setting, opposed_heads(faces), 1e6, 4).rate[:, 0] * EXPOSURE_S
    fit = qplanar(projector, model, Acquired(counts, np.zeros_like(counts), EXPOSURE_S))
    assert fit.concentrations == pytest.approx(TRUTH, rel=0.012)
