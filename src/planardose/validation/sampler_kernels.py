"""Small Warp kernels that call the transport's own functions, one draw or photon per thread."""

import warp as wp

from planardose.physics import warp_random
from planardose.physics.warp_random import GAMMA
from planardose.sim import montecarlo_kernel as kernel
from planardose.sim.montecarlo_track import fly

wp.set_module_options({"enable_backward": False})


@wp.func
def start(seed: wp.uint64, n: int) -> wp.uint64:
    """State of draw n: where history n starts."""
    return warp_random.first_state(seed, wp.uint64(n))


@wp.kernel
def compton_cosines(t: kernel.Tables, seed: wp.uint64, energy: float, out: wp.array(dtype=wp.float32)):
    n = wp.tid()
    cosine, _state = kernel.sample_compton(t, energy, start(seed, n))
    out[n] = cosine


@wp.kernel
def coherent_cosines(t: kernel.Tables, seed: wp.uint64, energy: float, out: wp.array(dtype=wp.float32)):
    n = wp.tid()
    cosine, _state = kernel.sample_coherent(t, energy, start(seed, n))
    out[n] = cosine


@wp.kernel
def directions(seed: wp.uint64, out: wp.array(dtype=wp.vec3)):
    n = wp.tid()
    out[n] = warp_random.isotropic(start(seed, n))


@wp.kernel
def turns(seed: wp.uint64, before: wp.vec3, cosine: float, out: wp.array(dtype=wp.vec3)):
    n = wp.tid()
    out[n] = warp_random.turned(before, cosine, wp.TAU * warp_random.uniform(start(seed, n)))


@wp.kernel
def emission_points(t: kernel.Tables, seed: wp.uint64, out: wp.array(dtype=wp.vec3)):
    n = wp.tid()
    state = start(seed, n)
    out[n] = kernel.emission_point(t, state, state + GAMMA)


@wp.kernel
def emission_energies(t: kernel.Tables, seed: wp.uint64, out: wp.array(dtype=wp.float32)):
    n = wp.tid()
    out[n] = kernel.emission_energy(t, start(seed, n))


@wp.kernel
def beam(t: kernel.Tables, seed: wp.uint64, energy: float, out: wp.array(dtype=wp.float32)):
    """Photons along +y from the middle of the grid's lower face: 1 for those that leave without a collision."""
    n = wp.tid()
    middle = wp.vec3(0.5 * float(t.density.shape[0]), 0.0, 0.5 * float(t.density.shape[2]))
    _p, mu, _state = fly(t, middle, wp.vec3(0.0, 1.0, 0.0), energy, start(seed, n))
    if mu < 0.0:
        out[n] = 1.0


@wp.kernel
def numbers(seed: wp.uint64, out: wp.array(dtype=wp.float32)):
    n = wp.tid()
    out[n] = warp_random.uniform(start(seed, n))
