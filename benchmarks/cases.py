"""Synthetic patients and their organs' Monte Carlo views, shared by the benchmarks of the analytic projector."""

from collections.abc import Iterator

import numpy as np
from benchmarks.organ_views import views_of_maps

from planardose.anatomy.build import build_model
from planardose.anatomy.phantom import draw_phantom
from planardose.heads import face_positions_mm, opposed_heads
from planardose.image import Grid, Volume
from planardose.library import Camera, Nuclide
from planardose.organs import OUTSIDE_CT
from planardose.patient_model import PatientModel
from planardose.sim.activity import activity_map
from planardose.sim.montecarlo import Options
from planardose.sim.tracer import load_tracer
from planardose.sim.uptake import Administered, draw_samples

CT_MM, GRID_MM = 5.0, 10.0
TRACER, INJECTED_MBQ = "177Lu-PSMA-617", 7400.0


def patient(seed: int, grid_mm: float = GRID_MM) -> PatientModel:
    """Patient model of a synthetic anatomy."""
    phantom = draw_phantom(np.random.default_rng(seed))
    low, high = phantom.extent_mm(20.0)
    grid = Grid.covering(low, high, CT_MM)
    sampled = phantom.on_grid(grid)
    return build_model(Volume(sampled.hu, grid, "CT", "HU"), Volume(sampled.labels, grid, "labels", "1"), grid_mm)


def present_organs(model: PatientModel) -> list[int]:
    """Indices of the organs in the CT that hold volume."""
    volumes = model.volumes_ml()
    return [o for o, name in enumerate(model.organs) if name != OUTSIDE_CT and volumes[o] > 0]


def administered(nuclide: Nuclide) -> Administered:
    """177Lu-PSMA-617, or its uptake with another nuclide, in a patient."""
    return Administered(load_tracer(TRACER), nuclide.half_life_h, INJECTED_MBQ)


def uptakes(model: PatientModel, nuclide: Nuclide, seed: int, number: int) -> Iterator[np.ndarray]:
    """Activity maps (I, J, K) in MBq per voxel of drawn uptakes of 177Lu-PSMA-617."""
    table = draw_samples(model, administered(nuclide), number, 0, 0.0, seed, "")
    for row in table.to_dict("records"):
        yield activity_map(model, row)


def organ_views(
    model: PatientModel, camera: Camera, nuclide: Nuclide, histories: float, seed: int, penetration: bool
) -> np.ndarray:
    """Monte Carlo photopeak rates of every organ of `present_organs`, evenly filled with 1 MBq/mL.

    Returns
    -------
    (O, 2, 2, I, K) float64
        cps; second axis primary and scatter, third the view. Each organ has histories of its own.
    """
    organs, heads = present_organs(model), opposed_heads(face_positions_mm(model, None))
    maps = model.fractions[organs].astype(np.float64) * model.grid.voxel_ml
    setting = (model.grid, camera, nuclide, (nuclide.photopeak,), heads, histories)
    seeds = [1000 * seed + organ for organ in organs]
    views = views_of_maps(model.partial_density, maps, *setting, seeds, Options(penetration=penetration))
    return np.stack([views.primary[:, :, 0], (views.rate - views.primary)[:, :, 0]], axis=1)
