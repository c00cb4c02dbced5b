"""Photons that scatter in the collimator's lead, or make it fluoresce: a Warp kernel with expected-value scoring.

One history: a photon of an isotropic source meets the face evenly over a cell of the lattice, in a direction drawn
where it matters; it is followed from collision to collision in the lead. At each one a direction toward the crystal
is drawn, and what the collision is expected to send there - coherently, by Compton scattering, as K X rays - is
weighted by its transmission and added up. Direction densities are mixtures, divided out exactly (balance heuristic).
"""

# ruff: noqa: UP018, RUF046 (Warp takes a bare literal for a constant: variables changed in a loop need float(), int())

import warp as wp

from planardose.physics.collimator_grid import LAST_SHIFT, SHIFTS
from planardose.physics.collimator_kernel import in_cell, lead_path, to_collision
from planardose.physics.compton import ELECTRON_REST_KEV
from planardose.physics.photon_kernel import (
    FOUR_PI,
    after_compton,
    coherent_per_4pi,
    compton_per_4pi,
    read,
    sample_coherent,
    sample_compton,
)
from planardose.physics.warp_random import GAMMA, first_state, isotropic, turned, uniform

wp.set_module_options({"enable_backward": False})

FIXED_POINT = 2.0**44  # tally units per photon that reaches the crystal, per photon emitted
LINES = 4  # K X rays of lead: K-L2, K-L3, K-M, K-N and beyond
CHANNELS = 1 + SHIFTS + LINES  # channel 0: coherently scattered only

_FIXED = wp.constant(FIXED_POINT)
_LINES = wp.constant(LINES)
_SHIFTS = wp.constant(SHIFTS)
_LAST_SHIFT = wp.constant(LAST_SHIFT)
_REST = wp.constant(ELECTRON_REST_KEV)
_CHANNELS = wp.constant(CHANNELS)
_LONGEST = wp.constant(25.0)  # mean free paths traced toward the crystal; beyond, transmission is taken for 0
_BELOW = wp.constant(0.05)  # Russian roulette on the weight relative to the history's first
_TO = wp.constant(0.25)
_NARROW_IN = wp.constant(0.35)  # shares of incoming directions drawn near the axis, and within some 30 degrees of
_MIDDLE_IN = wp.constant(0.35)  # it; the rest over the half space
_NARROW_OUT = wp.constant(0.45)  # outgoing: near the axis, about the coherent peak, and by the cosine law
_PEAK_OUT = wp.constant(0.2)


@wp.struct
class Lead:
    """Lead, crystal and holes. Tables over energy have a node per keV from `first_kev` and the K edge twice."""

    hole: float
    pitch: float
    length: float
    first_kev: float
    edge_kev: float
    total: wp.array(dtype=wp.float32)  # 1/mm
    compton: wp.array(dtype=wp.float32)  # share of collisions
    coherent_share: wp.array(dtype=wp.float32)
    fluorescent: wp.array(dtype=wp.float32)  # K X rays per collision
    crystal: wp.array(dtype=wp.float32)  # mean free paths straight through the crystal
    x_step: float
    incoherent: wp.array(dtype=wp.float32)
    coherent: wp.array(dtype=wp.float32)
    coherent_integral: wp.array(dtype=wp.float32)
    incoherent_norm: wp.array(dtype=wp.float32)
    coherent_norm: wp.array(dtype=wp.float32)
    line_kev: wp.array(dtype=wp.float32)
    line_share: wp.array(dtype=wp.float32)
    distance: wp.array(dtype=wp.float32)  # mm, source to face
    radius_scale: float  # radius bins: n = rings * log(1 + r / scale) / log(1 + last / scale), r in units of tan
    radius_last: float
    rings: int


@wp.struct
class Photon:
    """A photon in the lead. `place`: mm from where it met the face. `cell`: the same relative to its cell's centre.
    `slope`: tangents of the direction in which it came from the source. `line`: X ray it is, else -1."""

    cell: wp.vec2
    place: wp.vec2
    z: float
    d: wp.vec3
    energy: float
    weight: float
    slope: wp.vec2
    line: int
    shifted: int


@wp.func
def node(lead: Lead, energy: float) -> float:
    """Position in the tables over energy, on the right side of the K edge."""
    position = energy - lead.first_kev
    if energy >= lead.edge_kev:
        return position + 1.0
    return wp.min(position, wp.floor(lead.edge_kev) - lead.first_kev)


@wp.func
def shift_channel(first_kev: float, energy: float) -> int:
    """Bin n of a shift holds LAST_SHIFT (n / SHIFTS)^2 up to the next."""
    shift = wp.max(_REST * (1.0 / energy - 1.0 / first_kev), 0.0)
    return 1 + wp.min(int(float(_SHIFTS) * wp.sqrt(shift / _LAST_SHIFT)), _SHIFTS - 1)


@wp.func
def near_axis(scale: float, state: wp.uint64) -> wp.vec3:
    """Direction with density scale^2 / (pi (tan^2 + scale^2)^2 cos^3) per solid angle."""
    u = uniform(state)
    turn = wp.TAU * uniform(state + GAMMA)
    tangent = scale * wp.sqrt(u / (1.0 - u))
    cosine = 1.0 / wp.sqrt(1.0 + tangent * tangent)
    return wp.vec3(tangent * cosine * wp.cos(turn), tangent * cosine * wp.sin(turn), cosine)


@wp.func
def near_axis_density(scale: float, cosine: float) -> float:
    """Density of `near_axis`, per steradian."""
    tangent2 = 1.0 / (cosine * cosine) - 1.0
    spread = tangent2 + scale * scale
    return scale * scale / (wp.PI * spread * spread * cosine * cosine * cosine)


@wp.func
def incoming(lead: Lead, state: wp.uint64):
    """Direction of an incoming photon, and its weight per photon emitted into all directions."""
    scale = 2.0 * lead.hole / lead.length
    pick = uniform(state + GAMMA * wp.uint64(2))
    d = near_axis(scale, state)
    if pick > _NARROW_IN:
        d = near_axis(0.5, state)
    if pick > _NARROW_IN + _MIDDLE_IN:
        d = isotropic(state)
        d = wp.vec3(d[0], d[1], wp.max(wp.abs(d[2]), 1.0e-4))
    density = _NARROW_IN * near_axis_density(scale, d[2]) + _MIDDLE_IN * near_axis_density(0.5, d[2])
    density = density + (1.0 - _NARROW_IN - _MIDDLE_IN) / (wp.TAU)
    return d, 1.0 / (FOUR_PI * density)


@wp.func
def toward_crystal(lead: Lead, p: Photon, state_in: wp.uint64):
    """A direction in which to look for the crystal, its density per solid angle times 4 pi, and the state."""
    scale = wp.min(lead.hole / (lead.length - p.z), 3.0)
    norm = read(lead.coherent_norm, node(lead, p.energy))
    state = state_in + GAMMA * wp.uint64(3)
    pick = uniform(state)
    d = near_axis(scale, state + GAMMA)
    if pick > _NARROW_OUT + _PEAK_OUT:
        d = near_axis(1.0, state + GAMMA)
    state = state + GAMMA * wp.uint64(3)
    if pick > _NARROW_OUT and pick <= _NARROW_OUT + _PEAK_OUT:
        cosine, state = sample_coherent(lead.coherent_integral, lead.x_step, p.energy, state)
        state = state + GAMMA
        d = turned(p.d, cosine, wp.TAU * uniform(state))
    density = float(0.0)
    if d[2] > 1.0e-3:
        peak = coherent_per_4pi(lead.coherent, lead.x_step, norm, p.energy, wp.dot(p.d, d))
        density = _PEAK_OUT * peak + FOUR_PI * (
            _NARROW_OUT * near_axis_density(scale, d[2])
            + (1.0 - _NARROW_OUT - _PEAK_OUT) * near_axis_density(1.0, d[2])
        )
    return d, density, state


@wp.func
def score(
    lead: Lead,
    p: Photon,
    d: wp.vec3,
    channel: int,
    value: float,
    energy: float,
    image: wp.array(dtype=wp.int64),
    spectrum: wp.array(dtype=wp.int64),
):
    """Add photons expected at the crystal; to the image with the oblique path's gain in the crystal, over a straight
    one's."""
    wp.atomic_add(spectrum, channel, wp.int64(value * _FIXED + 0.5))
    thick = read(lead.crystal, node(lead, energy))
    gain = (1.0 - wp.exp(-thick / d[2])) / (1.0 - wp.exp(-thick))
    units = wp.int64(value * gain * _FIXED + 0.5)
    drop = (lead.length - p.z) / d[2]
    per_log = float(lead.rings) / wp.log(1.0 + lead.radius_last / lead.radius_scale)
    for n in range(lead.distance.shape[0]):
        reach = lead.distance[n]
        r = wp.length(p.slope * reach + p.place + wp.vec2(d[0], d[1]) * drop) / (reach + lead.length)
        ring = wp.min(int(per_log * wp.log(1.0 + r / lead.radius_scale)), lead.rings - 1)
        wp.atomic_add(image, (n * _CHANNELS + channel) * lead.rings + ring, units)


@wp.func
def look(
    lead: Lead,
    p: Photon,
    first_kev: float,
    state_in: wp.uint64,
    image: wp.array(dtype=wp.int64),
    spectrum: wp.array(dtype=wp.int64),
) -> wp.uint64:
    """Score what a collision is expected to send to the crystal, along one direction; returns the state."""
    d, density, state = toward_crystal(lead, p, state_in)
    if density > 0.0:
        here = node(lead, p.energy)
        mu = read(lead.total, here)
        longest = _LONGEST / mu
        if p.energy >= lead.edge_kev:
            longest = _LONGEST / wp.min(mu, read(lead.total, node(lead, lead.line_kev[LINES - 1])))
        path = lead_path(p.cell, d, lead.length - p.z, lead.hole, lead.pitch, longest)
        cosine = wp.dot(p.d, d)
        weight = p.weight / density
        channel = int(0)
        if p.line >= 0:
            channel = 1 + _SHIFTS + p.line
        if p.shifted > 0:
            channel = shift_channel(first_kev, p.energy)
        peak = coherent_per_4pi(lead.coherent, lead.x_step, read(lead.coherent_norm, here), p.energy, cosine)
        value = weight * read(lead.coherent_share, here) * peak * wp.exp(-mu * path)
        score(lead, p, d, channel, value, p.energy, image, spectrum)
        energy = after_compton(p.energy, cosine)
        if energy > lead.first_kev:
            channel = shift_channel(first_kev, energy)
            angular = compton_per_4pi(lead.incoherent, lead.x_step, read(lead.incoherent_norm, here), p.energy, cosine)
            value = weight * read(lead.compton, here) * angular
            value = value * wp.exp(-read(lead.total, node(lead, energy)) * path)
            score(lead, p, d, channel, value, energy, image, spectrum)
        if p.energy >= lead.edge_kev:
            for n in range(_LINES):
                value = weight * read(lead.fluorescent, here) * lead.line_share[n]
                value = value * wp.exp(-read(lead.total, node(lead, lead.line_kev[n])) * path)
                score(lead, p, d, 1 + _SHIFTS + n, value, lead.line_kev[n], image, spectrum)
    return state


@wp.func
def collide(lead: Lead, p_in: Photon, state_in: wp.uint64):
    """The photon after a collision, absorption as weight, and the state."""
    p = p_in
    here = node(lead, p.energy)
    compton = read(lead.compton, here)
    coherent = read(lead.coherent_share, here)
    fluorescent = float(0.0)
    if p.energy >= lead.edge_kev:
        fluorescent = read(lead.fluorescent, here)
    p.weight = p.weight * (compton + coherent + fluorescent)
    state = state_in + GAMMA
    pick = uniform(state) * (compton + coherent + fluorescent)
    cosine = float(1.0)
    if pick < compton:
        cosine, state = sample_compton(lead.incoherent, lead.x_step, p.energy, state)
        p.energy = after_compton(p.energy, cosine)
        p.shifted = 1
        p.line = -1
    elif pick < compton + coherent:
        cosine, state = sample_coherent(lead.coherent_integral, lead.x_step, p.energy, state)
    if pick < compton + coherent:
        p.d = turned(p.d, cosine, wp.TAU * uniform(state + GAMMA))
        state = state + GAMMA
    else:
        u = uniform(state + GAMMA)
        p.line = _LINES - 1
        for n in range(_LINES - 1):
            if u < lead.line_share[n] and p.line == _LINES - 1:
                p.line = n
            u = u - lead.line_share[n]
        p.energy = lead.line_kev[p.line]
        p.shifted = 0
        p.d = isotropic(state + GAMMA * wp.uint64(2))
        state = state + GAMMA * wp.uint64(4)
    return p, state


@wp.kernel
def histories(
    lead: Lead,
    first_kev: float,
    seed: wp.uint64,
    first: wp.uint64,
    image: wp.array(dtype=wp.int64),
    spectrum: wp.array(dtype=wp.int64),
):
    """Follow history number first + tid; `image` (distance, channel, ring) and `spectrum` (channel) in fixed point."""
    state = first_state(seed, first + wp.uint64(wp.tid()))
    d, start = incoming(lead, state + GAMMA)
    state = state + GAMMA * wp.uint64(4)
    third = wp.min(int(3.0 * uniform(state + GAMMA)), 2)
    p = Photon()
    p.cell = in_cell(uniform(state + GAMMA * wp.uint64(2)), uniform(state + GAMMA * wp.uint64(3)), third, lead.pitch)
    p.place = wp.vec2(0.0, 0.0)
    p.z = 0.0
    p.d = d
    p.energy = first_kev
    p.weight = start
    p.slope = wp.vec2(d[0], d[1]) / d[2]
    p.line = -1
    p.shifted = 0
    state = state + GAMMA * wp.uint64(3)
    following = bool(True)
    while following:
        state = state + GAMMA
        goal = -wp.log(uniform(state)) / read(lead.total, node(lead, p.energy))
        found, cell, path = to_collision(p.cell, p.z, p.d, goal, lead.hole, lead.pitch, lead.length)
        following = found
        if found:
            p.cell = cell
            p.place = p.place + wp.vec2(p.d[0], p.d[1]) * path
            p.z = wp.clamp(p.z + p.d[2] * path, 0.0, lead.length * 0.99999)
            state = look(lead, p, first_kev, state, image, spectrum)
            p, state = collide(lead, p, state)
            state = state + GAMMA
            if p.weight < _BELOW * start:
                if uniform(state) * _TO * start < p.weight:
                    p.weight = _TO * start
                else:
                    following = bool(False)
            if p.energy < lead.first_kev:
                following = bool(False)
