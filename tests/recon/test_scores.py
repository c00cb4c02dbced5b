"""Scores against slow loops and closed forms."""

import numpy as np
import pytest

from planardose.image import Grid
from planardose.overlap import collected
from planardose.recon.scores import map_scores, ssim


def slow_ssim(x: np.ndarray, y: np.ndarray) -> float:
    c1, c2 = (0.01 * y.max()) ** 2, (0.03 * y.max()) ** 2
    values = []
    for i in range(x.shape[0] - 6):
        for j in range(x.shape[1] - 6):
            for k in range(x.shape[2] - 6):
                a, b = x[i : i + 7, j : j + 7, k : k + 7].ravel(), y[i : i + 7, j : j + 7, k : k + 7].ravel()
                cov = np.cov(a, b)
                top = (2 * a.mean() * b.mean() + c1) * (2 * cov[0, 1] + c2)
                values.append(top / ((a.mean() ** 2 + b.mean() ** 2 + c1) * (cov[0, 0] + cov[1, 1] + c2)))
    return float(np.mean(values))


def test_ssim_is_that_of_a_loop():
    rng = np.random.default_rng(0)
    truth = rng.gamma(2.0, 1.0, (11, 9, 10))
    estimate = truth + rng.normal(0, 0.5, truth.shape)
    assert ssim(estimate, truth) == pytest.approx(slow_ssim(estimate, truth), rel=1e-9)
    assert ssim(truth, truth) == pytest.approx(1.0)


def test_collecting_keeps_totals_and_equals_a_sum_over_points():
    rng = np.random.default_rng(1)
    fine = Grid.axis_aligned((13, 9, 11), (4.0, 4.0, 5.0), (-20.0, 3.0, 7.0))
    coarse = Grid.axis_aligned((9, 7, 9), 10.0, (-31.0, -7.0, -2.0))
    per_ml = rng.random(fine.shape)
    got = collected(per_ml, fine, coarse)
    assert got.sum() == pytest.approx(per_ml.sum() * fine.voxel_ml, rel=1e-12)
    parts = 20  # per axis: every part lies in one coarse voxel
    expected = np.zeros(coarse.shape)
    sub = (np.arange(parts) + 0.5) / parts - 0.5
    for index in np.ndindex(fine.shape):
        axes = []
        for a in range(3):
            at = fine.axis_mm(a)[index[a]] + sub * fine.spacing_mm[a]
            cells = np.floor((at - coarse.axis_mm(a)[0]) / 10.0 + 0.5).astype(int)
            axes.append(np.bincount(cells, minlength=coarse.shape[a])[: coarse.shape[a]] / parts)
        expected += per_ml[index] * fine.voxel_ml * np.einsum("i,j,k->ijk", *axes)
    assert got == pytest.approx(expected, abs=1e-12)


def test_what_lies_outside_the_target_is_left_out():
    fine = Grid.axis_aligned((4, 4, 4), 5.0, (0.0, 0.0, 0.0))
    coarse = Grid.axis_aligned((1, 2, 2), 10.0, (2.5, 2.5, 2.5))
    assert collected(np.ones(fine.shape), fine, coarse).sum() == pytest.approx(4.0)


def test_rotated_grids_are_refused():
    affine = np.eye(4)
    affine[:2, :2] = [[0.8, -0.6], [0.6, 0.8]]
    with pytest.raises(ValueError, match="RAS-aligned"):
        collected(np.ones((2, 2, 2)), Grid((2, 2, 2), affine), Grid.axis_aligned((2, 2, 2), 1.0, (0, 0, 0)))


def test_errors_are_relative_to_the_mean_truth_of_the_body():
    truth, body = np.zeros((8, 8, 8)), np.zeros((8, 8, 8), bool)
    body[2:6, 2:6, 2:6] = True
    truth[body] = 4.0
    estimate = truth.copy()
    estimate[2, 2:6, 2:6] = 0.0  # a quarter of the body
    estimate[0, 0, 0] = 100.0  # outside: not in MAE or NRMSE
    scores = map_scores(estimate, truth, body)
    assert scores["mae"] == pytest.approx(0.25) and scores["nrmse"] == pytest.approx(0.5)
    assert map_scores(np.zeros_like(truth), truth, body)["mae"] == pytest.approx(1.0)
