"""Uncertainty of organ activities: its parts, its floor, what time points share, and textures sent through the fit."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from planardose.dose.kinetics import fit_curve
from planardose.dose.time_activity import TimeActivity
from planardose.organs import sources
from planardose.physics.calibration import uncalibrated_relative_u
from planardose.recon import texture_error
from planardose.recon.acquired import Acquired
from planardose.recon.qplanar import qplanar
from planardose.recon.texture_error import texture_spread
from planardose.recon.tissues import tissues_of
from planardose.recon.uncertainty import (
    CALIBRATED,
    CLASSES,
    Terms,
    calibration_relative_u,
    class_of,
    factors,
    fit_terms,
    foci_u,
    standard_uncertainty,
)
from planardose.steps.estimates import Estimates

UPTAKE = np.array([0.15, 0.70, 0.65, 0.20, 0.02])
EXPOSURE_S = 30.0
NONE = np.zeros(len(UPTAKE))


@pytest.fixture(scope="module")
def fitted(model, projector):
    responses = projector.organ_responses(model.fractions)
    counts = np.tensordot(UPTAKE, responses.total, axes=1) * EXPOSURE_S
    return responses, qplanar(projector, model, Acquired(counts, None, EXPOSURE_S), responses)


def terms(counts, spread, holds, counting=0.0):
    return Terms(*(np.full(len(UPTAKE), float(x)) for x in (counts, counting, spread, holds)))


def test_every_row_of_the_organ_table_has_a_class():
    for organ in (*sources(), "lesion_7", "remainder", "outside_ct"):
        for method in ("qplanar", "qplanar_mlem", "unet", "diffusion"):
            assert factors()[method][class_of(organ)].texture > 0
    assert len({o for members in CLASSES.values() for o in members}) == sum(map(len, CLASSES.values()))


def test_parts_add_up_and_the_calibration_is_the_whole_of_it_for_a_perfect_fit(model):
    activity = np.full(len(UPTAKE), 10.0)
    method = factors()["qplanar"]
    relative = np.array([method[class_of(o)].relative for o in model.organs])
    for told, share in (((9.2, None), CALIBRATED), ((None, None), uncalibrated_relative_u()), ((9.0, 0.18), 0.02)):
        calibration = calibration_relative_u(*told)
        u = standard_uncertainty("qplanar", model, activity, terms(1e-9, 0, 1e9), NONE, calibration).total_mbq
        assert u == pytest.approx(10.0 * np.hypot(relative, share), rel=1e-6)
    virtual = standard_uncertainty("qplanar", model, activity, terms(1e-9, 0, 1e9), NONE + 0.3, CALIBRATED).total_mbq
    assert virtual == pytest.approx(10.0 * np.hypot(relative, CALIBRATED), rel=1e-6)  # no factor for this method


def test_foci_are_as_uncertain_as_counts_surroundings_and_calibration():
    found = foci_u(np.array([10.0, 2.0]), np.array([1.0, 0.5]), 0.05)
    assert found == pytest.approx([np.sqrt(1.0 + 0.8**2 + 0.5**2), np.sqrt(0.25 + 0.16**2 + 0.1**2)])


def test_the_whole_by_hand(model):
    """Counts and texture in quadrature, no wider than what the organ can hold, then the fit's own error, then scale."""
    found = standard_uncertainty("qplanar_mlem", model, NONE + 10.0, terms(0.8, 0.5, 1.5), NONE, 0.07).total_mbq
    for organ, u in zip(model.organs, found, strict=True):
        f = factors()["qplanar_mlem"][class_of(organ)]
        seen, most = 0.8**2 + (f.texture * 0.5) ** 2, (f.limit * 1.5) ** 2
        assert u**2 == pytest.approx((f.relative * 10.0) ** 2 + seen * most / (seen + most) + 0.7**2, rel=1e-6)


def test_an_empty_organ_keeps_an_uncertainty_and_one_out_of_sight_what_it_can_hold(model):
    empty = standard_uncertainty("qplanar", model, NONE, terms(0.5, 1.0, 1e9), NONE, CALIBRATED)
    assert (empty.total_mbq >= 0.5).all()
    unseen = standard_uncertainty("qplanar", model, NONE, terms(np.inf, 0.0, 2.0), NONE, CALIBRATED)
    limit = np.array([factors()["qplanar"][class_of(o)].limit for o in model.organs])
    assert unseen.total_mbq == pytest.approx(2.0 * limit)


def test_the_part_of_one_time_point_is_less_than_all_and_free_of_the_calibration(model):
    u = [standard_uncertainty("qplanar_mlem", model, 10 + NONE, terms(0.1, 1.0, 9.0), NONE, c) for c in (0.05, 0.15)]
    assert u[0].own_mbq == pytest.approx(u[1].own_mbq)
    assert (u[0].own_mbq < u[0].total_mbq).all() and (u[0].total_mbq < u[1].total_mbq).all()


def test_counting_statistics_are_of_one_time_point_in_full(model):
    """Where counts are all of it, all but the calibration is the time point's own; the total stays."""
    own, of_all = (
        standard_uncertainty("qplanar", model, NONE + 1e-6, terms(2.0, 0.0, 1e9, counting), NONE, CALIBRATED)
        for counting in (2.0, 0.0)
    )
    shared = np.array([factors()["qplanar"][class_of(o)].shared for o in model.organs])
    assert own.total_mbq == pytest.approx(of_all.total_mbq, rel=1e-12)
    assert own.own_mbq == pytest.approx(2.0, rel=1e-6)
    assert of_all.own_mbq == pytest.approx(2.0 * np.sqrt(1 - shared), rel=1e-6)
    half = standard_uncertainty("qplanar", model, NONE, terms(2.0, 0.0, 1e9, np.sqrt(2.0)), NONE, CALIBRATED)
    assert half.own_mbq**2 == pytest.approx(2.0 + 2.0 * (1 - shared))
    unseen = standard_uncertainty("qplanar", model, NONE, terms(np.inf, 0.0, 2.0), NONE, CALIBRATED)
    assert unseen.own_mbq == pytest.approx(np.sqrt(1 - shared) * unseen.total_mbq)


def test_a_hot_organ_is_no_surer_than_its_counts(model):
    """The bound of what a volume can hold is for organs too small to be seen: here it is a hundredth of the activity.

    A kidney of 4.4 MBq with 8000 counts in each view was stated as 0.12 MBq sure by itself, where refits to other
    counts scatter by 0.26 MBq.
    """
    hot = standard_uncertainty("qplanar_mlem", model, 10 + NONE, terms(2.0, 0.0, 0.1, 2.0), NONE, CALIBRATED)
    assert (hot.own_mbq > 1.9).all() and (hot.total_mbq > hot.own_mbq).all()
    empty = standard_uncertainty("qplanar_mlem", model, NONE, terms(2.0, 0.0, 0.1, 2.0), NONE, CALIBRATED)
    limit = np.array([factors()["qplanar_mlem"][class_of(o)].limit for o in model.organs])
    assert (empty.total_mbq <= 0.1 * limit).all()  # what it can hold, as before


def test_counting_part_of_the_fit_is_the_spread_of_refits_to_other_counts(model, projector, fitted):
    responses, fit = fitted
    rng = np.random.default_rng(8)
    draws = [qplanar(projector, model, Acquired(rng.poisson(fit.expected).astype(float), None, EXPOSURE_S), responses)
             for _ in range(80)]  # fmt: skip
    spread = np.std([d.concentrations for d in draws], axis=0)
    assert np.sqrt(np.diag(fit.counting)) == pytest.approx(spread, rel=0.25)  # three standard errors of 80 draws
    assert (np.diag(fit.counting) < np.diag(fit.covariance)).all()


def test_right_curves_are_no_poor_fits_where_counts_dominate(model):
    """Four points, T_eff 60 h, half to nine tenths of the variance from counts: 49 % were flagged `poor_fit`."""
    rng, hours, organ = np.random.default_rng(4), np.array([4.0, 24.0, 72.0, 168.0]), model.organs.index("kidney_left")
    activity = 5.0 * 2 ** (-hours / 60.0)
    counting = 0.15 * np.sqrt(activity / 5.0 + 0.1)
    found = [standard_uncertainty("qplanar", model, a + NONE, terms(np.hypot(n, 0.03 * a), 0, 1e9, n), NONE, CALIBRATED)
             for a, n in zip(activity, counting, strict=True)]  # fmt: skip
    total, own = (np.array([getattr(u, k)[organ] for u in found]) for k in ("total_mbq", "own_mbq"))
    share, rest = factors()["qplanar"]["kidneys"].shared, np.sqrt(total**2 - (CALIBRATED * activity) ** 2 - counting**2)
    poor = []
    for _ in range(300):
        together = np.sqrt(share) * rng.standard_normal() + np.sqrt(1 - share) * rng.standard_normal(4)
        mbq = activity * (1 + CALIBRATED * rng.standard_normal()) + rest * together + counting * rng.standard_normal(4)
        data = TimeActivity(hours, np.maximum(mbq, 1e-6), total, np.sqrt(total**2 - own**2))
        poor.append("poor_fit" in fit_curve(data, 159.528, 7400.0).flags)
    assert 0.02 < np.mean(poor) < 0.09


def test_a_method_without_factors_has_none(model):
    assert np.isnan(standard_uncertainty("mlem", model, NONE, terms(1, 1, 1), NONE, CALIBRATED).total_mbq).all()


def test_spread_foretells_the_errors_of_refits_with_other_textures(model, projector, fitted):
    """Textured maps, projected and fitted by the real non-negative fit: errors of the totals as large as foretold."""
    responses, fit = fitted
    cv = 0.2
    spread = texture_spread(projector, model, fit, responses, EXPOSURE_S)
    rng, square = np.random.default_rng(77), 0.0
    even, volumes, draws = fit.map(model), model.volumes_ml(), 60
    for _ in range(draws):
        activity = even * (1 + cv * texture_error._texture(model, rng))
        shown = projector.forward(projector.tensor(activity)).cpu().numpy() + projector.scatter(activity)
        again = qplanar(projector, model, Acquired(shown * EXPOSURE_S, None, EXPOSURE_S), responses)
        truth = texture_error.split_map(activity, model, fit.concentrations)
        square = square + (again.concentrations * volumes - truth) ** 2
    ratio = np.sqrt(square / draws) / cv / spread
    assert ((ratio > 0.6) & (ratio < 1.7)).all()  # three standard errors of 24 and 60 draws: 17 % each
    assert np.exp(np.log(ratio).mean()) == pytest.approx(1.0, abs=0.25)


def test_what_sources_of_one_organ_take_from_each_other_is_no_error_of_its_total(model, projector, fitted):
    """The remainder and its outermost layer: refits with other textures err as foretold for their sum."""
    responses, even = fitted
    tissues = tissues_of(projector, model, responses)
    sources, hosts, seen = tissues.sources, tissues.hosts, tissues.responses
    fit = qplanar(projector, sources, Acquired(even.expected, None, EXPOSURE_S), seen)
    spread = texture_spread(projector, sources, fit, seen, EXPOSURE_S, hosts)
    rng, cv, square, draws = np.random.default_rng(78), 0.2, 0.0, 40
    shape, volumes = fit.map(sources), sources.volumes_ml()
    for _ in range(draws):
        activity = shape * (1 + cv * texture_error._texture(sources, rng))
        shown = projector.forward(projector.tensor(activity)).cpu().numpy() + projector.scatter(activity)
        again = qplanar(projector, sources, Acquired(shown * EXPOSURE_S, None, EXPOSURE_S), seen)
        truth = texture_error.split_map(activity, sources, fit.concentrations)
        square = square + np.bincount(hosts, again.concentrations * volumes - truth) ** 2
    remainder = model.organs.index("remainder")
    assert len(spread) == len(model.organs)
    assert np.sqrt(square / draws)[remainder] / cv == pytest.approx(spread[remainder], rel=0.5)  # three standard errors
    apart = texture_spread(projector, sources, fit, seen, EXPOSURE_S)
    assert np.sqrt((apart[hosts == remainder] ** 2).sum()) > 1.5 * spread[remainder]


def test_a_neighbour_of_a_hot_organ_is_less_sure(model, projector, fitted):
    responses, fit = fitted
    volumes = model.volumes_ml()
    spread = texture_spread(projector, model, fit, responses, EXPOSURE_S) / volumes
    hot = replace(fit, concentrations=np.where(np.array(model.organs) == "liver", 20.0, 1.0) * fit.concentrations)
    hotter = texture_spread(projector, model, hot, responses, EXPOSURE_S) / volumes
    kidney = model.organs.index("kidney_right")  # behind the liver's lower edge
    assert hotter[kidney] > 1.5 * spread[kidney] > 0
    assert (fit_terms(model, spread, spread, spread, 5.0).holds_mbq).sum() == pytest.approx(5.0)


def test_what_the_images_do_not_show_has_none(model):
    """Its place in the organ table is kept; a small uncertainty would say that it is empty."""
    share = {model.organs[0]: 0.04, model.organs[1]: 0.4}
    bright = terms(2, 1, 5, counting=1)
    made = SimpleNamespace(model=model, relative_u={}, terms=bright, cut=lambda: share,
                           setting=SimpleNamespace(calibration_u=CALIBRATED))  # fmt: skip
    u = Estimates.uncertainty(made, "qplanar", np.full(len(UPTAKE), 10.0))
    whole = standard_uncertainty("qplanar", model, np.full(len(UPTAKE), 10.0), bright, NONE, CALIBRATED)
    for part, all_of_it in ((u.total_mbq, whole.total_mbq), (u.own_mbq, whole.own_mbq)):
        assert np.isnan(part[0]) and np.array_equal(part[1:], all_of_it[1:])
