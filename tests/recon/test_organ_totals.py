"""Rows of a map: disjoint, together its total, and right for a map of known concentrations."""

import numpy as np
import pytest

from planardose.recon.organ_totals import split_map

CONCENTRATIONS = np.array([0.15, 0.70, 0.65, 0.20, 0.02])


def test_even_organs_come_back_exactly(model):
    activity = np.tensordot(CONCENTRATIONS * model.grid.voxel_ml, model.fractions.astype(float), axes=1)
    assert split_map(activity, model, CONCENTRATIONS) == pytest.approx(CONCENTRATIONS * model.volumes_ml(), rel=1e-4)


def test_rows_sum_to_any_map(model):
    activity = np.random.default_rng(1).random(model.grid.shape)  # air as well
    rows = split_map(activity, model, CONCENTRATIONS)
    assert rows.sum() == pytest.approx(activity.sum(), rel=1e-9)
    assert (rows >= 0).all()
    assert split_map(activity, model, 0 * CONCENTRATIONS).sum() == pytest.approx(activity.sum(), rel=1e-9)
