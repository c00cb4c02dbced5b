"""A pair with oblique views: from the camera's images to a better map."""

from dataclasses import replace
from datetime import datetime

import numpy as np
import pytest

from planardose.errors import InputError
from planardose.frames import PlanarPose
from planardose.planar import MoreViews, PlanarPair
from planardose.recon.all_views import all_heads, axis_mm, with_all_views
from planardose.recon.angles import AngledProjector
from planardose.recon.gate import check
from planardose.recon.mlem import mlem
from planardose.recon.qplanar import qplanar, with_modelled_scatter
from planardose.recon.setting import Setting

CONCENTRATION = np.array([0.15, 0.70, 0.65, 0.20, 0.02])
ANGLES, SECONDS = (45.0, 225.0), 300.0
POSE = PlanarPose(13.0, 490.0)
CENTRE_Y = -20.0  # of rotation: 13 mm from the body's axis


@pytest.fixture(scope="module")
def organs(model):
    return np.tensordot(CONCENTRATION * model.grid.voxel_ml, model.fractions.astype(np.float64), axes=1)


@pytest.fixture(scope="module")
def eye(model, camera, nuclide, faces):
    """The camera around its own centre of rotation."""
    heads = all_heads(model, MoreViews(ANGLES, np.zeros((2, 1, 1, 1))), faces, 0.0)
    return AngledProjector(model, camera, nuclide, heads)


def seen_by(model, eye, projector, true, centre_y=CENTRE_Y) -> Setting:
    """As `load_setting` makes it, from noise-free images of a camera that turns at `centre_y`."""
    grid, c = eye.grid, eye.columns
    counts = (eye.forward(eye.tensor(true)).numpy() + eye.scatter(true)) * SECONDS
    rows, columns, pixel = 60, 100, 5.0
    images = []
    for head, view in zip(eye.heads, counts, strict=True):
        middle = float(head.tangent[:2] @ np.array([POSE.x_mm, centre_y]))
        u = middle + (np.arange(columns) - (columns - 1) / 2) * pixel
        z = POSE.z_mm + (np.arange(rows) - (rows - 1) / 2) * pixel
        at_u = np.floor((u - c.first_mm) / c.width_mm).astype(int)
        at_z = np.floor((z - grid.axis_mm(2)[0]) / 20.0 + 0.5).astype(int)
        padded = np.pad(view, 30)  # nothing beyond the grid
        along = padded[at_u + 30][:, at_z + 30] / 16  # a pixel of 5 mm has its share of one of 20 mm
        growing = np.cross([0.0, 0.0, 1.0], head.normal)  # column, for an observer behind the head
        images.append((along if growing @ head.tangent > 0 else along[::-1]).T[::-1][None])
    stack = np.array(images, dtype=np.float32)
    pair = PlanarPair(stack[:2], (eye.nuclide.photopeak,), (pixel, pixel), SECONDS, datetime(2026, 1, 5, 9), SECONDS,
                      more=MoreViews(ANGLES, stack[2:]))  # fmt: skip
    return Setting(model, pair, projector, projector, "177Lu", "P01 t24", True, 0.05, eye)


def test_heads_clear_the_body_or_stand_where_told(model, faces):
    centre = np.array(axis_mm(model))
    heads = all_heads(model, MoreViews((90.0, 200.0), np.zeros((2, 1, 1, 1)), (260.0, 10.0)), faces, 1.0)
    assert [h.angle_deg for h in heads] == [0.0, 180.0, 90.0, 200.0]
    assert heads[2].distance_mm == pytest.approx(centre[0] + 260.0)
    assert heads[3].distance_mm > 80.0  # 10 mm from the axis would be inside
    assert [h.aluminium_mm for h in heads] == [0.0, 1.0, 0.0, 1.0]


def test_every_view_lands_in_the_patients_frame(model, eye, projector, organs):
    """Images are mirrored as cameras show them; laid back they are the projector's own, and the organs come out."""
    setting = seen_by(model, eye, projector, organs)
    views = with_all_views(setting, POSE)
    assert views.centre_y_mm == pytest.approx(CENTRE_Y, abs=4.0)
    assert views.acquired.counts.shape == tuple(setting.more.seen.shape)
    responses = views.projector.organ_responses(setting.model.fractions)
    fit = qplanar(views.projector, setting.model, views.acquired, responses)
    for organ, c in zip(setting.model.organs[:4], CONCENTRATION, strict=False):
        assert fit.concentrations[setting.model.organs.index(organ)] == pytest.approx(c, rel=0.1), organ
    wrong = with_all_views(setting, PlanarPose(-POSE.x_mm - 40.0, POSE.z_mm))
    assert qplanar(wrong.projector, setting.model, wrong.acquired, responses).misfit > 2 * fit.misfit


def test_a_centre_of_rotation_far_off_is_found_or_refused(model, eye, projector, organs):
    """The table stands 73 mm high or low; beyond the search the place is not guessed (it was put 55 mm off)."""
    for centre_y in (-80.0, 66.0):
        views = with_all_views(seen_by(model, eye, projector, organs, centre_y), POSE)
        assert views.centre_y_mm == pytest.approx(centre_y, abs=4.0)
    with pytest.raises(InputError, match="centre of rotation 102 mm off the body's axis"):
        with_all_views(seen_by(model, eye, projector, organs, -150.0), POSE)


def test_what_the_images_do_not_show_is_not_measured_as_zero(model, eye, projector, organs):
    """A static field over liver and spleen: the kidneys below it are not known, and nothing else is drawn down."""
    setting = seen_by(model, eye, projector, organs)
    rows, top = 28, POSE.z_mm + 150.0
    upper = replace(setting.pair, counts=setting.pair.counts[:, :, :rows].copy(), more=None)
    acquired = replace(setting, pair=upper, more=None).acquired(PlanarPose(POSE.x_mm, top - rows * 2.5))
    z = model.grid.axis_mm(2)
    assert not acquired.of_body[:, :, (z < top - rows * 5.0 + 9) | (z > top - 9)].any()
    fit = qplanar(projector, model, acquired, setting.responses)
    for organ in ("liver", "spleen", "remainder"):
        at = model.organs.index(organ)
        assert fit.concentrations[at] == pytest.approx(CONCENTRATION[at], rel=0.1), organ
    for organ in ("kidney_right", "kidney_left"):
        at = model.organs.index(organ)
        assert fit.concentrations[at] == 0 and np.isinf(fit.covariance[at, at]), organ
    found = mlem(projector, with_modelled_scatter(acquired, fit, setting.responses), organs, 4)
    hidden = z < 420  # beyond the reach of the blur the map keeps what it was given
    assert found[:, :, hidden] == pytest.approx(organs[:, :, hidden], rel=1e-5)
    expected = np.tensordot(fit.concentrations, setting.responses.total, axes=1) * SECONDS
    assert check(model, acquired.counts, expected, 1.5, looked_at=acquired.of_body).passed
    assert not check(model, acquired.counts, expected, 1.5).passed


def test_views_from_aside_are_not_measured_beyond_their_images(model, eye, projector, organs):
    setting = seen_by(model, eye, projector, organs)
    more = replace(setting.pair.more, counts=setting.pair.more.counts[..., 20:-20])  # 300 of 500 mm across
    cut = replace(setting, pair=replace(setting.pair, counts=setting.pair.counts[..., 20:-20], more=more))
    whole, part = (with_all_views(s, POSE) for s in (setting, cut))
    assert 0.5 * whole.acquired.of_body.sum() < part.acquired.of_body.sum() < whole.acquired.of_body.sum()
    responses = whole.projector.organ_responses(model.fractions)
    fits = [qplanar(v.projector, model, v.acquired, responses).concentrations for v in (whole, part)]
    assert fits[1] == pytest.approx(fits[0], rel=0.05)


def test_the_lesion_is_found_better_than_by_the_pair(model, eye, projector, organs):
    """A lesion that the model does not know."""
    true = organs.copy()
    true[6:8, 3:5, 4:6] += 30.0
    setting = seen_by(model, eye, projector, true)
    views = with_all_views(setting, POSE)
    pair = setting.acquired(POSE)
    errors = []
    for projector, seen, responses in (
        (setting.projector, pair, setting.responses),
        (views.projector, views.acquired, views.projector.organ_responses(setting.model.fractions)),
    ):  # fmt: skip
        fit = qplanar(projector, setting.model, seen, responses)
        acquired = with_modelled_scatter(seen, fit, responses)
        found = mlem(projector, acquired, fit.map(setting.model), 10)
        errors.append(np.abs(found - true).sum() / true.sum())
    assert errors[1] < 0.9 * errors[0]
