"""Bound electrons: incoherent scattering function and coherent form factor of a material over momentum transfer.

Those of soft tissue are taken in every material of the patient: adipose and bone differ in shape only where coherent
scattering (about 1 % of collisions at 208 keV) or angles below a few degrees decide.
"""

from collections.abc import Callable
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
X = np.arange(int(LAST / STEP) + 1) * STEP  # of the tables
CELLS = 4000  # of the integral over angles
Density = Callable[[float, np.ndarray, np.ndarray], np.ndarray]  # per steradian, of energy, cosine and x


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
    incoherent, coherent, electrons = np.zeros_like(X), np.zeros_like(X), 0.0
    for z, fraction in mass_fractions(material).items():
        atoms = fraction / xraylib.AtomicWeight(z)
        electrons += atoms * z
        incoherent[1:] += atoms * np.array([xraylib.SF_Compt(z, q) for q in X[1:]])
        coherent[1:] += atoms * np.array([xraylib.FF_Rayl(z, q) ** 2 for q in X[1:]])
        coherent[0] += atoms * z**2
    coherent /= coherent[0]
    cells = 0.5 * (coherent[1:] + coherent[:-1]) * np.diff(X**2)
    return FormFactors(np.minimum(incoherent / electrons, 1.0), coherent, np.concatenate([[0.0], np.cumsum(cells)]))


def _over_angles(energy_kev: np.ndarray, density: Density) -> np.ndarray:
    """Integral of a density over all directions, per energy; fine near the forward direction."""
    edges = np.linspace(0.0, 1.0, CELLS + 1) ** 2
    width = np.diff(edges)
    half_sine = edges[1:] - width / 2
    cosine = 1.0 - 2.0 * half_sine**2
    solid_angle = 2.0 * np.pi * 4.0 * half_sine * width
    return np.array([(density(e, cosine, e / HC_KEV_ANGSTROM * half_sine) * solid_angle).sum() for e in energy_kev])


def _bound_compton(material: str) -> Density:
    """Klein-Nishina cross section times S, barn/sr per electron."""
    s = form_factors(material).incoherent
    return lambda e, c, x: differential_barn_sr(e, c) * np.interp(x, X, s)


def incoherent_norm_barn(energy_kev: np.ndarray, material: str = TISSUE) -> np.ndarray:
    """Integral over directions of the Klein-Nishina cross section times S, barn per electron, per energy."""
    return _over_angles(energy_kev, _bound_compton(material))


def coherent_norm(energy_kev: np.ndarray, material: str = TISSUE) -> np.ndarray:
    """Integral over directions of (1 + cos^2) / 2 times the normalised F^2, per energy."""
    f = form_factors(material).coherent
    return _over_angles(energy_kev, lambda e, c, x: 0.5 * (1.0 + c**2) * np.interp(x, X, f))


def mean_scattered_share(energy_kev: np.ndarray, material: str = TISSUE) -> np.ndarray:
    """Mean energy after Compton scattering off bound electrons, over the energy before, per energy."""
    scattered = _bound_compton(material)
    after = _over_angles(energy_kev, lambda e, c, x: scattered(e, c, x) * scattered_energy_kev(e, c) / e)
    return after / _over_angles(energy_kev, scattered)
