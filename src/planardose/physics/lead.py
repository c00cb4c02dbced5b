"""Lead as the collimator's kernel needs it: cross sections on either side of the K edge, and K X rays."""

from dataclasses import dataclass
from functools import cache

import numpy as np
import xraylib

from planardose.physics.attenuation import MM_PER_CM, density_g_ml, mass_attenuation_cm2_g

LEAD = 82
FIRST_KEV = 40.0  # below, the crystal's tables end, and lead absorbs within 0.1 mm
LAST_KEV = 799.0  # xraylib ends at 800
EDGE_KEV = xraylib.EdgeEnergy(LEAD, xraylib.K_SHELL)
BELOW_EDGE_KEV = float(np.floor(EDGE_KEV))  # xraylib's cross sections jump up to 2 eV below its edge energy
_GROUPS = (("KL2",), ("KL3",), ("KM2", "KM3"), ("KN2", "KN3", "KO", "KP"))


@dataclass(frozen=True)
class LeadTable:
    """Lead over N energies, one per keV from `FIRST_KEV`, with 88 keV twice: below and above the K edge.

    `total` 1/mm (with coherent scattering); `compton`, `coherent`: share of collisions; `fluorescent`: K X rays per
    collision.
    """

    energy_kev: np.ndarray
    total: np.ndarray
    compton: np.ndarray
    coherent: np.ndarray
    fluorescent: np.ndarray


def k_x_rays() -> tuple[np.ndarray, np.ndarray]:
    """Energies (4,) in keV of lead's K X rays (K-L2, K-L3, K-M, K-N and beyond), and their shares, adding up to 1."""
    energy, share = [], []
    for group in _GROUPS:
        lines = [getattr(xraylib, f"{name}_LINE") for name in group]
        rates = np.array([xraylib.RadRate(LEAD, line) for line in lines])
        energy.append(np.average([xraylib.LineEnergy(LEAD, line) for line in lines], weights=rates))
        share.append(rates.sum())
    return np.array(energy), np.array(share) / np.sum(share)


def lead_per_mm(energy_kev: float | np.ndarray) -> float | np.ndarray:
    """Linear attenuation coefficient of lead, coherent scattering included, 1/mm."""
    return mass_attenuation_cm2_g("lead", energy_kev) * density_g_ml("lead") / MM_PER_CM


@cache
def lead_table() -> LeadTable:
    """Tables from xraylib; of photoabsorptions above the edge, 1 - 1/jump happen in the K shell."""
    below = np.arange(FIRST_KEV, BELOW_EDGE_KEV + 1)
    above = np.append(EDGE_KEV, np.arange(np.ceil(EDGE_KEV), LAST_KEV + 1))
    energy = np.append(below, above)
    photo, compton, coherent = (mass_attenuation_cm2_g("lead", energy, p) for p in ("photo", "compton", "rayleigh"))
    total = photo + compton + coherent
    in_k_shell = 1.0 - 1.0 / xraylib.JumpFactor(LEAD, xraylib.K_SHELL)
    k_x_ray = np.where(energy >= EDGE_KEV, in_k_shell * xraylib.FluorYield(LEAD, xraylib.K_SHELL), 0.0)
    return LeadTable(
        energy, total * density_g_ml("lead") / MM_PER_CM, compton / total, coherent / total, k_x_ray * photo / total
    )
