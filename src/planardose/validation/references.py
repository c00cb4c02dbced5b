"""Tables of reference values in ``data/validation/``, each with its source in the file."""

import csv
from functools import cache

import yaml

from planardose.library import DATA
from planardose.physics.attenuation import density_g_ml

FOLDER = DATA / "validation"
XCOM = "xcom_attenuation.tsv"


def read_table(name: str) -> list[dict[str, str]]:
    """Rows of a tab-separated file of ``data/validation/`` by the names of its columns; lines with # are comments."""
    with (FOLDER / name).open(newline="") as f:
        return list(csv.DictReader((x for x in f if not x.startswith("#")), delimiter="\t", quoting=csv.QUOTE_NONE))


@cache
def setups() -> dict[str, dict]:
    """Set-ups of published simulations by name, from ``setups.yaml``."""
    return yaml.safe_load((FOLDER / "setups.yaml").read_text())


@cache
def xcom_per_cm(material: str, energy_kev: float) -> float:
    """Linear attenuation coefficient from NIST XCOM at the nominal density, 1/cm; KeyError for what is not listed."""
    listed = {(r["material"], float(r["energy_kev"])): float(r["mu_over_rho_cm2_g"]) for r in read_table(XCOM)}
    return listed[material, energy_kev] * density_g_ml(material)


@cache
def sphere_fraction(mass_g: float, energy_kev: float, surround: str) -> float:
    """Listed photon self-absorbed fraction of a water sphere; KeyError for what is not listed."""
    listed = {
        (float(r["mass_g"]), float(r["energy_kev"]), r["surround"]): float(r["listed"])
        for r in read_table("sphere_fractions.tsv")
    }
    return listed[mass_g, energy_kev, surround]
