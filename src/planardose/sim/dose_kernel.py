"""The photon kernel in dose mode: energy per voxel, down to a few keV, with the physics of `montecarlo_kernel`.

Photons are followed one by one without weights. At every tentative collision of the Woodcock tracking, real or not, the
energy that a photon there is expected to leave is scored: an unbiased estimate of the same dose as scoring what real
collisions leave, with 1.4 (a whole sphere of water) to 3 times (voxels of a patient with bone) less variance for the
time. What real collisions leave goes into the balance, which closes to the last bit.
"""

# ruff: noqa: UP018, RUF046 (Warp takes a bare literal for a constant: variables changed in a loop need float(), bool())

import warp as wp

from planardose.physics.photon_kernel import read
from planardose.physics.warp_random import GAMMA, first_state, isotropic, turned, uniform
from planardose.sim.montecarlo_kernel import Tables, emission_energy, emission_point, inside_grid, read3, scatter

wp.set_module_options({"enable_backward": False})

KEV_UNIT = 2.0**20  # tally units per keV: 2^32 photons of 1 MeV stay within 63 bits
BALANCE = ("emitted", "recoil", "photoabsorbed", "below_cut", "escaped", "collisions")  # keV, but for the last

_UNIT = wp.constant(KEV_UNIT)
_EMITTED, _RECOIL, _ABSORBED, _BELOW_CUT, _ESCAPED, _COLLISIONS = (  # places in `BALANCE`
    wp.constant(n) for n in range(len(BALANCE))
)


@wp.struct
class DoseTables:
    """Cross sections at energies exp(log_cut + n / per_log) keV; vectors hold the three basis materials."""

    photon: Tables  # density, emission and form factors; its cross sections are not used
    log_cut: float
    per_log: float
    cut_kev: float
    total: wp.array(dtype=wp.vec3)  # cm2/g
    compton: wp.array(dtype=wp.vec3)
    rayleigh: wp.array(dtype=wp.vec3)
    absorption: wp.array(dtype=wp.vec3)  # times energy: left per path, in photoabsorption and to recoil electrons
    majorant: wp.array(dtype=wp.float32)  # 1/mm


@wp.func
def fixed_point(kev: float) -> wp.int64:
    """An energy, keV, in the tallies' units."""
    return wp.int64(kev * _UNIT + 0.5)


@wp.func
def deposit(t: DoseTables, tally: wp.array(dtype=wp.int64), p: wp.vec3, kev: float):
    """Add energy to the voxel of a point."""
    n_j = t.photon.density.shape[1]
    n_k = t.photon.density.shape[2]
    wp.atomic_add(tally, (int(p[0]) * n_j + int(p[1])) * n_k + int(p[2]), fixed_point(kev))


@wp.func
def fly(
    t: DoseTables,
    tally: wp.array(dtype=wp.int64),
    at: float,
    energy: float,
    start: wp.vec3,
    d: wp.vec3,
    state_in: wp.uint64,
):
    """Woodcock flight to the next real collision: the point, its mu (1/cm; 0 outside the grid) and the state."""
    majorant = read(t.majorant, at)
    total = read3(t.total, at)
    left = read3(t.absorption, at) * (0.1 * energy / majorant)
    step = wp.cw_div(d, t.photon.spacing) / majorant
    p = start
    state = state_in
    mu = float(0.0)
    flying = bool(True)
    while flying:
        state = state + GAMMA
        p = p - step * wp.log(uniform(state))
        mu = 0.0
        flying = inside_grid(t.photon, p)
        if flying:
            here = t.photon.density[int(p[0]), int(p[1]), int(p[2])]
            mu = wp.dot(here, total)
            if mu > 0.0:
                deposit(t, tally, p, wp.dot(here, left))
                state = state + GAMMA
                flying = uniform(state) * majorant >= 0.1 * mu
    return p, mu, state


@wp.func
def collide(t: DoseTables, at: float, energy: float, here: wp.vec3, mu: float, state_in: wp.uint64):
    """A real collision: energy afterwards (0: absorbed), cosine of the scattering angle, and the state."""
    compton = wp.dot(here, read3(t.compton, at)) / mu
    scattered = compton + wp.dot(here, read3(t.rayleigh, at)) / mu
    state = state_in + GAMMA
    after = float(0.0)
    cosine = float(1.0)
    if uniform(state) < scattered:
        after, cosine, state = scatter(t.photon, energy, compton / scattered, state)
    return after, cosine, state


@wp.func
def settle(balance: wp.array(dtype=wp.int64), emitted: float, fate: int, last: float, collisions: int):
    """Book a photon that ended with energy `last`; the rest went to recoil electrons."""
    wp.atomic_add(balance, _EMITTED, fixed_point(emitted))
    wp.atomic_add(balance, _RECOIL, fixed_point(emitted) - fixed_point(last))
    wp.atomic_add(balance, fate, fixed_point(last))
    wp.atomic_add(balance, _COLLISIONS, wp.int64(collisions))


@wp.kernel
def dose_histories(
    t: DoseTables,
    seed: wp.uint64,
    first: wp.uint64,
    tally: wp.array(dtype=wp.int64),
    balance: wp.array(dtype=wp.int64),
):
    """Follow photon number first + tid until it is absorbed, leaves the grid, or falls to the cut."""
    state = first_state(seed, first + wp.uint64(wp.tid()))
    p = emission_point(t.photon, state, state + GAMMA)
    emitted = emission_energy(t.photon, state + GAMMA * wp.uint64(4))
    d = isotropic(state + GAMMA * wp.uint64(5))
    state = state + GAMMA * wp.uint64(6)
    energy = emitted
    collisions = int(0)
    fate = int(0)
    while fate == 0:
        if energy <= t.cut_kev:
            deposit(t, tally, p, energy)
            fate = _BELOW_CUT
        else:
            at = (wp.log(energy) - t.log_cut) * t.per_log
            p, mu, state = fly(t, tally, at, energy, p, d, state)
            if mu == 0.0:
                fate = _ESCAPED
            else:
                collisions = collisions + 1
                here = t.photon.density[int(p[0]), int(p[1]), int(p[2])]
                after, cosine, state = collide(t, at, energy, here, mu, state)
                if after == 0.0:
                    fate = _ABSORBED
                else:
                    energy = after
                    d = turned(d, cosine, wp.TAU * uniform(state + GAMMA))
                    state = state + GAMMA
    settle(balance, emitted, fate, energy, collisions)
