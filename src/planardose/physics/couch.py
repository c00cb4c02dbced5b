"""The gamma camera's couch (`library.Camera.couch_mm`): what aluminium before the posterior head lets through."""

import numpy as np

from planardose.physics.attenuation import linear_attenuation_per_mm


def couch_transmission(energy_kev: float | np.ndarray, aluminium_mm: float) -> float | np.ndarray:
    """Share of photons that pass the couch without interacting, of the shape of `energy_kev`.

    Photons that scatter in the couch by small angles and still count are left out: at 208 keV, at most the 3 % that
    1 mm of aluminium takes.
    """
    return np.exp(-np.asarray(linear_attenuation_per_mm("aluminium", energy_kev)) * aluminium_mm)
