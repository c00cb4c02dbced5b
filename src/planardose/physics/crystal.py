"""What photons deposit in the crystal: a Monte Carlo of three laterally infinite slabs, aluminium, NaI and glass.

Photons enter at right angles. Photoabsorption (iodine's K X rays followed on), Compton scattering off free electrons by
Klein and Nishina at the bound electrons' rate. Every photon is followed through all three slabs until it leaves: what
the cover scatters forward, what leaves the crystal and comes back, and what the glass behind sends back is counted.
Left out: coherent scattering, Doppler broadening, the escape of electrons, other X rays than iodine's K, and what
the collimator's lead sends back into the crystal.
"""

from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import xraylib

from planardose.io.cache import cached_arrays
from planardose.io.files import sha256_of
from planardose.physics.attenuation import MM_PER_CM, density_g_ml, mass_attenuation_cm2_g
from planardose.physics.compton import sample_cosine, scattered_energy_kev

IODINE = 53
HIGHEST_KEV = 799.0  # xraylib's cross sections end at 800 keV
LOWEST_KEV = 15.0
K_EDGE_KEV = xraylib.EdgeEnergy(IODINE, xraylib.K_SHELL)
BESIDE_EDGE = 1e-4  # relative; tables have points this far on either side: xraylib's jump is 2 eV above its edge energy
CUT_KEV = 8.0  # scattered photons below go less than 0.1 mm in NaI: absorbed where they are
PHOTONS_PER_NODE = (5_000, 40_000, 20_000)  # first interaction in cover, crystal, glass
BINS = 100  # of deposited over incident energy
SEED = 20260  # of the tables: a property of the model, not of a run
CRYSTAL = 1  # index of the slab that counts


def _split_at_the_edge(lowest_kev: float, below: int, above: int) -> np.ndarray:
    """Energies, geometric on either side of iodine's K edge, so that nothing is interpolated across it."""
    low = np.geomspace(lowest_kev, K_EDGE_KEV * (1 - BESIDE_EDGE), below)
    return np.concatenate([low, np.geomspace(K_EDGE_KEV * (1 + BESIDE_EDGE), HIGHEST_KEV, above)])


NODES_KEV = _split_at_the_edge(LOWEST_KEV, 4, 28)


@dataclass(frozen=True)
class Slabs:
    """Aluminium cover, NaI crystal, backscattering material behind it; thickness 0 leaves a slab out."""

    cover_mm: float
    crystal_mm: float
    backscatter_mm: float
    backscatter_material: str

    @property
    def materials(self) -> tuple[str, str, str]:
        """Names in ``data/physics/materials.yaml``, from the cover on."""
        return "aluminium", "nai", self.backscatter_material

    @property
    def thickness_mm(self) -> np.ndarray:
        """(3,) from the cover on."""
        return np.array([self.cover_mm, self.crystal_mm, self.backscatter_mm])


@dataclass(frozen=True)
class CrystalTable:
    """Deposits per slab of the first interaction (axis 0), node of `NODES_KEV` (axis 1) and photon interacting there.

    `full` and `escape` (3, N): shares that deposit all, or all but one iodine K X ray, in the crystal. `continuum`
    (3, N, B): share per bin of deposited over incident energy. What is missing to 1 deposits nothing.
    """

    full: np.ndarray
    escape: np.ndarray
    continuum: np.ndarray
    escape_kev: float


def interacting_per_mm(material: str, energy_kev: np.ndarray) -> np.ndarray:
    """Attenuation by photoabsorption and Compton scattering, 1/mm (coherent scattering left out)."""
    parts = [mass_attenuation_cm2_g(material, energy_kev, p) for p in ("photo", "compton")]
    return np.asarray(sum(parts)) * density_g_ml(material) / MM_PER_CM


def first_interaction(slabs: Slabs, energy_kev: np.ndarray) -> np.ndarray:
    """(3, E) chance that a photon at normal incidence interacts first in each slab."""
    depth = np.stack([interacting_per_mm(m, energy_kev) for m in slabs.materials]) * slabs.thickness_mm[:, None]
    before = np.cumsum(depth, axis=0) - depth
    return np.exp(-before) * -np.expm1(-depth)


class _Transport:
    """Cross sections of the slabs as tables over energy, and the flight through them."""

    def __init__(self, slabs: Slabs):
        self.thickness = slabs.thickness_mm
        energies = _split_at_the_edge(6.0, 60, 160)
        mu = np.stack([interacting_per_mm(m, energies) for m in slabs.materials])
        photo = [mass_attenuation_cm2_g(m, energies, "photo") * density_g_ml(m) / MM_PER_CM for m in slabs.materials]
        self.log_energy, self.log_mu, self.photo_share = np.log(energies), np.log(mu), np.stack(photo) / mu

    def depths(self, energy_kev: np.ndarray) -> np.ndarray:
        """(4, N) optical depth of the slabs' faces along the axis."""
        log_e = np.log(energy_kev)
        mu = np.exp(np.stack([np.interp(log_e, self.log_energy, t) for t in self.log_mu]))
        return np.concatenate([np.zeros((1, energy_kev.size)), np.cumsum(mu * self.thickness[:, None], axis=0)])

    def is_photo(self, energy_kev: np.ndarray, slab: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        log_e = np.log(energy_kev)
        share = np.empty_like(energy_kev)
        for n, table in enumerate(self.photo_share):
            share[slab == n] = np.interp(log_e[slab == n], self.log_energy, table)
        return rng.random(energy_kev.size) < share

    def start(self, energy_kev: np.ndarray, slab: int, rng: np.random.Generator) -> np.ndarray:
        """Where in a slab (0 front, 1 back) photons from the front interact first, given that they do in it."""
        faces = self.depths(energy_kev)
        depth = faces[slab + 1] - faces[slab]
        return -np.log1p(-rng.random(energy_kev.size) * -np.expm1(-depth)) / depth

    def fly(
        self, energy_kev: np.ndarray, direction: np.ndarray, slab: np.ndarray, place: np.ndarray, rng
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Slab and place of the next interaction, and whether there is one before the photon leaves."""
        faces, each = self.depths(energy_kev), np.arange(energy_kev.size)
        here = faces[slab, each] + place * (faces[slab + 1, each] - faces[slab, each])
        there = here + direction * -np.log1p(-rng.random(energy_kev.size))
        inside = (there > 0) & (there < faces[-1])
        slab = np.where(inside, (there >= faces[1]).astype(int) + (there >= faces[2]), CRYSTAL)
        width = faces[slab + 1, each] - faces[slab, each]
        return slab, (there - faces[slab, each]) / np.where(width > 0, width, 1.0), inside


def _fluorescence(energy: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Energy of the iodine K X ray after each photoabsorption, 0 where there is none."""
    in_k_shell = 1.0 - 1.0 / xraylib.JumpFactor(IODINE, xraylib.K_SHELL)
    chance = in_k_shell * xraylib.FluorYield(IODINE, xraylib.K_SHELL)
    alpha, beta = (xraylib.RadRate(IODINE, line) for line in (xraylib.KA_LINE, xraylib.KB_LINE))
    u = rng.random((2, energy.size))
    line = np.where(u[1] * (alpha + beta) < alpha, *x_rays_kev())
    return np.where((energy > K_EDGE_KEV) & (u[0] < chance), line, 0.0)


def x_rays_kev() -> tuple[float, float]:
    """Iodine's K-alpha and K-beta energies."""
    return tuple(xraylib.LineEnergy(IODINE, line) for line in (xraylib.KA_LINE, xraylib.KB_LINE))


def _collide(energy, direction, slab, photo, rng) -> tuple[np.ndarray, np.ndarray]:
    """Energy and direction cosine (along the axis) after an interaction; energy 0 where the photon ends."""
    after, cosine = np.zeros_like(energy), 2.0 * rng.random(energy.size) - 1.0
    fluorescent = photo & (slab == CRYSTAL)
    after[fluorescent] = _fluorescence(energy[fluorescent], rng)
    scattered = sample_cosine(energy[~photo], rng)
    w = direction[~photo]
    azimuth = np.cos(2 * np.pi * rng.random(scattered.size))
    cosine[~photo] = w * scattered + np.sqrt((1 - w**2) * (1 - scattered**2)) * azimuth
    after[~photo] = scattered_energy_kev(energy[~photo], scattered)
    return np.where(after < CUT_KEV, 0.0, after), np.clip(cosine, -1.0, 1.0)


def _deposits(slabs: Slabs, incident_kev: np.ndarray, first: int, rng: np.random.Generator) -> np.ndarray:
    """Energy (N,) keV left in the crystal by photons that interact first in one slab."""
    transport, deposit = _Transport(slabs), np.zeros_like(incident_kev)
    who, energy, direction = np.arange(incident_kev.size), incident_kev, np.ones_like(incident_kev)
    slab, place = np.full(incident_kev.size, first), transport.start(incident_kev, first, rng)
    while who.size:
        photo = transport.is_photo(energy, slab, rng)
        after, direction = _collide(energy, direction, slab, photo, rng)
        counts = slab == CRYSTAL
        deposit[who[counts]] += (energy - after)[counts]
        alive = after > 0
        who, energy, direction = who[alive], after[alive], direction[alive]
        slab, place, inside = transport.fly(energy, direction, slab[alive], place[alive], rng)
        who, energy, direction, slab, place = (x[inside] for x in (who, energy, direction, slab, place))
    return deposit


def _tabulated(slabs: Slabs) -> dict[str, np.ndarray]:
    """Arrays of `CrystalTable`; a slab of no thickness keeps zeros."""
    n, rng = NODES_KEV.size, np.random.default_rng(SEED)
    full, escape, continuum = np.zeros((3, n)), np.zeros((3, n)), np.zeros((3, n, BINS))
    edges = np.linspace(0.0, 1.0, BINS + 1)
    for first, photons in enumerate(PHOTONS_PER_NODE):
        if slabs.thickness_mm[first] == 0:
            continue
        incident = np.repeat(NODES_KEV, photons)
        deposit = _deposits(slabs, incident, first, rng).reshape(n, photons)
        missing = NODES_KEV[:, None] - deposit
        all_of_it = missing < 1e-6
        x_ray = np.logical_or.reduce([np.abs(missing - x) < 1e-6 for x in x_rays_kev()]) & (deposit > 0)
        rest = ~all_of_it & ~x_ray & (deposit > 0)
        full[first], escape[first] = all_of_it.mean(axis=1), x_ray.mean(axis=1)
        ratios = zip(deposit / NODES_KEV[:, None], rest, strict=True)
        continuum[first] = np.stack([np.histogram(d[r], edges)[0] for d, r in ratios]) / photons
    return {"full": full, "escape": escape, "continuum": continuum}


@cache
def crystal_table(slabs: Slabs) -> CrystalTable:
    """Deposits in the crystal between its cover and what lies behind, from a fixed seed; kept on disk by `io.cache`."""
    parts = [Path(__file__), *(Path(__file__).with_name(f) for f in ("attenuation.py", "compton.py"))]
    key = {
        "slabs": [slabs.cover_mm, slabs.crystal_mm, slabs.backscatter_mm, slabs.backscatter_material],
        "interacting": [interacting_per_mm(m, np.array([50.0, 200.0])).tolist() for m in slabs.materials],
        "code": [sha256_of(p) for p in parts],
        "xraylib": xraylib.__version__,
        "numpy": np.__version__,
    }
    return CrystalTable(**cached_arrays("crystal", key, lambda: _tabulated(slabs)), escape_kev=x_rays_kev()[0])
