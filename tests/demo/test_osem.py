"""OSEM on counts of known activity: convergence, subsets, scatter, and a SPECT of the Monte Carlo."""

import numpy as np
import pytest
import torch
from small_patient import make_model

from planardose.demo.osem import even_start, osem, subset_order
from planardose.demo.spect_counts import circular_orbit, spect_counts
from planardose.heads import Head
from planardose.library import load_camera, load_nuclide
from planardose.recon.acquired import Acquired
from planardose.recon.angles import AngledProjector

ORGANS = {"liver": 0.15, "kidney_right": 0.70, "kidney_left": 0.65, "spleen": 0.20, "remainder": 0.02}  # MBq/mL
SECONDS = 30.0


@pytest.fixture(scope="module")
def model():
    return make_model()


@pytest.fixture(scope="module")
def camera():
    return load_camera("siemens_symbia_melp")


@pytest.fixture(scope="module")
def nuclide():
    return load_nuclide("177Lu")


@pytest.fixture(scope="module")
def activity(model):
    conc = np.array([ORGANS[o] for o in model.organs]) * model.grid.voxel_ml
    return np.tensordot(conc, model.fractions.astype(np.float64), axes=1)


@pytest.fixture(scope="module")
def rotating(model, camera, nuclide):
    heads = tuple(Head(a, 190.0) for a in np.arange(0.0, 360.0, 30.0))
    return AngledProjector(model, camera, nuclide, heads)


def test_order_of_subsets_is_a_permutation_that_jumps():
    for n in (1, 2, 5, 8, 10):
        assert sorted(subset_order(n)) == list(range(n))
    assert subset_order(8)[:4] == [0, 4, 2, 6]


def test_the_even_start_has_the_counts_whether_their_scatter_is_given_or_modelled(rotating, model, activity):
    """Primary photons of the start are the counts without the given scatter, or all of it explains all of them."""
    primary = rotating.forward(rotating.tensor(activity)).numpy().astype(float) * SECONDS
    scatter = rotating.scatter(activity) * SECONDS
    for given in (scatter, None):
        start = even_start(rotating, model, Acquired(primary + scatter, given, SECONDS))
        told = rotating.forward(rotating.tensor(start)).numpy().astype(float) * SECONDS
        told = told + (rotating.scatter(start) * SECONDS if given is None else scatter)
        assert told.sum() == pytest.approx((primary + scatter).sum(), rel=1e-4)


def test_one_subset_is_mlem(rotating, model, activity):
    """Each step of MLEM keeps the counts and raises the likelihood; OSEM gets as far in a quarter of the passes."""
    with torch.no_grad():
        expected = rotating.forward(rotating.tensor(activity)).numpy().astype(float) * SECONDS
    counts = np.random.default_rng(1).poisson(expected).astype(float)
    acquired = Acquired(counts, np.zeros_like(counts), SECONDS)
    start = even_start(rotating, model, acquired)

    def likelihood(x):
        e = rotating.forward(rotating.tensor(x)).numpy().astype(float) * SECONDS
        seen = e > 1e-6
        return float((counts[seen] * np.log(e[seen]) - e[seen]).sum()), e.sum()

    values = []
    for n in (1, 2, 4, 8):
        value, total = likelihood(osem(rotating, acquired, start, n, 1))
        values.append(value)
        assert total == pytest.approx(counts.sum(), rel=1e-3)
    assert values == sorted(values)
    fast, _ = likelihood(osem(rotating, acquired, start, 2, 4))
    assert fast == pytest.approx(values[-1], abs=0.05 * (values[-1] - values[0]))


def test_noise_free_organs_come_back_with_modelled_scatter(rotating, model, activity):
    counts = rotating.forward(rotating.tensor(activity)).numpy() * SECONDS + rotating.scatter(activity) * SECONDS
    acquired = Acquired(counts.astype(float), None, SECONDS)
    start = even_start(rotating, model, acquired)
    found = osem(rotating, acquired, start, 6, 4)
    assert found.sum() == pytest.approx(activity.sum(), rel=0.01)
    without = osem(rotating, Acquired(counts.astype(float), np.zeros_like(counts, dtype=float), SECONDS), start, 6, 4)
    assert without.sum() > 1.15 * activity.sum()  # scatter taken for activity
    for organ in ("liver", "kidney_right", "kidney_left"):
        near = model.fractions[model.organs.index(organ)] > 0
        assert found[near].sum() == pytest.approx(activity[near].sum(), rel=0.06)


def test_monte_carlo_spect_recovers_the_organs(model, camera, nuclide, activity):
    """60 views by the Monte Carlo with noise, scatter and penetration: totals within what blur and noise leave."""
    grid = model.grid
    heads = circular_orbit(model.body, grid, 60, (3.0, -7.0))
    taken = spect_counts(model.partial_density, activity, grid, camera, nuclide, heads, SECONDS, 1e5, 4)
    assert taken.counts.sum(axis=(1, 2)).min() > 1e4
    projector = AngledProjector(model, camera, nuclide, heads, columns=taken.columns)
    acquired = Acquired(taken.counts, None, taken.seconds)
    found = osem(projector, acquired, even_start(projector, model, acquired), 6, 10)
    assert found.sum() == pytest.approx(activity.sum(), rel=0.04)
    for organ in ("liver", "kidney_right", "kidney_left", "spleen"):
        near = model.fractions[model.organs.index(organ)] > 0
        assert found[near].sum() == pytest.approx(activity[near].sum(), rel=0.10)
    assert np.corrcoef(found[model.body], activity[model.body])[0, 1] > 0.95


def test_wrong_calls_are_refused(rotating, activity):
    shape = tuple(rotating.seen.shape)
    with pytest.raises(ValueError, match="13 subsets"):
        osem(rotating, Acquired(np.ones(shape), np.zeros(shape), 1.0), activity, 1, 13)
    with pytest.raises(ValueError, match="counts"):
        osem(rotating, Acquired(np.ones((2, *shape[1:])), None, 1.0), activity, 1, 2)
