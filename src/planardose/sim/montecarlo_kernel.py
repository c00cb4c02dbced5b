"""Photon physics for the kernels: one source for CPU and CUDA (NVIDIA Warp).

Random numbers are a hash of (seed, history, draw). Emission, Compton and coherent scattering, roulette, and the balance
of weights. What follows a photon through the patient is in `montecarlo_track`.
"""

# ruff: noqa: UP018, RUF046 (Warp takes a bare literal for a constant: variables changed in a loop need float(), int(), bool())

import warp as wp

from planardose.physics import photon_kernel
from planardose.physics.photon_kernel import FOUR_PI, after_compton, klein_nishina, read
from planardose.physics.warp_random import BELOW_ONE, GAMMA, hash64, uniform

wp.set_module_options({"enable_backward": False})

FIXED_POINT = 2.0**30  # tally units per expected score of 1
BALANCE = ("emitted", "absorbed", "escaped", "escaped_unscattered", "cut_off", "roulette_lost", "roulette_gained",
           "collisions")
ABSORBED, ESCAPED, UNSCATTERED, CUT_OFF, LOST, GAINED, COLLISIONS = (  # places in `BALANCE`
    wp.constant(n) for n in range(1, len(BALANCE))
)
ROULETTE_BELOW = 0.05
ROULETTE_TO = 0.25

_FIXED = wp.constant(FIXED_POINT)
_BELOW = wp.constant(ROULETTE_BELOW)
_TO = wp.constant(ROULETTE_TO)


@wp.struct
class Tables:
    """Everything a history reads. Energies: first + n keV. Vectors hold the three basis materials."""

    density: wp.array3d(dtype=wp.vec3)  # (I, J, K) g/mL
    spacing: wp.vec3  # mm
    voxel: wp.array(dtype=wp.int32)  # flat indices of active voxels
    cumulative: wp.array(dtype=wp.float64)  # of their activity, ending at 1
    guide: wp.array(dtype=wp.int32)  # first entry of `cumulative` that can hold n / len(guide)
    line_kev: wp.array(dtype=wp.float32)
    line_cumulative: wp.array(dtype=wp.float32)
    first_kev: float
    total: wp.array(dtype=wp.vec3)  # cm2/g
    compton: wp.array(dtype=wp.vec3)
    rayleigh: wp.array(dtype=wp.vec3)
    majorant: wp.array(dtype=wp.float32)  # 1/mm
    incoherent_norm: wp.array(dtype=wp.float32)
    coherent_norm: wp.array(dtype=wp.float32)
    x_step: float
    incoherent: wp.array(dtype=wp.float32)
    coherent: wp.array(dtype=wp.float32)
    coherent_integral: wp.array(dtype=wp.float32)


@wp.func
def read3(table: wp.array(dtype=wp.vec3), position: float) -> wp.vec3:
    """Linear interpolation at a position in units of the table's step; constant beyond its ends."""
    n = wp.clamp(int(position), 0, table.shape[0] - 2)
    f = wp.min(position - float(n), 1.0)
    return table[n] * (1.0 - f) + table[n + 1] * f


@wp.func
def compton_shape(t: Tables, ratio: float, cosine: float, position: float) -> float:
    """Klein-Nishina cross section times the scattering function, barn/sr; `ratio` is the energy after over before."""
    return klein_nishina(ratio, cosine) * read(t.incoherent, position)


@wp.func
def coherent_shape(t: Tables, cosine: float, position: float) -> float:
    """Thomson cross section times the squared form factor, both over their values at 0."""
    return 0.5 * (1.0 + cosine * cosine) * read(t.coherent, position)


@wp.func
def compton_scale(t: Tables, energy: float) -> float:
    """Turns `compton_shape` into the chance per solid angle, times 4 pi."""
    return FOUR_PI / read(t.incoherent_norm, energy - t.first_kev)


@wp.func
def coherent_scale(t: Tables, energy: float) -> float:
    """Turns `coherent_shape` into the chance per solid angle, times 4 pi."""
    return FOUR_PI / read(t.coherent_norm, energy - t.first_kev)


@wp.func
def sample_compton(t: Tables, energy: float, state: wp.uint64):
    """Cosine of the scattering angle, and the random state after it."""
    return photon_kernel.sample_compton(t.incoherent, t.x_step, energy, state)


@wp.func
def sample_coherent(t: Tables, energy: float, state: wp.uint64):
    """Cosine of the scattering angle, and the random state after it."""
    return photon_kernel.sample_coherent(t.coherent_integral, t.x_step, energy, state)


@wp.func
def uniform64(state: wp.uint64) -> wp.float64:
    """In [0, 1), 53 bits."""
    return wp.float64(hash64(state) >> wp.uint64(11)) * wp.float64(1.1102230246251565e-16)


@wp.func
def point_at(t: Tables, u: wp.float64, state: wp.uint64) -> wp.vec3:
    """Uniform in the voxel below which a share u < 1 of the activity lies, in voxel units."""
    n = t.guide[int(u * wp.float64(t.guide.shape[0]))]
    while t.cumulative[n] <= u:
        n = n + 1
    flat = t.voxel[n]
    n_k = t.density.shape[2]
    n_j = t.density.shape[1]
    k = flat % n_k
    j = (flat // n_k) % n_j
    i = flat // (n_k * n_j)
    corner = wp.vec3(float(i), float(j), float(k))
    point = corner + wp.vec3(uniform(state), uniform(state + GAMMA), uniform(state + GAMMA + GAMMA))
    # single precision rounds points close to their voxel's far face up to it, and out of the grid
    return wp.min(point, wp.vec3(float(t.density.shape[0]), float(n_j), float(n_k)) * BELOW_ONE)


@wp.func
def emission_point(t: Tables, a: wp.uint64, state: wp.uint64) -> wp.vec3:
    """Uniform in a voxel drawn by activity, in voxel units."""
    return point_at(t, uniform64(a), state)


@wp.func
def emission_energy(t: Tables, state: wp.uint64) -> float:
    """Energy, keV, of a line drawn by the nuclide's yields."""
    u = uniform(state)
    line = int(0)
    while line < t.line_kev.shape[0] - 1 and t.line_cumulative[line] <= u:
        line = line + 1
    return t.line_kev[line]


@wp.func
def inside_grid(t: Tables, p: wp.vec3) -> bool:
    """Whether a point in voxel units lies in the grid."""
    return (p[0] >= 0.0 and p[1] >= 0.0 and p[2] >= 0.0 and p[0] < float(t.density.shape[0])
            and p[1] < float(t.density.shape[1]) and p[2] < float(t.density.shape[2]))


@wp.func
def units(weight: float) -> wp.int64:
    """A weight in the balance's fixed point."""
    return wp.int64(weight * _FIXED + 0.5)


@wp.func
def credit(balance: wp.array(dtype=wp.int64), entry: int, weight: float):
    """Add a weight to an entry of the balance."""
    wp.atomic_add(balance, entry, units(weight))


@wp.func
def scatter(t: Tables, energy: float, compton_share: float, state_in: wp.uint64):
    """Energy and cosine after a collision, and the state."""
    state = state_in + GAMMA
    cosine = float(1.0)
    after = float(energy)
    if uniform(state) < compton_share:
        cosine, state = sample_compton(t, energy, state)
        after = after_compton(energy, cosine)
    else:
        cosine, state = sample_coherent(t, energy, state)
    return after, cosine, state


@wp.func
def roulette(balance: wp.array(dtype=wp.int64), weight: float, u: float) -> float:
    """Weight after Russian roulette; 0 ends the history."""
    if weight >= _BELOW:
        return weight
    if u * _TO < weight:
        credit(balance, GAINED, _TO - weight)
        return _TO
    credit(balance, LOST, weight)
    return 0.0
