"""A prior image on a small patient of known truth: registration, shapes, and the check by the planar counts."""

from dataclasses import dataclass, replace

import numpy as np
import pytest
from scipy import ndimage
from small_patient import ball, make_model

from planardose.image import Volume
from planardose.recon.acquired import Acquired
from planardose.recon.mlem import mlem
from planardose.recon.prior_align import (
    lattice_by_organs,
    match_organs,
    resampled,
    resampled_on,
)
from planardose.recon.prior_check import Checker
from planardose.recon.prior_shapes import Anatomy, PriorImage, Sources, blurred, shapes_of, voxel_kernel
from planardose.recon.prior_use import Fitted
from planardose.recon.projector import Projector
from planardose.recon.qplanar import qplanar, with_modelled_scatter
from planardose.sim.texture import gaussian_field

MBQ_ML = np.array([0.15, 0.70, 0.65, 0.20, 0.02])
EXPOSURE_S = 60.0
LESION_MM, RADIUS_MM, LESION_MBQ_ML = (-60.0, 20.0, 490.0), 12.0, 0.8
FWHM_MM = 6.0


@dataclass(frozen=True)
class Scene:
    """The patient at 10 mm, the truth and an image of it at 5 mm, and counts of both views."""

    model: object
    fine: object
    projector: object
    truth: np.ndarray  # MBq per voxel of the model
    image: Volume
    acquired: Acquired
    responses: object


def pooled(fine):
    """Means of 2 x 2 x 2 voxels of (..., 72, 40, 56)."""
    return fine.reshape(*fine.shape[:-3], 36, 2, 20, 2, 28, 2).mean(axis=(-5, -3, -1))


def two_grids():
    """The patient at 10 mm with the exact fractions of the one at 5 mm."""
    fine, coarse = make_model(5.0, (72, 40, 56)), make_model(10.0, (36, 20, 28))
    fractions, density = pooled(fine.fractions), pooled(fine.partial_density)
    return replace(coarse, fractions=fractions, partial_density=density), fine


def volume_of(fine, concentration, texture_seed, lesion, cv=0.3):
    texture = np.exp(cv * gaussian_field(fine.grid, 35.0, texture_seed))
    per_ml = np.tensordot(concentration, fine.fractions, axes=1) * texture
    return per_ml + lesion * LESION_MBQ_ML * ball(fine.grid, LESION_MM, RADIUS_MM)


def seen(fine, per_ml):
    """The image of a concentration: blurred, on the fine grid."""
    sigma = FWHM_MM / np.sqrt(8 * np.log(2)) / fine.grid.spacing_mm
    return Volume(ndimage.gaussian_filter(per_ml, sigma), fine.grid, "activity concentration", "arbitrary")


@pytest.fixture(scope="module")
def scene(camera, nuclide, faces):
    model, fine = two_grids()
    assert PriorImage.grid_of(model).same_as(fine.grid)
    projector = Projector(model, camera, nuclide, faces)
    per_ml = volume_of(fine, MBQ_ML, 8, 1.0)
    truth = pooled(per_ml) * model.grid.voxel_ml
    rate = projector.forward(projector.tensor(truth)).numpy().astype(np.float64) + projector.scatter(truth)
    counts = np.random.default_rng(1).poisson(rate * EXPOSURE_S).astype(np.float64)
    # other amounts than at the therapy: only the shapes are the same
    image = seen(fine, volume_of(fine, MBQ_ML * (0.6, 1.5, 1.4, 2.0, 0.8), 8, 1.7))
    responses = projector.organ_responses(model.fractions)
    acquired = Acquired(counts, np.zeros_like(counts), EXPOSURE_S)
    return Scene(model, fine, projector, truth, image, acquired, responses)


@pytest.fixture(scope="module")
def checker(scene):
    return Checker(scene.projector, scene.model, scene.acquired, scene.responses)


def moved(scene, mm, image=None):
    """The image as if the patient had lain `mm` elsewhere."""
    at = np.eye(4)
    at[:3, 3] = np.negative(mm)
    return resampled(image or scene.image, scene.model, at)


def error(scene, sources, responses):
    """MAE of QPlanar with 4 MLEM iterations, and the activity in the lesion's voxels over the true one."""
    fit = qplanar(scene.projector, sources, scene.acquired, responses)
    acquired = with_modelled_scatter(scene.acquired, fit, responses)
    found = mlem(scene.projector, acquired, fit.map(sources), 4)
    near = ball(scene.model.grid, LESION_MM, RADIUS_MM) > 0.5
    return np.abs(found - scene.truth).mean() / scene.truth.mean(), found[near].sum() / scene.truth[near].sum()


def with_decision(scene, decision):
    sources = decision.sources.textured
    return error(scene, sources, scene.projector.organ_responses(sources.fractions))


@pytest.mark.parametrize("fwhm_mm", [4.0, 9.0, 20.0])
def test_kernel_is_the_mean_of_a_blurred_voxel(fwhm_mm):
    kernel, fine = voxel_kernel(fwhm_mm, 10.0), 200
    line = np.zeros(len(kernel) * fine)
    middle = len(kernel) // 2
    line[middle * fine : (middle + 1) * fine] = 1.0
    smooth = ndimage.gaussian_filter1d(line, fwhm_mm / np.sqrt(8 * np.log(2)) / 10.0 * fine, truncate=8)
    assert kernel == pytest.approx(smooth.reshape(-1, fine).mean(axis=1), abs=2e-4)
    assert kernel.sum() == pytest.approx(1.0, abs=1e-4)


def test_an_evenly_filled_image_has_ratio_one_at_borders_too_and_no_focus(scene):
    even = seen(scene.fine, np.tensordot(MBQ_ML, scene.fine.fractions, axes=1))
    shapes = shapes_of(moved(scene, (0, 0, 0), even), Anatomy(scene.model))
    body = scene.model.fractions.sum(axis=0) > 0.99
    naive = pooled(even.data) / np.tensordot(MBQ_ML, scene.model.fractions, axes=1).clip(1e-9)
    off, plain = (np.abs(r[body] - 1) for r in (shapes.ratio, naive))
    assert np.quantile(off, 0.98) < 0.15 < 0.2 < np.quantile(plain, 0.98)
    assert len(shapes.foci) == 0
    # the image's blur of 6 mm, or a neighbour in the list: 10 mm voxels tell no better
    assert shapes.evenly.fwhm_mm in (4.0, 6.0, 8.0)
    relative = shapes.evenly.means / shapes.evenly.means[0] / (MBQ_ML / MBQ_ML[0])
    assert relative == pytest.approx(1.0, abs=0.03)


def test_texture_and_focus_are_those_of_the_image(scene):
    shapes = shapes_of(moved(scene, (0, 0, 0)), Anatomy(scene.model))
    assert [scene.model.organs[h] for h in shapes.hosts] == ["remainder"]
    grid, focus = scene.model.grid, shapes.foci[0]
    across = [focus.sum(axis=tuple(b for b in range(3) if b != a)) for a in range(3)]
    centre = [(s * grid.axis_mm(a)).sum() / focus.sum() for a, s in enumerate(across)]
    assert centre == pytest.approx(LESION_MM, abs=2.0)
    liver = scene.model.fractions[0] > 0.99
    true = scene.truth[liver] / scene.truth[liver].mean()
    assert np.corrcoef(shapes.ratio[liver], true)[0, 1] > 0.9


def test_textured_organs_keep_their_volumes(scene):
    shapes = shapes_of(moved(scene, (0, 0, 0)), Anatomy(scene.model))
    textured = Sources(scene.model, shapes, 1.0, (0,)).textured
    assert textured.organs == (*scene.model.organs, "focus_1")
    assert textured.volumes_ml()[:-1] == pytest.approx(scene.model.volumes_ml(), rel=1e-5)
    half = Sources(scene.model, shapes, 0.5, ()).textured.fractions[0] - scene.model.fractions[0]
    assert np.abs(half).max() > 0.02


def test_a_right_image_lowers_the_error_by_a_quarter_and_shows_the_lesion(scene, checker):
    decision = checker.check(moved(scene, (1.0, -1.0, 2.0)))
    assert decision.sources is not None and decision.sources.weight == 1.0
    assert decision.misfit_with < 0.6 * decision.misfit_without
    (alone, missed), (mae, lesion) = error(scene, scene.model, scene.responses), with_decision(scene, decision)
    assert mae < 0.75 * alone
    assert missed < 0.5 and lesion == pytest.approx(1.0, abs=0.15)


@pytest.mark.parametrize("off", [(0.0, 0.0, 8.0), (-7.0, 0.0, 0.0), (0.0, 6.0, 0.0)])
def test_a_displaced_image_is_moved_back(scene, checker, off):
    decision = checker.check(moved(scene, off))
    assert decision.shift_mm == pytest.approx(np.negative(off), abs=2.6)  # half the image's voxel
    assert with_decision(scene, decision)[0] < 0.8 * error(scene, scene.model, scene.responses)[0]


def test_an_image_with_another_texture_and_a_wrong_lesion_gives_neither(scene, checker):
    wrong = volume_of(scene.fine, MBQ_ML, 77, 0.0)
    wrong = wrong + LESION_MBQ_ML * ball(scene.fine.grid, (20.0, 30.0, 470.0), RADIUS_MM)
    decision = checker.check(moved(scene, (0, 0, 0), seen(scene.fine, wrong)))
    assert decision.sources is None
    assert np.isnan(decision.misfit_with) or decision.misfit_with > 0.95 * decision.misfit_without


def test_a_registered_image_with_another_texture_is_not_used(scene, checker):
    decision = checker.check(moved(scene, (0, 0, 0), seen(scene.fine, volume_of(scene.fine, MBQ_ML, 5, 0.0))))
    assert decision.sources is None and decision.reason == "it does not explain the counts better"
    assert decision.misfit_with > 0.95 * decision.misfit_without


def test_an_image_too_far_off_is_not_used(scene, checker):
    far = checker.check(moved(scene, (0.0, 0.0, 17.0)))
    assert far.sources is None and "off the anatomy" in far.reason


def test_foci_count_to_their_organ_and_rows_add_up(scene, checker):
    decision = checker.check(moved(scene, (0, 0, 0)))
    sources = decision.sources.textured
    responses = scene.projector.organ_responses(sources.fractions)
    fitted = Fitted(scene.model, sources, decision.sources.hosts, responses, decision)
    fit = qplanar(scene.projector, sources, scene.acquired, responses)
    activity = fit.map(sources)
    rows = fitted.rows(activity, fit)
    assert len(rows) == len(scene.model.organs)
    assert rows.sum() == pytest.approx(activity.sum(), rel=1e-6)
    per_ml = volume_of(scene.fine, MBQ_ML, 8, 1.0)
    true = np.array([(per_ml * f).sum() for f in scene.fine.fractions]) * scene.fine.grid.voxel_ml
    assert rows == pytest.approx(true, rel=0.12)
    assert fitted.split(fit) * scene.model.volumes_ml() == pytest.approx(rows, rel=1e-3)
    u = fitted.u(fit)
    alone = np.sqrt(np.diag(fit.covariance))[:-1] * scene.model.volumes_ml()
    assert (u[:-1] == pytest.approx(alone[:-1], rel=1e-6)) and 0 < u[-1] < 0.05 * rows[-1]
    told = fitted.told(fit)["foci"]
    assert [f["counted_in"] for f in told] == ["remainder"]
    true_mbq = (LESION_MBQ_ML * ball(scene.fine.grid, LESION_MM, RADIUS_MM)).sum() * scene.fine.grid.voxel_ml
    assert told[0]["excess_mbq"] == pytest.approx(true_mbq, rel=0.25)


def test_the_organs_place_an_image_in_three_dimensions(scene):
    anatomy, off = Anatomy(scene.model), np.array([5.0, -7.0, 8.0])
    at = np.eye(4)
    at[:3, 3] = -off
    shifted = Volume(
        resampled_on(scene.image, scene.fine.grid, at, 0.0), scene.fine.grid, scene.image.quantity, "arbitrary"
    )
    match = match_organs(shifted, anatomy, np.eye(4), turning=False)
    assert match.parameters[:3] == pytest.approx(off, abs=1.6)
    assert match.explained > match.explained_before + 0.1


def test_an_image_of_another_frame_is_found_over_all_shifts(scene):
    frame = scene.image.grid.ras_from_voxel.copy()
    frame[:3, 3] += (130.0, -70.0, 400.0)
    other = Volume(scene.image.data, type(scene.image.grid)(scene.image.grid.shape, frame), "a", "arbitrary")
    found = lattice_by_organs(other, Anatomy(scene.model))
    assert found[:3, 3] == pytest.approx([130.0, -70.0, 400.0], abs=10.1)


def test_kernel_blur_keeps_the_total_of_an_organ(scene):
    kidney = scene.model.fractions[1]
    assert blurred(kidney, 8.0, scene.model.grid.spacing_mm).sum() == pytest.approx(kidney.sum(), rel=1e-3)
