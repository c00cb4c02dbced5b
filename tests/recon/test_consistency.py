"""Do images, CT and pose belong together: nothing odd in right counts; each failure shows in its own statistic."""

import numpy as np
import pytest

from planardose.image import Grid
from planardose.recon.acquired import Acquired
from planardose.recon.consistency import (
    BESIDE_CELLS,
    LEAST_BESIDE,
    LEAST_MOVE_MM,
    Usual,
    limits,
    score,
    statistics,
    wide_grid,
    with_a_place,
)
from planardose.recon.fitted import Fitted
from planardose.recon.foci import find_foci
from planardose.recon.focus import share_of_body, spot
from planardose.recon.gate import model_excess, model_misfit, noise_deviation
from planardose.recon.qplanar import qplanar
from planardose.recon.tissues import TISSUES

UPTAKE = np.array([0.15, 0.70, 0.65, 0.20, 0.02])
EXPOSURE_S = 100.0


def displaced_fractions(model):
    """Fractions of the model with its organs one cell nearer to the head."""
    out = np.roll(model.fractions, 1, axis=3)
    out[-1] = model.fractions.sum(axis=0) - out[:-1].sum(axis=0)
    return out


def even(model, responses):
    """The organs as the only sources."""
    return Fitted(model, model, np.arange(len(model.organs)), responses)


@pytest.fixture(scope="module")
def chain(model, projector):
    """Function from counts (2, I, K), and counts beside the body, to the statistics."""
    responses = projector.organ_responses(model.fractions)
    scatter = np.tensordot(UPTAKE, responses.scatter, axes=1) * EXPOSURE_S

    def told(counts, beside=0.0, measured_scatter=1.0, share=1.0, with_u=False):
        acquired = Acquired(counts, measured_scatter * share * scatter, EXPOSURE_S)
        fit = qplanar(projector, model, acquired, responses)
        modelled = np.tensordot(fit.concentrations, responses.scatter, axes=1) * EXPOSURE_S
        wide = np.pad(counts, ((0, 0), (BESIDE_CELLS, BESIDE_CELLS), (0, 0))) + beside
        found, u = statistics(even(model, responses), acquired, modelled, fit, wide)
        return (found, u) if with_u else found

    return told, np.random.default_rng(3).poisson(np.tensordot(UPTAKE, responses.total, axes=1) * EXPOSURE_S) * 1.0


def test_right_counts_have_nothing_odd(chain):
    told, counts = chain
    found = told(counts)
    assert found["unexplained"] <= np.log(0.01) and found["worst_strip"] < np.log(2.0)
    assert abs(found["view_ratio"]) < 0.01 and abs(found["scatter_anterior"]) < 0.02
    assert all(abs(v) < 1.0 for k, v in found.items() if k.startswith("shift_"))
    assert found["organ_shift"] < np.log(2.0)


@pytest.mark.parametrize(("axis", "name"), [(1, "x"), (2, "z")])
def test_a_shift_of_one_cell_is_found_with_its_sign(chain, axis, name, model):
    told, counts = chain
    moved = counts.copy()
    moved[0] = np.roll(counts[0], 1, axis=axis - 1)
    found, step = told(moved), float(model.grid.spacing_mm[0])
    # one linear step from a whole (coarse) cell away falls short
    assert 0.1 * step < found[f"shift_{name}_anterior_mm"] < 1.5 * step
    assert found[f"shift_{name}_anterior_mm"] > 2 * abs(found[f"shift_{name}_posterior_mm"])
    assert found["organ_shift"] > np.log(2.0)


def test_an_arm_on_one_side_is_no_shift(model, projector):
    responses, of_body = projector.organ_responses(model.fractions), projector.of_body(model)
    counts = np.tensordot(UPTAKE, responses.total, axes=1) * EXPOSURE_S
    arm = np.zeros(counts.shape, bool)
    arm[:, 0, 3:12] = True
    armed = counts + 0.2 * counts.sum() * arm / arm.sum()
    found = []
    for seen in (counts, armed):
        acquired = Acquired(seen, None, EXPOSURE_S, of_body)
        fit = qplanar(projector, model, acquired, responses)
        wide = np.pad(seen, ((0, 0), (BESIDE_CELLS, BESIDE_CELLS), (0, 0)))
        found.append(statistics(even(model, responses), acquired, 0 * seen, fit, wide)[0])
    for name in ("shift_x_anterior_mm", "shift_x_posterior_mm", "unexplained", "organ_shift", "worst_strip"):
        assert found[1][name] == pytest.approx(found[0][name], abs=0.05), name


def test_what_the_images_do_not_show_is_no_fault(model, projector):
    """Images that end in the middle of the trunk, and with them what is known."""
    responses, of_body = projector.organ_responses(model.fractions), projector.of_body(model)
    counts = np.tensordot(UPTAKE, responses.total, axes=1) * EXPOSURE_S
    shown = np.ones(counts.shape, bool)
    shown[:, :, 10:] = False
    acquired = Acquired(counts * shown, None, EXPOSURE_S, of_body & shown)
    fit = qplanar(projector, model, acquired, responses)
    wide = np.pad(counts * shown, ((0, 0), (BESIDE_CELLS, BESIDE_CELLS), (0, 0)))
    found, _ = statistics(even(model, responses), acquired, 0 * counts, fit, wide)
    assert found["unexplained"] < np.log(0.05) and found["worst_strip"] < 0
    assert abs(found["view_ratio"]) < 0.02
    assert max(abs(found[f"shift_{a}_{v}_mm"]) for a in "xz" for v in ("anterior", "posterior")) < 1.0


def test_each_fault_has_its_statistic(chain):
    told, counts = chain
    right = told(counts)
    assert told(counts, measured_scatter=2.0)["scatter_posterior"] == pytest.approx(np.log(2.0), abs=0.02)
    louder = told(counts * np.array([1.3, 1.0])[:, None, None])
    assert louder["view_ratio"] > right["view_ratio"] + 0.05
    spot = np.zeros((2, counts.shape[1] + 2 * BESIDE_CELLS, counts.shape[2]))
    spot[:, 5, 7] = 0.02 * counts[0].sum()
    assert told(counts, beside=spot)["beside"] == pytest.approx(np.log(0.02), abs=0.1)
    arm = np.zeros_like(spot)
    arm[:, 5, 2:13] = 0.005 * counts[0].sum()  # no source beside the body, whatever it holds
    assert told(counts, beside=arm)["beside"] == right["beside"] == np.log(LEAST_BESIDE)
    assert told(counts, beside=arm + spot)["beside"] > np.log(0.015)
    swapped = told(counts[::-1].copy())
    assert swapped["unexplained"] > right["unexplained"] + 1


@pytest.mark.parametrize("per_view", [300.0, 1000.0, 10000.0])
def test_few_counts_are_no_fault(chain, per_view):
    """Right counts thinned: their noise alone takes no acquisition to half of the limit on the score's square."""
    told, counts = chain
    share, scores = per_view / counts[0].sum(), []
    for seed in range(6):
        thin = np.random.default_rng(seed).binomial(counts.astype(int), share) * 1.0
        found, u = told(thin, share=share, with_u=True)
        scores.append(score(found, limits().usual, u)[0])
        for name in ("shift_x_anterior_mm", "shift_z_posterior_mm", "view_ratio"):
            assert abs(found[name]) < 4 * u[name]
    assert np.sqrt(np.mean(np.square(scores))) < limits().score / np.sqrt(2)


def test_noise_moves_organs_no_farther_than_it_is_expected_to(chain, monkeypatch):
    """Right counts, thinned: without a margin, noise leaves less than its mean square in two draws of three."""
    told, counts = chain
    monkeypatch.setattr("planardose.recon.consistency.SURE", 0.0)
    share, none = 1000.0 / counts[0].sum(), 0
    for seed in range(20):
        thin = np.random.default_rng(seed).binomial(counts.astype(int), share) * 1.0
        none += told(thin, share=share)["organ_shift"] <= np.log(LEAST_MOVE_MM)
    assert 5 <= none < 20


def test_a_shift_in_few_counts_is_told_as_far_as_they_know_it(chain):
    """Noise makes no certainty: the same shift counts less against few counts, and is found within what they know."""
    told, counts = chain
    moved = counts.copy()
    moved[0] = np.roll(counts[0], 1, axis=0)
    many, many_u = told(moved, with_u=True)
    name, scores = "shift_x_anterior_mm", []
    for seed in range(4):
        share = 300.0 / counts[0].sum()
        found, u = told(np.random.default_rng(seed).binomial(moved.astype(int), share) * 1.0, share=share, with_u=True)
        assert u[name] == pytest.approx(many_u[name] / np.sqrt(share), rel=0.7)
        assert abs(found[name] - many[name]) < 4 * u[name]
        scores.append(score(found, limits().usual, u)[0])
    assert max(scores) < score(many, limits().usual, many_u)[0]


@pytest.mark.parametrize("mean", [1.0, 10.0, 1000.0])
def test_misfits_do_not_depend_on_the_counts(mean):
    """A relative error of 0.3 in each cell, 0.24 in the mean of its size, three times what the gate allows."""
    rng = np.random.default_rng(2)
    expected = np.full((2, 200, 200), mean)
    counts = rng.poisson(expected * (1 + 0.3 * rng.standard_normal(expected.shape)).clip(0)).astype(float)
    where = np.ones(expected.shape[1:], bool)
    assert model_excess(counts, expected, where) == pytest.approx(0.3 * np.sqrt(2 / np.pi), rel=0.1)
    assert model_misfit(counts[0], expected[0], where) == pytest.approx(9.0, rel=0.1)
    right = rng.poisson(expected).astype(float)
    assert np.abs(right - expected).mean() == pytest.approx(noise_deviation(expected).mean(), rel=0.02)
    assert model_excess(right, expected, where, sure=2.0) == 0.0
    assert model_misfit(right[0], expected[0], where, sure=4.0) < 0.0


def test_the_score_is_a_distance_and_names_the_worst():
    usual = {"a": Usual(1.0, 0.5, False), "b": Usual(0.0, 1.0, True)}
    assert score({"a": 0.0, "b": -9.0, "unknown": 1e9}, usual) == (pytest.approx(2.0), "a")
    assert score({"a": 0.0}, usual, {"a": 1.2}) == (pytest.approx(1 / 1.3), "a")
    assert score({"a": 0.0, "b": 3.0}, usual) == (pytest.approx(np.sqrt(13.0)), "b")


def test_limits_know_the_statistics_that_are_computed(chain):
    told, counts = chain
    known, computed = set(limits().usual), set(told(counts)) | {"size_across", "size_along", "voxel_strip"}
    assert known == computed and limits().score > 0


def test_wide_grid_keeps_the_cells(model):
    wide = wide_grid(model.grid)
    assert isinstance(wide, Grid)
    assert wide.axis_mm(0)[BESIDE_CELLS:-BESIDE_CELLS] == pytest.approx(model.grid.axis_mm(0))


def test_only_organs_have_a_place_of_their_own():
    """Neither foci of the counts, nor those of a prior image, nor lesions, nor what fills the body."""
    told = ("kidney_left", "liver", "lesion_1", "focal_uptake_1", "focus_1", "muscle", "remainder", *TISSUES)
    assert [with_a_place(name) for name in told] == [True, True] + [False] * (len(told) - 2)


def test_bright_foci_are_no_fault_and_hide_none(model, projector):
    """What foci explain is not held against the images; what is missing in a kidney is, with foci and without."""
    responses, of_body = projector.organ_responses(model.fractions), projector.of_body(model)
    shape = spot(model.grid, share_of_body(model), np.array([9.0, 7.0, 3.0]), np.full(3, 8.0))
    lesion = 60.0 * (projector.primary(shape) + projector.scatter(shape)) * EXPOSURE_S
    displaced = projector.organ_responses(displaced_fractions(model))
    right, moved = (np.tensordot(UPTAKE, r.total, axes=1) * EXPOSURE_S + lesion for r in (responses, displaced))
    found = {}
    for name, counts in (("right", right), ("moved", moved)):
        acquired = Acquired(counts, None, EXPOSURE_S, of_body)
        wide = np.pad(counts, ((0, 0), (BESIDE_CELLS, BESIDE_CELLS), (0, 0)))
        foci = find_foci(projector, model, model, acquired, responses)
        sources = foci.beside(model, model)
        for kind, source in (("even", model), ("foci", sources)):
            seen = projector.organ_responses(source.fractions)
            fit = qplanar(projector, source, acquired, seen)
            fitted = Fitted(model, source, np.arange(len(source.organs)), seen)
            found[name, kind] = statistics(fitted, acquired, 0 * counts, fit, wide)[0]
    assert found["right", "even"]["unexplained"] > np.log(0.15)
    assert found["right", "foci"]["unexplained"] < np.log(0.05)
    assert found["right", "foci"]["organ_shift"] <= np.log(1.0)
    assert found["moved", "foci"]["organ_shift"] > found["right", "foci"]["organ_shift"] + np.log(4.0)
