"""The scatter model against the Monte Carlo, in lung and in tissue, and its parts."""

import numpy as np
import pytest

from planardose.patient_model import PatientModel
from planardose.recon.projector import Projector
from planardose.recon.scatter import DENSITIES_G_ML, ScatterModel, ScatterParameters, parameters, surroundings_shares
from planardose.sim.montecarlo import simulate_views


@pytest.fixture(scope="module")
def chest(model):
    """The trunk of the other tests with a lung of 0.3 g/mL on one side."""
    x, y, z = (model.grid.axis_mm(a) - c for a, c in enumerate((-60.0, 0.0, 500.0)))
    near = x[:, None, None] ** 2 + y[None, :, None] ** 2 + z[None, None, :] ** 2 < 70.0**2
    body = model.fractions.sum(axis=0)
    lung = near * body
    fractions = np.stack([lung, body - lung]).astype(np.float32)
    density = model.partial_density.copy()
    density[1] *= 1 - 0.7 * lung.astype(np.float32)
    return PatientModel(model.grid, ("lungs", "remainder"), fractions, density)


def test_totals_in_lung_and_tissue(chest, camera, nuclide, faces):
    """Within 6 % of the Monte Carlo, two standard deviations over organs; water alone misses the lung."""
    model, names = chest, ("lungs", "remainder")
    ours = Projector(model, camera, nuclide, faces)
    water = Projector(model, camera, nuclide, faces)
    water.scatter_model.shares = np.stack([0 * water.scatter_model.shares[0], 1 + 0 * water.scatter_model.shares[1]])
    for n, name in enumerate(names):
        activity = model.fractions[n].astype(np.float64)
        setting = (model.partial_density, activity, model.grid, camera, nuclide, (nuclide.photopeak,), faces)
        views = simulate_views(*setting, 4e5, 2)
        true = (views.rate - views.primary)[:, 0].sum(axis=(1, 2))
        assert ours.scatter(activity).sum(axis=(1, 2)) == pytest.approx(true, rel=0.06)
        if name == "lungs":
            assert (water.scatter(activity).sum(axis=(1, 2)) < 0.9 * true).all()


def test_surroundings(chest):
    shares = surroundings_shares(chest, 25.0)
    assert shares.sum(axis=0) == pytest.approx(np.ones(chest.grid.shape))
    lung, tissue = (np.unravel_index(f.argmax(), f.shape) for f in (chest.fractions[0], chest.fractions[1]))
    middle = tuple(int(np.abs(chest.grid.axis_mm(a) - x).argmin()) for a, x in enumerate((-60.0, 0.0, 500.0)))
    assert shares[(0, *middle)] > 0.8
    assert shares[(1, *tissue)] > 0.8
    assert shares[(0, *lung)] > shares[(0, *tissue)]
    assert surroundings_shares(chest, 1e-6)[(0, *middle)] == pytest.approx(1.0)  # lung's own 0.3 g/mL
    assert DENSITIES_G_ML == (0.3, 1.0)


def test_sources_are_linear_and_mirror(chest, camera, nuclide):
    scatter = ScatterModel(chest, camera, nuclide, fitted=ScatterParameters(0.8, 25.0, 1.0))
    a, b = (f.astype(np.float64) for f in chest.fractions)
    both = scatter.sources(a + 2 * b)
    assert both == pytest.approx(scatter.sources(a) + 2 * scatter.sources(b), abs=1e-4 * float(both.max()))
    # what scatters towards the front of a voxel lies in front of it or beside it, and the other way round
    point = np.zeros(chest.grid.shape)
    point[9, 5, 7] = 1.0
    front, back = scatter.sources(point)
    assert front[:, :5].sum() < 0.05 * front.sum()
    assert back[:, 6:].sum() < 0.05 * back.sum()
    assert not scatter.sources(0 * a).any()


def test_more_attenuation_gives_less_scatter(chest, camera, nuclide):
    fitted, more = parameters(), ScatterParameters(1.2, parameters().surroundings_mm, 1.0)
    activity = chest.fractions[1].astype(np.float64)
    few, many = (ScatterModel(chest, camera, nuclide, fitted=p).sources(activity).sum() for p in (more, fitted))
    assert few < many
