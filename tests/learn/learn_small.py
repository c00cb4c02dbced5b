"""A tiny patient with virtual data, made without Monte Carlo: what the training tests run on."""

import numpy as np

from planardose.heads import face_positions_mm
from planardose.image import Grid
from planardose.learn.dataset import VirtualData
from planardose.learn.features import FeatureMaker
from planardose.learn.problem import Problem
from planardose.library import load_camera, load_nuclide
from planardose.patient_model import PatientModel
from planardose.recon.projector import Projector
from planardose.recon.tissues import by_tissue

NUCLIDE, CAMERA = load_nuclide("177Lu"), load_camera("siemens_symbia_melp")


def tiny_model() -> PatientModel:
    """A 12 x 10 x 14 block of 20 mm voxels: soft tissue behind, fat in front, a liver and a kidney, air around it."""
    shape = (12, 10, 14)
    fractions = np.zeros((3, *shape), dtype=np.float32)
    fractions[2, 1:-1, 2:-2, 1:-1] = 1
    for organ, box in ((0, np.s_[7:10, 4:7, 6:10]), (1, np.s_[3:5, 3:5, 3:6])):
        fractions[2][box] = 0
        fractions[organ][box] = 1
    density = np.zeros((3, *shape), dtype=np.float32)
    density[1] = fractions.sum(axis=0)
    density[0, :, 5:], density[1, :, 5:] = 0.95 * density[1, :, 5:], 0  # fat in front
    grid = Grid.axis_aligned(shape, 20.0, (-110.0, -90.0, -130.0))
    return PatientModel(grid, ("liver", "kidney_left", "remainder"), fractions, density)


def tiny_projector(model: PatientModel, device: str = "cpu") -> Projector:
    return Projector(model, CAMERA, NUCLIDE, face_positions_mm(model, None), device=device)


def tiny_data(model: PatientModel, projector: Projector, samples: int = 8) -> VirtualData:
    """Random organ concentrations with voxel texture, less in fat; analytic views with nearly empty scatter windows."""
    rng = np.random.default_rng(5)
    concentration = rng.lognormal(0.0, 0.5, (samples, 3)) * (0.03, 0.2, 0.004)
    texture = rng.lognormal(0.0, 0.2, (samples, *model.grid.shape)) * (1 - 0.7 * (model.partial_density[0] > 0))
    activity = np.einsum("so,oijk->sijk", concentration, model.fractions) * texture * model.grid.voxel_ml
    primary = projector.forward(projector.tensor(activity)).numpy()
    rates = np.stack([primary, 0.01 * primary, 0.001 * primary], axis=2)
    windows = (NUCLIDE.photopeak, *NUCLIDE.scatter_windows)
    training = np.arange(samples) < samples - 2
    return VirtualData(
        activity.astype(np.float32), rates.astype(np.float32), windows, rng.uniform(5, 6, samples),
        rng.normal(0, 4, (samples, 2)), training, (20.0, 20.0),
    )  # fmt: skip


def tiny_problem(root: int = 3) -> Problem:
    model = tiny_model()
    projector = tiny_projector(model)
    maker = FeatureMaker(projector, model, by_tissue(model))
    return Problem(tiny_data(model, projector), (maker,), NUCLIDE, 4.0, root, "P01", 2)
