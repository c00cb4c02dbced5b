"""Photon cross sections of the package's materials, from xraylib's element tables by the mixture rule."""

from functools import cache

import numpy as np
import xraylib
import yaml

from planardose.library import DATA
from planardose.patient_model import MATERIALS

PROCESSES = {
    "total": xraylib.CS_Total,
    "photo": xraylib.CS_Photo,
    "compton": xraylib.CS_Compt,
    "rayleigh": xraylib.CS_Rayl,
}
MM_PER_CM = 10.0


@cache
def _table() -> dict[str, dict]:
    return yaml.safe_load((DATA / "physics" / "materials.yaml").read_text())["materials"]


def density_g_ml(material: str) -> float:
    """Nominal density of a material, g/mL."""
    return float(_table()[material]["density_g_ml"])


def mass_fractions(material: str) -> dict[int, float]:
    """Mass fraction per atomic number."""
    return {int(z): float(w) for z, w in _table()[material]["mass_fractions"].items()}


@cache
def _one(material: str, energy_kev: float, process: str) -> float:
    cross_section = PROCESSES[process]
    return sum(w * cross_section(z, energy_kev) for z, w in mass_fractions(material).items())


def mass_attenuation_cm2_g(material: str, energy_kev: float | np.ndarray, process: str = "total") -> float | np.ndarray:
    """Mass attenuation coefficient.

    Every energy is evaluated on its own from xraylib's element tables, which are split at the absorption edges, so
    no interpolation crosses one.

    Parameters
    ----------
    material : str
        A name of ``data/physics/materials.yaml``, e.g. ``"soft_tissue"``; others raise KeyError.
    energy_kev : float or array
        Photon energy, keV, above 0.1.
    process : str
        ``"total"`` (with coherent scattering), ``"photo"``, ``"compton"`` (bound electrons) or ``"rayleigh"``.

    Returns
    -------
    float or array of the shape of `energy_kev`
        cm2/g. Source: xraylib 4 (Schoonjans et al., Spectrochim. Acta B 66, 776, 2011).
    """
    if np.ndim(energy_kev) == 0:
        return _one(material, float(energy_kev), process)
    energies = np.asarray(energy_kev, dtype=np.float64)
    values = [_one(material, float(e), process) for e in energies.ravel()]
    return np.array(values).reshape(energies.shape)


def linear_attenuation_per_mm(
    material: str, energy_kev: float | np.ndarray, process: str = "total"
) -> float | np.ndarray:
    """Linear attenuation coefficient at the material's nominal density, 1/mm; processes as `mass_attenuation_cm2_g`."""
    return mass_attenuation_cm2_g(material, energy_kev, process) * density_g_ml(material) / MM_PER_CM


def basis_attenuation_cm2_g(energy_kev: float | np.ndarray, process: str = "total") -> np.ndarray:
    """(3, ...) mass attenuation of the patient's basis materials (`patient_model.MATERIALS`), cm2/g."""
    return np.stack([np.asarray(mass_attenuation_cm2_g(m, energy_kev, process)) for m in MATERIALS])


def mu_per_mm(partial_density: np.ndarray, energy_kev: float) -> np.ndarray:
    """Total linear attenuation coefficient (with coherent scattering) of a patient.

    Parameters
    ----------
    partial_density : (3, ...) array
        g/mL of adipose, soft tissue and bone (`patient_model.MATERIALS`).
    energy_kev : float

    Returns
    -------
    (...) array
        1/mm, of the dtype of `partial_density`.
    """
    basis = (basis_attenuation_cm2_g(energy_kev) / MM_PER_CM).astype(partial_density.dtype)
    return np.tensordot(basis, partial_density, axes=1)
