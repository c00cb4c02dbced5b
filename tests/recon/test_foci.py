"""Foci that no outline tells of, on a small patient of known truth."""

from dataclasses import dataclass, replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from small_patient import ball, make_model

from planardose.recon.acquired import Acquired
from planardose.recon.camera_views import Responses
from planardose.recon.fitted import Fitted
from planardose.recon.foci import LEAST_CONTRAST, MOST_CONTRAST, Foci, _Search, find_foci
from planardose.recon.foci_table import COLUMNS, foci_lines
from planardose.recon.focus import Focus, Free, Sight, share_of_body, spot
from planardose.recon.projector import Projector
from planardose.recon.qplanar import qplanar
from planardose.sim.texture import gaussian_field

MBQ_ML = np.array([0.15, 0.70, 0.65, 0.20, 0.02])
EXPOSURE_S = 60.0
RADIUS_MM = 11.0  # 5.6 mL


@dataclass(frozen=True)
class Patient:
    """At 10 mm, the truth at 5 mm, and what the sources look like."""

    model: object
    fine: object
    projector: object
    responses: Responses


def pooled(fine):
    """Sums of 2 x 2 x 2 voxels of (72, 40, 56)."""
    return fine.reshape(36, 2, 20, 2, 28, 2).sum(axis=(5, 3, 1))


@pytest.fixture(scope="module")
def patient(camera, nuclide, faces):
    fine, model = make_model(5.0, (72, 40, 56)), make_model(10.0, (36, 20, 28))
    fractions = np.array([pooled(f) / 8 for f in fine.fractions])
    density = np.array([pooled(d) / 8 for d in fine.partial_density])
    model = replace(model, fractions=fractions, partial_density=density)
    projector = Projector(model, camera, nuclide, faces)
    return Patient(model, fine, projector, projector.organ_responses(model.fractions))


def acquired(patient, lesions=(), seed=1, texture=0.0, scale=1.0):
    """Counts of both views; `lesions` are (centre, MBq); `texture`: coefficient of variation of uneven uptake."""
    fine = patient.fine
    per_ml = np.tensordot(MBQ_ML, fine.fractions, axes=1)
    if texture:
        per_ml = per_ml * np.exp(texture * gaussian_field(fine.grid, 35.0, seed))
    for centre, mbq in lesions:
        inside = ball(fine.grid, centre, RADIUS_MM)
        per_ml = per_ml + mbq * inside / (inside.sum() * fine.grid.voxel_ml)
    truth = pooled(per_ml) * fine.grid.voxel_ml
    rate = patient.projector.forward(patient.projector.tensor(truth)).numpy().astype(np.float64)
    rate = (rate + patient.projector.scatter(truth)) * EXPOSURE_S * scale
    counts = np.random.default_rng(seed).poisson(rate).astype(np.float64)
    return Acquired(counts, None, EXPOSURE_S * scale, patient.projector.of_body(patient.model)), truth


def found_in(patient, measured):
    return find_foci(patient.projector, patient.model, patient.model, measured, patient.responses)


def fitted_with(patient, measured, foci):
    """QPlanar's sources with the foci, and the fit."""
    sources = foci.beside(patient.model, patient.model)
    hosts = np.concatenate([np.arange(5), foci.hosts(patient.model)])
    responses = patient.projector.organ_responses(sources.fractions)
    fitted = Fitted(patient.model, sources, hosts, responses, foci=foci)
    return fitted, qplanar(patient.projector, sources, measured, responses)


@pytest.mark.parametrize(
    "centre", [(-60.0, 20.0, 490.0), (20.0, -55.0, 500.0), (85.0, 25.0, 430.0), (0.0, 40.0, 560.0)]
)
def test_a_lesion_is_found_where_it_lies_and_with_what_it_holds(patient, centre):
    measured, _ = acquired(patient, [(centre, 4.0)])
    foci = found_in(patient, measured)
    assert len(foci.found) == 1
    focus = foci.found[0]
    off = focus.centre_mm(patient.model.grid) - centre
    assert (np.abs(off) < 2 * focus.u_mm).all() and np.hypot(off[0], off[2]) < 4.0 and abs(off[1]) < 15.0
    fitted, fit = fitted_with(patient, measured, foci)
    assert fitted.focus_mbq(fit) == pytest.approx([4.0], rel=0.15)
    assert abs(focus.mbq - 4.0) < 3 * focus.mbq_u
    assert foci.contrasts[0] > 2 * LEAST_CONTRAST


def test_contrast_over_an_organ_that_is_fitted_as_empty_is_no_astronomical_number(patient, monkeypatch):
    monkeypatch.setitem(globals(), "MBQ_ML", np.array([0.0, *MBQ_ML[1:]]))
    foci = found_in(patient, acquired(patient, [((75.0, 20.0, 545.0), 6.0)])[0])
    assert foci.contrasts == pytest.approx((MOST_CONTRAST,))


def test_depth_has_the_sign_of_the_view_that_sees_more(patient):
    front, back = (found_in(patient, acquired(patient, [((-20.0, y, 500.0), 4.0)])[0]).found for y in (45.0, -60.0))
    depth = [f[0].centre_mm(patient.model.grid)[1] for f in (front, back)]
    assert depth[0] > 35.0 and depth[1] < -50.0


def test_several_foci_brightest_first(patient):
    placed = [((-60.0, 20.0, 490.0), 6.0), ((25.0, -55.0, 520.0), 3.0), ((90.0, 30.0, 410.0), 2.0)]
    measured, _ = acquired(patient, placed)
    foci = found_in(patient, measured)
    fitted, fit = fitted_with(patient, measured, foci)
    assert fitted.focus_mbq(fit) == pytest.approx([6.0, 3.0, 2.0], rel=0.25)
    for focus, (centre, _) in zip(foci.found, placed, strict=True):
        off = focus.centre_mm(patient.model.grid) - centre
        assert (np.abs(off) < 3 * focus.u_mm).all() and np.hypot(off[0], off[2]) < 4.0


def test_uncertainties_of_the_place_hold_over_seeds(patient):
    off, u = [], []
    rng = np.random.default_rng(5)
    for seed in range(12):
        centre = np.array([-5.0, 20.0, 490.0]) + rng.uniform(-8, 8, 3)
        measured, _ = acquired(patient, [(centre, 4.0)], seed, texture=0.3)
        for focus in found_in(patient, measured).found[:1]:
            off.append(focus.centre_mm(patient.model.grid) - centre)
            u.append(focus.u_mm)
    assert len(off) >= 10
    inside = np.mean(np.abs(off) < 2 * np.array(u), axis=0)
    assert (inside >= 0.8).all()


def test_uncertainty_of_the_activity_is_the_spread_over_seeds(patient):
    """Even organs and 4 MBq: by the counts around it, and by the place that they leave open."""
    rng, pulls = np.random.default_rng(5), []
    for seed in range(12):
        measured, _ = acquired(patient, [(np.array([-5.0, 20.0, 490.0]) + rng.uniform(-8, 8, 3), 4.0)], seed)
        (focus,) = found_in(patient, measured).found
        pulls.append((focus.mbq - 4.0) / focus.mbq_u)
    assert 0.6 < np.std(pulls) < 1.6 and abs(np.mean(pulls)) < 1.0


@pytest.mark.parametrize(("spacing", "shape"), [(10.0, (36, 20, 28)), (5.0, (72, 40, 56))])
def test_contrast_is_that_of_concentrations_whatever_the_voxels(spacing, shape):
    """A Gaussian of A MBq holds A / (8 pi^1.5 s^3) where its own shape looks; here over 0.02 MBq/mL all around."""
    model = make_model(spacing, shape)
    at = np.linalg.solve(model.grid.ras_from_voxel, [0.0, -7.0, 505.0, 1.0])[:3]
    focus = Focus(at, 12.0, np.full(3, 2.0), 3.0, 0.3, 400.0, 1.0)
    search = SimpleNamespace(
        model=model, sources=model, rows=np.zeros((5, 1)), fit=SimpleNamespace(concentrations=np.full(5, 0.02))
    )
    cm2 = (12.0**2 + spacing**2 / 12) / 100  # with the voxel's own width
    assert _Search.contrast(search, focus) == pytest.approx(3.0 / (8 * np.pi**1.5 * cm2**1.5) / 0.02, rel=0.01)


@pytest.mark.parametrize("texture", [0.0, 0.3])
def test_uneven_uptake_is_no_focus(patient, texture):
    for seed in range(4):
        assert found_in(patient, acquired(patient, seed=seed, texture=texture)[0]).found == ()


def test_a_focus_that_the_fit_of_all_leaves_empty_is_none(patient):
    """Without counts in the front view, hot spots at the back would explain one view and not the other."""
    measured, _ = acquired(patient, [((-60.0, 20.0, 490.0), 6.0)])
    measured.counts[0] = 0.0
    foci = found_in(patient, measured)
    fitted, fit = fitted_with(patient, measured, foci)
    assert (fitted.focus_mbq(fit) > 0).all()


def test_a_missed_organ_is_found_and_its_neighbours_are_right_again(patient):
    """The model lacks a kidney: what it holds no longer goes to the liver before it."""
    kept = [0, 2, 3, 4]
    fractions = patient.model.fractions[kept].copy()
    fractions[-1] += patient.model.fractions[1]
    organs = tuple(patient.model.organs[n] for n in kept)
    blind = replace(patient.model, organs=organs, fractions=fractions)
    responses = patient.projector.organ_responses(fractions)
    measured, truth = acquired(patient)
    foci = find_foci(patient.projector, blind, blind, measured, responses)
    assert foci.found
    fitted = {False: Fitted(blind, blind, np.arange(4), responses)}
    sources = foci.beside(blind, blind)
    hosts = np.concatenate([np.arange(4), foci.hosts(blind)])
    fitted[True] = Fitted(blind, sources, hosts, patient.projector.organ_responses(sources.fractions), foci=foci)
    liver = MBQ_ML[0] * patient.fine.volumes_ml()[0]
    error = {}
    for with_foci, f in fitted.items():
        fit = qplanar(patient.projector, f.sources, measured, f.responses)
        rows = f.rows(fit.map(f.sources), fit)
        assert rows.sum() == pytest.approx(truth.sum(), rel=0.1)
        error[with_foci] = abs(rows[0] / liver - 1)
    assert error[True] < 0.3 * error[False] and error[False] > 0.05


def test_foci_count_to_the_organ_that_holds_them(patient):
    measured, _ = acquired(patient, [((75.0, 20.0, 545.0), 8.0)])
    foci = found_in(patient, measured)
    assert [patient.model.organs[h] for h in foci.hosts(patient.model)] == ["liver"]
    fitted, fit = fitted_with(patient, measured, foci)
    assert fitted.sources.organs[-1] == "focal_uptake_1" and fitted.sources.fractions[-1].max() == 1.0
    assert fitted.hosts.tolist() == [0, 1, 2, 3, 4, 0]
    assert fitted.focus_mbq(fit) == pytest.approx([8.0], rel=0.1)
    liver = MBQ_ML[0] * patient.fine.volumes_ml()[0] + 8.0
    assert fitted.rows(fit.map(fitted.sources), fit)[0] == pytest.approx(liver, rel=0.05)


def test_a_focus_that_the_images_edge_cuts_is_none(patient):
    centre = (-5.0, 20.0, 490.0)
    measured, _ = acquired(patient, [(centre, 4.0)])
    z = patient.model.grid.axis_mm(2)
    for end_mm, number in ((530.0, 1), (500.0, 0)):  # beyond lies half of the liver, whose counts blur in
        shown = measured.of_body & (z < end_mm)
        counts = np.where(z < end_mm, measured.counts, 0.0)
        assert len(found_in(patient, replace(measured, counts=counts, of_body=shown)).found) == number


def test_no_foci_leave_everything_as_it_was(patient):
    assert Foci((), ()).beside(patient.model, patient.model) is patient.model
    assert Foci((), ()).hosts(patient.model).shape == (0,)


def test_a_spot_keeps_its_middle_and_width(patient):
    grid, at = patient.model.grid, np.array([17.3, 9.6, 14.2])
    shape = spot(grid, np.ones(grid.shape), at, np.array([8.0, 8.0, 14.0])).astype(np.float64)
    assert shape.sum() == pytest.approx(1.0, abs=1e-5)
    for axis, sigma in enumerate((8.0, 8.0, 14.0)):
        line, n = shape.sum(axis=tuple(b for b in range(3) if b != axis)), np.arange(grid.shape[axis])
        assert line @ n == pytest.approx(at[axis], abs=0.02)
        assert line @ (n - at[axis]) ** 2 * 100 == pytest.approx(sigma**2 + 100 / 12, rel=0.02)
    assert not spot(grid, share_of_body(patient.model), at, np.full(3, 8.0))[share_of_body(patient.model) == 0].any()


def test_spots_of_one_column_are_those_projected_one_by_one(patient):
    model, at, depths = patient.model, np.array([17.3, 9.0, 14.2]), np.array([5, 8, 12])
    sight = Sight(model.grid, share_of_body(model), patient.projector, 100.0, np.ones(model.grid.shape, dtype=bool))
    alone = sight.primary([sight.spot(np.array([at[0], j, at[2]]), 8.0) for j in depths])
    assert sight.at_depths(at, 8.0, depths) == pytest.approx(alone, rel=1e-4, abs=1e-5 * alone.max())


def test_free_takes_off_what_the_rows_can_mimic():
    rng = np.random.default_rng(2)
    rows, weights, image = rng.random((3, 40)), rng.random(40), rng.random((2, 40))
    left = Free(rows, weights)(image)
    assert np.abs((rows * weights) @ left.T).max() < 1e-6
    assert image - left == pytest.approx(np.linalg.lstsq(rows.T, (image - left).T, rcond=None)[0].T @ rows)


def test_box_and_information_against_the_whole_projector(patient):
    projector, shape = patient.projector, patient.model.grid.shape
    rng = np.random.default_rng(3)
    activity = np.zeros((2, *shape))
    box = slice(3, 14), slice(6, 9), slice(10, 25)
    activity[:, *box] = rng.random((2, 11, 3, 15))
    whole = projector.forward(projector.tensor(activity))
    part = projector.forward(projector.tensor(activity[:, *box]), box)
    assert torch.allclose(whole, part, rtol=1e-4, atol=1e-6 * float(whole.max()))
    assert torch.allclose(whole[1], projector.forward(projector.tensor(activity[1][box]), box), rtol=1e-4, atol=1e-4)
    layers = projector.layers(projector.tensor(activity[1][box]), box)
    for j, layer in enumerate(layers):
        alone = projector.tensor(activity[1] * (np.arange(shape[1]) == box[1].start + j)[:, None])
        assert torch.allclose(layer, projector.forward(alone), rtol=1e-4, atol=1e-6 * float(whole.max()))
    weights = projector.tensor(rng.random((2, shape[0], shape[2])))
    told = projector.information(weights)
    for i, j, k in ((10, 4, 9), (20, 12, 20), (18, 10, 1)):
        one = torch.zeros(shape)
        one[i, j, k] = 1.0
        assert float(told[i, j, k]) == pytest.approx(float((weights * projector.forward(one) ** 2).sum()), rel=1e-4)


def test_the_table_is_brightest_first_by_the_fit_of_all_sources(patient):
    grid = patient.model.grid
    at = [np.linalg.solve(grid.ras_from_voxel, [*mm, 1.0])[:3] for mm in ((75.0, 20.0, 545.0), (-60.0, 20.0, 490.0))]
    found = tuple(
        Focus(i, 6.0, np.array([2.0, 5.0, 2.0]), mbq, 0.3, 400.0, 1.0) for i, mbq in zip(at, (4.0, 3.0), strict=True)
    )
    foci = Foci(found, (5.0, 9.0))
    lines = foci_lines(foci, patient.model, np.array([2.0, 3.5]), 0.05)
    rows = [dict(zip(COLUMNS.split(","), line.split(","), strict=True)) for line in lines[1:]]
    assert [(r["focus"], r["x_mm"], r["activity_mbq"], r["contrast"]) for r in rows] == [
        ("1", "-60", "3.5", "9"), ("2", "75", "2", "5"),
    ]  # fmt: skip
    assert rows[1]["organ"] == "liver" and float(rows[0]["activity_mbq_u"]) > 0.3
    assert foci_lines(Foci((), ()), patient.model, np.zeros(0), 0.05) == [COLUMNS]
