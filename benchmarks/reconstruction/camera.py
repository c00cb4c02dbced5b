"""Monte Carlo views of a scene by the camera as it really is, and what the file tells of it."""

from dataclasses import dataclass

import numpy as np
from benchmarks.reconstruction.anatomies import Case
from benchmarks.reconstruction.scene import Scene

from planardose.demo.images import GAP_MM, windows
from planardose.demo.patient import CAMERA, NUCLIDE
from planardose.heads import opposed_heads
from planardose.image import Grid
from planardose.library import load_camera, load_nuclide
from planardose.planar import EnergyWindow
from planardose.seeds import rng_for, seed_for
from planardose.sim.montecarlo import Options, Views, simulate


@dataclass(frozen=True)
class Seen:
    """Noise-free views (cps) of an acquisition on `grid`, and the distances from body to faces that the file tells."""

    views: Views
    grid: Grid
    told_mm: tuple[float, float]


def seen_by_camera(
    case: Case, sample: int, there: Scene, axis_mm: float, histories: float, device: str = "cpu"
) -> Seen:
    """Views of acquisition `sample`; histories and gaps of both heads are seeded alike in all variants.

    Parameters
    ----------
    axis_mm : float
        RAS y of the body's axis in the CT, from which the file tells the distances of the faces.
    """
    site, shot = case.site(), case.shot(sample)
    camera = site.camera(load_camera(CAMERA))
    rng = rng_for(case.root, "reconstruction benchmark faces", case.name, sample)
    y, half = there.grid.axis_mm(1), 0.5 * there.grid.spacing_mm[1]
    occupied = y[there.body.any(axis=(0, 2))]
    anterior = float(occupied[-1] + half + rng.uniform(*GAP_MM[0]))
    posterior = float(occupied[0] - half - rng.uniform(*GAP_MM[1]))
    told = tuple(
        round(float(true + error), 1)
        for true, error in zip((anterior - axis_mm, axis_mm - posterior), shot.distance_mm, strict=True)
    )
    couch_mm = camera.couch_mm if site.couch_mm is None else site.couch_mm
    true_windows = tuple(EnergyWindow(w.low_kev + shot.drift_kev, w.high_kev + shot.drift_kev) for w in windows())
    seed = seed_for(case.root, "reconstruction benchmark histories", case.name, sample)
    views = simulate(
        there.density, there.activity, there.grid, camera, load_nuclide(NUCLIDE), true_windows,
        opposed_heads((anterior, posterior), couch_mm), histories, seed, Options(device),
    )  # fmt: skip
    return Seen(views, there.grid, told)


def middle_mm(axis_mm: np.ndarray, body: np.ndarray) -> float:
    """Middle of a body (I, J, K) along y, whose voxel centres are `axis_mm`."""
    occupied = axis_mm[body.any(axis=(0, 2))]
    return float(0.5 * (occupied[0] + occupied[-1]))
