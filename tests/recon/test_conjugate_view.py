"""Conjugate view against closed forms."""

import numpy as np
import pytest

from planardose.image import Grid
from planardose.patient_model import PatientModel
from planardose.recon.acquired import Acquired
from planardose.recon.camera_views import attenuation_factors
from planardose.recon.conjugate_view import conjugate_activity, conjugate_view, source_factor

MU, STEP, CPS = 0.0135, 10.0, 9.0


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
    got = conjugate_view(model, Acquired(rates * 30.0 + 4.0, np.full_like(rates, 4.0), 30.0), mu, CPS)
    assert got[0] == pytest.approx(0.3 * organ.sum() * grid.voxel_ml, rel=0.03)
    assert got.sum() == pytest.approx(activity.sum(), rel=0.15)


def test_no_counts_give_no_activity():
    assert conjugate_activity(-1.0, 5.0, 2.0, 0.5, CPS) == 0.0
