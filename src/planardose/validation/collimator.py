"""Rows on the collimator: holes, width of a line, septal penetration and scatter in lead."""

from dataclasses import replace
from functools import cache, partial

import numpy as np

from planardose.library import Camera, Nuclide, load_camera, load_nuclide
from planardose.physics.collimator import fwhm_mm, geometric_efficiency
from planardose.physics.collimator_table import collimator_table
from planardose.physics.head_response import head_efficiency, head_kernel
from planardose.physics.penetration import lead_counts
from planardose.planar import EnergyWindow
from planardose.units import BQ_PER_MBQ
from planardose.validation.check import Effort, Measured
from planardose.validation.references import setups
from planardose.validation.scenes import bare, lutetium, melp, simind_camera

CAMERAS = {"melp": "siemens_symbia_melp", "megp": "ge_670_megp", "he": "siemens_symbia_he"}
WIDTHS = ("melp", "megp")
DISTANCES_CM = (0, 5, 10, 15, 20)
UNSCATTERED = (("melp", 112.95), ("melp", 158.97), ("melp", 208.37), ("melp", 364.49), ("he", 364.49), ("megp", 208.37))
MM_PER_CM = 10.0
PIXEL_MM, FINE_MM = 8.0, 0.3


def hole_efficiency(effort: Effort) -> Measured:
    """Photons that pass the MELP collimator's holes without touching lead, per photon emitted."""
    return Measured(geometric_efficiency(melp()))


def traced_holes(effort: Effort) -> Measured:
    """The same, traced ray by ray through the lattice of holes."""
    return Measured(float(collimator_table(melp(), lutetium().imaged_line().energy_kev).strict_per_photon))


def without_gap(camera: str) -> Camera:
    """A camera of `CAMERAS` with its crystal at the lead, as in the references."""
    return replace(load_camera(CAMERAS[camera]), gap_mm=0.0)


def line_fwhm(camera: str, distance_cm: float, effort: Effort) -> Measured:
    """FWHM (mm) of a line source with the intrinsic resolution of 140 keV: no gap, no penetration."""
    chosen = without_gap(camera)
    return Measured(fwhm_mm(chosen, distance_cm * MM_PER_CM, chosen.reference_kev))


def response_fwhm(camera: str, distance_cm: float, effort: Effort) -> Measured:
    """FWHM (mm) of a line in the response that images are made with: mean of lines along both axes of the lattice."""
    chosen = without_gap(camera)
    energy, pixel = chosen.reference_kev, (FINE_MM, FINE_MM)
    window = EnergyWindow(0.9 * energy, 1.1 * energy)
    kernel = head_kernel(chosen, window, energy, distance_cm * MM_PER_CM, pixel, penetration=False)
    profiles = [kernel.sum(axis=n)[kernel.shape[1 - n] // 2 :] for n in (0, 1)]
    size = min(p.size for p in profiles)
    half = profiles[0][:size] + profiles[1][:size]
    n = int(np.argmax(half < half[0] / 2))
    return Measured(float(2 * FINE_MM * (n - 1 + (half[n - 1] - half[0] / 2) / (half[n - 1] - half[n]))))


def unscattered(camera: str, energy_kev: float, effort: Effort) -> Measured:
    """Photons that reach the crystal without interacting, over those that touch no lead."""
    chosen = load_camera(CAMERAS[camera])
    table = collimator_table(chosen, energy_kev)
    return Measured(float(1 + table.penetrating_per_photon(chosen) / table.strict_per_photon))


def lead_scatter(effort: Effort) -> Measured:
    """Counts of 208 keV photons that scattered in the lead of MELP, over geometric ones, in the photopeak."""
    nuclide = lutetium()
    energy, camera = nuclide.imaged_line().energy_kev, simind_camera()
    scattered = lead_counts(camera, nuclide.photopeak, np.array([energy])).scattered[0]
    return Measured(float(scattered / head_efficiency(camera, nuclide.photopeak, energy, penetration=False)))


def in_air(camera: Camera, nuclide: Nuclide, window: EnergyWindow, penetration: bool) -> float:
    """cps/MBq of one head from a source in air, all lines."""
    counted = head_efficiency(camera, window, np.array([x.energy_kev for x in nuclide.lines]), penetration)
    return float(BQ_PER_MBQ * np.dot([x.per_decay for x in nuclide.lines], counted))


def melp_total(effort: Effort) -> Measured:
    """177Lu in air by MELP, photopeak, with penetration and scatter in lead; otherwise SIMIND's set-up."""
    return Measured(in_air(simind_camera(), lutetium(), lutetium().photopeak, True))


def megp(penetration: bool, effort: Effort) -> Measured:
    """177Lu in air by GE's MEGP with a bare crystal of 9.5 mm, photopeak."""
    camera = load_camera(CAMERAS["megp"])
    return Measured(in_air(bare(camera, camera.crystal_mm), lutetium(), lutetium().photopeak, penetration))


def iodine_camera() -> Camera:
    """The MELP camera in SIMIND's set-up; cover and glass are the catalogue's, which are SIMIND's."""
    setup = setups()["simind_123i"]
    camera = melp()
    resolution = setup["energy_fwhm_kev"] / np.sqrt(camera.reference_kev * setup["line_kev"])
    return replace(camera, energy_resolution=float(resolution), field_mm=tuple(setup["field_mm"]), gap_mm=0.0)


@cache
def iodine_counts() -> tuple[float, float]:
    """cps/MBq of 123I on the field of the camera: geometric ones, and all."""
    setup, camera, nuclide = setups()["simind_123i"], iodine_camera(), load_nuclide("123I")
    window, pixel = EnergyWindow(*setup["window_kev"]), (PIXEL_MM, PIXEL_MM)
    geometric, everything = 0.0, 0.0
    for line in nuclide.lines:
        photons = BQ_PER_MBQ * line.per_decay
        geometric += photons * float(head_efficiency(camera, window, line.energy_kev, penetration=False))
        image = head_kernel(camera, window, line.energy_kev, setup["distance_mm"], pixel)
        seen = [
            np.abs(np.arange(n) - n // 2) * PIXEL_MM < 0.5 * size
            for n, size in zip(image.shape, camera.field_mm[::-1], strict=True)
        ]
        everything += photons * float(image[np.ix_(*seen)].sum())
    return geometric, everything


def iodine(effort: Effort) -> Measured:
    """123I in air by MELP, all lines, on the field of view of the set-up."""
    return Measured(iodine_counts()[1])


def iodine_geometric(effort: Effort) -> Measured:
    """Share of geometric counts in them, per cent."""
    geometric, everything = iodine_counts()
    return Measured(100 * geometric / everything)


ROWS = {
    "hole_efficiency": hole_efficiency,
    "traced_holes": traced_holes,
    **{f"line_fwhm_{c}_{d}": partial(line_fwhm, c, d) for c in WIDTHS for d in DISTANCES_CM},
    **{f"response_fwhm_{c}_{d}": partial(response_fwhm, c, d) for c in WIDTHS for d in DISTANCES_CM},
    **{f"unscattered_{c}_{e:.0f}": partial(unscattered, c, e) for c, e in UNSCATTERED},
    "lead_scatter_208": lead_scatter,
    "melp_total": melp_total,
    "megp_geometric": partial(megp, False),
    "megp_total": partial(megp, True),
    "iodine_total": iodine,
    "iodine_geometric": iodine_geometric,
}
