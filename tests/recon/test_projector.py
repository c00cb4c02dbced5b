"""The analytic projector against slow loops, closed forms and its own transpose."""

import math

import numpy as np
import pytest
import torch

from planardose.heads import opposed_heads
from planardose.physics.attenuation import linear_attenuation_per_mm, mu_per_mm
from planardose.physics.head_response import head_kernel
from planardose.physics.sensitivity import air_sensitivity_cps_per_mbq
from planardose.recon.camera_views import attenuation_factors
from planardose.recon.projector import Projector
from planardose.sim.montecarlo import Options, simulate


def test_adjoint_is_the_transpose(model, camera, nuclide, faces):
    projector = Projector(model, camera, nuclide, faces, dtype=torch.float64)
    generator = torch.Generator().manual_seed(3)
    x = torch.rand(2, *model.grid.shape, generator=generator, dtype=torch.float64)
    y = torch.rand(2, 2, model.grid.shape[0], model.grid.shape[2], generator=generator, dtype=torch.float64)
    left = (projector.forward(x) * y).sum(dim=(1, 2, 3))
    right = (x * projector.adjoint(y)).sum(dim=(1, 2, 3))
    assert torch.allclose(left, right, rtol=1e-12)
    assert torch.allclose(projector.adjoint(y)[1], projector.adjoint(y[1]), rtol=1e-12)
    x.requires_grad_(True)
    (gradient,) = torch.autograd.grad((projector.forward(x) * y).sum(), x)
    assert torch.allclose(gradient, projector.adjoint(y), rtol=1e-12)


@pytest.mark.parametrize("penetration", [False, True])
def test_point_against_a_slow_loop(model, camera, nuclide, faces, penetration):
    """Every pixel of both views of one off-centre voxel: the whole kernel, and attenuation by quadrature."""
    projector = Projector(model, camera, nuclide, faces, penetration=penetration, couch=True, dtype=torch.float64)
    grid, energy = model.grid, nuclide.imaged_line().energy_kev
    i, j, k = 5, 7, 11
    activity = torch.zeros(grid.shape, dtype=torch.float64)
    activity[i, j, k] = 2.5
    views = projector.forward(activity).numpy()
    mu = mu_per_mm(model.partial_density.astype(np.float64), energy)
    parts = (np.arange(200) + 0.5) / 200 - 0.5
    couch = math.exp(-linear_attenuation_per_mm("aluminium", energy) * camera.couch_mm)
    for v, sign in enumerate((1, -1)):
        depths = [
            sum(mu[i, m, k] * 20 for m in (range(j + 1, 11) if sign > 0 else range(j))) + mu[i, j, k] * 20 * (0.5 - p)
            for p in parts
        ]
        attenuation = np.mean(np.exp(-np.array(depths))) * (1.0 if sign > 0 else couch)
        distance = sign * (faces[v] - grid.axis_mm(1)[j])
        kernel = head_kernel(camera, nuclide.photopeak, energy, distance, (20.0, 20.0), penetration)
        air = air_sensitivity_cps_per_mbq(camera, nuclide, nuclide.photopeak, penetration)
        expected = np.zeros(views[v].shape)
        a, b = (n // 2 for n in kernel.shape)
        for (p, q), share in np.ndenumerate(kernel / kernel.sum()):
            if 0 <= i + p - a < expected.shape[0] and 0 <= k + q - b < expected.shape[1]:
                expected[i + p - a, k + q - b] = 2.5 * air * attenuation * share
        assert np.linalg.norm(views[v] - expected) < 0.02 * np.linalg.norm(expected)  # terms left out
        assert views[v].sum() == pytest.approx(expected.sum(), rel=1e-3)
        assert views[v][i, k] == pytest.approx(expected[i, k], rel=0.01)


@pytest.mark.parametrize("penetration", [False, True])
def test_primary_is_the_monte_carlos(model, camera, nuclide, faces, penetration):
    """Closed form against closed form through two codes: what differs is the terms left out of the blur."""
    concentration = np.array([0.15, 0.70, 0.65, 0.20, 0.02]) * model.grid.voxel_ml
    activity = np.tensordot(concentration, model.fractions.astype(np.float64), axes=1)
    setting = (model.partial_density, activity, model.grid, camera, nuclide, (nuclide.photopeak,))
    heads, options = opposed_heads(faces, camera.couch_mm), Options(penetration=penetration)
    true = simulate(*setting, heads, 1e4, 1, options).primary[:, 0]
    projector = Projector(model, camera, nuclide, faces, penetration=penetration, couch=True)
    ours = projector.forward(projector.tensor(activity)).numpy()
    assert np.linalg.norm(ours - true) < 0.005 * np.linalg.norm(true)
    assert ours.sum(axis=(1, 2)) == pytest.approx(true.sum(axis=(1, 2)), rel=2e-3)
    other = Projector(model, camera, nuclide, faces, penetration=not penetration, couch=True)
    assert np.linalg.norm(other.forward(other.tensor(activity)).numpy() - true) > 0.05 * np.linalg.norm(true)


def test_counts_are_conserved_without_attenuation(model, camera, nuclide, faces):
    empty = type(model)(model.grid, model.organs, model.fractions, 0 * model.partial_density)
    activity = torch.zeros(model.grid.shape)
    activity[9, 3:8, 7] = 1.0
    for penetration, least in ((False, 1.0), (True, 0.97)):  # of the penetrating tail some leaves the grid
        air = air_sensitivity_cps_per_mbq(camera, nuclide, nuclide.photopeak, penetration)
        rates = Projector(empty, camera, nuclide, faces, 0.8, penetration).forward(activity).sum(dim=(1, 2)).numpy()
        assert (rates <= 5 * 0.8 * air * (1 + 1e-5)).all()
        assert (rates >= least * 5 * 0.8 * air * (1 - 1e-5)).all()


def test_attenuation_factors_closed_form():
    mu = np.full((1, 6, 1), 0.014)
    factors = attenuation_factors(mu, 12.0)
    exact = [(math.exp(-0.014 * 12 * n) - math.exp(-0.014 * 12 * (n + 1))) / (0.014 * 12) for n in range(6)]
    assert factors[1, 0, :, 0] == pytest.approx(exact, rel=1e-12)
    assert factors[0, 0, ::-1, 0] == pytest.approx(exact, rel=1e-12)


def test_ratio_of_views_tells_the_depth(model, camera, nuclide, faces):
    """Anterior over posterior of a voxel is exp(mu (d_p - d_a)); their product does not depend on depth."""
    projector = Projector(model, camera, nuclide, faces, dtype=torch.float64)
    mu = float(mu_per_mm(model.partial_density.astype(np.float64), nuclide.imaged_line().energy_kev).max())
    products = []
    for j in (4, 6):
        activity = torch.zeros(model.grid.shape, dtype=torch.float64)
        activity[9, j, 7] = 1.0
        total = projector.forward(activity).sum(dim=(1, 2))
        occupied = np.flatnonzero(model.partial_density[1, 9, :, 7])
        difference = (j - occupied[0]) - (occupied[-1] - j)
        assert float(total[0] / total[1]) == pytest.approx(math.exp(mu * 20 * difference), rel=2e-3)
        products.append(float(total[0] * total[1]))
    assert products[0] == pytest.approx(products[1], rel=2e-3)


def test_face_inside_the_body_is_refused(model, camera, nuclide):
    with pytest.raises(ValueError, match="inside the body"):
        Projector(model, camera, nuclide, (20.0, -152.0))


def test_organ_responses_are_per_concentration(model, projector):
    responses = projector.organ_responses(model.fractions)
    activity = model.fractions[1] * np.float32(model.grid.voxel_ml)
    assert responses.primary[1] == pytest.approx(projector.forward(torch.as_tensor(activity)).numpy(), rel=1e-6)
    assert responses.scatter[1] == pytest.approx(projector.scatter(activity), rel=1e-6)
    assert 0.15 < responses.scatter[1].sum() / responses.primary[1].sum() < 0.6


def test_arrays_and_torch_give_the_same_primary(model, camera, nuclide, faces):
    projector = Projector(model, camera, nuclide, faces, couch=True)
    activity = np.random.default_rng(4).random(model.grid.shape)
    by_torch = projector.forward(projector.tensor(activity)).numpy()
    np.testing.assert_allclose(projector.primary(activity), by_torch, rtol=1e-5)


def test_primary_totals_hold_what_leaves_the_grid(model, camera, nuclide, faces):
    """Without attenuation the sensitivity in air; with it the sum of the views, where little leaves them."""
    empty = type(model)(model.grid, model.organs, model.fractions, 0 * model.partial_density)
    air = air_sensitivity_cps_per_mbq(camera, nuclide, nuclide.photopeak)
    found = Projector(empty, camera, nuclide, faces, 0.8).primary_totals(empty.fractions)
    assert found == pytest.approx(np.repeat(0.8 * air * empty.volumes_ml()[:, None], 2, axis=1), rel=1e-5)
    for penetration, least in ((False, 0.999), (True, 0.95)):
        projector = Projector(model, camera, nuclide, faces, penetration=penetration, couch=True)
        seen = projector.organ_responses(model.fractions).primary.sum(axis=(2, 3))[1:3]  # kidneys, far from the edges
        totals = projector.primary_totals(model.fractions)[1:3]
        assert (seen <= totals * (1 + 1e-5)).all() and (seen >= least * totals).all()
