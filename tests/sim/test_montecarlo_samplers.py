"""The kernel's angle samplers against the densities that forced detection uses, and its random numbers."""

import numpy as np
import pytest
import warp as wp

from planardose.image import Grid
from planardose.library import load_camera, load_nuclide
from planardose.physics import lead_scatter_kernel
from planardose.physics.compton import differential_barn_sr
from planardose.physics.form_factors import HC_KEV_ANGSTROM, STEP, form_factors
from planardose.physics.photon_kernel import after_compton, momentum
from planardose.physics.warp_random import GAMMA, first_state, uniform
from planardose.sim import montecarlo_kernel as kernel
from planardose.sim.montecarlo import Options, setup_of
from planardose.sim.montecarlo_device import upload_tables
from planardose.sim.montecarlo_tables import energy_tables
from planardose.sim.raster import Raster

CAMERA, LU = load_camera("siemens_symbia_melp"), load_nuclide("177Lu")
DRAWS = 200_000

wp.set_module_options({"enable_backward": False})


@wp.kernel
def draw(t: kernel.Tables, energy: float, coherent: int, cosines: wp.array(dtype=wp.float32)):
    n = wp.tid()
    state = first_state(wp.uint64(0), wp.uint64(n))
    cosine = float(1.0)  # noqa: UP018
    if coherent == 1:
        cosine, state = kernel.sample_coherent(t, energy, state)
    else:
        cosine, state = kernel.sample_compton(t, energy, state)
    cosines[n] = cosine


@wp.kernel
def densities(t: kernel.Tables, energy: float, cosine: wp.array(dtype=wp.float32), out: wp.array2d(dtype=wp.float32)):
    n = wp.tid()
    position = momentum(energy, cosine[n], t.x_step)
    ratio = after_compton(energy, cosine[n]) / energy
    out[0, n] = kernel.compton_scale(t, energy) * kernel.compton_shape(t, ratio, cosine[n], position)
    out[1, n] = kernel.coherent_scale(t, energy) * kernel.coherent_shape(t, cosine[n], position)


@wp.kernel
def numbers(out: wp.array(dtype=wp.float32)):
    n = wp.tid()
    out[n] = uniform(wp.uint64(n) * GAMMA)


@wp.kernel
def edge_draws(t: kernel.Tables, state: wp.uint64, out: wp.array(dtype=wp.float32), points: wp.array(dtype=wp.vec3)):
    out[0] = uniform(state)
    points[0] = kernel.point_at(t, wp.float64(0.999), state)
    points[1] = lead_scatter_kernel.near_axis(0.5, state)


@pytest.fixture(scope="module")
def tables():
    grid = Grid.axis_aligned((2, 2, 2), 10.0, 0.0)
    found = energy_tables(CAMERA, LU, (LU.photopeak,), True, False)
    density, options = np.full((3, *grid.shape), 0.3), Options(penetration=False)
    setup = setup_of(density, np.ones(grid.shape), Raster(grid, ()), CAMERA, found, (LU.photopeak,), options)
    return upload_tables(setup, "cpu")


def angular(energy, half_sine, coherent):
    """Density over sin(angle / 2), not normalised, in numpy."""
    cosine = 1 - 2 * half_sine**2
    x = np.arange(form_factors().coherent.size) * STEP
    at = energy / HC_KEV_ANGSTROM * half_sine
    if coherent:
        return half_sine * (1 + cosine**2) * np.interp(at, x, form_factors().coherent)
    return half_sine * differential_barn_sr(energy, cosine) * np.interp(at, x, form_factors().incoherent)


@pytest.mark.parametrize("energy", [170.0, 208.37, 321.0])
@pytest.mark.parametrize("coherent", [0, 1])
def test_angles_follow_their_density(tables, energy, coherent):
    """Chi-square over 40 bins of equal expectation."""
    cosines = wp.zeros(DRAWS, dtype=wp.float32, device="cpu")
    wp.launch(draw, DRAWS, inputs=[tables, energy, coherent, cosines], device="cpu")
    half_sine = np.sqrt((1 - cosines.numpy().astype(np.float64)) / 2)
    fine = np.linspace(0, 1, 20_001)
    cumulative = np.cumsum(angular(energy, 0.5 * (fine[1:] + fine[:-1]), coherent))
    edges = np.interp(np.linspace(0, 1, 41), np.append(0, cumulative / cumulative[-1]), fine)
    counts, _ = np.histogram(half_sine, edges)
    assert counts.sum() == DRAWS
    expected = DRAWS / 40
    assert ((counts - expected) ** 2 / expected).sum() < 39 + 4 * np.sqrt(2 * 39)


@pytest.mark.parametrize("energy", [170.0, 208.37, 321.0])
def test_forced_densities_average_to_one(tables, energy):
    """Times 4 pi: over all directions the mean is 1."""
    edges = np.linspace(0, 1, 20_001)
    half_sine = 0.5 * (edges[1:] + edges[:-1])
    cosine = wp.array((1 - 2 * half_sine**2).astype(np.float32), dtype=wp.float32, device="cpu")
    out = wp.zeros((2, half_sine.size), dtype=wp.float32, device="cpu")
    wp.launch(densities, half_sine.size, inputs=[tables, energy, cosine, out], device="cpu")
    weight = 2 * half_sine / half_sine.size
    assert (out.numpy() * weight).sum(axis=1) == pytest.approx([1.0, 1.0], abs=0.01)


def test_random_numbers_are_uniform_and_uncorrelated():
    out = wp.zeros(DRAWS, dtype=wp.float32, device="cpu")
    wp.launch(numbers, DRAWS, inputs=[out], device="cpu")
    u = out.numpy().astype(np.float64)
    assert u.min() > 0 and u.max() < 1
    pairs, _, _ = np.histogram2d(u[:-1], u[1:], 20)
    expected = (DRAWS - 1) / 400
    assert ((pairs - expected) ** 2 / expected).sum() < 399 + 4 * np.sqrt(2 * 399)


def state_of(number):
    """The state whose hash is `number`: SplitMix64's finaliser backwards."""
    z = number ^ (number >> 31) ^ (number >> 62)
    z = z * pow(0x94D049BB133111EB, -1, 2**64) % 2**64
    z = z ^ (z >> 27) ^ (z >> 54)
    z = z * pow(0xBF58476D1CE4E5B9, -1, 2**64) % 2**64
    return z ^ (z >> 30) ^ (z >> 60)


@pytest.mark.parametrize(("top", "expected"), [(2**24 - 1, 1 - 2.0**-24), (2**24 - 2, 1 - 2.0**-23), (0, 2.0**-25)])
def test_the_ends_of_the_random_numbers_stay_off_0_and_1(tables, top, expected):
    """The last one, rounded, would be 1: a direction along no angle, and a point outside the last voxel."""
    out = wp.zeros(1, dtype=wp.float32, device="cpu")
    points = wp.zeros(2, dtype=wp.vec3, device="cpu")
    wp.launch(edge_draws, 1, inputs=[tables, wp.uint64(state_of(top << 40)), out, points], device="cpu")
    point, direction = points.numpy()
    assert out.numpy()[0] == expected
    assert 1.0 <= point[0] < 2.0
    assert np.linalg.norm(direction) == pytest.approx(1.0) and direction[2] > 0
