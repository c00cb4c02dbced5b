"""Rows on the collimator: hole efficiency and the width of a line."""

from functools import partial

from planardose.library import load_camera
from planardose.physics.collimator import fwhm_mm, geometric_efficiency
from planardose.validation.check import Effort, Measured

CAMERAS = {"melp": "siemens_symbia_melp", "megp": "ge_670_megp"}
DISTANCES_CM = (0, 5, 10, 15, 20)
MM_PER_CM = 10.0


def hole_efficiency(effort: Effort) -> Measured:
    """Photons that pass the MELP collimator's holes without touching lead, per photon emitted."""
    return Measured(geometric_efficiency(load_camera(CAMERAS["melp"])))


def line_fwhm(camera: str, distance_cm: float, effort: Effort) -> Measured:
    """FWHM (mm) of a line source with the intrinsic resolution of 140 keV: no gap, no penetration."""
    chosen = load_camera(CAMERAS[camera])
    return Measured(fwhm_mm(chosen, distance_cm * MM_PER_CM, chosen.reference_kev))


ROWS = {
    "hole_efficiency": hole_efficiency,
    **{f"line_fwhm_{c}_{d}": partial(line_fwhm, c, d) for c in CAMERAS for d in DISTANCES_CM},
}
