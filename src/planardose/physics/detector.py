"""NaI(Tl) crystal: chance that a photon which passed a hole is counted in an energy window.

The energy deposited in the crystal (full energy, escape of iodine K X rays, Compton continuum) comes from a small
Monte Carlo of photons that enter a laterally infinite slab at right angles; the energy resolution is Gaussian. Nothing
lies in front of the crystal or behind it, so backscatter into low windows is left out.
"""

from dataclasses import dataclass
from functools import cache

import numpy as np
import xraylib
from scipy.special import ndtr

from planardose.library import Camera
from planardose.physics.attenuation import MM_PER_CM, density_g_ml, mass_attenuation_cm2_g
from planardose.physics.collimator import FWHM_PER_SIGMA
from planardose.physics.compton import sample_cosine, scattered_energy_kev
from planardose.planar import EnergyWindow

IODINE = 53
NODES_KEV = np.geomspace(40.0, 799.0, 14)  # energies at which the crystal is simulated (xraylib ends at 800 keV)
PHOTONS_PER_NODE = 40_000
CONTINUUM_BINS = 50
SEED = 20260  # of the crystal's tables: a property of the model, not of a run


@dataclass(frozen=True)
class CrystalTable:
    """What interacting photons deposit, per node of `NODES_KEV` and per interacting photon.

    `full` (N,) and `escape` (N,): shares that deposit all, or all but one iodine K X ray. `continuum` (N, B): share per
    bin of deposited over incident energy.
    """

    full: np.ndarray
    escape: np.ndarray
    continuum: np.ndarray
    escape_kev: float


def energy_fwhm_kev(camera: Camera, energy_kev: float | np.ndarray) -> float | np.ndarray:
    """Energy resolution (FWHM, keV); relative to the energy it scales as 1/sqrt(E)."""
    return camera.energy_resolution * np.sqrt(camera.reference_kev * np.asarray(energy_kev))


def interaction_fraction(camera: Camera, energy_kev: float | np.ndarray) -> np.ndarray:
    """Share of photons at normal incidence that interact in the crystal (coherent scattering left out)."""
    mu = _interacting_cm2_g(np.asarray(energy_kev)) * density_g_ml("nai") / MM_PER_CM
    return 1.0 - np.exp(-mu * camera.crystal_mm)


def _interacting_cm2_g(energy_kev: np.ndarray) -> np.ndarray:
    return mass_attenuation_cm2_g("nai", energy_kev, "photo") + mass_attenuation_cm2_g("nai", energy_kev, "compton")


@dataclass(frozen=True)
class _CrossSections:
    """Tables over log energy, split at the iodine K edge (33.17 keV), log-log interpolated on either side."""

    edge_kev: float
    energies: tuple[np.ndarray, np.ndarray]
    log_total: tuple[np.ndarray, np.ndarray]
    photo_share: tuple[np.ndarray, np.ndarray]

    @classmethod
    def build(cls) -> "_CrossSections":
        edge = xraylib.EdgeEnergy(IODINE, xraylib.K_SHELL)
        sides = (np.geomspace(6.0, edge * (1 - 1e-9), 60), np.geomspace(edge * (1 + 1e-9), NODES_KEV[-1], 160))
        total = [_interacting_cm2_g(e) for e in sides]
        photo = [mass_attenuation_cm2_g("nai", e, "photo") / t for e, t in zip(sides, total, strict=True)]
        return cls(edge, tuple(np.log(e) for e in sides), tuple(np.log(t) for t in total), tuple(photo))

    def at(self, energy_kev: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Attenuation (1/mm) and share of photoabsorption."""
        log_e, above = np.log(energy_kev), energy_kev > self.edge_kev
        total, share = (
            np.where(above, np.interp(log_e, self.energies[1], t[1]), np.interp(log_e, self.energies[0], t[0]))
            for t in (self.log_total, self.photo_share)
        )
        return np.exp(total) * density_g_ml("nai") / MM_PER_CM, share


def _fluorescence(energy: np.ndarray, edge_kev: float, rng: np.random.Generator) -> np.ndarray:
    """Energy of the iodine K X ray after each photoabsorption, 0 where there is none."""
    in_k_shell = 1.0 - 1.0 / xraylib.JumpFactor(IODINE, xraylib.K_SHELL)
    chance = in_k_shell * xraylib.FluorYield(IODINE, xraylib.K_SHELL)
    alpha, beta = (xraylib.RadRate(IODINE, line) for line in (xraylib.KA_LINE, xraylib.KB_LINE))
    u = rng.random((2, energy.size))
    line = np.where(u[1] * (alpha + beta) < alpha, xraylib.LineEnergy(IODINE, xraylib.KA_LINE),
                    xraylib.LineEnergy(IODINE, xraylib.KB_LINE))
    return np.where((energy > edge_kev) & (u[0] < chance), line, 0.0)


def _deposits(energy_kev: np.ndarray, thickness_mm: float, rng: np.random.Generator) -> np.ndarray:
    """Energy deposited by photons (N,) forced to interact in a slab at normal incidence, keV."""
    table = _CrossSections.build()
    energy, deposit = energy_kev.copy(), np.zeros_like(energy_kev)
    direction = np.ones_like(energy)
    mu, share = table.at(energy)
    depth = -np.log1p(-rng.random(energy.size) * -np.expm1(-mu * thickness_mm)) / mu
    alive = np.arange(energy.size)
    while alive.size:
        e = energy[alive]
        _, share = table.at(e)
        photo = rng.random(alive.size) < share
        cosine = np.where(photo, 2 * rng.random(alive.size) - 1, 0.0)
        x_ray = np.where(photo, _fluorescence(e, table.edge_kev, rng), 0.0)
        scattered = sample_cosine(e[~photo], rng)
        w = direction[alive]
        azimuth = np.cos(2 * np.pi * rng.random(scattered.size))
        cosine[~photo] = w[~photo] * scattered + np.sqrt((1 - w[~photo] ** 2) * (1 - scattered**2)) * azimuth
        after = x_ray.copy()
        after[~photo] = scattered_energy_kev(e[~photo], scattered)
        low = (after > 0) & (after < 8.0)  # such photons go less than 0.1 mm: absorbed here
        deposit[alive] += np.where(low, e, e - after)
        keep = (after > 0) & ~low
        alive = alive[keep]
        energy[alive], direction[alive] = after[keep], np.clip(cosine[keep], -1.0, 1.0)
        mu, _ = table.at(energy[alive])
        depth[alive] += -np.log1p(-rng.random(alive.size)) / mu * direction[alive]
        alive = alive[(depth[alive] > 0) & (depth[alive] < thickness_mm)]
    return deposit


@cache
def crystal_table(thickness_mm: float) -> CrystalTable:
    """Deposits in a crystal of this thickness, from a fixed seed."""
    incident = np.repeat(NODES_KEV, PHOTONS_PER_NODE)
    deposit = _deposits(incident, thickness_mm, np.random.default_rng(SEED)).reshape(NODES_KEV.size, -1)
    incident = incident.reshape(deposit.shape)
    x_rays = [xraylib.LineEnergy(IODINE, line) for line in (xraylib.KA_LINE, xraylib.KB_LINE)]
    missing = incident - deposit
    full = missing < 1e-6
    escape = np.logical_or.reduce([np.abs(missing - x) < 1e-6 for x in x_rays])
    rest = ~full & ~escape
    edges = np.linspace(0.0, 1.0, CONTINUUM_BINS + 1)
    continuum = np.stack([np.histogram(d[r] / e, edges)[0] for d, r, e in zip(deposit, rest, NODES_KEV, strict=True)])
    return CrystalTable(full.mean(axis=1), escape.mean(axis=1), continuum / PHOTONS_PER_NODE, x_rays[0])


def _in_window(camera: Camera, window: EnergyWindow, deposit_kev: np.ndarray) -> np.ndarray:
    sigma = energy_fwhm_kev(camera, np.maximum(deposit_kev, 1.0)) / FWHM_PER_SIGMA
    return ndtr((window.high_kev - deposit_kev) / sigma) - ndtr((window.low_kev - deposit_kev) / sigma)


def detection_efficiency(camera: Camera, window: EnergyWindow, energy_kev: float | np.ndarray) -> float | np.ndarray:
    """Chance that a photon which comes through a hole is counted in a window.

    Parameters
    ----------
    camera : Camera
    window : EnergyWindow
    energy_kev : float or array
        Photon energy, 40 to 800 keV (beyond, the deposits of the nearest node are used).

    Returns
    -------
    float or array
        Interaction in the crystal times the share of the deposited energies that fall into the window.
    """
    table = crystal_table(camera.crystal_mm)
    e = np.atleast_1d(np.asarray(energy_kev, dtype=np.float64))
    log_e, log_nodes = np.log(e), np.log(NODES_KEV)
    full, escape = (np.interp(log_e, log_nodes, t) for t in (table.full, table.escape))
    counted = full * _in_window(camera, window, e) + escape * _in_window(camera, window, e - table.escape_kev)
    centres = (np.arange(CONTINUUM_BINS) + 0.5) / CONTINUUM_BINS
    for centre, share in zip(centres, table.continuum.T, strict=True):
        counted += np.interp(log_e, log_nodes, share) * _in_window(camera, window, centre * e)
    out = interaction_fraction(camera, e) * counted
    return float(out[0]) if np.ndim(energy_kev) == 0 else out.reshape(np.shape(energy_kev))
