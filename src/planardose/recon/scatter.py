"""Scatter in the patient, modelled: photopeak counts that scattered once or more on their way.

An effective source of scattered photons is the activity convolved with a kernel of photons that turn towards the head
and are still counted, times the local density; the projector attenuates (at their mean energy) and blurs it. Photons
that collide once are integrated over all angles, off bound electrons and coherently; those that collide more often come
from a Monte Carlo table of unbounded water (`physics.multiple_scatter`). On the way the photons pass matter as dense as
the surroundings of the decay: kernels of lung and of soft tissue are mixed by the smoothed density there. How wide it
is smoothed is the one number fitted to the Monte Carlo of patients (``data/physics/patient_scatter.yaml``). After Frey
and Tsui, effective scatter source estimation (IEEE NSS 1996).
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import cache, lru_cache, partial
from itertools import product

import numpy as np
import yaml
from scipy import fft
from scipy.ndimage import gaussian_filter, map_coordinates
from scipy.stats import qmc

from planardose.image import box_of
from planardose.library import DATA, Camera, Nuclide
from planardose.patient_model import PatientModel
from planardose.physics.attenuation import linear_attenuation_per_mm
from planardose.physics.compton import differential_barn_sr, scattered_energy_kev
from planardose.physics.form_factors import HC_KEV_ANGSTROM, X, coherent_norm, form_factors, incoherent_norm_barn
from planardose.physics.head_response import head_efficiency
from planardose.physics.multiple_scatter import multiple_scatter
from planardose.physics.sensitivity import air_sensitivity_cps_per_mbq
from planardose.units import BQ_PER_MBQ

DENSITIES_G_ML = (0.3, 1.05)  # of the surroundings, as water, for which there are kernels: lung and soft tissue
REACH_MM = 160.0  # beyond it the kernel of single scatter in water holds less than 1 %
NEAR_POINTS = 100_000  # around a voxel, for it and its neighbours
SEED = 20260  # of the points: a property of the model, not of a run
TURNS = 400  # of the half angle's sine: fine near the forward direction
COSINES = 1.0 - 2.0 * np.linspace(0.0, 1.0, TURNS + 1) ** 2
STEP_MM = 2.0  # of the way to the scattering, in tables
KEPT_SIZES = 3  # of boxes whose kernels' spectra are kept: organs of one patient and foci need the same ones often
LEAST = 1e-5  # of the primaries: lines of which no turn is counted better are left out


@dataclass(frozen=True)
class ScatterParameters:
    """The fitted numbers.

    Parameters
    ----------
    surroundings_mm : float
        Standard deviation of the smoothing that gives the density of the surroundings.
    energy_window_share : dict
        Nuclide -> true scatter over the triple-energy-window estimate, where it is known.
    """

    surroundings_mm: float
    energy_window_share: dict[str, float]


@cache
def parameters() -> ScatterParameters:
    """The numbers of ``data/physics/patient_scatter.yaml``."""
    read = yaml.safe_load((DATA / "physics" / "patient_scatter.yaml").read_text())
    return ScatterParameters(**{k: read[k] for k in ScatterParameters.__dataclass_fields__})


def _mean_over_voxels(function: Callable, offsets: tuple, step_mm: np.ndarray) -> np.ndarray:
    """Mean of f(x, y, z) over pairs of points in two voxels `offsets` apart (arrays that broadcast).

    Two points per axis that have the variance of the pairs' distances, a sixth of the step's square.
    """
    total = 0.0
    for signs in product((-1.0, 1.0), repeat=3):
        shift = np.array(signs) * step_mm / np.sqrt(6.0)
        total = total + function(*(o * s + d for o, s, d in zip(offsets, step_mm, shift, strict=True)))
    return total / 8


def _mean_nearby(function: Callable, step_mm: np.ndarray) -> np.ndarray:
    """(..., 3, 3, 3) as `_mean_over_voxels` for a voxel and its neighbours, over points around the first.

    With a share of the points for every distance: f falls with its square, and few random pairs are far too few.
    """
    reach = 2.0 * float(np.linalg.norm(step_mm))
    far, up, turn = qmc.Halton(3, seed=SEED).random(NEAR_POINTS).T * [[reach], [2.0], [2.0 * np.pi]]
    flat = np.sqrt(1.0 - (up - 1.0) ** 2)
    places = far * np.array([flat * np.cos(turn), flat * np.sin(turn), up - 1.0])
    found = function(*places) * (4.0 * np.pi * reach * far**2 / NEAR_POINTS)
    apart = np.abs(places[:, None] - np.arange(-1, 2)[:, None] * step_mm[:, None, None])  # (3 axes, 3 offsets, N)
    x, y, z = np.maximum(1.0 - apart / step_mm[:, None, None], 0.0) / step_mm[:, None, None]
    return np.einsum("...n,in,jn,kn->...ijk", found, x, y, z, optimize=True)


def _turned(camera: Camera, nuclide: Nuclide, penetration: bool, split_kev: float) -> dict[float, np.ndarray]:
    """Energy of each line -> (G, N) counts per g/mL and mm of photons that turn by the angles of `COSINES`.

    Per count of primaries, per unit of solid angle and of isotropic flux, off bound electrons and coherently; photons
    up to and above an energy apart.
    """
    primary = air_sensitivity_cps_per_mbq(camera, nuclide, nuclide.photopeak, penetration)
    half_sine, out = np.sqrt(0.5 * (1.0 - COSINES)), {}
    for line in nuclide.lines:
        energies = np.append(scattered_energy_kev(line.energy_kev, COSINES), line.energy_kev)
        counted = head_efficiency(camera, nuclide.photopeak, energies, penetration) * line.per_decay * BQ_PER_MBQ
        if counted.max() < LEAST * primary:
            continue
        e, x = np.array([line.energy_kev]), line.energy_kev / HC_KEV_ANGSTROM * half_sine
        factors = form_factors()
        compton = differential_barn_sr(line.energy_kev, COSINES) * np.interp(x, X, factors.incoherent)
        compton *= linear_attenuation_per_mm("water", line.energy_kev, "compton") / incoherent_norm_barn(e)
        coherent = 0.5 * (1.0 + COSINES**2) * np.interp(x, X, factors.coherent)
        coherent *= linear_attenuation_per_mm("water", line.energy_kev, "rayleigh") / coherent_norm(e)
        above = energies > split_kev
        turned = [counted[:-1] * (above[:-1] == side) * compton + counted[-1] * (above[-1] == side) * coherent
                  for side in (False, True)]  # fmt: skip
        out[line.energy_kev] = np.array(turned if np.isfinite(split_kev) else turned[:1]) / primary
    return out


def _once(turned: dict[float, np.ndarray]) -> np.ndarray:
    """(G, D, S, N) sum of `_turned` over the lines, weakened on the way of n * `STEP_MM` through `DENSITIES_G_ML`."""
    way = STEP_MM * np.arange(int(2 * REACH_MM / STEP_MM))
    out = 0.0
    for energy, weight in turned.items():
        passed = np.exp(-np.outer(DENSITIES_G_ML, linear_attenuation_per_mm("water", energy) * way))
        out = out + weight[:, None, None, :] * passed[:, :, None]
    return out


@cache
def scatter_kernels(
    camera: Camera,
    nuclide: Nuclide,
    step_mm: tuple[float, float, float],
    penetration: bool = True,
    split_kev: float = np.inf,
    normal: tuple[float, float] = (0.0, 1.0),
) -> np.ndarray:
    """Scattered photons towards a head per primary photon towards it, per voxel of 1 g/mL around a voxel that decays.

    Parameters
    ----------
    camera : Camera
    nuclide : Nuclide
        All its lines that count.
    step_mm : (3,) float
        Voxel size.
    penetration : bool
    split_kev : float
        Photons up to and above this energy apart.
    normal : (2,) float
        Unit vector (x, y) towards the head.

    Returns
    -------
    (G, 2 D, 2 a + 1, 2 b + 1, 2 c + 1) float64
        Energy groups, one or two. First photons that collide once, then those that collide more often, for surroundings
        of each of `DENSITIES_G_ML`. Offsets in voxels along x, y, z: the (last) scattering voxel less the decaying one.
    """
    once = _once(_turned(camera, nuclide, penetration, split_kev))
    again, step = multiple_scatter(camera, nuclide, penetration, split_kev), np.array(step_mm)

    def density(x, y, z):
        square = np.maximum(x * x + y * y + z * z, 1e-2)
        distance, along = np.sqrt(square), normal[0] * x + normal[1] * y
        position = [distance / STEP_MM, np.sqrt(np.maximum(0.5 * (1.0 - along / distance), 0.0)) * TURNS]
        first = [[map_coordinates(d, position, order=1, mode="nearest") / square for d in group] for group in once]
        across = np.sqrt(np.maximum(square - along**2, 0.0))
        more = np.stack([again.at(along, across, rho)[: len(once)] for rho in DENSITIES_G_ML], axis=1)
        return np.concatenate([np.array(first), more], axis=1) * np.prod(step)

    a, b, c = (int(np.ceil(REACH_MM / s)) for s in step_mm)
    axes = np.ix_(*(np.arange(-n, n + 1) for n in (a, b, c)))
    out = _mean_over_voxels(density, axes, step)
    out[:, :, a - 1 : a + 2, b - 1 : b + 2, c - 1 : c + 2] = _mean_nearby(density, step)
    return 0.5 * (out + out[..., ::-1])  # the points nearby are not mirrored


def _crop(activity: np.ndarray, reach: tuple[int, int, int]) -> tuple[slice, ...]:
    """Box around the activity, widened by the kernel's reach."""
    if not activity.any():
        return (slice(0, 1),) * 3
    filled = zip(box_of(activity), reach, activity.shape, strict=True)
    return tuple(slice(max(s.start - r, 0), min(s.stop + r, n)) for s, r, n in filled)


def surroundings_shares(model: PatientModel, smoothing_mm: float) -> np.ndarray:
    """(2 D, I, J, K) float32: weights of the kernels of `scatter_kernels` around each voxel.

    For photons that collide once, the weights of `DENSITIES_G_ML` that make up the body's density, sum 1: they come
    through the body alone. For photons that collide more often, those that make up the mean density, air included:
    where there is less matter around, there is less to collide with.
    """
    sigma = smoothing_mm / model.grid.spacing_mm
    body = gaussian_filter(model.fractions.sum(axis=0), sigma)
    low, high = DENSITIES_G_ML
    around = gaussian_filter(model.density, sigma)
    inside = around / np.maximum(body, 1e-3)
    water, of_all = (np.clip((d - low) / (high - low), 0.0, 1.0) for d in (inside, around))
    return np.stack([1 - water, water, np.minimum(around / low, 1.0) - of_all, of_all]).astype(np.float32)


def transfer(kernel: np.ndarray, size: tuple[int, ...]) -> np.ndarray:
    """(G, 2 D, x, y, z / 2 + 1) complex64: spectra of kernels (G, 2 D, 2 a + 1, 2 b + 1, 2 c + 1) in a periodic box."""
    wrapped = np.zeros((*kernel.shape[:2], *size), dtype=np.float32)
    wrapped[:, :, : kernel.shape[2], : kernel.shape[3], : kernel.shape[4]] = kernel
    reach = [-(n // 2) for n in kernel.shape[2:]]
    return fft.rfftn(np.roll(wrapped, reach, axis=(2, 3, 4)), axes=(2, 3, 4))


def directed_sources(
    activity: np.ndarray,
    density: np.ndarray,
    shares: np.ndarray,
    reach: tuple[int, int, int],
    transfers: Callable[[tuple[int, ...]], Iterable[np.ndarray]],
) -> Iterator[np.ndarray]:
    """Activity that would send, unscattered, the photons which scatter towards each head.

    Parameters
    ----------
    activity : (I, J, K) float
    density : (I, J, K) float
        g/mL.
    shares : (2 D, I, J, K) float
        From `surroundings_shares`.
    reach : (3,) int
        (a, b, c) of the kernels.
    transfers : callable
        From the size of a periodic box to `transfer` of the kernels towards each head.

    Yields
    ------
    (G, I, J, K) float32
        In the unit of `activity`, one per head.
    """
    box = _crop(activity, reach)
    shape = activity[box].shape
    size = tuple(max(fft.next_fast_len(n + r, real=True), 2 * r + 1) for n, r in zip(shape, reach, strict=True))
    spectra = fft.rfftn((activity[box] * shares[:, *box]).astype(np.float32), size, axes=(1, 2, 3))
    for towards_head in transfers(size):
        out = np.zeros((len(towards_head), *activity.shape), dtype=np.float32)
        spread = fft.irfftn((spectra * towards_head).sum(axis=1), size, axes=(1, 2, 3))
        out[:, *box] = np.maximum(spread[:, *(slice(0, n) for n in shape)], 0.0) * density[box]
        yield out


def both_ways(kernels: np.ndarray, size: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray]:
    """`transfer` of kernels (G, 2 D, ...) towards +y, and of those towards -y: mirrored, as their spectra then are."""
    ahead = transfer(kernels, size)
    return ahead, ahead[:, :, :, -np.arange(size[1])]


class ScatterModel:
    """Effective scatter sources of a patient.

    Parameters
    ----------
    model : PatientModel
    camera : Camera
    nuclide : Nuclide
    penetration : bool
        Photons that go through the collimator's lead count.
    split_kev : float
        Photons up to and above this energy apart.
    fitted : ScatterParameters or None
        None: those of the package.
    """

    def __init__(
        self,
        model: PatientModel,
        camera: Camera,
        nuclide: Nuclide,
        penetration: bool = True,
        split_kev: float = np.inf,
        fitted: ScatterParameters | None = None,
    ):
        fitted = fitted or parameters()
        step = tuple(float(s) for s in model.grid.spacing_mm)
        self.density = model.density
        self.shares = surroundings_shares(model, fitted.surroundings_mm)
        self.kernels = scatter_kernels(camera, nuclide, step, penetration, split_kev)
        self.transfers = lru_cache(maxsize=KEPT_SIZES)(partial(both_ways, self.kernels))
        self.mean_kev = multiple_scatter(camera, nuclide, penetration, split_kev).mean_kev[: len(self.kernels)]

    def sources(self, activity: np.ndarray) -> np.ndarray:
        """(2, G, I, J, K) float32: `directed_sources` of a map (I, J, K) towards +y (anterior) and -y (posterior)."""
        reach = tuple(n // 2 for n in self.kernels.shape[2:])
        return np.stack(list(directed_sources(activity, self.density, self.shares, reach, self.transfers)))
