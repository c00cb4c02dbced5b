"""Energy that the photons of each organ's decays leave in every organ and voxel of a patient.

One run of the dose mode per organ, taken as evenly filled: photons travel centimetres, so that how an organ's activity
is textured hardly changes what reaches its neighbours. All methods and cycles of a patient share these numbers.
"""

from dataclasses import dataclass

import numpy as np

from planardose.image import Grid
from planardose.library import Nuclide
from planardose.patient_model import PatientModel
from planardose.seeds import seed_for
from planardose.sim.photon_dose import DoseOptions, photon_dose


@dataclass(frozen=True)
class OrganPhotons:
    """Photon energy per decay between organs.

    Parameters
    ----------
    kev : (S, T) float64
        Energy left in organ T per decay in organ S, keV; organs in the order of the patient model.
    error_kev : (S, T) float64
        Its standard error.
    voxel_kev : (I, J, K) float64
        Energy left in each voxel of the model's grid by all organs' decays together, keV times the unit of `decays`.
    """

    kev: np.ndarray
    error_kev: np.ndarray
    voxel_kev: np.ndarray

    @classmethod
    def none(cls, organs: int, grid: Grid) -> "OrganPhotons":
        """No photons at all."""
        return cls(np.zeros((organs, organs)), np.zeros((organs, organs)), np.zeros(grid.shape))


def mass_shares(model: PatientModel) -> np.ndarray:
    """(O, I, J, K) float32: share of each voxel's mass that belongs to each organ; 0 without matter.

    Every organ has its mean density by the CT's voxels: shared by volume alone, a lung would take what its denser
    neighbours stop in the voxels of their common surface.
    """
    density = (model.masses_g() / np.maximum(model.volumes_ml(), 1e-12)).astype(np.float32)
    mass = model.fractions * density[:, None, None, None]
    total = mass.sum(axis=0)
    return np.divide(mass, total, out=np.zeros_like(mass), where=total > 0)


def organ_photons(
    model: PatientModel, nuclide: Nuclide, decays: np.ndarray, photons: float, seed: int, device: str = "cpu"
) -> OrganPhotons:
    """Follow the photons of every organ's decays through the patient.

    Parameters
    ----------
    model : PatientModel
    nuclide : Nuclide
        All of its photon lines are followed, down to 5 keV.
    decays : (O,) array
        Decays of each organ, in any unit: what `voxel_kev` adds up.
    photons : float
        Followed from each organ.
    seed : int
        Root seed: every organ draws its own, by its name.
    device : str
        Warp device.

    Raises
    ------
    InputError
        If the device's memory does not hold the patient.
    """
    shares, found = mass_shares(model), OrganPhotons.none(len(model.organs), model.grid)
    for n, organ in enumerate(model.organs):
        if not model.fractions[n].any():
            continue
        own = seed_for(seed, "organ photons", organ)
        setting = (model.partial_density, model.fractions[n], model.grid, nuclide.lines)
        dose = photon_dose(*setting, photons, own, shares, DoseOptions(device=device))
        found.kev[n], found.error_kev[n] = dose.region_kev_per_decay, dose.region_error_kev
        found.voxel_kev[...] += decays[n] * dose.kev_per_decay
    return found
