"""Cross sections of the photon dose against XCOM and NIST, their interpolation, and the bound of delta tracking."""

import numpy as np
import pytest
import xraylib
from dose_scene import table

from planardose.physics.attenuation import mass_attenuation_cm2_g, mass_fractions
from planardose.sim.dose_tables import (
    PATIENT,
    Matter,
    bounding_densities,
    dose_cross_sections,
    dose_majorant_per_mm,
)
from planardose.sim.photon_dose import CUT_KEV


def test_attenuation_equals_xcom():
    rows = table("xcom_attenuation.tsv")
    ours = [mass_attenuation_cm2_g(r["material"], float(r["energy_kev"])) for r in rows]
    assert len(rows) == 55
    assert ours == pytest.approx([float(r["mu_over_rho_cm2_g"]) for r in rows], rel=5e-3)


@pytest.mark.parametrize(
    ("material", "column", "quantity", "tolerance"),
    [
        ("water", "mu_over_rho_cm2_g", "total", 1e-3),
        ("water", "mu_en_over_rho_cm2_g", "absorption", 2.5e-3),  # NIST takes bremsstrahlung off: 0.2 % at 800 keV
        ("bone", "mu_over_rho_cm2_g", "total", 1e-3),
        ("bone", "mu_en_over_rho_cm2_g", "absorption", 4e-3),
    ],
)
def test_tables_equal_nists(material, column, quantity, tolerance):
    """NIST's energy absorption leaves out fluorescence, which stays on the spot here: 4 % in bone at 10 keV."""
    rows = [r for r in table("nist_absorption.tsv") if r["material"] == material and r[column]]
    energies = np.array([float(r["energy_kev"]) for r in rows])
    s = dose_cross_sections(CUT_KEV, 800.0, Matter((material,) * 3, material))
    ours = np.exp(np.interp(np.log(energies), np.log(s.energies_kev), np.log(getattr(s, quantity)[:, 0])))
    if quantity == "absorption":
        ours -= fluorescence_cm2_g(material, energies)
    assert len(rows) >= 8
    assert ours == pytest.approx([float(r[column]) for r in rows], rel=tolerance)


def fluorescence_cm2_g(material, energies):
    """Share of the energy that goes into K X rays, per g/cm2."""
    found = np.zeros_like(energies)
    for z, fraction in mass_fractions(material).items():
        if z > 1:  # hydrogen has no K lines
            line = xraylib.LineEnergy(z, xraylib.KA_LINE)
            found += [fraction * xraylib.CS_FluorShell(z, xraylib.K_SHELL, e) * line / e for e in energies]
    return found


@pytest.mark.parametrize("process", ["total", "compton", "rayleigh"])
def test_interpolation_errs_by_less_than_two_per_mille(process):
    s = dose_cross_sections(CUT_KEV, 722.9, PATIENT)
    middle = np.sqrt(s.energies_kev[1:-1] * s.energies_kev[:-2])
    linear = 0.5 * (getattr(s, process)[1:-1] + getattr(s, process)[:-2])
    exact = np.stack([mass_attenuation_cm2_g(m, middle, process) for m in PATIENT.basis], axis=1)
    assert middle[0] < 5.03 and middle[-1] > 720
    assert linear == pytest.approx(exact, rel=5e-4)


def test_the_majorant_bounds_every_voxel():
    rng = np.random.default_rng(3)
    density = (rng.random((3, 9, 8, 7)) * np.array([1.0, 1.1, 2.8])[:, None, None, None]).astype(np.float32)
    density[:, :3] *= rng.integers(0, 2, (3, 3, 8, 7))
    s = dose_cross_sections(CUT_KEV, 400.0, PATIENT)
    mu = (s.total @ density.reshape(3, -1).astype(np.float64)).max(axis=1) / 10
    bound = dose_majorant_per_mm(density, s.total)
    assert (bound >= mu).all()
    assert (bound < 1.05 * mu).all()
    uniform = np.full((3, 2, 2, 2), [[[[0.0]]], [[[1.06]]], [[[0.0]]]], dtype=np.float32)
    found = bounding_densities(uniform).T
    assert found == pytest.approx(np.array([[0.0, 1.06, 0.0]]), abs=1e-6)
