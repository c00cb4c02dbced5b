"""Decays to dose: by hand, by published S values, by energy conservation."""

import math

import numpy as np
import pytest

from planardose.dose.constants import dose_constants
from planardose.dose.local import deposited_joule, dose_map_gy, joule_per_mbq_h, mean_dose_gy
from planardose.dose.uncertainty import dose_u_gy, volume_relative_u
from planardose.library import load_nuclide

LU = load_nuclide("177Lu")
S_SELF = {  # OpenDose, ICRP 110 adult male, mGy/(MBq s): value, mass in g, key of the missing photons
    "kidney_left": (1.5662e-4, 153.0, "kidneys"),
    "kidney_right": (1.5283e-4, 157.0, "kidneys"),
    "liver": (1.3713e-5, 1799.8, "liver"),
    "spleen": (1.5967e-4, 150.0, "spleen"),
}


def test_one_voxel_by_hand():
    # 1 mL of density 1.05 g/mL, 20 MBq h: 20e6 x 3600 decays x 147.9 keV x 1.602176634e-16 J/keV / 1.05e-3 kg
    dose = dose_map_gy(np.full((1, 1, 1), 20.0), np.full((1, 1, 1), 1.05), LU, 0.1)
    assert dose.item() == pytest.approx(72e9 * 147.9 * 1.602176634e-16 / 1.05e-3, rel=1e-12)
    assert dose.item() == pytest.approx(1.6249, abs=1e-4)


@pytest.mark.parametrize("organ", S_SELF)
def test_self_dose_lacks_just_the_photons_of_the_published_s_value(organ):
    published, mass, key = S_SELF[organ]
    ours = 1000 * float(mean_dose_gy(1 / 3600, mass, LU))  # mGy of 1 MBq s
    missing = 100 * (1 - ours / published)
    assert 0 < missing < 5
    assert missing == pytest.approx(dose_constants().missing_self_percent["177Lu"][key], abs=0.3)


def test_map_conserves_energy_where_there_is_tissue():
    rng = np.random.default_rng(2)
    tia, density = rng.random((5, 6, 7)), rng.uniform(0.26, 1.9, (5, 6, 7))
    dose = dose_map_gy(tia, density, LU, 0.1)
    assert deposited_joule(dose, density, 0.5) == pytest.approx(tia.sum() * 0.5 * joule_per_mbq_h(LU), rel=1e-12)


def test_air_voxel_takes_the_floor():
    dose = dose_map_gy(np.ones((1, 1, 2)), np.array([[[0.0, 0.001]]]), LU, 0.1)
    assert np.all(dose == pytest.approx(float(mean_dose_gy(1.0, 0.1, LU))))


def test_mean_dose_is_the_mass_weighted_mean_of_the_map():
    rng = np.random.default_rng(3)
    tia, density = rng.random(50), rng.uniform(0.9, 1.1, 50)
    dose = dose_map_gy(tia.reshape(5, 5, 2), density.reshape(5, 5, 2), LU, 0.1).ravel()
    assert (dose @ density) / density.sum() == pytest.approx(
        float(mean_dose_gy(tia.sum(), density.sum(), LU)), rel=1e-12
    )


def test_volume_uncertainty_of_a_sphere():
    radius = 15.0
    ml = 4 / 3 * math.pi * radius**3 / 1000
    u_mm = math.sqrt(3.0**2 / 6 + 2.0**2 / (4 * math.log(2)))
    assert volume_relative_u(ml, 3.0, 2.0) == pytest.approx(3 * u_mm / (2 * radius))
    # two edges drawn at random, as the formula says: uniform within a voxel, Gaussian of the blur
    rng = np.random.default_rng(4)
    edges = rng.uniform(-1.5, 1.5, (40000, 2)) + rng.normal(0, 2.0 / (2 * math.sqrt(2 * math.log(2))), (40000, 2))
    volumes = math.pi / 6 * (2 * radius + edges.sum(axis=1)) ** 3 / 1000
    assert volumes.std() / ml == pytest.approx(volume_relative_u(ml, 3.0, 2.0), rel=0.03)
    assert volume_relative_u(0.001, 3.0, 2.0) == 1.0 and math.isnan(volume_relative_u(0.0, 3.0, 2.0))


def test_dose_uncertainty_adds_activity_and_mass():
    assert dose_u_gy(4.0, 10.0, 0.05, 0.04) == pytest.approx(math.hypot(0.4, 0.2))
    assert math.isnan(dose_u_gy(4.0, math.nan, 0.05, 0.04))
    assert dose_u_gy(0.0, 10.0, 0.05, 0.04) == pytest.approx(0.4)
