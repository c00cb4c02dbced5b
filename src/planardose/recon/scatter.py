"""Scatter in the patient, modelled: photopeak counts that scattered once or more on their way.

An effective source of scattered photons is the activity convolved with the Klein-Nishina kernel of photons that turn
towards the head and still fall into the window, times the local density; the projector attenuates and blurs it. One
number, fitted once to the Monte Carlo, stands for multiple scattering (``data/physics/patient_scatter.yaml``).
After Frey and Tsui, effective scatter source estimation (IEEE NSS 1996).
"""

from functools import cache

import numpy as np
import yaml
from scipy import fft

from planardose.library import DATA, Camera, Nuclide
from planardose.physics.attenuation import linear_attenuation_per_mm, mass_fractions
from planardose.physics.compton import differential_barn_sr, scattered_energy_kev
from planardose.physics.detector import detection_efficiency

AVOGADRO_BARN = 0.602214076  # 1/mol x 1e-24: electrons per barn and cm from mol per mL
ATOMIC_WEIGHT = {1: 1.008, 8: 15.999}  # of water, IUPAC 2021
REACH_MM = 160.0  # beyond it the kernel holds less than 1 %
WIDEST_COSINE = 0.5  # photons that turn further fall out of the window
NEAR_POINTS, FAR_POINTS = 4000, 48  # pairs of points per pair of voxels: neighbours, and the rest


@cache
def parameters() -> dict:
    """The fitted numbers."""
    return yaml.safe_load((DATA / "physics" / "patient_scatter.yaml").read_text())


def electrons_per_barn_mm() -> float:
    """Electrons in a barn x mm of water at 1 g/mL."""
    per_gram = sum(w * z / ATOMIC_WEIGHT[z] for z, w in mass_fractions("water").items())
    return AVOGADRO_BARN * per_gram / 10.0


def _mean_over_voxels(function, offsets: tuple, step_mm: np.ndarray, points: int) -> np.ndarray:
    """Mean of f(x, y, z) over pairs of points in two voxels `offsets` apart (arrays that broadcast)."""
    rng = np.random.default_rng(20260)
    apart = (rng.random((points, 3)) - rng.random((points, 3))) * step_mm
    total = 0.0
    for shift in apart:
        total = total + function(*(o * s + d for o, s, d in zip(offsets, step_mm, shift, strict=True)))
    return total / points


@cache
def kernel(
    camera: Camera, nuclide: Nuclide, step_mm: tuple[float, float, float], path_attenuation: float | None = None
) -> np.ndarray:
    """Scattered photons towards +y per primary photon towards +y, per voxel of 1 g/mL around a voxel that decays.

    Parameters
    ----------
    camera : Camera
    nuclide : Nuclide
    step_mm : (3,) float
        Voxel size.
    path_attenuation : float or None
        Share of water's coefficient along the way to the scattering; None: the fitted one.

    Returns
    -------
    (2 a + 1, b + 1, 2 c + 1) float64
        Offsets -a..a, 0..b, -c..c voxels along x, y, z: the scattering voxel less the decaying one.
    """
    energy = nuclide.imaged_line().energy_kev
    share = parameters()["path_attenuation"] if path_attenuation is None else path_attenuation
    mu = share * linear_attenuation_per_mm("water", energy)
    cosines = np.linspace(WIDEST_COSINE, 1.0, 101)
    counted = detection_efficiency(camera, nuclide.photopeak, scattered_energy_kev(energy, cosines))
    counted = np.asarray(counted) / detection_efficiency(camera, nuclide.photopeak, energy)
    weight = counted * differential_barn_sr(energy, cosines) * electrons_per_barn_mm()
    step = np.array(step_mm)

    def density(x, y, z):
        square = np.maximum(x * x + y * y + z * z, 1e-2)
        cosine = y / np.sqrt(square)
        turned = np.interp(cosine, cosines, weight, left=0.0)
        return turned * np.exp(-mu * np.sqrt(square)) / square * np.prod(step)

    a, b, c = (int(np.ceil(REACH_MM / s)) for s in step_mm)
    axes = np.ix_(np.arange(-a, a + 1), np.arange(0, b + 1), np.arange(-c, c + 1))
    out = _mean_over_voxels(density, axes, step, FAR_POINTS)
    near = np.ix_(np.arange(-1, 2), np.arange(0, 2), np.arange(-1, 2))
    out[a - 1 : a + 2, 0:2, c - 1 : c + 2] = _mean_over_voxels(density, near, step, NEAR_POINTS)
    return out


def _crop(activity: np.ndarray, reach: tuple[int, int, int]) -> tuple[slice, ...]:
    """Box around the activity, widened by the kernel's reach."""
    box = []
    for axis, r in enumerate(reach):
        filled = np.flatnonzero(activity.any(axis=tuple(a for a in range(3) if a != axis)))
        box.append(slice(max(filled[0] - r, 0), min(filled[-1] + r + 1, activity.shape[axis])))
    return tuple(box)


def effective_sources(activity: np.ndarray, density: np.ndarray, along_y: np.ndarray) -> np.ndarray:
    """Activity that would send, unscattered, the photons which scatter towards each head.

    Parameters
    ----------
    activity : (I, J, K) float
    density : (I, J, K) float
        g/mL.
    along_y : (2 a + 1, b + 1, 2 c + 1)
        From `kernel`.

    Returns
    -------
    (2, I, J, K) float32
        Towards +y (anterior) and -y (posterior), in the unit of `activity`.
    """
    out = np.zeros((2, *activity.shape), dtype=np.float32)
    if not activity.any():
        return out
    a, b, c = along_y.shape[0] // 2, along_y.shape[1] - 1, along_y.shape[2] // 2
    box = _crop(activity, (a, b, c))
    part = activity[box].astype(np.float32)
    size = [fft.next_fast_len(n + r, real=True) for n, r in zip(part.shape, (2 * a, b, 2 * c), strict=True)]
    spectrum = fft.rfftn(part, size)
    full = [slice(a, a + part.shape[0]), slice(0, part.shape[1]), slice(c, c + part.shape[2])]
    for view, flipped in enumerate((along_y, along_y[:, ::-1])):
        full[1] = slice(b * view, b * view + part.shape[1])
        spread = fft.irfftn(spectrum * fft.rfftn(flipped.astype(np.float32), size), size)[tuple(full)]
        out[(view, *box)] = np.maximum(spread, 0.0) * density[box]
    return out
