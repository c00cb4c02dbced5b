"""Organ rows of a fit whose sources are more than the organs."""

from dataclasses import replace

import numpy as np
import pytest

from planardose.recon.camera_views import Responses
from planardose.recon.fitted import Fitted
from planardose.recon.qplanar import OrganFit

NOTHING = np.zeros((2, 1, 1))


@pytest.fixture
def halves(model):
    """The small patient with the liver's activity in two sources that take the same place."""
    fractions = np.concatenate([model.fractions, 0.25 * model.fractions[:1]])
    sources = replace(model, organs=(*model.organs, "part of the liver"), fractions=fractions)
    return Fitted(model, sources, np.array([0, 1, 2, 3, 4, 0]), Responses(NOTHING, NOTHING))


def fit_of(covariance: np.ndarray, counting: np.ndarray) -> OrganFit:
    return OrganFit(np.array([0.2, 0.7, 0.6, 0.2, 0.02, 0.4]), covariance, counting, NOTHING, 1.0)


def test_errors_of_sources_that_take_from_each_other_cancel_in_their_organ(halves, model):
    """u^2 = (V1 u1)^2 + (V2 u2)^2 + 2 V1 V2 cov, with V2 a quarter of V1."""
    liver = model.volumes_ml()[0]
    covariance = np.diag(np.full(6, 0.03**2))
    covariance[5, 5], covariance[0, 5], covariance[5, 0] = 0.1**2, -0.0024, -0.0024
    fit = fit_of(covariance, 0.25 * covariance)
    expected = liver * np.sqrt(0.03**2 + (0.1 / 4) ** 2 - 2 * 0.0024 / 4)
    assert halves.u(fit) == pytest.approx([expected, *(0.03 * model.volumes_ml()[1:])], rel=1e-6)
    assert halves.counting_u(fit) == pytest.approx(0.5 * halves.u(fit), rel=1e-6)


def test_an_organ_that_is_not_seen_has_no_finite_error_and_one_seen_in_part_has(halves, model):
    covariance = np.diag([0.03**2, np.inf, 0.03**2, 0.03**2, 0.03**2, np.inf])
    u = halves.u(fit_of(covariance, np.zeros((6, 6))))
    assert np.isinf(u).tolist() == [False, True, False, False, False]
    assert u[0] == pytest.approx(0.03 * model.volumes_ml()[0], rel=1e-6)


def test_an_organ_holds_what_its_sources_hold(halves, model):
    fit = fit_of(np.eye(6), np.eye(6))
    assert halves.split(fit) == pytest.approx([0.2 + 0.4 / 4, 0.7, 0.6, 0.2, 0.02], rel=1e-6)
    rows = halves.rows(fit.map(halves.sources), fit)
    assert rows == pytest.approx(halves.split(fit) * model.volumes_ml(), rel=1e-4)
