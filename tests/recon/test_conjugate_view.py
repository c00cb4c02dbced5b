"""Conjugate view against closed forms."""

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from planardose.image import Grid
from planardose.patient_model import PatientModel
from planardose.recon.acquired import Acquired
from planardose.recon.camera_views import attenuation_factors
from planardose.recon.conjugate_view import all_counts, conjugate_activity, conjugate_view, source_factor

MU, STEP, CPS = 0.0135, 10.0, 9.0


def found(model: PatientModel, acquired: Acquired, mu: np.ndarray, blur=lambda views: views) -> np.ndarray:
    """Conjugate view with what a camera of this blur sees of each organ, 1 MBq/mL."""
    factors = attenuation_factors(mu, STEP)
    sharp = CPS * model.grid.voxel_ml * np.stack([(factors * f).sum(axis=2) for f in model.fractions])
    return conjugate_view(model, acquired, mu, CPS, blur(sharp), sharp.sum(axis=(2, 3)))


def blurred(views: np.ndarray) -> np.ndarray:
    """A Gaussian of 25 mm FWHM, and 40 % of the counts strewn to beyond the grid (standard deviation 120 mm)."""
    near, far = (gaussian_filter(views, sigma / STEP, mode="constant", axes=(-2, -1)) for sigma in (10.6, 120.0))
    return 0.6 * near + 0.4 * far


def test_source_factor_closed_form():
    assert source_factor(0.0) == 1.0
    assert source_factor(2.0) == pytest.approx(1.0 / np.sinh(1.0))


def test_slab_of_activity_inside_a_slab_of_water():
    """An even source of thickness d at any depth: the factor inverts the exact projection."""
    mu_d, mu_t = MU * 40, MU * 200
    for depth in (10.0, 60.0, 110.0):  # mm of water in front
        ant, post = (CPS * 50.0 * np.exp(-MU * lead) * (1 - np.exp(-mu_d)) / mu_d for lead in (depth, 200 - 40 - depth))
        assert conjugate_activity(ant, post, mu_t, mu_d, CPS) == pytest.approx(50.0, rel=1e-9)


def test_organ_in_a_phantom_with_background():
    """A block in a slab with even background, no blur: within 3 % (the background correction is approximate)."""
    shape = (21, 20, 21)
    grid = Grid.axis_aligned(shape, STEP, (-100.0, -95.0, 0.0))
    organ = np.zeros(shape, np.float32)
    organ[7:12, 8:12, 8:13] = 1.0
    density = np.zeros((3, *shape), np.float32)
    model = PatientModel(grid, ("liver", "remainder"), np.stack([organ, 1 - organ]), density)
    activity = (0.3 * organ + 0.02 * (1 - organ)) * grid.voxel_ml
    mu = np.full(shape, MU)
    rates = CPS * (attenuation_factors(mu, STEP) * activity).sum(axis=2)
    got = found(model, Acquired(rates * 30.0 + 4.0, np.full_like(rates, 4.0), 30.0), mu)
    assert got[0] == pytest.approx(0.3 * organ.sum() * grid.voxel_ml, rel=0.03)
    assert got.sum() == pytest.approx(activity.sum(), rel=0.15)


def block(mu: float, first: int, deep: int, organ_mbq_ml: float, rest_mbq_ml: float):
    """A block of `deep` layers from layer `first` in a water slab of 20 layers: model, true activity, rates, mu."""
    shape = (21, 20, 21)
    grid = Grid.axis_aligned(shape, STEP, (-100.0, -95.0, 0.0))
    organ = np.zeros(shape, np.float32)
    organ[7:12, first : first + deep, 8:13] = 1.0
    model = PatientModel(grid, ("liver", "remainder"), np.stack([organ, 1 - organ]), np.zeros((3, *shape), np.float32))
    activity = (organ_mbq_ml * organ + rest_mbq_ml * (1 - organ)) * grid.voxel_ml
    mus = np.full(shape, mu)
    return (
        model,
        organ_mbq_ml * organ.sum() * grid.voxel_ml,
        CPS * (attenuation_factors(mus, STEP) * activity).sum(2),
        mus,
    )


@pytest.mark.parametrize(("first", "deep"), [(2, 3), (8, 4), (14, 6)])
def test_attenuation_and_source_thickness_are_exact_without_background(first, deep):
    """At any depth, scatter taken off first."""
    model, true, rates, mu = block(MU, first, deep, 0.3, 0.0)
    scatter = 0.25 * rates
    got = found(model, Acquired((rates + scatter) * 30.0, scatter * 30.0, 30.0), mu)
    assert got[0] == pytest.approx(true, rel=1e-6)


@pytest.mark.parametrize(("first", "deep"), [(2, 3), (8, 4), (14, 6)])
def test_background_is_exact_without_attenuation(first, deep):
    """The rim less the organ's share of the body's thickness is what lies before and behind the organ."""
    model, true, rates, mu = block(0.0, first, deep, 0.3, 0.05)
    got = found(model, Acquired(rates * 30.0, 0 * rates, 30.0), mu)
    assert got[0] == pytest.approx(true, rel=1e-6)


def test_background_is_the_factor_of_mird_16():
    """F = sqrt((1 - I_adj/I_A (1 - d/t)) (1 - I_adj/I_P (1 - d/t))) on the uncorrected activity."""
    model, _, rates, mu = block(MU, 5, 4, 0.3, 0.05)
    got = found(model, Acquired(rates * 30.0, 0 * rates, 30.0), mu)[0]
    inside, beside = rates[:, 7:12, 8:13], rates[:, 6, 10]
    share = 1 - 4 / 20
    factor = np.sqrt(np.prod(1 - beside * share / inside.mean(axis=(1, 2))))
    plain = conjugate_activity(*inside.sum(axis=(1, 2)), MU * 200, MU * 40, CPS)
    assert got == pytest.approx(plain * factor, rel=1e-6)


@pytest.mark.parametrize("rest_mbq_ml", [0.0, 0.05])
@pytest.mark.parametrize(("first", "deep"), [(2, 3), (8, 4), (14, 6)])
def test_counts_that_blur_takes_out_of_the_region_and_into_its_rim_are_the_organs(first, deep, rest_mbq_ml):
    """Under half of its counts lie in its region: without background exact; on a wide even one, without attenuation."""
    mu = MU if rest_mbq_ml == 0 else 0.0
    model, true, rates, mus = block(mu, first, deep, 0.3, rest_mbq_ml)
    slab = rest_mbq_ml * model.grid.voxel_ml * 20 * CPS  # the rest in every cell, as wide as one likes
    image = blurred(rates - slab) + slab
    got = found(model, Acquired(image * 30.0, 0 * image, 30.0), mus, blurred)
    assert blurred(rates - slab)[0, 7:12, 8:13].sum() < 0.5 * (rates - slab)[0].sum()
    assert got[0] == pytest.approx(true, rel=1e-6)


def test_the_excess_is_made_whole_not_what_the_surroundings_hold():
    """Region 0.5, rim 0.2 of an organ's own, a tenth of the body's thickness: over a background of 30, all in cps."""
    region, rim = np.array([0.5, 0.5]), np.array([0.2, 0.2])
    for excess in (0.0, 40.0, 1000.0):
        seen = [own * excess + 30.0 for own in (region, rim)]
        assert all_counts(*seen, region, rim, 0.1) == pytest.approx(excess + 3.0)
    assert all_counts(np.full(2, 500.0), np.full(2, 100.0), region, rim, 0.1) == pytest.approx(1000.0)  # no background
    assert all_counts(np.full(2, 80.0), np.full(2, 90.0), rim, rim, 0.1) == pytest.approx(9.0)  # nothing tells
    assert all_counts(np.full(2, 80.0), np.full(2, 20.0), region, region - 1e-9, 0.1) == pytest.approx(160.0)


def test_a_blurred_body_keeps_its_activity():
    """What blur throws beyond the body is put back: 32 % of this one's counts."""
    model, _, rates, mu = block(0.0, 8, 4, 0.05, 0.05)
    image = blurred(rates)
    got = found(model, Acquired(image * 30.0, 0 * image, 30.0), mu, blurred)
    assert image.sum() == pytest.approx(0.68 * rates.sum(), rel=0.01)
    assert got.sum() == pytest.approx(0.05 * model.grid.voxel_ml * 21 * 20 * 21, rel=1e-6)


def test_evenly_filled_body_is_exact():
    model, _, rates, mu = block(MU, 8, 4, 0.05, 0.05)
    got = found(model, Acquired(rates * 30.0, 0 * rates, 30.0), mu)
    assert got.sum() == pytest.approx(0.05 * model.grid.voxel_ml * 21 * 20 * 21, rel=1e-6)


def test_few_counts_do_not_take_away_the_remainder():
    """One count in a pixel: the root of each pixel's counts lost 40 % of the body."""
    model, _, rates, mu = block(MU, 8, 4, 0.05, 0.05)
    true = 0.05 * model.grid.voxel_ml * 21 * 20 * 21
    rng, exposure_s = np.random.default_rng(5), 1.0 / rates.mean()
    counts = rng.poisson(np.broadcast_to(rates * exposure_s, (200, *rates.shape))).astype(float)
    each = [found(model, Acquired(c, 0 * c, exposure_s), mu).sum() for c in counts]
    assert np.mean(each) == pytest.approx(true, rel=0.03)


def test_no_counts_give_no_activity():
    assert conjugate_activity(-1.0, 5.0, 2.0, 0.5, CPS) == 0.0
    model, _, rates, mu = block(MU, 8, 4, 0.05, 0.05)
    assert (found(model, Acquired(0 * rates, 0 * rates, 30.0), mu) == 0).all()
