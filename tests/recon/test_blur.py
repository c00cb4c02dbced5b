"""Separable terms of the head's response: their error, and what they keep exactly."""

import numpy as np
import pytest
from scipy.ndimage import convolve1d

from planardose.library import load_camera, load_nuclide
from planardose.physics.attenuation import linear_attenuation_per_mm
from planardose.physics.head_response import head_efficiency, head_kernel
from planardose.physics.sensitivity import line_sensitivities_cps_per_mbq
from planardose.recon.blur import banded, counted_lines, layer_kernel, layer_profiles, line_groups, separable

LU = load_nuclide("177Lu")
DISTANCES_MM = (20.0, 100.0, 200.0, 300.0)


def product(profiles):
    return np.einsum("ra,rb->ab", *profiles)


@pytest.mark.parametrize("name", ["siemens_symbia_melp", "ge_670_megp"])
@pytest.mark.parametrize(("penetration", "error"), [(False, 0.02), (True, 0.03)])
def test_error_of_the_kernels(name, penetration, error):
    """Root mean square of what the terms leave out; the kernel's sum and marginals are kept."""
    camera = load_camera(name)
    for pixel in (10.0, 4.8):
        for distance in DISTANCES_MM:
            kernel = layer_kernel(camera, LU, distance, (pixel, pixel), penetration)
            near = product(layer_profiles(camera, LU, distance, (pixel, pixel), penetration))
            assert np.linalg.norm(near - kernel) < error * np.linalg.norm(kernel)
            assert near.sum() == pytest.approx(kernel.sum(), abs=1e-4)
            assert 0.998 < kernel.sum() < 1.000001
            for axis in (0, 1):
                assert np.abs(near.sum(axis=axis) - kernel.sum(axis=axis)).sum() < 5e-3
            assert near.min() > -3e-3 * near.max()


@pytest.mark.parametrize("penetration", [False, True])
def test_error_of_images(model, camera, penetration):
    """Every organ of a patient as one layer at each distance: the terms against the whole kernel."""
    flat = model.fractions.sum(axis=2, dtype=np.float64)
    for distance in DISTANCES_MM:
        kernel = layer_kernel(camera, LU, distance, (20.0, 20.0), penetration)
        left = product(layer_profiles(camera, LU, distance, (20.0, 20.0), penetration)) - kernel
        for organ in flat:
            size = [n + m - 1 for n, m in zip(organ.shape, kernel.shape, strict=True)]
            spectrum = np.fft.rfft2(organ, size)
            whole, rest = (np.fft.irfft2(spectrum * np.fft.rfft2(k, size), size) for k in (kernel, left))
            assert np.linalg.norm(rest) < 0.005 * np.linalg.norm(whole)


def test_one_separable_kernel_comes_back():
    x, z = np.array([0.2, 0.5, 0.3]), np.array([0.1, 0.2, 0.4, 0.2, 0.1])
    profiles = separable(np.outer(x, z), 3)
    assert product(profiles) == pytest.approx(np.outer(x, z), abs=1e-12)
    assert [p.shape for p in profiles] == [(3, 3), (3, 5)]


def test_a_kernel_of_few_rows_is_exact():
    kernel = np.array([[1.0, 2.0, 1.0], [2.0, 9.0, 2.0], [1.0, 2.0, 1.0]])
    assert product(separable(kernel, 3)) == pytest.approx(kernel)
    assert product(separable(kernel, 1)).sum() == pytest.approx(kernel.sum())


@pytest.mark.parametrize("size", [3, 9])
def test_bands_convolve(size):
    """Also where the profile is wider than the grid."""
    profile, x = np.arange(1.0, 8.0), np.random.default_rng(1).random(size)
    assert banded(profile[None], size)[0] @ x == pytest.approx(convolve1d(x, profile, mode="constant"))


def test_lines_and_kernel_of_the_photopeak(camera):
    assert counted_lines(camera, LU, True) == {208.37: pytest.approx(1.0, abs=5e-3)}
    own = head_kernel(camera, LU.photopeak, 208.37, 120.0, (10.0, 8.0), True)
    assert layer_kernel(camera, LU, 120.0, (10.0, 8.0), True) == pytest.approx(own / own.sum(), rel=5e-3)
    # 529 keV through the septa into the window of 159 keV: a wide kernel of its own takes part
    iodine = load_nuclide("123I")
    shares = counted_lines(camera, iodine, True)
    assert shares[158.97] > 0.8
    assert sum(e > 500 for e in shares) >= 1
    assert sum(shares.values()) == pytest.approx(1.0)
    kernels = [head_kernel(camera, iodine.photopeak, e, 120.0, (10.0, 10.0), True) for e in shares]
    both = layer_kernel(camera, iodine, 120.0, (10.0, 10.0), True)
    assert both.shape == max(k.shape for k in kernels)
    # what lies beyond the camera's field is lost, not shared out inside
    counted = [head_efficiency(camera, iodine.photopeak, e, True) for e in shares]
    inside = sum(s * k.sum() / c for s, k, c in zip(shares.values(), kernels, counted, strict=True))
    assert both.sum() == pytest.approx(inside)
    assert 0.99 < inside < 1.0
    # photons of the window and those above it each have a kernel: the deeper the source, the more of the wide one
    (soft, hard), split = line_groups(camera, iodine, True)
    assert soft | hard == shares and max(soft) < split < min(hard)
    near, far = (layer_kernel(camera, iodine, 120.0, (10.0, 10.0), True, g) for g in (0, 1))
    middles = [k[k.shape[0] // 2, k.shape[1] // 2] for k in (near, far)]
    assert middles[1] < 0.1 * middles[0]
    assert line_groups(camera, LU, True) == ((counted_lines(camera, LU, True),), np.inf)


@pytest.mark.parametrize(
    ("camera", "nuclide"), [("melp", "177Lu"), ("he", "131I"), ("melp", "123I"), ("melp", "161Tb"), ("lehr", "161Tb")]
)
def test_few_lines_pass_tissue_as_all_of_them(camera, nuclide):
    """Weak high lines add up, and come through 12 cm that stop the imaged line: all together within 1 %."""
    camera, nuclide = load_camera(f"siemens_symbia_{camera}"), load_nuclide(nuclide)
    counts = line_sensitivities_cps_per_mbq(camera, nuclide, nuclide.photopeak)
    passed = [np.exp(-120.0 * linear_attenuation_per_mm("soft_tissue", x.energy_kev)) for x in nuclide.lines]
    few = counted_lines(camera, nuclide, True)
    ours = sum(share * np.exp(-120.0 * linear_attenuation_per_mm("soft_tissue", e)) for e, share in few.items())
    assert ours == pytest.approx(counts @ passed / counts.sum(), rel=0.01)
    assert len(few) <= 6
