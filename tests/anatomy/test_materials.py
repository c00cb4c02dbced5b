"""CT numbers to matter against the published calibration and a bilinear attenuation."""

import numpy as np
import pytest

from planardose.anatomy.materials import partial_density_from_hu
from planardose.physics.attenuation import mu_per_mm

# NIST XCOM, 208.37 keV, cm2/g with coherent scattering, ICRU-44 adipose and soft tissue, cortical bone; water in cm-1
XCOM_CM2_G = np.array([0.13497, 0.13389, 0.12873])
WATER_PER_CM, BONE_PER_CM, BONE_HU = 0.1351, 0.2472, 1524.0


def schneider_density(hu: float) -> float:
    """Phys. Med. Biol. 45 (2000) 459, written out."""
    if hu < -98:
        return 1.21e-3 + (0.93 - 1.21e-3) * (hu + 1000) / 902
    if hu <= 14:
        return 1.018 + 0.893e-3 * hu
    if hu <= 23:
        return 1.03
    return 1.003 + 1.169e-3 * hu if hu <= 100 else 1.017 + 0.592e-3 * hu


@pytest.mark.parametrize("hu", [-1000, -800, -300, -150, -98, -50, 0, 14, 20, 23, 60, 100, 101, 300, 1000, 1524, 2500])
def test_density_is_schneiders(hu):
    assert partial_density_from_hu(np.array(hu)).sum() == pytest.approx(schneider_density(hu), abs=1.5e-3)


def test_water_like_voxel_attenuates_as_water():
    mu = (partial_density_from_hu(np.array(0)) * XCOM_CM2_G).sum()
    assert mu == pytest.approx(WATER_PER_CM, rel=0.02)
    assert 10 * mu_per_mm(partial_density_from_hu(np.zeros((2, 2))), 208.37) == pytest.approx(WATER_PER_CM, rel=0.02)


def test_bilinear_attenuation_agrees():
    """A line to water below 0 HU, another to cortical bone: within 3 % of water's mu, 6 % from 23 to 100 HU."""
    hu = np.arange(-1000, 1525, 25)
    above = WATER_PER_CM + (BONE_PER_CM - WATER_PER_CM) * hu / BONE_HU
    bilinear = np.where(hu <= 0, WATER_PER_CM * (1 + hu / 1000), above)
    ours = np.tensordot(XCOM_CM2_G, partial_density_from_hu(hu), axes=1)
    before_step = (hu > 23) & (hu <= 100)
    difference = np.abs(ours - bilinear) / WATER_PER_CM
    assert difference[~before_step].max() < 0.03
    assert difference[before_step].max() < 0.06


def test_composition():
    lung, fat, muscle, bone = partial_density_from_hu(np.array([-800.0, -100.0, 50.0, 1524.0])).T
    assert lung[0] == lung[2] == 0 and 0.15 < lung[1] < 0.25
    assert fat[0] > 0.9 * fat.sum() and muscle[1] == muscle.sum() and bone[2] == bone.sum()


def test_values_off_the_scale_are_taken_at_its_ends():
    values = partial_density_from_hu(np.array([-3024.0, -1000.0, 3071.0, 30000.0]))
    assert np.array_equal(values[:, 0], values[:, 1]) and np.array_equal(values[:, 2], values[:, 3])
