"""Rows on matter: attenuation coefficients, and Compton scattering off free electrons."""

from functools import partial

from planardose.physics import attenuation, compton
from planardose.validation.check import Effort, Measured
from planardose.validation.references import xcom_per_cm

MATERIALS = ("water", "soft_tissue", "bone", "lead", "nai")
ENERGIES_KEV = (80.0, 112.95, 208.37, 364.49)  # both sides of lead's K edge (88 keV); the lines of 177Lu and 131I
MOMENTS = ("total", "energy", "cosine")
LINES_KEV = (112.95, 208.37, 364.49)
FULL_TURN_COSINE = -1.0
LU_LINE_KEV = 208.37


def linear_attenuation(material: str, energy_kev: float, effort: Effort) -> Measured:
    """Total linear attenuation coefficient, 1/cm."""
    ours = attenuation.linear_attenuation_per_mm(material, energy_kev) * attenuation.MM_PER_CM
    return Measured(ours, reference=xcom_per_cm(material, energy_kev))


def klein_nishina(moment: int, energy_kev: float, effort: Effort) -> Measured:
    """Cross section in barn per electron, mean E'/E, or mean cosine."""
    return Measured(compton.moments(energy_kev)[moment])


def backscatter_energy(effort: Effort) -> Measured:
    """Energy of the 208 keV line after Compton scattering by 180 degrees, keV."""
    return Measured(float(compton.scattered_energy_kev(LU_LINE_KEV, FULL_TURN_COSINE)))


ROWS = {
    **{f"mu_{m}_{e:.0f}": partial(linear_attenuation, m, e) for m in MATERIALS for e in ENERGIES_KEV},
    **{f"klein_nishina_{m}_{e:.0f}": partial(klein_nishina, n, e) for n, m in enumerate(MOMENTS) for e in LINES_KEV},
    "backscatter_energy": backscatter_energy,
}
