"""Rays through a lattice of hexagonal holes in lead, as Warp functions.

Hole axes lie along z, the face at z = 0, the crystal at z = length. A ray is followed from cell to cell of the
lattice in coordinates relative to the cell's centre, so single precision holds however far it goes sideways. Two of
each hexagon's sides are parallel to y, as in `collimator.hexagon_autocorrelation`.
"""

# ruff: noqa: UP018 (Warp takes a bare literal for a constant: variables changed in a loop need float(), int())

import warp as wp

from planardose.physics.warp_random import GAMMA, hash64, uniform

wp.set_module_options({"enable_backward": False})

_FAR = wp.constant(1.0e30)
_HALF_ROOT3 = wp.constant(0.8660254037844386)
_TOP = wp.constant(1.7320508075688772)
_LARGEST_TRACED = wp.constant(30.0)  # mean free paths: beyond, transmission (1e-13) is taken for 0
_PLASTIC_A = wp.constant(0.7548776662466927)  # R2 sequence (Roberts 2018)
_PLASTIC_B = wp.constant(0.5698402909980532)


@wp.struct
class Crossing:
    """One cell along a ray, in path length from the present point: its hole from `enter` to `leave` (none if equal),
    its end at `end`, and the shift to the next cell's coordinates."""

    enter: float
    leave: float
    end: float
    shift: wp.vec2


@wp.func
def normal(m: int) -> wp.vec2:
    """Unit normals of the hexagon's three pairs of sides."""
    n = wp.vec2(1.0, 0.0)
    if m == 1:
        n = wp.vec2(0.5, _HALF_ROOT3)
    if m == 2:
        n = wp.vec2(-0.5, _HALF_ROOT3)
    return n


@wp.func
def crossing(c: wp.vec2, v: wp.vec2, hole: float, pitch: float) -> Crossing:
    """Cell that a ray from c (mm, relative to the cell's centre) along v (per path length) goes through."""
    out = Crossing()
    enter = float(0.0)
    leave = float(_FAR)
    end = float(_FAR)
    shift = wp.vec2(0.0, 0.0)
    for m in range(3):
        n = normal(m)
        a = wp.dot(c, n)
        b = wp.dot(v, n)
        if wp.abs(b) < 1.0e-9:
            if wp.abs(a) > 0.5 * hole:
                leave = float(0.0)
        else:
            middle = -a / b
            half = 0.5 / wp.abs(b)
            enter = wp.max(enter, middle - half * hole)
            leave = wp.min(leave, middle + half * hole)
            if middle + half * pitch < end:
                end = middle + half * pitch
                shift = n * (-pitch * wp.sign(b))
    out.end = wp.max(end, 0.0)
    out.enter = enter
    out.leave = wp.max(leave, enter)
    out.shift = shift
    return out


@wp.func
def lead_path(c_in: wp.vec2, d: wp.vec3, height: float, hole: float, pitch: float, longest: float) -> float:
    """Millimetres of lead on the way from c_in, `height` above the crystal, along d (toward it); at most a bit more
    than `longest`. Exactly 0 if the ray stays in one hole."""
    c = wp.vec2(c_in)
    v = wp.vec2(d[0], d[1])
    left = height / d[2]
    lead = float(0.0)
    while left > 0.0 and lead <= longest:
        x = crossing(c, v, hole, pitch)
        step = wp.min(x.end, left)
        lead = lead + (step - wp.max(wp.min(x.leave, step) - x.enter, 0.0))
        left = left - step
        c = c + v * step + x.shift
    return lead


@wp.func
def to_collision(c_in: wp.vec2, z: float, d: wp.vec3, lead_goal: float, hole: float, pitch: float, length: float):
    """Follow a ray until it has gone `lead_goal` mm in lead: whether it does so inside the collimator, the point
    relative to its cell's centre, and the path length."""
    c = wp.vec2(c_in)
    v = wp.vec2(d[0], d[1])
    left = float(_FAR)
    if d[2] > 1.0e-9:
        left = (length - z) / d[2]
    if d[2] < -1.0e-9:
        left = -z / d[2]
    goal = float(lead_goal)
    path = float(0.0)
    searching = bool(True)
    found = bool(False)
    while searching:
        x = crossing(c, v, hole, pitch)
        step = wp.min(x.end, left)
        opened = wp.min(x.enter, step)
        closed = wp.max(wp.min(x.leave, step), opened)
        if goal <= opened or goal <= step - (closed - opened):
            if goal > opened:
                goal = goal + (closed - opened)
            path = path + goal
            c = c + v * goal
            found = bool(True)
            searching = bool(False)
        else:
            goal = goal - (step - (closed - opened))
            path = path + step
            if x.end >= left:
                searching = bool(False)
            left = left - step
            c = c + v * step + x.shift
    return found, c, path


@wp.func
def in_cell(u: float, w: float, third: int, pitch: float) -> wp.vec2:
    """Uniform in the lattice's hexagonal cell: u and w (0 to 1) in one of its three rhombi."""
    corner = pitch / _TOP
    first = wp.vec2(_HALF_ROOT3 * corner, 0.5 * corner)
    second = wp.vec2(-_HALF_ROOT3 * corner, 0.5 * corner)
    down = wp.vec2(0.0, -corner)
    out = first * u + second * w
    if third == 1:
        out = second * u + down * w
    if third == 2:
        out = down * u + first * w
    return out


@wp.kernel
def transmission(
    tangent: wp.array(dtype=wp.float32),
    azimuth: wp.array(dtype=wp.float32),
    entries: wp.array(dtype=wp.int32),
    seed: wp.uint64,
    hole: float,
    pitch: float,
    length: float,
    mu: float,
    opened: wp.array2d(dtype=wp.float32),
    penetrating: wp.array2d(dtype=wp.float32),
    path: wp.array2d(dtype=wp.float32),
):
    """Per direction (row i, column k), means over points of entry spread over the cell: the share from which
    no lead is touched, the transmission of the other rays, and their transmission times the lead on their way (mm)."""
    i, k = wp.tid()
    inclination = 1.0 / wp.sqrt(1.0 + tangent[i] * tangent[i])
    sideways = tangent[i] * inclination
    d = wp.vec3(sideways * wp.cos(azimuth[k]), sideways * wp.sin(azimuth[k]), inclination)
    state = hash64(seed + wp.uint64(i * azimuth.shape[0] + k + 1) * GAMMA)
    u0 = uniform(state + GAMMA)
    w0 = uniform(state + GAMMA + GAMMA)
    strict = float(0.0)
    through = float(0.0)
    far = float(0.0)
    for n in range(entries[i]):
        u = u0 + float(n // 3) * _PLASTIC_A
        w = w0 + float(n // 3) * _PLASTIC_B
        lead = lead_path(in_cell(u - wp.floor(u), w - wp.floor(w), n % 3, pitch), d, length, hole, pitch,
                         _LARGEST_TRACED / mu)
        if lead == 0.0:
            strict = strict + 1.0
        else:
            passed = wp.exp(-mu * lead)
            through = through + passed
            far = far + passed * lead
    opened[i, k] = strict / float(entries[i])
    penetrating[i, k] = through / float(entries[i])
    path[i, k] = far / float(entries[i])
