"""Depth-dependent response of a head: what each depth layer of a patient looks like on the camera."""

from functools import lru_cache

import numpy as np
from scipy import fft

from planardose.image import Grid
from planardose.library import Camera
from planardose.physics.head_response import point_kernel
from planardose.planar import EnergyWindow


@lru_cache(maxsize=4)
def _transfer(camera: Camera, distances: tuple[float, ...], energies: tuple[float, ...], pixel_mm: tuple[float, float],
              shape: tuple[int, int]) -> tuple[np.ndarray, tuple[int, int]]:
    """(W, layer, ...) complex64 transforms of the kernels, and the padded size of the images."""
    kernels = [[point_kernel(camera, d, e, pixel_mm) for d in distances] for e in energies]
    widest = np.max([k.shape for row in kernels for k in row], axis=0)
    size = tuple(fft.next_fast_len(int(n + w // 2), real=True) for n, w in zip(shape, widest, strict=True))
    size = tuple(max(s, int(w)) for s, w in zip(size, widest, strict=True))
    out = np.empty((len(energies), len(distances), size[0], size[1] // 2 + 1), dtype=np.complex64)
    for w, row in enumerate(kernels):
        for n, kernel in enumerate(row):
            padded = np.zeros(size, dtype=np.float32)
            padded[: kernel.shape[0], : kernel.shape[1]] = kernel
            out[w, n] = fft.rfft2(np.roll(padded, [-(s // 2) for s in kernel.shape], axis=(0, 1)))
    return out, size


def image_of_layers(layers: np.ndarray, grid: Grid, camera: Camera, windows: tuple[EnergyWindow, ...],
                    face_mm: tuple[float, float]) -> np.ndarray:
    """Blur every depth layer by the head's response at its distance, and add them up.

    Parameters
    ----------
    layers : (2, W, J, I, K) float32
        What reaches each view, per window and depth layer.
    grid : Grid
        RAS-aligned grid (I, J, K).
    camera : Camera
    windows : tuple of EnergyWindow, length W
    face_mm : (anterior, posterior)
        RAS y of the collimator faces, mm.

    Returns
    -------
    (2, W, I, K) float64
        Never negative. What is blurred out of the grid is lost, as at the edge of a field of view.
    """
    _, _, _, n_i, n_k = layers.shape
    dx, _, dz = (float(s) for s in grid.spacing_mm)
    energies = tuple(w.centre_kev for w in windows)
    out = np.empty((*layers.shape[:2], n_i, n_k))
    for view, face in enumerate(face_mm):
        distances = tuple(float(max(d, 0.0)) for d in np.abs(face - grid.axis_mm(1)))
        transfer, size = _transfer(camera, distances, energies, (dx, dz), (n_i, n_k))
        for window in range(len(windows)):
            spectrum = fft.rfft2(layers[view, window], s=size)
            image = fft.irfft2((spectrum * transfer[window]).sum(axis=0), s=size)
            out[view, window] = image[:n_i, :n_k]
    return np.maximum(out, 0.0)
