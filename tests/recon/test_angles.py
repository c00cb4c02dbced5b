"""The projector of heads at any angle against the opposed pair's, slow loops, the Monte Carlo and its own transpose."""

import numpy as np
import pytest
import torch

from planardose.heads import Columns, Head, opposed_heads
from planardose.patient_model import PatientModel
from planardose.physics.attenuation import mu_per_mm
from planardose.physics.head_response import head_kernel
from planardose.physics.sensitivity import air_sensitivity_cps_per_mbq
from planardose.recon.acquired import Acquired
from planardose.recon.angles import AngledProjector, escape
from planardose.recon.mlem import mlem
from planardose.recon.qplanar import qplanar

CONCENTRATION = np.array([0.15, 0.70, 0.65, 0.20, 0.02])
OBLIQUE = (Head(45.0, 190.0), Head(225.0, 190.0))


@pytest.fixture(scope="module")
def activity(model):
    return np.tensordot(CONCENTRATION * model.grid.voxel_ml, model.fractions.astype(np.float64), axes=1)


@pytest.fixture(scope="module")
def pair(model, camera, nuclide, faces):
    return AngledProjector(model, camera, nuclide, opposed_heads(faces))


def test_adjoint_is_the_transpose(model, camera, nuclide):
    heads = tuple(Head(a, 190.0, (200.0, 300.0), (500.0, 0.0)) for a in (0.0, 17.0, 90.0, 201.0, 333.0))
    projector = AngledProjector(model, camera, nuclide, heads, dtype=torch.float64)
    generator = torch.Generator().manual_seed(3)
    x = torch.rand(model.grid.shape, generator=generator, dtype=torch.float64)
    y = torch.rand(tuple(projector.seen.shape), generator=generator, dtype=torch.float64)
    assert float((projector.forward(x) * y).sum()) == pytest.approx(float((x * projector.adjoint(y)).sum()), rel=1e-12)
    part = [3, 1]
    assert torch.equal(projector.forward(x, part), projector.forward(x)[part])
    left, right = (projector.forward(x, part) * y[part]).sum(), (x * projector.adjoint(y[part], part)).sum()
    assert float(left) == pytest.approx(float(right), rel=1e-12)
    outside = ~projector.seen.bool()
    assert outside.any() and (projector.forward(x)[outside] == 0).all()


def test_opposed_heads_are_the_planar_projector(projector, pair, activity):
    """The finer columns of the comb change the kernel's second term: 1e-4."""
    theirs, ours = (p.forward(p.tensor(activity)).numpy() for p in (projector, pair))
    assert np.linalg.norm(ours - theirs) < 5e-4 * np.linalg.norm(theirs)
    assert ours.sum(axis=(1, 2)) == pytest.approx(theirs.sum(axis=(1, 2)), rel=1e-4)
    scatter = projector.scatter(activity)
    assert np.linalg.norm(pair.scatter(activity) - scatter) < 5e-3 * np.linalg.norm(scatter)


def test_escape_is_a_march_through_the_slice(model, nuclide):
    """exp of the path of many small steps from the voxel's centre, times the mean over the voxel for small voxels."""
    mu = mu_per_mm(model.partial_density.astype(np.float64), nuclide.imaged_line().energy_kev)
    mu = mu * np.linspace(0.5, 1.5, mu.shape[0])[:, None, None]
    grid, head, step = model.grid, Head(37.0, 200.0), 0.02
    got = escape(mu, grid, head)
    for i, j in ((4, 5), (9, 2), (14, 7)):
        along = (np.arange(0, 400, step) + step / 2)[:, None] * head.normal[:2] / 20.0
        a, b = np.floor(np.array([i, j]) + along + 0.5).astype(int).T
        inside = (a >= 0) & (a < mu.shape[0]) & (b >= 0) & (b < mu.shape[1])
        expected = np.exp(-mu[a[inside], b[inside], 7].sum() * step)
        for n in head.normal[:2]:
            half = 0.5 * mu[i, j, 7] * abs(n) * 20.0
            expected *= np.sinh(half) / half
        assert got[i, j, 7] == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize("angle", [20.0, 61.0, 90.0, 245.0])
def test_point_lands_where_the_geometry_says(model, camera, nuclide, angle):
    """Total and every column of one voxel, on columns that no voxel's centre meets."""
    head = Head(angle, 190.0)
    columns = Columns(-263.37, 27, 20.0)
    empty = PatientModel(model.grid, model.organs, model.fractions, 0 * model.partial_density)
    projector = AngledProjector(
        empty, camera, nuclide, (head,), penetration=False, columns=columns, dtype=torch.float64
    )
    i, j, k = 12, 4, 7
    x = torch.zeros(model.grid.shape, dtype=torch.float64)
    x[i, j, k] = 3.0
    image = projector.forward(x)[0].numpy()
    air = air_sensitivity_cps_per_mbq(camera, nuclide, nuclide.photopeak, penetration=False)
    assert image.sum() == pytest.approx(3 * air, rel=1e-6)
    place = np.array([model.grid.axis_mm(0)[i], model.grid.axis_mm(1)[j]])
    profile = image.sum(axis=1) / image.sum()
    distance = 190.0 - head.normal[:2] @ place
    kernel = head_kernel(camera, nuclide.photopeak, nuclide.imaged_line().energy_kev, distance, (1.0, 20.0), False)
    fine = kernel.sum(axis=1) / kernel.sum()
    for n in head.normal[:2]:  # the voxel's shadow: a trapezoid
        width = 2 * round(abs(n) * 10.0) + 1
        fine = np.convolve(fine, np.full(width, 1.0 / width))
    u = head.tangent[:2] @ place + np.arange(fine.size) - fine.size // 2
    expected = np.histogram(u, columns.first_mm + 20.0 * np.arange(28), weights=fine)[0]
    assert np.abs(profile - expected).max() < 0.03  # 1 mm of the steps here and 2 mm of the comb in 20 mm
    middle = columns.first_mm + (np.arange(27) + 0.5) * 20.0
    assert middle @ profile == pytest.approx(middle @ expected, abs=0.5)


def test_scatter_is_the_same_from_all_sides_of_a_round_body(model, camera, nuclide):
    """A line source on the axis of a cylinder."""
    parts = 20.0 * ((np.arange(8) + 0.5) / 8 - 0.5)
    x, y = ((model.grid.axis_mm(a) - c)[:, None] + parts for a, c in ((0, 3.0), (1, -7.0)))
    disc = (x.ravel()[:, None] ** 2 + y.ravel()[None, :] ** 2) < 92.0**2
    body = disc.reshape(19, 8, 11, 8).mean(axis=(1, 3))[:, :, None] * np.ones(15, np.float32)
    density = np.zeros_like(model.partial_density)
    density[1] = body
    round_one = PatientModel(model.grid, ("remainder",), body[None].astype(np.float32), density)
    heads = tuple(
        Head(a, 150.0 + float(Head(a, 0.0).normal[:2] @ np.array([3.0, -7.0]))) for a in (0, 45, 90, 130, 180, 270, 311)
    )
    line = np.zeros(model.grid.shape)
    line[9, 5, 3:12] = 1.0
    scatter = AngledProjector(round_one, camera, nuclide, heads).scatter(line).sum(axis=(1, 2))
    assert scatter[0] > 1.0
    assert scatter == pytest.approx(np.full(7, scatter[0]), rel=0.02)


def test_an_oblique_pair_lowers_the_error_of_qplanar_and_mlem(model, camera, nuclide, faces, activity):
    """Texture along depth that two opposed views cannot see; the same total time in four views."""
    rng = np.random.default_rng(5)
    true = activity * np.exp(0.5 * rng.standard_normal(activity.shape))
    true[6:8, 3:5, 4:6] += 60.0  # a lesion that no organ knows
    errors = []
    for heads in (opposed_heads(faces), opposed_heads(faces) + OBLIQUE):
        projector = AngledProjector(model, camera, nuclide, heads)
        exposure = 600.0 / len(heads)
        counts = rng.poisson((projector.forward(projector.tensor(true)).numpy() + projector.scatter(true)) * exposure)
        acquired = Acquired(counts.astype(float), projector.scatter(true) * exposure, exposure)
        fit = qplanar(projector, model, acquired)
        assert fit.expected.shape == counts.shape
        found = mlem(projector, acquired, fit.map(model), 20)
        errors.append(np.abs(found - true).sum() / true.sum())
    assert errors[1] < 0.93 * errors[0]


def test_what_cannot_be_projected_is_refused(model, camera, nuclide):
    with pytest.raises(ValueError, match="90 degrees lies inside"):
        AngledProjector(model, camera, nuclide, (Head(0.0, 200.0), Head(90.0, 100.0)))


def test_outline_of_opposed_heads_is_the_body_in_sight(model, projector, pair):
    """The blurred outline against the model's own: within a cell of 20 mm either way."""
    ours, theirs = pair.of_body(model), projector.of_body(model)
    first = int(np.abs(pair.columns.centres_mm - model.grid.axis_mm(0)[0]).argmin())
    ours = ours[:, first : first + model.grid.shape[0]]
    assert ours.shape == theirs.shape and theirs.any() and not theirs.all()
    assert (ours == theirs).mean() > 0.85
