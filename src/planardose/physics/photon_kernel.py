"""Warp functions for a photon's collision with bound electrons: angular densities and samplers over tabulated factors.

The tables are those of `form_factors`: S(x) per electron and F(x)^2 / F(0)^2 over x = (E / hc) sin(angle / 2).
"""

# ruff: noqa: UP018, RUF046 (Warp takes a bare literal for a constant: variables changed in a loop need float(), int())

import warp as wp

from planardose.physics.compton import BARN_PER_CM2, ELECTRON_RADIUS_CM, ELECTRON_REST_KEV
from planardose.physics.form_factors import HC_KEV_ANGSTROM
from planardose.physics.warp_random import GAMMA, uniform

FOUR_PI = wp.constant(2.0 * wp.TAU)
_REST = wp.constant(ELECTRON_REST_KEV)
_RADIUS2 = wp.constant(ELECTRON_RADIUS_CM**2 * BARN_PER_CM2)  # barn
_HC = wp.constant(HC_KEV_ANGSTROM)


@wp.func
def read(table: wp.array(dtype=wp.float32), position: float) -> float:
    """Linear interpolation at a position in units of the table's step; constant beyond its ends."""
    n = wp.clamp(int(position), 0, table.shape[0] - 2)
    f = wp.clamp(position - float(n), 0.0, 1.0)
    return table[n] * (1.0 - f) + table[n + 1] * f


@wp.func
def after_compton(energy: float, cosine: float) -> float:
    """Energy, keV, of a photon of `energy` keV after scattering off a free electron at rest."""
    return energy / (1.0 + energy / _REST * (1.0 - cosine))


@wp.func
def momentum(energy: float, cosine: float, x_step: float) -> float:
    """Position in the form-factor tables."""
    return energy / _HC * wp.sqrt(wp.max(0.5 * (1.0 - cosine), 0.0)) / x_step


@wp.func
def klein_nishina(ratio: float, cosine: float) -> float:
    """Cross section of a free electron, barn/sr; `ratio` is the photon's energy after over before."""
    return 0.5 * _RADIUS2 * ratio * ratio * (ratio + 1.0 / ratio - (1.0 - cosine * cosine))


@wp.func
def compton_per_4pi(
    incoherent: wp.array(dtype=wp.float32), x_step: float, norm_barn: float, energy: float, cosine: float
) -> float:
    """Chance per solid angle, times 4 pi, that Compton scattering goes into a direction."""
    ratio = 1.0 / (1.0 + energy / _REST * (1.0 - cosine))
    return FOUR_PI * klein_nishina(ratio, cosine) * read(incoherent, momentum(energy, cosine, x_step)) / norm_barn


@wp.func
def coherent_per_4pi(
    coherent: wp.array(dtype=wp.float32), x_step: float, norm: float, energy: float, cosine: float
) -> float:
    """Chance per solid angle, times 4 pi, that coherent scattering goes into a direction."""
    f2 = read(coherent, momentum(energy, cosine, x_step))
    return FOUR_PI * 0.5 * (1.0 + cosine * cosine) * f2 / norm


@wp.func
def sample_compton(incoherent: wp.array(dtype=wp.float32), x_step: float, energy: float, state_in: wp.uint64):
    """Cosine of the scattering angle (Butcher-Messel composition, rejection by S), and the state after it."""
    state = state_in
    k = energy / _REST
    low = 1.0 / (1.0 + 2.0 * k)
    first = -wp.log(low)
    both = first + 0.5 * (1.0 - low * low)
    cosine = float(1.0)
    searching = bool(True)
    while searching:
        state = state + GAMMA
        pick = uniform(state) * both
        state = state + GAMMA
        u = uniform(state)
        r = wp.sqrt(low * low + (1.0 - low * low) * u)
        if pick < first:
            r = wp.exp(-first * u)
        q = (1.0 - r) / (k * r)
        cosine = 1.0 - q
        state = state + GAMMA
        bound = read(incoherent, momentum(energy, cosine, x_step))
        if uniform(state) < (1.0 - r * q * (2.0 - q) / (1.0 + r * r)) * bound:
            searching = False
    return cosine, state


@wp.func
def sample_coherent(integral: wp.array(dtype=wp.float32), x_step: float, energy: float, state_in: wp.uint64):
    """Cosine of the scattering angle: x^2 from the integral of F^2, rejection by (1 + cos^2) / 2; and the state."""
    state = state_in
    last = integral.shape[0] - 1
    largest = wp.min(energy / _HC, float(last) * x_step)
    reach = read(integral, largest / x_step)
    cosine = float(1.0)
    searching = bool(True)
    while searching:
        state = state + GAMMA
        goal = uniform(state) * reach
        a = int(0)
        b = int(last)
        while b - a > 1:
            middle = (a + b) // 2
            if integral[middle] <= goal:
                a = middle
            else:
                b = middle
        share = (goal - integral[a]) / (integral[b] - integral[a])
        square = (float(a * a) + share * float(b * b - a * a)) * x_step * x_step
        ratio = _HC / energy
        cosine = wp.max(1.0 - 2.0 * square * ratio * ratio, -1.0)
        state = state + GAMMA
        if uniform(state) < 0.5 * (1.0 + cosine * cosine):
            searching = False
    return cosine, state
