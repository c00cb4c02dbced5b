"""Photon energy between the organs of a patient: conservation, reciprocity, published S values, sharing of voxels."""

import numpy as np
import pytest

from planardose.anatomy.build import build_model
from planardose.demo.patient import draw_patient, truth_of
from planardose.image import Grid, Volume
from planardose.library import load_nuclide
from planardose.patient_model import PatientModel
from planardose.sim.organ_photons import mass_shares, organ_photons
from planardose.sim.photon_dose import dose_gy

LU = load_nuclide("177Lu")
PHOTONS = 2e4
PAIRS = {  # OpenDose, ICRP 110 adult male, mGy/(MBq s): source, target
    ("liver", "kidney_right"): 2.29e-7,
    ("spleen", "kidney_left"): 3.44e-7,
    ("kidney_left", "kidney_right"): 5.5e-8,
}


@pytest.fixture(scope="module")
def model():
    """A synthetic patient's own organs at 10 mm, CT of 5 mm."""
    truth = truth_of(draw_patient(11, 1, (5.0, 5.0, 5.0)))
    ct = Volume(truth.anatomy.sampled.hu.astype(np.float32), truth.patient.grid, "CT", "HU")
    return build_model(ct, Volume(truth.anatomy.sampled.host, truth.patient.grid, "label", "1"), 10.0)


@pytest.fixture(scope="module")
def found(model):
    decays = np.zeros(len(model.organs))
    decays[model.organs.index("liver")] = 2.0
    return organ_photons(model, LU, decays, PHOTONS, 5)


def test_what_stops_in_the_voxels_is_shared_out_among_the_organs(model, found):
    liver = model.organs.index("liver")
    assert found.voxel_kev.sum() == pytest.approx(2 * found.kev[liver].sum(), rel=1e-5)
    assert 10 < found.kev[liver].sum() < LU.photon_kev, "about half of 33.5 keV per decay leaves the body"


def test_a_dose_per_decay_is_the_same_both_ways(model, found):
    """Reciprocity: energy in B per decay in A, over B's mass, is that in A per decay in B over A's.

    Organs of soft tissue: a gram of bone takes more of the same photons.
    """
    volumes = dict(zip(model.organs, model.volumes_ml(), strict=True))
    at = [n for n, o in enumerate(model.organs) if volumes[o] > 100 and o not in ("skeleton", "outside_ct")]
    per_mass, error = (x[np.ix_(at, at)] / model.masses_g()[at] for x in (found.kev, found.error_kev))
    pairs = np.triu_indices(len(at), 1)
    seen = (per_mass > 0)[pairs] & (per_mass.T > 0)[pairs]
    assert len(at) >= 10 and seen.mean() > 0.8
    difference, sigma = (per_mass - per_mass.T)[pairs][seen], np.hypot(error, error.T)[pairs][seen]
    assert np.mean(np.abs(difference) < 3 * sigma) > 0.9
    weights = 1 / sigma
    assert np.average(np.abs(difference), weights=weights) < 0.1 * np.average(per_mass[pairs][seen], weights=weights)


@pytest.mark.parametrize("pair", PAIRS)
def test_cross_doses_are_of_the_size_that_is_published(model, found, pair):
    source, target = (model.organs.index(x) for x in pair)
    mass = model.masses_g()[target]
    ours = 1000 * float(dose_gy(found.kev[source, target], 1 / 3600, mass))  # mGy of 1 MBq s
    assert 0.5 < ours / PAIRS[pair] < 2.0, "other bodies, other distances"


@pytest.mark.parametrize(("organ", "published"), [("kidney_left", (1.5662e-4, 153.0)), ("liver", (1.3713e-5, 1799.8))])
def test_electrons_and_photons_give_the_published_self_dose(model, found, organ, published):
    """OpenDose: energy per decay that stays in the organ; ours counts the electrons that leave its surface, 1 %."""
    n = model.organs.index(organ)
    grams = model.masses_g()[n]
    theirs_kev = published[0] * 1e-12 * published[1] / 1.602176634e-16
    photons = found.kev[n, n] * (published[1] / grams) ** (1 / 3)
    assert LU.electron_kev + photons == pytest.approx(theirs_kev, rel=0.015)


def test_a_shared_voxel_gives_by_mass():
    grid = Grid.axis_aligned((2, 1, 1), 10.0, (0.0, 0.0, 0.0))
    fractions = np.array([[[[1.0]], [[0.5]]], [[[0.0]], [[0.3]]]], dtype=np.float32)  # lung and liver; some air
    density = np.zeros((3, 2, 1, 1), dtype=np.float32)
    density[1, :, 0, 0] = 0.26, 0.5 * 0.26 + 0.3 * 1.05
    model = PatientModel(grid, ("lungs", "liver"), fractions, density, mass_g=np.array([1.5 * 0.26, 0.3 * 1.05]))
    lung = 0.5 * 0.26 / (0.5 * 0.26 + 0.3 * 1.05)
    assert mass_shares(model)[:, :, 0, 0] == pytest.approx(np.array([[1.0, lung], [0.0, 1 - lung]]), rel=1e-5)


ORGANS = ("liver", "spleen", "remainder")


def block(order=(0, 1, 2), hollow=None) -> PatientModel:
    """Water with two organs, named in this order; one may have lost its voxels."""
    grid = Grid.axis_aligned((8, 6, 7), 20.0, 0.0)
    fractions = np.zeros((3, *grid.shape), dtype=np.float32)
    fractions[0, :3, 1:5], fractions[1, 5:, 1:5, :4] = 1.0, 0.7
    fractions[2] = 1.0 - fractions.sum(axis=0)
    if hollow is not None:
        fractions[hollow] = 0.0
    density = np.zeros((3, *grid.shape), dtype=np.float32)
    density[1] = 1.0
    return PatientModel(grid, tuple(ORGANS[n] for n in order), fractions[list(order)], density)


def test_equal_seeds_give_equal_bits_and_an_organ_keeps_its_own():
    """Another order of organs does not change an organ's draw: it is keyed by its name."""
    one, again = (organ_photons(block(), LU, np.zeros(3), 1e4, 5) for _ in range(2))
    assert np.array_equal(again.kev, one.kev) and one.kev.all() and not again.voxel_kev.any()
    order = [1, 2, 0]
    turned = organ_photons(block(order), LU, np.zeros(3), 1e4, 5).kev
    assert turned == pytest.approx(one.kev[np.ix_(order, order)], rel=1e-9)
    assert not np.array_equal(organ_photons(block(), LU, np.zeros(3), 1e4, 6).kev, one.kev)


def test_an_organ_without_voxels_has_no_photons():
    found = organ_photons(block(hollow=0), LU, np.ones(3), 1e4, 5)
    assert not found.kev[0].any() and not found.kev[:, 0].any() and found.kev[1:, 1:].all()
