"""Photons that scatter again and again in unbounded water, and how many turn toward a head: a Warp kernel.

One history: a photon of a point source, followed from collision to collision; at each one the counts that a head far
away along +z is expected to get of it, before attenuation on the way there.
"""

# ruff: noqa: UP018, RUF046 (Warp takes a bare literal for a constant: variables changed in a loop need float(), int())

import warp as wp

from planardose.physics.photon_kernel import (
    after_compton,
    coherent_per_4pi,
    compton_per_4pi,
    read,
    sample_coherent,
    sample_compton,
)
from planardose.physics.warp_random import GAMMA, first_state, isotropic, turned, uniform

wp.set_module_options({"enable_backward": False})

FIXED_POINT = 2.0**32  # tally units per count
_FIXED = wp.constant(FIXED_POINT)
_BELOW = wp.constant(0.05)  # Russian roulette
_TO = wp.constant(0.25)


@wp.struct
class Water:
    """Water of 1 g/mL, and how a head counts. Tables over energy have a node per keV from `first_kev`."""

    first_kev: float
    total: wp.array(dtype=wp.float32)  # 1/mm
    compton: wp.array(dtype=wp.float32)  # share of collisions
    coherent_share: wp.array(dtype=wp.float32)
    counted: wp.array(dtype=wp.float32)  # counts per photon toward the head
    x_step: float
    incoherent: wp.array(dtype=wp.float32)
    coherent: wp.array(dtype=wp.float32)
    coherent_integral: wp.array(dtype=wp.float32)
    incoherent_norm: wp.array(dtype=wp.float32)
    coherent_norm: wp.array(dtype=wp.float32)
    line_kev: wp.array(dtype=wp.float32)
    line_cumulative: wp.array(dtype=wp.float32)
    split_kev: float  # photons above belong to the second group
    bin_mm: float
    bins: int  # of the radius; twice as many along the head's normal


@wp.func
def score(
    w: Water, p: wp.vec3, collisions: int, energy: float, chance: float,
    tally: wp.array3d(dtype=wp.int64), energies: wp.array2d(dtype=wp.int64),
):  # fmt: skip
    """Add a chance per 4 pi to leave toward the head with an energy."""
    if energy <= w.first_kev:
        return
    counted = chance * read(w.counted, energy - w.first_kev)
    group = int(0)
    if energy > w.split_kev:
        group = 1
    wp.atomic_add(energies, group, 0, wp.int64(counted * _FIXED))
    wp.atomic_add(energies, group, 1, wp.int64(counted * _FIXED * energy / 1000.0))
    if collisions > 1:
        along = int(p[2] / w.bin_mm + float(w.bins))
        across = int(wp.sqrt(p[0] * p[0] + p[1] * p[1]) / w.bin_mm)
        if along >= 0 and along < 2 * w.bins and across < w.bins:
            wp.atomic_add(tally, group, along, across, wp.int64(counted * _FIXED))


@wp.kernel
def histories(
    w: Water,
    seed: wp.uint64,
    first: wp.uint64,
    tally: wp.array3d(dtype=wp.int64),
    energies: wp.array2d(dtype=wp.int64),
):
    """Follow history number first + tid.

    `tally` (G, Z, R): counts of photons that collided more than once, by place of the last collision. `energies`
    (G, 2): counts of all scattered photons, and counts times energy in MeV.
    """
    state = first_state(seed, first + wp.uint64(wp.tid()))
    line = int(0)
    u = uniform(state)
    while line < w.line_kev.shape[0] - 1 and w.line_cumulative[line] <= u:
        line = line + 1
    energy = w.line_kev[line]
    d = isotropic(state + GAMMA)
    state = state + GAMMA * wp.uint64(2)
    p = wp.vec3(0.0, 0.0, 0.0)
    farthest = 1.5 * w.bin_mm * float(w.bins)
    weight = float(1.0)
    collisions = int(0)
    while weight > 0.0:
        at = energy - w.first_kev
        state = state + GAMMA
        p = p - d * (wp.log(uniform(state)) / read(w.total, at))
        if wp.length(p) > farthest:
            break
        collisions = collisions + 1
        compton = weight * read(w.compton, at)
        coherent = weight * read(w.coherent_share, at)
        chance = compton * compton_per_4pi(w.incoherent, w.x_step, read(w.incoherent_norm, at), energy, d[2])
        score(w, p, collisions, after_compton(energy, d[2]), chance, tally, energies)
        chance = coherent * coherent_per_4pi(w.coherent, w.x_step, read(w.coherent_norm, at), energy, d[2])
        score(w, p, collisions, energy, chance, tally, energies)
        weight = compton + coherent
        state = state + GAMMA
        cosine = float(1.0)
        if uniform(state) * weight < compton:
            cosine, state = sample_compton(w.incoherent, w.x_step, energy, state)
            energy = after_compton(energy, cosine)
        else:
            cosine, state = sample_coherent(w.coherent_integral, w.x_step, energy, state)
        if energy < w.first_kev:
            break
        d = turned(d, cosine, wp.TAU * uniform(state + GAMMA))
        state = state + GAMMA * wp.uint64(2)
        if weight < _BELOW:
            weight = wp.where(uniform(state) * _TO < weight, _TO, 0.0)
