"""What a collimator lets through at one energy: open holes, septal penetration, scatter and X rays in the lead.

The hole lattice is averaged over the source's position in a cell, and the collimator is taken as unbounded. Then as
many photons come through at every distance; only their places on the crystal change. An unscattered photon lands at
(distance + length) times the tangent of its direction, so one map over directions serves all distances; scattered
ones are tallied at several distances at once. The crystal touches the holes' ends: no gap, no depth of interaction.
"""

from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
import xraylib

from planardose.io.cache import cached_arrays
from planardose.io.files import sha256_of
from planardose.library import DATA, Camera
from planardose.physics.collimator_grid import LAST_SHIFT, SHIFTS, Settings, solid_angle_share
from planardose.physics.compton import ELECTRON_REST_KEV
from planardose.physics.lead import FIRST_KEV, LAST_KEV, k_x_rays

CODE = (
    "attenuation", "collimator_grid", "collimator_kernel", "collimator_table", "collimator_trace", "compton", "crystal",
    "detector", "form_factors", "lead", "lead_scatter_kernel", "photon_kernel", "warp_arrays", "warp_random",
)  # fmt: skip
MATERIALS = DATA / "physics" / "materials.yaml"
DEFAULT = Settings()
GEOMETRY = ("hole_mm", "septum_mm", "length_mm", "crystal_mm")  # of a camera, all that a table depends on


@dataclass(frozen=True)
class CollimatorTable:
    """What reaches the crystal, per photon emitted into 4 pi.

    Parameters
    ----------
    energy_kev : () float64
    strict_per_photon : () float64
        Photons that touch no lead, traced. (`collimator.geometric_efficiency` takes small angles: 0.2 % more.)
    penetrating : (T, A) float64
        Share of photons in a direction that come through lead without interacting, at the `collimator_grid`
        tangents and azimuths (0 to 30 degrees; the lattice repeats it by mirrors and turns).
    path_mm : () float64
        Mean lead on the way of all penetrating photons: the slope of their logarithm over the attenuation coefficient.
    distances_mm : (D,) float64
        Source to face.
    scatter_image : (D, C, R) float64
        Photons scattered or emitted by lead, in rings of radius over (distance + length), weighted by the gain in
        interactions of their oblique path in the crystal. Channels C: coherently scattered only; `SHIFTS` bins of
        the Compton shift; lead's K X rays. Outermost ring: all that lies beyond as well.
    scatter_per_photon, scatter_error : (C,) float64
        Unweighted totals and their standard errors.
    """

    energy_kev: np.ndarray
    strict_per_photon: np.ndarray
    penetrating: np.ndarray
    path_mm: np.ndarray
    distances_mm: np.ndarray
    scatter_image: np.ndarray
    scatter_per_photon: np.ndarray
    scatter_error: np.ndarray

    def channel_kev(self, energy_kev: np.ndarray) -> np.ndarray:
        """(..., C) energy at the crystal per channel, for incident energies (...) near that of the table."""
        energy = np.asarray(energy_kev, dtype=np.float64)[..., None]
        shift = LAST_SHIFT * np.append(0.0, (np.arange(SHIFTS) + 0.5) / SHIFTS) ** 2
        lines = k_x_rays()[0]
        scattered = energy / (1.0 + energy / ELECTRON_REST_KEV * shift)
        return np.concatenate([scattered, np.broadcast_to(lines, (*energy.shape[:-1], lines.size))], axis=-1)

    def penetrating_per_photon(self, camera: Camera) -> float:
        """Photons through lead without interacting."""
        return float(solid_angle_share(camera, len(self.penetrating)) @ self.penetrating.mean(axis=1))


def trace_table(camera: Camera, energy_kev: float, settings: Settings) -> CollimatorTable:
    """Trace a table; always the same bits.

    Parameters
    ----------
    camera : Camera
    energy_kev : float
        40 to 799 keV, of the photons that leave the source.
    settings : Settings
    """
    from planardose.physics.collimator_trace import trace_scatter, trace_transmission  # loads Warp

    strict, penetrating, path = trace_transmission(camera, energy_kev, settings)
    image, spectrum = trace_scatter(camera, energy_kev, settings)
    share = solid_angle_share(camera, settings.tangents)
    return CollimatorTable(
        energy_kev=np.float64(energy_kev),
        strict_per_photon=np.float64(share @ strict.mean(axis=1)),
        penetrating=penetrating,
        path_mm=np.float64((share @ path).sum() / (share @ penetrating).sum()),
        distances_mm=np.array(settings.distances_mm),
        scatter_image=image,
        scatter_per_photon=spectrum.mean(axis=0),
        scatter_error=spectrum.std(axis=0, ddof=1) / np.sqrt(len(spectrum)),
    )


def cache_key(camera: Camera, energy_kev: float, settings: Settings) -> dict:
    """All that determines a table."""
    geometry = {name: float(getattr(camera, name)) for name in GEOMETRY}
    code = [sha256_of(path) for path in (*(Path(__file__).with_name(f"{name}.py") for name in CODE), MATERIALS)]
    versions = {"xraylib": xraylib.__version__}
    return {"code": code, "energy_kev": float(energy_kev), **versions, **geometry, **asdict(settings)}


@lru_cache(maxsize=64)
def collimator_table(camera: Camera, energy_kev: float) -> CollimatorTable:
    """Table of a camera at an energy, from memory, from the cache folder, or traced (about 2 s on one core).

    Parameters
    ----------
    camera : Camera
        Only its holes, septa and crystal thickness matter.
    energy_kev : float
        40 to 799 keV.

    Raises
    ------
    ValueError
        For energies outside.
    """
    if not FIRST_KEV <= energy_kev <= LAST_KEV:
        raise ValueError(f"a collimator table needs {FIRST_KEV:.0f} to {LAST_KEV:.0f} keV, got {energy_kev}")
    key = cache_key(camera, energy_kev, DEFAULT)
    found = cached_arrays("collimator", key, lambda: asdict(trace_table(camera, energy_kev, DEFAULT)))
    return CollimatorTable(**found)
