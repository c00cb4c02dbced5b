"""Rows of a map: disjoint, together its total, and right for a map of known concentrations."""

import numpy as np
import pytest

from planardose.recon.organ_totals import split_map, with_totals

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
    both = split_map(np.stack([activity, activity[::-1] ** 2]), model, CONCENTRATIONS)
    assert both == pytest.approx(np.stack([rows, split_map(activity[::-1] ** 2, model, CONCENTRATIONS)]), rel=1e-9)


def test_totals_change_and_the_pattern_inside_an_organ_stays(model):
    """A textured map gets other totals, organs that share voxels included; ratios of voxels of one organ stay."""
    rng = np.random.default_rng(2)
    activity = np.tensordot(CONCENTRATIONS * model.grid.voxel_ml, model.fractions.astype(float), axes=1)
    activity *= rng.lognormal(0.0, 0.3, activity.shape)

    def rows_of(x):
        return split_map(x, model, CONCENTRATIONS)

    wanted = rows_of(activity) * (1.3, 0.8, 1.1, 0.6, 1.2)
    found = with_totals(activity, model, rows_of, wanted)
    assert rows_of(found) == pytest.approx(wanted, rel=0.01)
    pure = model.fractions[0] > 0.999
    factor = found[pure] / activity[pure]
    assert pure.sum() > 20 and factor.std() / factor.mean() < 1e-6


def test_an_empty_organ_stays_empty_and_disturbs_no_other(model):
    some = CONCENTRATIONS * (1, 0, 1, 1, 1)
    activity = np.tensordot(some * model.grid.voxel_ml, model.fractions.astype(float), axes=1)

    def rows_of(x):
        return split_map(x, model, some)

    wanted = rows_of(activity)
    wanted[1] = 50.0  # cannot be had
    found = rows_of(with_totals(activity, model, rows_of, wanted))
    assert np.delete(found, 1) == pytest.approx(np.delete(wanted, 1), rel=0.05)
