"""Counter-based random numbers and directions for Warp kernels: a draw is a hash of a 64-bit state."""

import warp as wp

GAMMA = wp.constant(wp.uint64(0x9E3779B97F4A7C15))  # step from one draw's state to the next (SplitMix64)
_MIX_A = wp.constant(wp.uint64(0xBF58476D1CE4E5B9))
_MIX_B = wp.constant(wp.uint64(0x94D049BB133111EB))
BELOW_ONE = wp.constant(1.0 - 2.0**-24)  # the largest float below 1; times a whole number, the largest below that


@wp.func
def hash64(state: wp.uint64) -> wp.uint64:
    """Finaliser of SplitMix64 (Steele, Lea and Flood, OOPSLA 2014)."""
    z = (state ^ (state >> wp.uint64(30))) * _MIX_A
    z = (z ^ (z >> wp.uint64(27))) * _MIX_B
    return z ^ (z >> wp.uint64(31))


@wp.func
def first_state(seed: wp.uint64, number: wp.uint64) -> wp.uint64:
    """State in which history `number` starts: its draws do not depend on who follows it, nor on other histories."""
    return hash64(seed + hash64((number + wp.uint64(1)) * GAMMA))


@wp.func
def uniform(state: wp.uint64) -> float:
    """24 bits, never 0 or 1."""
    # the last of all numbers would be rounded up to 1
    return wp.min((float(hash64(state) >> wp.uint64(40)) + 0.5) * 5.9604644775390625e-08, BELOW_ONE)


@wp.func
def isotropic(state: wp.uint64) -> wp.vec3:
    """Unit vector, uniform on the sphere."""
    up = 2.0 * uniform(state) - 1.0
    turn = wp.TAU * uniform(state + GAMMA)
    flat = wp.sqrt(wp.max(1.0 - up * up, 0.0))
    return wp.vec3(flat * wp.cos(turn), flat * wp.sin(turn), up)


@wp.func
def turned(d: wp.vec3, cosine: float, azimuth: float) -> wp.vec3:
    """Direction after scattering by an angle about an azimuth."""
    helper = wp.vec3(0.0, 0.0, 1.0)
    if wp.abs(d[2]) > 0.9:
        helper = wp.vec3(1.0, 0.0, 0.0)
    a = wp.normalize(wp.cross(d, helper))
    b = wp.cross(d, a)
    sine = wp.sqrt(wp.max(1.0 - cosine * cosine, 0.0))
    return wp.normalize(d * cosine + a * (sine * wp.cos(azimuth)) + b * (sine * wp.sin(azimuth)))
