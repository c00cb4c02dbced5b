"""Compton scattering off free electrons: Klein-Nishina cross section, moments and sampling."""

import numpy as np

ELECTRON_REST_KEV = 510.99895069  # CODATA 2022
ELECTRON_RADIUS_CM = 2.8179403205e-13  # CODATA 2022, classical electron radius
BARN_PER_CM2 = 1e24
NODES = 64  # of the quadrature over the cosine: exact to 1e-14 up to 2 MeV


def scattered_energy_kev(energy_kev: np.ndarray, cosine: np.ndarray) -> np.ndarray:
    """Energy (keV) of photons of `energy_kev` after scattering by angles of a cosine; shapes that broadcast."""
    return energy_kev / (1.0 + energy_kev / ELECTRON_REST_KEV * (1.0 - cosine))


def differential_barn_sr(energy_kev: np.ndarray, cosine: np.ndarray) -> np.ndarray:
    """Cross section per free electron, barn/sr, of energies and cosines that broadcast.

    Source: Klein and Nishina, Z. Phys. 52 (1929) 853.
    """
    ratio = 1.0 / (1.0 + np.asarray(energy_kev) / ELECTRON_REST_KEV * (1.0 - np.asarray(cosine)))
    square = ELECTRON_RADIUS_CM**2 * BARN_PER_CM2
    return 0.5 * square * ratio**2 * (ratio + 1.0 / ratio - (1.0 - np.asarray(cosine) ** 2))


def moments(energy_kev: float) -> tuple[float, float, float]:
    """Total cross section (barn per electron), mean E'/E and mean cosine, by Gauss-Legendre quadrature."""
    cosine, weight = np.polynomial.legendre.leggauss(NODES)
    density = 2 * np.pi * differential_barn_sr(energy_kev, cosine) * weight
    total = density.sum()
    ratio = (density * scattered_energy_kev(energy_kev, cosine)).sum() / energy_kev / total
    return float(total), float(ratio), float((density * cosine).sum() / total)


def sample_cosine(energy_kev: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Cosines of scattering angles, one per energy (N,), by rejection against the ratio's 1/r + r envelope.

    Source: the composition-rejection of Butcher and Messel (Nucl. Phys. 20, 15, 1960), as used by EGS4 and Geant4.
    """
    energy = np.asarray(energy_kev, dtype=np.float64)
    cosine = np.empty_like(energy)
    todo = np.arange(energy.size)
    while todo.size:
        k = energy[todo] / ELECTRON_REST_KEV
        lowest = 1.0 / (1.0 + 2.0 * k)
        first = -np.log(lowest)
        u = rng.random((3, todo.size))
        from_first = u[0] * (first + 0.5 * (1.0 - lowest**2)) < first
        ratio = np.where(from_first, np.exp(-first * u[1]), np.sqrt(lowest**2 + (1.0 - lowest**2) * u[1]))
        t = (1.0 - ratio) / (k * ratio)
        accept = u[2] < 1.0 - ratio * t * (2.0 - t) / (1.0 + ratio**2)
        cosine[todo[accept]] = 1.0 - t[accept]
        todo = todo[~accept]
    return cosine
