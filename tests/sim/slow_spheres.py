"""Independent code: a slow analog Monte Carlo in numpy of photons in a sphere of water, exact sphere, no voxels.

It shares neither tables nor samplers with the package: cross sections and form factors come from xraylib's own compound
functions, angles from inverted tables, and what collisions leave is scored. ``python tests/sim/slow_spheres.py`` makes
the column `independent` of ``data/validation/sphere_fractions.tsv`` (a few minutes).
"""

import numpy as np
import xraylib

REST_KEV = 510.99895069
HC_KEV_ANGSTROM = 12.398419843
AROUND_CM = 40.0  # of water


class Water:
    """Cross sections (cm2/g) and cumulative cosines on a logarithmic energy grid from `cut_kev` up."""

    def __init__(self, highest_kev: float, cut_kev: float = 1.0, rows: int = 400, cosines: int = 2001):
        self.log = np.linspace(np.log(cut_kev), np.log(highest_kev), rows)
        energies = np.exp(self.log)
        self.sections = np.array(
            [[f("H2O", e) for e in energies] for f in (xraylib.CS_Photo_CP, xraylib.CS_Compt_CP, xraylib.CS_Rayl_CP)]
        )
        self.cosine = np.linspace(-1.0, 1.0, cosines)
        x = energies[:, None] / HC_KEV_ANGSTROM * np.sqrt((1.0 - self.cosine) / 2.0)
        grid = np.concatenate([[0.0], np.geomspace(1e-3, max(x.max(), 1.0), 500)])
        atoms = ((1, 2.0), (8, 1.0))
        bound = np.array([sum(n * xraylib.SF_Compt(z, q) if q else 0.0 for z, n in atoms) for q in grid])
        form = np.array([sum(n * xraylib.FF_Rayl(z, q) ** 2 for z, n in atoms) for q in grid])
        ratio = 1.0 / (1.0 + energies[:, None] / REST_KEV * (1.0 - self.cosine))
        compton = ratio**2 * (ratio + 1.0 / ratio - 1.0 + self.cosine**2) * np.interp(x, grid, bound)
        self.angles = [self._cumulative(d) for d in (compton, (1.0 + self.cosine**2) * np.interp(x, grid, form))]

    @staticmethod
    def _cumulative(density: np.ndarray) -> np.ndarray:
        cells = np.cumsum(density[:, 1:] + density[:, :-1], axis=1)
        return np.concatenate([np.zeros((len(cells), 1)), cells], axis=1) / cells[:, -1:]

    def sample_cosine(self, process: int, energy: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Cosines after Compton (0) or Rayleigh (1) scattering, by bisection in the nearest energy's table."""
        step = self.log[1] - self.log[0]
        row = np.clip(np.rint((np.log(energy) - self.log[0]) / step).astype(int), 0, self.log.size - 1)
        table, goal = self.angles[process], rng.random(energy.size)
        low, high = np.zeros(energy.size, int), np.full(energy.size, self.cosine.size - 1)
        while (high - low > 1).any():
            middle = (low + high) // 2
            up = table[row, middle] <= goal
            low, high = np.where(up, middle, low), np.where(up, high, middle)
        a, b = table[row, low], table[row, high]
        return self.cosine[low] + (goal - a) / np.maximum(b - a, 1e-300) * (self.cosine[1] - self.cosine[0])


def turned(direction: np.ndarray, cosine: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    across = np.cross(direction, rng.standard_normal(direction.shape))
    across /= np.linalg.norm(across, axis=1, keepdims=True)
    return cosine[:, None] * direction + np.sqrt(np.maximum(1.0 - cosine**2, 0.0))[:, None] * across


def absorbed_fraction(mass_g, energy_kev, surround, photons, rng, water=None) -> float:
    """Share of the energy of photons, uniform in a sphere of water, that stays in it."""
    water = water or Water(energy_kev)
    radius = (3.0 * mass_g / (4.0 * np.pi)) ** (1.0 / 3.0)
    limit = radius if surround == "vacuum" else radius + AROUND_CM
    position, direction = rng.standard_normal((photons, 3)), rng.standard_normal((photons, 3))
    position *= (radius * rng.random(photons) ** (1.0 / 3.0) / np.linalg.norm(position, axis=1))[:, None]
    direction /= np.linalg.norm(direction, axis=1, keepdims=True)
    energy, left = np.full(photons, float(energy_kev)), 0.0
    while energy.size:
        sections = np.array([np.interp(np.log(energy), water.log, s) for s in water.sections])
        total = sections.sum(axis=0)
        position = position + direction * (rng.exponential(size=energy.size) / total)[:, None]
        distance = np.linalg.norm(position, axis=1)
        pick = rng.random(energy.size) * total
        after, cosine = np.zeros_like(energy), np.ones_like(energy)
        compton = (pick >= sections[0]) & (pick < sections[0] + sections[1])
        rayleigh = pick >= sections[0] + sections[1]
        cosine[compton] = water.sample_cosine(0, energy[compton], rng)
        cosine[rayleigh] = water.sample_cosine(1, energy[rayleigh], rng)
        after[compton] = energy[compton] / (1.0 + energy[compton] / REST_KEV * (1.0 - cosine[compton]))
        after[rayleigh] = energy[rayleigh]
        after[after <= np.exp(water.log[0])] = 0.0
        left += (energy - after)[distance < radius].sum()
        goes_on = (after > 0.0) & (distance < limit)
        position, energy = position[goes_on], after[goes_on]
        direction = turned(direction[goes_on], cosine[goes_on], rng)
    return left / (photons * energy_kev)


def main(batches: int = 20, photons: int = 100_000) -> None:
    rng = np.random.default_rng(20261124)
    for mass, surround in ((10, "water"), (100, "water"), (1000, "water"), (100, "vacuum")):
        for energy in (50, 100, 200, 364):
            water = Water(energy)
            found = [absorbed_fraction(mass, energy, surround, photons, rng, water) for _ in range(batches)]
            print(mass, energy, surround, f"{np.mean(found):.5f}", f"{np.std(found, ddof=1) / np.sqrt(batches):.5f}",
                  sep="\t", flush=True)


if __name__ == "__main__":
    main()
