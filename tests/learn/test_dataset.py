import numpy as np
import pytest
from learn_small import tiny_data, tiny_model, tiny_projector

from planardose.learn import dataset
from planardose.learn.dataset import (
    GAIN,
    WARP_MM,
    acquire,
    mixed,
    smooth_field,
    training_acquisition,
    validation_acquisitions,
)


@pytest.fixture(scope="module")
def projector():
    return tiny_projector(tiny_model())


@pytest.fixture(scope="module")
def data(projector):
    return tiny_data(tiny_model(), projector)


def test_a_mixture_is_a_new_exact_sample(data, projector):
    """The mixed views are the projection of the mixed map."""
    activity, rates = mixed(data, 0, 3, 0.3)
    again = projector.forward(projector.tensor(activity)).numpy()
    np.testing.assert_allclose(rates[:, 0], again, rtol=1e-4, atol=1e-6 * again.max())
    assert activity.sum() == pytest.approx(1.0)
    share = data.activity[0] / data.activity[0].sum(dtype=np.float64)
    np.testing.assert_allclose(activity - 0.3 * share, 0.7 * data.activity[3] / data.activity[3].sum(dtype=np.float64))


@pytest.fixture
def undisturbed(monkeypatch):
    """Acquisitions without the smooth fields of gain and displacement."""
    for name in ("GAIN", "WARP_MM"):
        monkeypatch.setattr(dataset, name, 0.0)


def test_counts_have_the_level_asked_for(data, undisturbed):
    activity, rates = mixed(data, 0, 0, 1.0)
    drawn = acquire(activity, rates, 5.0, np.zeros(2), data.step_mm, np.random.default_rng(0))
    assert drawn.counts[:, 0].sum() / 2 == pytest.approx(1e5, abs=4 * np.sqrt(1e5 / 2))
    ratio = drawn.counts[:, 0] / (rates[:, 0] * drawn.exposure_s)
    expected = rates[:, 0] * drawn.exposure_s
    bright = expected > 20
    z = (drawn.counts[:, 0] - expected)[bright] / np.sqrt(expected[bright])
    assert abs(z.std() - 1) < 0.25
    assert abs(ratio[bright].mean() - 1) < 0.05


def test_shift_moves_the_views_by_whole_pixels_exactly(data, undisturbed):
    activity, rates = mixed(data, 1, 1, 1.0)
    drawn = acquire(activity, rates, 9.0, np.array([20.0, -40.0]), data.step_mm, np.random.default_rng(0))
    moved = drawn.counts[:, 0] / drawn.exposure_s
    np.testing.assert_allclose(moved[:, 1:, :-2], rates[:, 0, :-1, 2:], rtol=0.02, atol=1e-3 * rates.max())


def test_a_smooth_field_has_unit_variance_and_the_stated_length():
    """Noise smoothed by a Gaussian correlates by exp(-d^2 / (4 sigma^2)) over a distance d."""
    rng = np.random.default_rng(0)
    fields = np.stack([smooth_field(rng, (20, 30), 100.0, (10.0, 20.0)) for _ in range(400)])
    assert fields.std() == pytest.approx(1.0, abs=0.05)
    for axis, step_mm in ((1, 10.0), (2, 20.0)):
        a, b = np.take(fields, 0, axis).ravel(), np.take(fields, 3, axis).ravel()
        expected = np.exp(-((3 * step_mm) ** 2) / (4 * (100.0 / 2.3548) ** 2))
        assert np.mean(a * b) / np.mean(a * a) == pytest.approx(expected, abs=0.06)


def test_views_are_disturbed_as_stated(monkeypatch):
    """Even views show the gain alone, a ramp the displacement; both views move alike, their gains differ."""
    shape = (2, 1, 30, 40)
    even, ramp = np.ones(shape), np.broadcast_to(np.arange(1.0, 41.0), shape)
    step_mm = (20.0, 20.0)

    def drawn(rates, seed):
        rng = np.random.default_rng(seed)
        found = acquire(np.ones(1), rates, 11.0, np.zeros(2), step_mm, rng)
        return found.counts[:, 0, 5:-5, 5:-5] / found.exposure_s

    gains = np.stack([drawn(even, n) for n in range(100)]) - 1
    assert gains.std() == pytest.approx(GAIN, rel=0.15)
    assert abs(np.mean(gains[:, 0] * gains[:, 1])) < 0.3 * GAIN**2
    monkeypatch.setattr(dataset, "GAIN", 0.0)
    moved_mm = 20.0 * (np.stack([drawn(ramp, n) for n in range(100)]) - ramp[:, 0, 5:-5, 5:-5])
    assert moved_mm.std() == pytest.approx(WARP_MM, rel=0.15)
    np.testing.assert_allclose(moved_mm[:, 0], moved_mm[:, 1], atol=1.0)


def test_acquisitions_are_keyed_by_their_number(data):
    first, again, other = (training_acquisition(data, 4.0, 1, "P01", n) for n in (5, 5, 6))
    assert np.array_equal(first.counts, again.counts) and np.array_equal(first.activity, again.activity)
    assert not np.array_equal(first.counts, other.counts)
    assert not np.array_equal(first.counts, training_acquisition(data, 4.0, 1, "P02", 5).counts)


def test_validation_samples_are_never_trained_on(data):
    """Activity of a training acquisition is a mixture of training samples only."""
    shares = data.activity.reshape(len(data.activity), -1).astype(np.float64)
    for number in range(20):
        flat = training_acquisition(data, 4.0, 1, "P01", number).activity.ravel()
        weights = np.linalg.lstsq(shares.T, flat, rcond=None)[0]
        assert np.abs(weights[~data.training]).max() < 1e-3 * np.abs(weights).max()
    assert len(validation_acquisitions(data, 1, "P01")) == 2
