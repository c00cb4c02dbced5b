"""Unscattered photons of many lines: each is blurred as far as it goes through lead."""

import numpy as np
import pytest

from planardose.heads import Head
from planardose.image import Grid
from planardose.library import load_camera, load_nuclide
from planardose.physics.head_response import head_kernel
from planardose.sim.montecarlo import Options, simulate
from planardose.sim.montecarlo_tables import energy_tables, scatter_slots

LOWEST_KEV = 40.0
REACH = 5  # pixels of 8 mm on either side of the source: holes, not septa


def middle(image: np.ndarray) -> float:
    a, b = (n // 2 for n in image.shape)
    return image[max(a - REACH, 0) : a + REACH + 1, max(b - REACH, 0) : b + REACH + 1].sum()


@pytest.mark.parametrize(("camera", "nuclide"), [("lehr", "161Tb"), ("melp", "123I"), ("melp", "177Lu")])
def test_the_haze_of_high_lines_is_no_peak(camera, nuclide):
    """Share of a point's counts within 44 mm, against the kernels of all lines: weak high ones make a haze together."""
    camera, nuclide = load_camera(f"siemens_symbia_{camera}"), load_nuclide(nuclide)
    grid = Grid.axis_aligned((61, 1, 61), (8.0, 4.0, 8.0), (-240.0, 0.0, -240.0))
    activity = np.zeros(grid.shape)
    activity[30, 0, 30] = 1.0
    window = nuclide.photopeak
    views = simulate(np.zeros((3, *grid.shape)), activity, grid, camera, nuclide, (window,), (Head(0.0, 100.0),), 10, 1,
                     Options(batches=1))  # fmt: skip
    kernels = [x.per_decay * 1e6 * head_kernel(camera, window, x.energy_kev, 100.0, (8.0, 8.0))
               for x in nuclide.lines if x.energy_kev > LOWEST_KEV]  # fmt: skip
    counts = sum(k.sum() for k in kernels)
    assert middle(views.primary[0, 0]) / counts == pytest.approx(sum(map(middle, kernels)) / counts, abs=0.01)


@pytest.mark.parametrize(
    ("camera", "nuclide"), [("melp", "161Tb"), ("melp", "123I"), ("melp", "177Lu"), ("he", "131I")]
)
def test_scattered_photons_of_the_window_are_blurred_as_such(camera, nuclide):
    """The collimator that they see is that of energies in the window, whatever high lines send through the lead."""
    camera, nuclide = load_camera(f"siemens_symbia_{camera}"), load_nuclide(nuclide)
    window = nuclide.photopeak
    tables = energy_tables(camera, nuclide, (window,), True, True)
    slots, _, slot_of = scatter_slots(camera, tables, (window,), True)
    energy = slots.energy_kev[slot_of[0, 0]]
    assert tables.first_kev < energy < window.high_kev
    kernel = head_kernel(camera, window, energy, 150.0, (8.0, 8.0))
    assert middle(kernel) / kernel.sum() > 0.9
