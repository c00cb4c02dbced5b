"""Tables of reference values in ``data/validation/``, each with its source in the file."""

from functools import cache

import yaml

from planardose.data_table import DATA, data_table
from planardose.physics.attenuation import density_g_ml

XCOM = "validation/xcom_attenuation.tsv"


@cache
def setups() -> dict[str, dict]:
    """Set-ups of published simulations by name, from ``setups.yaml``."""
    return yaml.safe_load((DATA / "validation" / "setups.yaml").read_text())


@cache
def xcom_per_cm(material: str, energy_kev: float) -> float:
    """Linear attenuation coefficient from NIST XCOM at the nominal density, 1/cm; KeyError for what is not listed."""
    listed = {(r["material"], float(r["energy_kev"])): float(r["mu_over_rho_cm2_g"]) for r in data_table(XCOM)}
    return listed[material, energy_kev] * density_g_ml(material)


@cache
def sphere_fraction(mass_g: float, energy_kev: float, surround: str) -> float:
    """Listed photon self-absorbed fraction of a water sphere; KeyError for what is not listed."""
    listed = {
        (float(r["mass_g"]), float(r["energy_kev"]), r["surround"]): float(r["listed"])
        for r in data_table("validation/sphere_fractions.tsv")
    }
    return listed[mass_g, energy_kev, surround]
