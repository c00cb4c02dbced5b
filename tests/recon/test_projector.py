"""The analytic projector against slow loops, closed forms and its own transpose."""

import math

import numpy as np
import pytest
import torch

from planardose.physics.attenuation import mu_per_mm
from planardose.physics.collimator import FWHM_PER_SIGMA, fwhm_mm
from planardose.physics.sensitivity import air_sensitivity_cps_per_mbq
from planardose.recon.projector import Projector, attenuation_factors, blur_matrix


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


def test_point_against_a_slow_loop(model, camera, nuclide, faces):
    """Every pixel of both views of one off-centre voxel, by quadrature of Gaussians written out."""
    projector = Projector(model, camera, nuclide, faces, dtype=torch.float64)
    grid, energy = model.grid, nuclide.imaged_line().energy_kev
    i, j, k = 5, 7, 11
    activity = torch.zeros(grid.shape, dtype=torch.float64)
    activity[i, j, k] = 2.5
    views = projector.forward(activity).numpy()
    mu = mu_per_mm(model.partial_density.astype(np.float64), energy)
    air = air_sensitivity_cps_per_mbq(camera, nuclide, nuclide.photopeak)
    parts = (np.arange(200) + 0.5) / 200 - 0.5
    for v, sign in enumerate((1, -1)):
        depths = [
            sum(mu[i, m, k] * 20 for m in (range(j + 1, 11) if sign > 0 else range(j))) + mu[i, j, k] * 20 * (0.5 - p)
            for p in parts
        ]
        attenuation = np.mean(np.exp(-np.array(depths)))
        sigma = fwhm_mm(camera, sign * (faces[v] - grid.axis_mm(1)[j]), energy) / FWHM_PER_SIGMA
        for pixel_i, pixel_k in ((5, 11), (4, 11), (6, 10), (5, 13), (9, 3)):
            share = 1.0
            for offset in (pixel_i - i, pixel_k - k):
                edges = (20 * (offset - parts)[:, None] + np.array([-10, 10])) / sigma
                share *= np.mean([0.5 * (math.erf(b / 2**0.5) - math.erf(a / 2**0.5)) for a, b in edges])
            assert views[v, pixel_i, pixel_k] == pytest.approx(2.5 * air * attenuation * share, rel=2e-4, abs=1e-9)
        assert np.unravel_index(views[v].argmax(), views[v].shape) == (i, k)


def test_counts_are_conserved_without_attenuation(model, camera, nuclide, faces):
    empty = type(model)(model.grid, model.organs, model.fractions, 0 * model.partial_density)
    activity = torch.zeros(model.grid.shape)
    activity[9, 3:8, 7] = 1.0
    air = air_sensitivity_cps_per_mbq(camera, nuclide, nuclide.photopeak)
    rates = Projector(empty, camera, nuclide, faces, scale=0.8).forward(activity)
    assert rates.sum(dim=(1, 2)).numpy() == pytest.approx(np.full(2, 5 * 0.8 * air), rel=1e-5)


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


def test_blur_matrix_limits():
    assert blur_matrix(0.0, 5, 10.0) == pytest.approx(np.eye(5))
    wide = blur_matrix(14.0, 101, 4.0)
    assert wide[:, 50].sum() == pytest.approx(1.0, abs=1e-9)
    offset = (np.arange(101) - 50) * 4.0
    assert (wide[:, 50] * offset**2).sum() == pytest.approx(14.0**2 + 2 * 4.0**2 / 12, rel=1e-3)


def test_face_inside_the_body_is_refused(model, camera, nuclide):
    with pytest.raises(ValueError, match="inside the body"):
        Projector(model, camera, nuclide, (20.0, -152.0))


def test_organ_responses_are_per_concentration(model, projector):
    responses = projector.organ_responses(model.fractions)
    activity = model.fractions[1] * np.float32(model.grid.voxel_ml)
    assert responses.primary[1] == pytest.approx(projector.forward(torch.as_tensor(activity)).numpy(), rel=1e-6)
    assert responses.scatter[1] == pytest.approx(projector.scatter(activity), rel=1e-6)
    assert 0.15 < responses.scatter[1].sum() / responses.primary[1].sum() < 0.6
