"""What the population network trains on: virtual acquisitions of every patient as the chain would see them, on disk."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from cohort import segmented_models

from planardose.demo.patient import CAMERA, NUCLIDE
from planardose.heads import face_positions_mm
from planardose.io.files import atomic
from planardose.learn.dataset import (
    Acquisition,
    VirtualData,
    load_virtual_data,
    training_acquisition,
    validation_acquisitions,
)
from planardose.learn.features import Example, FeatureMaker
from planardose.learn.loss import relative_errors, variance_map
from planardose.library import load_camera, load_nuclide
from planardose.patient_model import PatientModel
from planardose.recon.acquired import acquired_from
from planardose.recon.projector import Projector
from planardose.recon.tissues import by_tissue
from planardose.run import Run

MAPS = 2  # channels that change from one acquisition to the next and fill the box; the next four are lines of sight
LINES = 4


@dataclass(frozen=True)
class Group:
    """Acquisitions of one patient seen with one segmentation: they share box, body and variance.

    Parameters
    ----------
    folder : Path
        ``fixed.npz`` and ``000.npz`` on.
    size : int
        Number of acquisitions.
    """

    folder: Path
    size: int

    def fixed(self) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Channels that do not change (F, I, J, K), body and variance (I, J, K)."""
        with np.load(self.folder / "fixed.npz", allow_pickle=False) as z:
            return tuple(torch.from_numpy(z[k]) for k in ("channels", "body", "variance"))

    def batch(self, numbers: list[int]) -> Example:
        """The acquisitions of these numbers."""
        same = self.fixed()[0]
        parts = []
        for n in numbers:
            with np.load(self.folder / f"{n:03d}.npz", allow_pickle=False) as z:
                maps, lines, base, truth = (torch.from_numpy(z[k]) for k in ("maps", "lines", "base", "truth"))
            lines = lines[:, :, None].expand(-1, -1, base.shape[1], -1)
            parts.append((torch.cat([maps, lines, same]), base, truth))
        return Example(*(torch.stack(column) for column in zip(*parts, strict=True)))


def groups_of(run: Run, cache: Path, acquisitions: int, variants: tuple[int, ...]) -> list[Group]:
    """Groups of all patients of a run, made where they are not there yet.

    Parameters
    ----------
    run : Run
        Of `cohort.population_run`.
    cache : Path
    acquisitions : int
        Per group; 0 takes every uptake once, unmixed, with the counts and the shift of its row: for validation.
    variants : tuple of int
        Of `cohort.segmented_models`: 0 has the true organs.
    """
    groups = []
    for patient in run.cohort.patients:
        folders = {v: cache / f"features{run.config.seed}_{acquisitions}" / f"{patient}_{v}" for v in variants}
        if not all((f / "fixed.npz").exists() for f in folders.values()):
            data, models = _data(run, patient), segmented_models(run, patient)
            projector = _projector(run, models[0])  # of the CT alone: the same for all segmentations
            for v, folder in folders.items():
                maker = FeatureMaker(projector, models[v], by_tissue(models[v]))
                _write_group(maker, data, folder, _drawn(run, patient, data, acquisitions, v))
        groups += [Group(f, len(list(f.glob("[0-9]*.npz")))) for f in folders.values()]
    return groups


def _data(run: Run, patient: str) -> VirtualData:
    nuclide, model = load_nuclide(NUCLIDE), PatientModel.load(run.path("model", patient=patient))
    step_mm = (float(model.grid.spacing_mm[0]), float(model.grid.spacing_mm[2]))
    data = load_virtual_data(run, patient, (nuclide.photopeak, *nuclide.scatter_windows), step_mm)
    return replace(data, training=np.ones(len(data.training), bool))


def _drawn(run: Run, patient: str, data: VirtualData, acquisitions: int, variant: int) -> Iterator[Acquisition]:
    if not acquisitions:
        yield from validation_acquisitions(replace(data, training=~data.training), run.config.seed, patient)
    for n in range(acquisitions):
        number = variant * acquisitions + n
        yield training_acquisition(data, run.config.sampling.shift_mm, run.config.seed, patient, number)


def _projector(run: Run, model: PatientModel) -> Projector:
    wanted, faces = run.config.projection, face_positions_mm(model, None)
    setting = (model, load_camera(CAMERA), load_nuclide(NUCLIDE), faces)
    return Projector(*setting, penetration=wanted.penetration, couch=wanted.couch)


def _write_group(maker: FeatureMaker, data: VirtualData, folder: Path, acquisitions: Iterator[Acquisition]) -> None:
    nuclide = load_nuclide(NUCLIDE)
    body = torch.from_numpy(maker.model.body[maker.box].astype(np.float32))
    errors = []
    for n, drawn in enumerate(acquisitions):
        acquired = acquired_from(drawn.counts, data.windows, drawn.exposure_s, nuclide, data.step_mm)
        example = maker.example(maker.estimate(acquired), drawn.activity)
        errors.append(relative_errors(example.base[None], example.truth[None], body)[0])
        channels = example.channels
        _save(
            folder / f"{n:03d}.npz", maps=channels[:MAPS], lines=channels[MAPS : MAPS + LINES, :, 0],
            base=example.base, truth=example.truth,
        )  # fmt: skip
    variance = variance_map(torch.stack(errors), maker.fractions)
    _save(folder / "fixed.npz", channels=channels[MAPS + LINES :], body=body, variance=variance)


def _save(path: Path, **tensors: torch.Tensor) -> None:
    with atomic(path) as temporary:
        np.savez(temporary, **{k: v.contiguous().numpy() for k, v in tensors.items()})
