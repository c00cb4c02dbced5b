"""Rows of a map: disjoint, together its total, and right for a map of known concentrations."""

import numpy as np
import pytest

from planardose.recon.organ_totals import CALIBRATED, MODEL, UNCALIBRATED, split_map, with_calibration

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


def test_uncertainty_in_quadrature_and_never_zero():
    u = with_calibration(np.array([10.0, 0.0, 5.0]), np.array([1.0, 0.0, np.nan]), False)
    assert u[0] == pytest.approx(10 * np.sqrt(0.01 + MODEL**2 + UNCALIBRATED**2))
    assert np.isnan(u[1])
    assert np.isnan(u[2])
    assert with_calibration(np.array([10.0]), np.array([1.0]), True)[0] == pytest.approx(
        10 * np.sqrt(0.01 + MODEL**2 + CALIBRATED**2)
    )
