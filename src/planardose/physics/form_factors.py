"""Bound electrons: incoherent scattering function and coherent form factor of a material over momentum transfer.

Those of soft tissue are taken in every material of the patient: adipose and bone differ in shape only where coherent
scattering (about 1 % of collisions at 208 keV) or angles below a few degrees decide.
"""

from dataclasses import dataclass
from functools import cache

import numpy as np
import xraylib

from planardose.physics.attenuation import mass_fractions
from planardose.physics.compton import differential_barn_sr, scattered_energy_kev

TISSUE = "soft_tissue"
HC_KEV_ANGSTROM = 12.398419843  # exact since the SI of 2019
STEP = 0.01  # 1/angstrom
LAST = 20.0  # 1/angstrom; beyond, the scattering function is 1 and the form factor negligible


@dataclass(frozen=True)
class FormFactors:
    """Tables over x = (E / hc) sin(angle / 2) = n * `STEP` (1/angstrom), all (N,) float64.

    `incoherent`: S(x) per electron, 0 to 1. `coherent`: F(x)^2 over its value at 0. `coherent_integral`: integral of
    `coherent` over x^2 from 0, for sampling.
    """

    incoherent: np.ndarray
    coherent: np.ndarray
    coherent_integral: np.ndarray


@cache
def form_factors(material: str = TISSUE) -> FormFactors:
    """Tables of a material from xraylib's element tables."""
    x = np.arange(int(LAST / STEP) + 1) * STEP
    incoherent, coherent, electrons = np.zeros_like(x), np.zeros_like(x), 0.0
    for z, fraction in mass_fractions(material).items():
        atoms = fraction / xraylib.AtomicWeight(z)
        electrons += atoms * z
        incoherent[1:] += atoms * np.array([xraylib.SF_Compt(z, q) for q in x[1:]])
        coherent[1:] += atoms * np.array([xraylib.FF_Rayl(z, q) ** 2 for q in x[1:]])
        coherent[0] += atoms * z**2
    coherent /= coherent[0]
    cells = 0.5 * (coherent[1:] + coherent[:-1]) * np.diff(x**2)
    return FormFactors(np.minimum(incoherent / electrons, 1.0), coherent, np.concatenate([[0.0], np.cumsum(cells)]))


def _over_angles(energy_kev: np.ndarray, density) -> np.ndarray:
    """Integral over all directions of ``density(energy, cosine, x)``, per energy; fine near the forward direction."""
    half_sine = np.linspace(0.0, 1.0, 4001)[1:] ** 2 - np.diff(np.linspace(0.0, 1.0, 4001) ** 2) / 2
    width = np.diff(np.linspace(0.0, 1.0, 4001) ** 2)
    cosine = 1.0 - 2.0 * half_sine**2
    solid_angle = 2.0 * np.pi * 4.0 * half_sine * width
    return np.array([(density(e, cosine, e / HC_KEV_ANGSTROM * half_sine) * solid_angle).sum() for e in energy_kev])


def incoherent_norm_barn(energy_kev: np.ndarray, material: str = TISSUE) -> np.ndarray:
    """Integral over directions of the Klein-Nishina cross section times S, barn per electron, per energy."""
    x_table = np.arange(int(LAST / STEP) + 1) * STEP
    s = form_factors(material).incoherent
    return _over_angles(energy_kev, lambda e, c, x: differential_barn_sr(e, c) * np.interp(x, x_table, s))


def coherent_norm(energy_kev: np.ndarray, material: str = TISSUE) -> np.ndarray:
    """Integral over directions of (1 + cos^2) / 2 times the normalised F^2, per energy."""
    x_table = np.arange(int(LAST / STEP) + 1) * STEP
    f = form_factors(material).coherent
    return _over_angles(energy_kev, lambda e, c, x: 0.5 * (1.0 + c**2) * np.interp(x, x_table, f))


def mean_scattered_share(energy_kev: np.ndarray, material: str = TISSUE) -> np.ndarray:
    """Mean energy after Compton scattering off bound electrons, over the energy before, per energy."""
    x_table = np.arange(int(LAST / STEP) + 1) * STEP
    s = form_factors(material).incoherent

    def scattered(e: float, c: np.ndarray, x: np.ndarray) -> np.ndarray:
        return differential_barn_sr(e, c) * np.interp(x, x_table, s)

    after = _over_angles(energy_kev, lambda e, c, x: scattered(e, c, x) * scattered_energy_kev(e, c) / e)
    return after / _over_angles(energy_kev, scattered)
