"""Scatter in the patient, modelled: photopeak counts that scattered once or more on their way.

An effective source of scattered photons is the activity convolved with the Klein-Nishina kernel of photons that turn
towards the head and still fall into the window, times the local density; the projector attenuates and blurs it. On the
way to the scattering the photon passes matter as dense as the surroundings of the decay: two kernels, of lung and of
water, are mixed by the smoothed density there. Two numbers, fitted to the Monte Carlo
(``data/physics/patient_scatter.yaml``), say how much of that matter counts and how wide the surroundings reach; they
stand for multiple scattering too. After Frey and Tsui, effective scatter source estimation (IEEE NSS 1996).
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache

import numpy as np
import yaml
from scipy import fft
from scipy.ndimage import gaussian_filter

from planardose.library import DATA, Camera, Nuclide
from planardose.patient_model import PatientModel
from planardose.physics.attenuation import linear_attenuation_per_mm, mass_fractions
from planardose.physics.compton import differential_barn_sr, scattered_energy_kev
from planardose.physics.head_response import head_efficiency
from planardose.physics.sensitivity import air_sensitivity_cps_per_mbq
from planardose.units import BQ_PER_MBQ

AVOGADRO_BARN = 0.602214076  # 1/mol x 1e-24: electrons per barn and cm from mol per mL
ATOMIC_WEIGHT = {1: 1.008, 8: 15.999}  # of water, IUPAC 2021
DENSITIES_G_ML = (0.3, 1.0)  # of the surroundings for which there is a kernel: lung and water
REACH_MM = 160.0  # beyond it the kernel of water holds less than 1 %
NEAR_POINTS, FAR_POINTS = 4000, 48  # pairs of points per pair of voxels: neighbours, and the rest
NEAR_POINTS_ANGLED, FAR_POINTS_ANGLED = 600, 12  # the same towards heads at other angles, of which a SPECT has many


@dataclass(frozen=True)
class ScatterParameters:
    """The fitted numbers.

    Parameters
    ----------
    path_attenuation : float
        Share of the coefficient of water, scaled to the density, that attenuates on the way to the scattering.
    surroundings_mm : float
        Standard deviation of the smoothing that gives the density of the surroundings.
    energy_window_share : dict
        Nuclide -> true scatter over the triple-energy-window estimate, where it is known.
    """

    path_attenuation: float
    surroundings_mm: float
    energy_window_share: dict[str, float]


@cache
def parameters() -> ScatterParameters:
    """The numbers of ``data/physics/patient_scatter.yaml``."""
    read = yaml.safe_load((DATA / "physics" / "patient_scatter.yaml").read_text())
    return ScatterParameters(**{k: read[k] for k in ScatterParameters.__dataclass_fields__})


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


def _turned(camera: Camera, nuclide: Nuclide, penetration: bool, cosines: np.ndarray) -> dict[float, np.ndarray]:
    """Energy of each line -> counts per g/mL and mm of photons that turn by each angle, per count of primaries.

    Per unit of solid angle and of isotropic flux; lines that cannot be counted after scattering are left out.
    """
    primary = air_sensitivity_cps_per_mbq(camera, nuclide, nuclide.photopeak, penetration)
    out = {}
    for line in nuclide.lines:
        energies = scattered_energy_kev(line.energy_kev, cosines)
        counted = head_efficiency(camera, nuclide.photopeak, energies, penetration) * line.per_decay * BQ_PER_MBQ
        if counted.max() > 0 and line.energy_kev > nuclide.photopeak.low_kev:
            scattering = differential_barn_sr(line.energy_kev, cosines) * electrons_per_barn_mm()
            out[line.energy_kev] = counted / primary * scattering
    return out


@cache
def scatter_kernels(
    camera: Camera,
    nuclide: Nuclide,
    step_mm: tuple[float, float, float],
    penetration: bool = True,
    path_attenuation: float | None = None,
) -> np.ndarray:
    """Scattered photons towards +y per primary photon towards +y, per voxel of 1 g/mL around a voxel that decays.

    Parameters
    ----------
    camera : Camera
    nuclide : Nuclide
        All its lines above the photopeak's lower edge.
    step_mm : (3,) float
        Voxel size.
    penetration : bool
    path_attenuation : float or None
        As `ScatterParameters`; None: the fitted one.

    Returns
    -------
    (D, 2 a + 1, b + 1, 2 c + 1) float64
        For surroundings of each of `DENSITIES_G_ML`. Offsets -a..a, 0..b, -c..c voxels along x, y, z: the scattering
        voxel less the decaying one. Photons that turn by more than 90 degrees are left out.
    """
    return kernels_towards(camera, nuclide, step_mm, (0.0, 1.0), penetration, path_attenuation)


@cache
def kernels_towards(
    camera: Camera,
    nuclide: Nuclide,
    step_mm: tuple[float, float, float],
    normal: tuple[float, float],
    penetration: bool = True,
    path_attenuation: float | None = None,
) -> np.ndarray:
    """As `scatter_kernels`, towards a head along `normal`, a unit vector (x, y).

    Offsets along y run from 0 for (0, 1), whose kernels vanish below, else from -b.
    """
    cosines = np.linspace(0.0, 1.0, 201)
    share = parameters().path_attenuation if path_attenuation is None else path_attenuation
    turned = _turned(camera, nuclide, penetration, cosines)
    dense = np.reshape(DENSITIES_G_ML, (-1, 1, 1, 1))
    step = np.array(step_mm)

    def density(x, y, z):
        square = np.maximum(x * x + y * y + z * z, 1e-2)
        distance = np.sqrt(square)
        cosine = (normal[0] * x + normal[1] * y) / distance
        out = 0.0
        for energy, weight in turned.items():
            path = share * linear_attenuation_per_mm("water", energy) * distance
            out = out + np.interp(cosine, cosines, weight, left=0.0) * np.exp(-path * dense)
        return out * (np.prod(step) / square)

    a, b, c = (int(np.ceil(REACH_MM / s)) for s in step_mm)
    behind = 0 if normal == (0.0, 1.0) else b
    axes = np.ix_(np.arange(-a, a + 1), np.arange(-behind, b + 1), np.arange(-c, c + 1))
    far_points, near_points = (FAR_POINTS, NEAR_POINTS) if behind == 0 else (FAR_POINTS_ANGLED, NEAR_POINTS_ANGLED)
    out = _mean_over_voxels(density, axes, step, far_points)
    near = np.ix_(np.arange(-1, 2), np.arange(-min(behind, 1), 2), np.arange(-1, 2))
    middle = slice(behind - min(behind, 1), behind + 2)
    out[:, a - 1 : a + 2, middle, c - 1 : c + 2] = _mean_over_voxels(density, near, step, near_points)
    return out


def _crop(activity: np.ndarray, reach: tuple[int, int, int]) -> tuple[slice, ...]:
    """Box around the activity, widened by the kernel's reach."""
    box = []
    for axis, r in enumerate(reach):
        filled = np.flatnonzero(activity.any(axis=tuple(a for a in range(3) if a != axis)))
        box.append(slice(max(filled[0] - r, 0), min(filled[-1] + r + 1, activity.shape[axis])))
    return tuple(box)


def surroundings_shares(model: PatientModel, smoothing_mm: float) -> np.ndarray:
    """(D, I, J, K) float32: weights of `DENSITIES_G_ML` that make up the body's density around each voxel, sum 1."""
    sigma = smoothing_mm / model.grid.spacing_mm
    body = model.fractions.sum(axis=0)
    around = gaussian_filter(model.density, sigma) / np.maximum(gaussian_filter(body, sigma), 1e-3)
    low, high = DENSITIES_G_ML
    water = np.clip((around - low) / (high - low), 0.0, 1.0).astype(np.float32)
    return np.stack([1 - water, water])


def effective_sources(activity: np.ndarray, density: np.ndarray, shares: np.ndarray, along_y: np.ndarray) -> np.ndarray:
    """Activity that would send, unscattered, the photons which scatter towards each head.

    Parameters
    ----------
    activity : (I, J, K) float
    density : (I, J, K) float
        g/mL.
    shares : (D, I, J, K) float
        From `surroundings_shares`.
    along_y : (D, 2 a + 1, b + 1, 2 c + 1)
        From `scatter_kernels`.

    Returns
    -------
    (2, I, J, K) float32
        Towards +y (anterior) and -y (posterior), in the unit of `activity`.
    """
    out = np.zeros((2, *activity.shape), dtype=np.float32)
    if not activity.any():
        return out
    a, b, c = along_y.shape[1] // 2, along_y.shape[2] - 1, along_y.shape[3] // 2
    box = _crop(activity, (a, b, c))
    part = (activity[box] * shares[:, *box]).astype(np.float32)
    size = [fft.next_fast_len(n + r, real=True) for n, r in zip(part.shape[1:], (2 * a, b, 2 * c), strict=True)]
    spectra = fft.rfftn(part, size, axes=(1, 2, 3))
    full = [slice(a, a + part.shape[1]), slice(0, part.shape[2]), slice(c, c + part.shape[3])]
    for view, flipped in enumerate((along_y, along_y[:, :, ::-1])):
        full[1] = slice(b * view, b * view + part.shape[2])
        transfer = fft.rfftn(flipped.astype(np.float32), size, axes=(1, 2, 3))
        spread = fft.irfftn((spectra * transfer).sum(axis=0), size)[tuple(full)]
        out[(view, *box)] = np.maximum(spread, 0.0) * density[box]
    return out


def directed_sources(
    activity: np.ndarray, density: np.ndarray, shares: np.ndarray, kernels: Iterable[np.ndarray]
) -> Iterator[np.ndarray]:
    """As `effective_sources`, towards heads at any angles, one after the other: (I, J, K) float32 each.

    Parameters
    ----------
    activity, density, shares
        As `effective_sources`.
    kernels : of (D, 2 a + 1, 2 b + 1, 2 c + 1)
        From `kernels_towards`, one per head, of equal shape.
    """
    spectra = None
    for kernel in kernels:
        out = np.zeros(activity.shape, dtype=np.float32)
        if activity.any():
            reach = tuple(n // 2 for n in kernel.shape[1:])
            box = _crop(activity, reach)
            shape = activity[box].shape
            size = [fft.next_fast_len(n + 2 * r, real=True) for n, r in zip(shape, reach, strict=True)]
            if spectra is None:
                spectra = fft.rfftn((activity[box] * shares[:, *box]).astype(np.float32), size, axes=(1, 2, 3))
            transfer = fft.rfftn(kernel.astype(np.float32), size, axes=(1, 2, 3))
            spread = fft.irfftn((spectra * transfer).sum(axis=0), size)
            kept = spread[tuple(slice(r, r + n) for r, n in zip(reach, shape, strict=True))]
            out[box] = np.maximum(kept, 0.0) * density[box]
        yield out


class ScatterModel:
    """Effective scatter sources of a patient.

    Parameters
    ----------
    model : PatientModel
    camera : Camera
    nuclide : Nuclide
    penetration : bool
        Photons that go through the collimator's lead count.
    fitted : ScatterParameters or None
        None: those of the package.
    """

    def __init__(
        self,
        model: PatientModel,
        camera: Camera,
        nuclide: Nuclide,
        penetration: bool = True,
        fitted: ScatterParameters | None = None,
    ):
        fitted = fitted or parameters()
        step = tuple(float(s) for s in model.grid.spacing_mm)
        self.density = model.density
        self.shares = surroundings_shares(model, fitted.surroundings_mm)
        self.kernels = scatter_kernels(camera, nuclide, step, penetration, fitted.path_attenuation)

    def sources(self, activity: np.ndarray) -> np.ndarray:
        """(2, I, J, K) float32: `effective_sources` of a map (I, J, K)."""
        return effective_sources(activity, self.density, self.shares, self.kernels)
