"""The photon kernel: one history through the voxels, and what every head is expected to count of it.

Woodcock tracking; at each collision the expected count of all heads (forced detection), then Compton or coherent
scattering. Scores go to int64 fixed-point tallies, so their sum does not depend on the order of histories. The analog
mode, for tests, counts only photons that leave the patient close to a head's normal, and absorbs by chance.
"""

# ruff: noqa: UP018, RUF046 (Warp takes a bare literal for a constant: variables changed in a loop need float(), int(), bool())

import warp as wp

from planardose.physics.photon_kernel import after_compton, momentum, read
from planardose.physics.warp_random import GAMMA, first_state, isotropic, turned, uniform
from planardose.sim.montecarlo_kernel import (
    ABSORBED,
    COLLISIONS,
    CUT_OFF,
    ESCAPED,
    FIXED_POINT,
    UNSCATTERED,
    Tables,
    coherent_scale,
    coherent_shape,
    compton_scale,
    compton_shape,
    credit,
    emission_energy,
    inside_grid,
    point_at,
    read3,
    roulette,
    scatter,
    uniform64,
    units,
)

wp.set_module_options({"enable_backward": False})

_FIXED = wp.constant(FIXED_POINT)
_LEAST = wp.constant(1.0e-6)  # smaller scores are left out
_BELOW_ONE = wp.constant(wp.float64(0.9999999999999999))


@wp.struct
class Heads:
    """Where scores go. Lengths in mm from the grid's lowest corner. The tally is (head, slot, layer, column, slice)."""

    normal: wp.array(dtype=wp.vec3)  # unit vectors toward the heads, square to z
    tangent: wp.array(dtype=wp.vec3)  # along the columns of their images
    mass: wp.array4d(dtype=wp.vec3)  # (I, J, K, head) g/cm2 from the voxel's centre out of the grid, toward the head
    efficiency: wp.array(dtype=wp.float32)  # (head, energy, window), flat
    energies: int
    windows: int
    split_kev: wp.array(dtype=wp.float32)  # per window: photons above score into its second slot
    slot: wp.array(dtype=wp.int32)  # (window, below or above), flat
    slots: int
    first_depth: wp.array(dtype=wp.float32)  # of layer 0, along the normal
    first_column: wp.array(dtype=wp.float32)
    layers_per_mm: float
    columns_per_mm: float
    layers: int
    columns: int
    acceptance: float  # forced detection: 2; analog: cosine of the largest angle to the normal that is counted


@wp.func
def cell_of(t: Tables, heads: Heads, h: int, p: wp.vec3) -> int:
    """Index in a head's first slot for a point in voxel units."""
    at = wp.cw_mul(p, t.spacing)
    layer = int((wp.dot(at, heads.normal[h]) - heads.first_depth[h]) * heads.layers_per_mm)
    column = int((wp.dot(at, heads.tangent[h]) - heads.first_column[h]) * heads.columns_per_mm)
    first = h * heads.slots * heads.layers + wp.clamp(layer, 0, heads.layers - 1)
    return (first * heads.columns + wp.clamp(column, 0, heads.columns - 1)) * t.density.shape[2] + int(p[2])


@wp.func
def score(t: Tables, heads: Heads, tally: wp.array(dtype=wp.int64), h: int, p: wp.vec3, energy: float, weight: float):
    """Add what photons of this weight and energy that reach a head count, per window."""
    position = energy - t.first_kev
    n = wp.clamp(int(position), 0, heads.energies - 2)
    f = position - float(n)
    at = (h * heads.energies + n) * heads.windows
    cell = int(-1)
    for w in range(heads.windows):
        low = heads.efficiency[at + w]
        counted = weight * (low + f * (heads.efficiency[at + heads.windows + w] - low))
        if counted > _LEAST:
            if cell < 0:
                cell = cell_of(t, heads, h, p)
            side = 2 * w
            if energy > heads.split_kev[w]:
                side = side + 1
            stride = heads.layers * heads.columns * t.density.shape[2]
            wp.atomic_add(tally, cell + heads.slot[side] * stride, wp.int64(counted * _FIXED + 0.5))


@wp.func
def detect(
    t: Tables,
    heads: Heads,
    tally: wp.array(dtype=wp.int64),
    p: wp.vec3,
    d: wp.vec3,
    energy: float,
    compton: float,
    coherent: float,
):
    """Forced detection: score a collision's expected count in every head, for its weights by process.

    The mass ahead is that of the voxel's centre, corrected by the density along the normal: exact for heads square to
    the grid.
    """
    i = int(p[0])
    j = int(p[1])
    k = int(p[2])
    offset = wp.cw_mul(p - wp.vec3(float(i) + 0.5, float(j) + 0.5, float(k) + 0.5), t.spacing) * 0.1
    by_compton = compton * compton_scale(t, energy)
    by_coherent = coherent * coherent_scale(t, energy)
    for h in range(heads.normal.shape[0]):
        toward = wp.dot(d, heads.normal[h])
        position = momentum(energy, toward, t.x_step)
        after = after_compton(energy, toward)
        coherent_part = by_coherent * coherent_shape(t, toward, position)
        if after > t.first_kev or coherent_part > _LEAST:
            mass = heads.mass[i, j, k, h] - t.density[i, j, k] * wp.dot(offset, heads.normal[h])
            if after > t.first_kev:
                depth = wp.max(wp.dot(read3(t.total, after - t.first_kev), mass), 0.0)
                part = by_compton * compton_shape(t, after / energy, toward, position)
                score(t, heads, tally, h, p, after, part * wp.exp(-depth))
            if coherent_part > _LEAST:
                depth = wp.max(wp.dot(read3(t.total, energy - t.first_kev), mass), 0.0)
                score(t, heads, tally, h, p, energy, coherent_part * wp.exp(-depth))


@wp.func
def count_leaving(
    t: Tables, heads: Heads, tally: wp.array(dtype=wp.int64), p: wp.vec3, d: wp.vec3, energy: float, weight: float
):
    """Analog detection of a photon that leaves the patient, scored where it came from last."""
    for h in range(heads.normal.shape[0]):
        if wp.dot(d, heads.normal[h]) > heads.acceptance:
            score(t, heads, tally, h, p, energy, weight * 2.0 / (1.0 - heads.acceptance))


@wp.func
def fly(t: Tables, p_in: wp.vec3, d: wp.vec3, energy: float, state_in: wp.uint64):
    """Woodcock tracking: the point of the next collision, the coefficient there (1/mm; -1 outside), and the state."""
    p = p_in
    state = state_in
    majorant = read(t.majorant, energy - t.first_kev)
    total = read3(t.total, energy - t.first_kev) * 0.1
    step = wp.cw_div(d, t.spacing) / majorant
    mu = float(-2.0)
    while mu < -1.5:
        state = state + GAMMA
        p = p - step * wp.log(uniform(state))
        if inside_grid(t, p):
            here = wp.dot(t.density[int(p[0]), int(p[1]), int(p[2])], total)
            state = state + GAMMA
            if uniform(state) * majorant < here:
                mu = here
        else:
            mu = -1.0
    return p, mu, state


@wp.kernel
def histories(
    t: Tables,
    heads: Heads,
    seed: wp.uint64,
    batch: wp.uint64,
    count: wp.uint64,
    first: wp.uint64,
    tally: wp.array(dtype=wp.int64),
    balance: wp.array(dtype=wp.int64),
):
    """Follow history number first + tid of a batch that has `count`, from number `batch` on.

    The n-th history of a batch starts in the n-th equal share of the activity (stratified): less variance, and
    histories that follow each other stay close in memory.
    """
    number = first + wp.uint64(wp.tid())
    state = first_state(seed, number)
    share = (wp.float64(number - batch) + uniform64(state)) / wp.float64(count)
    p = point_at(t, wp.min(share, _BELOW_ONE), state + GAMMA)
    energy = emission_energy(t, state + GAMMA * wp.uint64(4))
    d = isotropic(state + GAMMA * wp.uint64(5))
    state = state + GAMMA * wp.uint64(6)
    analog = heads.acceptance < 1.0
    weight = float(1.0)
    collisions = int(0)
    absorbed = wp.int64(0)  # added once: all histories of a GPU wait for the balance's few addresses
    while weight > 0.0:
        came_from = p
        p, mu, state = fly(t, p, d, energy, state)
        if mu < 0.0:
            credit(balance, ESCAPED, weight)
            if collisions == 0:
                credit(balance, UNSCATTERED, weight)
            if analog:
                count_leaving(t, heads, tally, came_from, d, energy, weight)
            break
        collisions = collisions + 1
        here = t.density[int(p[0]), int(p[1]), int(p[2])] * (0.1 * weight / mu)
        compton = wp.dot(here, read3(t.compton, energy - t.first_kev))
        coherent = wp.dot(here, read3(t.rayleigh, energy - t.first_kev))
        if analog:
            state = state + GAMMA
            if uniform(state) * weight > compton + coherent:
                absorbed += units(weight)
                break
            compton = compton * weight / (compton + coherent)
            coherent = weight - compton
        else:
            detect(t, heads, tally, p, d, energy, compton, coherent)
            absorbed += units(weight - compton - coherent)
        weight = compton + coherent
        energy, cosine, state = scatter(t, energy, compton / weight, state)
        if energy < t.first_kev:
            credit(balance, CUT_OFF, weight)
            break
        d = turned(d, cosine, wp.TAU * uniform(state + GAMMA))
        weight = roulette(balance, weight, uniform(state + GAMMA * wp.uint64(2)))
        state = state + GAMMA * wp.uint64(2)
    wp.atomic_add(balance, ABSORBED, absorbed)
    wp.atomic_add(balance, COLLISIONS, wp.int64(collisions))
