"""What the depth layers of a patient look like on a head: each blurred by the response at its distance, and summed."""

from dataclasses import asdict
from functools import cache, lru_cache
from pathlib import Path

import numpy as np
import xraylib
from scipy import fft

from planardose import physics
from planardose.io.cache import cached_arrays
from planardose.io.files import sha256_of
from planardose.library import DATA, Camera
from planardose.physics.head_response import head_efficiency, head_kernel
from planardose.planar import EnergyWindow
from planardose.sim.montecarlo_tables import Slots
from planardose.sim.raster import Raster

NO_MATTER = ("name", "vendor", "collimator", "source", "tau_us", "tau_by_kev", "tau_computed_by_kev", "couch_mm",
             "pixel_mm")  # fmt: skip
STEP = 1.15  # of (length + distance), and so of the width, between the distances at which responses are computed


def node_distance_mm(camera: Camera, node: int | np.ndarray) -> float | np.ndarray:
    """Distances of the nodes: 0, then growing with the width of the response."""
    return camera.length_mm * (STEP**node - 1.0)


@lru_cache(maxsize=512)
def _kernel(
    camera: Camera, window: EnergyWindow, energy_kev: float, penetration: bool, node: int, pixel_mm: tuple[float, float]
) -> np.ndarray:
    """Response at a node, relative to the efficiency of the tables, kept on disk: with penetration it takes long."""

    def compute() -> dict[str, np.ndarray]:
        efficiency = head_efficiency(camera, window, energy_kev, penetration)
        kernel = head_kernel(camera, window, energy_kev, node_distance_mm(camera, node), pixel_mm, penetration)
        return {"kernel": kernel / efficiency if efficiency > 0 else 0.0 * kernel}

    if not penetration:
        return compute()["kernel"]
    numbers = {k: v for k, v in asdict(camera).items() if k not in NO_MATTER}
    key = {"camera": numbers, "window": asdict(window), "energy_kev": energy_kev, "node": node, "step": STEP,
           "pixel_mm": pixel_mm, "code": _code(), "xraylib": xraylib.__version__}  # fmt: skip
    return cached_arrays("response", key, compute)["kernel"]


@cache
def _code() -> list[str]:
    """Hashes of the code and data on which responses depend: everything in ``physics`` and ``data/physics``."""
    files = [*Path(physics.__file__).parent.glob("*.py"), *(DATA / "physics").iterdir()]
    return sorted(sha256_of(f) for f in files)


@lru_cache(maxsize=48)
def _transfers(
    camera: Camera, window: EnergyWindow, energy_kev: float, penetration: bool, nodes: int,
    pixel_mm: tuple[float, float], shape: tuple[int, int],
) -> tuple[np.ndarray, tuple[int, int]]:
    """Transforms of the responses at every node, and the padded size of the images.

    (N, size0, size1 // 2 + 1) float32: a hexagonal lattice looks the same from opposite sides, so they are real.
    """  # fmt: skip
    kernels = [
        _middle(_kernel(camera, window, energy_kev, penetration, n, pixel_mm), shape) for n in range(nodes)
    ]
    widest = np.max([k.shape for k in kernels], axis=0)
    size = tuple(
        max(fft.next_fast_len(int(n + w // 2), real=True), int(w)) for n, w in zip(shape, widest, strict=True)
    )
    out = np.empty((nodes, size[0], size[1] // 2 + 1), dtype=np.float32)
    for n, kernel in enumerate(kernels):
        padded = np.zeros(size)
        padded[: kernel.shape[0], : kernel.shape[1]] = kernel
        out[n] = fft.rfft2(np.roll(padded, [-(s // 2) for s in kernel.shape], axis=(0, 1))).real
    return out, size


def _middle(kernel: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """The part of a kernel that can blur a pixel of an image of this shape into another one."""
    cut = [max(n // 2 - (s - 1), 0) for n, s in zip(kernel.shape, shape, strict=True)]
    return kernel[cut[0] : kernel.shape[0] - cut[0], cut[1] : kernel.shape[1] - cut[1]]


def _on_nodes(layers: np.ndarray, distances_mm: np.ndarray, camera: Camera) -> np.ndarray:
    """(N, U, K): layers (L, U, K) shared between the two nodes beside their distance (L, 1 or K)."""
    low = np.floor(np.log1p(distances_mm / camera.length_mm) / np.log(STEP) + 1e-9).astype(int)
    near = node_distance_mm(camera, low)
    share = ((distances_mm - near) / (node_distance_mm(camera, low + 1) - near)).astype(np.float32)
    out = np.zeros((int(low.max()) + 2, *layers.shape[1:]), dtype=np.float32)
    for layer, n, f in zip(layers, low, share, strict=True):
        for node in np.unique(n):
            here = n == node
            out[node] += layer * ((1 - f) * here)
            out[node + 1] += layer * (f * here)
    return out


def image_of_layers(
    layers: np.ndarray, raster: Raster, head: int, camera: Camera, slots: Slots, penetration: bool
) -> np.ndarray:
    """Blur every depth layer by the head's response at its distance, and add them up.

    Parameters
    ----------
    layers : (S, L, U, K) float32
        Counts per slot and layer that a response of the slot's efficiency would give.
    raster : Raster
    head : int
        Which of the raster's heads. Where its distance changes from slice to slice, a photon sees the distance at the
        slice that it came from: with a slope of 0.3 and a width of 14 mm an error of 2 mm, 0.15 mm in the width.
    camera : Camera
    slots : Slots
        Window and energy of the response, per slot.
    penetration : bool

    Returns
    -------
    (W, U, K) float64
        Never negative. What is blurred out of the grid is lost, as at the edge of a field of view.

    Notes
    -----
    Responses between two distances are mixed linearly: their widths differ by 15 %, so that the variance of the mixture
    is too large by 0.5 % at most, its width by 0.25 %.
    """
    _, _, n_u, n_k = layers.shape
    pixel = (raster.columns.width_mm, float(raster.grid.spacing_mm[2]))
    distances = raster.distances_mm(head)
    out = np.zeros((slots.windows, n_u, n_k))
    for slot, (window, energy) in enumerate(zip(slots.window, slots.energy_kev, strict=True)):
        nodes = _on_nodes(layers[slot], distances, camera)
        transfer, size = _transfers(camera, window, energy, penetration, len(nodes), pixel, (n_u, n_k))
        spectrum = np.zeros((size[0], size[1] // 2 + 1), dtype=np.complex64)
        for node, response in zip(nodes, transfer, strict=True):
            if node.any():
                spectrum += fft.rfft2(node, s=size) * response
        out[slots.window_index[slot]] += fft.irfft2(spectrum, s=size)[:n_u, :n_k]
    return np.where(raster.in_field(head), np.maximum(out, 0.0), 0.0)
