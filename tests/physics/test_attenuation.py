"""Cross sections against NIST XCOM and Klein-Nishina's moments against exact values."""

import csv
import os
from pathlib import Path

import numpy as np
import pytest

from planardose.physics.attenuation import MATERIALS, linear_attenuation_per_mm, mass_attenuation_cm2_g, mu_per_mm
from planardose.physics.compton import differential_barn_sr, moments, sample_cosine
from planardose.physics.form_factors import STEP, form_factors, incoherent_norm_barn

SHARED = Path(os.environ.get("PLANARDOSE_SHARED", Path(__file__).parents[3] / "shared"))
XCOM = SHARED / "data" / "physics" / "xcom_mixtures_50_511keV.csv"
XCOM_NAMES = {
    "water": "water",
    "adipose_ICRU44": "adipose",
    "soft_tissue_ICRU44": "soft_tissue",
    "cortical_bone_ICRU44": "bone",
    "NaI": "nai",
    "lead": "lead",
    "aluminium": "aluminium",
}


@pytest.mark.skipif(not XCOM.exists(), reason="no shared data")
@pytest.mark.parametrize(("process", "column"), [("total", "total_with_coh"), ("compton", "incoherent")])
def test_mass_attenuation_agrees_with_xcom(process, column):
    with XCOM.open() as f:
        rows = [r for r in csv.DictReader(x for x in f if not x.startswith("#")) if r["material"] in XCOM_NAMES]
    assert len(rows) > 200
    ours = [mass_attenuation_cm2_g(XCOM_NAMES[r["material"]], float(r["energy_keV"]), process) for r in rows]
    assert ours == pytest.approx([float(r[column]) for r in rows], rel=5e-3)


@pytest.mark.parametrize(
    ("material", "per_cm"),  # NIST XCOM at 112.95 and 208.37 keV
    [("soft_tissue", (0.1728, 0.1419)), ("bone", (0.329, 0.247)), ("nai", (4.476, 1.112)), ("lead", (46.3, 10.29))],
)
def test_linear_attenuation_values(material, per_cm):
    ours = [10 * linear_attenuation_per_mm(material, e) for e in (112.95, 208.37)]
    assert ours == pytest.approx(per_cm, rel=3e-3)


def test_lead_keeps_its_photoabsorption_across_the_k_edge():
    below, above = (mass_attenuation_cm2_g("lead", e, "photo") for e in (87.9, 88.1))
    assert above / below > 3
    assert below > 1


def test_mu_of_a_voxel_is_the_sum_over_its_materials():
    density = np.zeros((3, 2, 1, 1), dtype=np.float32)
    density[:, 0, 0, 0] = 0.2, 0.5, 0.4
    parts = zip((0.2, 0.5, 0.4), MATERIALS, strict=True)
    expected = sum(rho * mass_attenuation_cm2_g(m, 208.37) / 10 for rho, m in parts)
    assert mu_per_mm(density, 208.37)[:, 0, 0] == pytest.approx([expected, 0.0], rel=1e-6)


@pytest.mark.parametrize(
    ("energy", "barn", "ratio", "cosine"),
    [(112.95, 0.47853, 0.8497, 0.1287), (208.37, 0.40112, 0.7785, 0.1915), (364.49, 0.32842, 0.7034, 0.2543)],
)
def test_klein_nishina_moments(energy, barn, ratio, cosine):
    assert moments(energy) == pytest.approx((barn, ratio, cosine), abs=6e-5)


def test_sampled_angles_follow_klein_nishina():
    """Chi-square of 40 equal bins of the cosine against the density's integrals."""
    n, edges = 100_000, np.linspace(-1, 1, 41)
    counts, _ = np.histogram(sample_cosine(np.full(n, 208.37), np.random.default_rng(5)), edges)
    fine = np.linspace(-1, 1, 40 * 100 + 1)
    middle = 0.5 * (fine[1:] + fine[:-1])
    share = differential_barn_sr(208.37, middle).reshape(40, 100).sum(axis=1)
    expected = n * share / share.sum()
    assert ((counts - expected) ** 2 / expected).sum() < 39 + 4 * np.sqrt(2 * 39)


def test_bound_electrons_scatter_as_xraylibs_total_says():
    """Klein-Nishina times S, integrated here, against the tabulated incoherent cross section per electron."""
    bound, free = incoherent_norm_barn([208.37])[0], moments(208.37)[0]
    electrons_per_g = mass_attenuation_cm2_g("soft_tissue", 208.37, "compton") / (bound * 1e-24)
    assert electrons_per_g == pytest.approx(6.02214076e23 * 0.5499, rel=5e-3)  # ICRU 44: Z/A = 0.54996
    assert 0.97 * free < bound < free


def test_form_factor_limits():
    tables = form_factors()
    assert tables.incoherent[0] == 0 and tables.incoherent[-1] > 0.999
    assert tables.coherent[0] == 1 and tables.coherent[int(5 / STEP)] < 1e-3
    assert (np.diff(tables.coherent_integral) >= 0).all()
