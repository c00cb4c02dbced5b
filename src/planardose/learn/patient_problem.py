"""The training problem of a run's patient: what `train`, `reinforce` and `train_diffusion` read and share."""

from pathlib import Path

from planardose.heads import face_positions_mm
from planardose.learn.dataset import chunk_paths, load_virtual_data
from planardose.learn.features import FeatureMaker
from planardose.learn.problem import Problem
from planardose.learn.segmentation_error import with_faults
from planardose.library import load_camera, load_nuclide
from planardose.patient_model import PatientModel
from planardose.recon.prior_samples import shapes_for_samples
from planardose.recon.prior_shapes import Sources
from planardose.recon.projector import Projector
from planardose.recon.tissues import by_tissue
from planardose.run import Run
from planardose.seeds import rng_for


def make_problem(run: Run, patient: str, device: str) -> Problem:
    """The patient's training problem, with the camera and head distances of the projected views."""
    model = PatientModel.load(run.need("model", "segment", patient=patient))
    first = run.cohort.first_row(patient)
    nuclide = load_nuclide(first.nuclide)
    camera, faces, wanted = load_camera(first.camera), face_positions_mm(model, None), run.config.projection
    projector = Projector(
        model, camera, nuclide, faces, penetration=wanted.penetration, couch=wanted.couch, device=device
    )
    step_mm = (float(model.grid.spacing_mm[0]), float(model.grid.spacing_mm[2]))
    data = load_virtual_data(run, patient, (nuclide.photopeak, *nuclide.scatter_windows), step_mm)
    shift_mm, batch = run.config.sampling.shift_mm, run.config.train.batch
    faulty = run.config.train.segmentations
    seeds = [rng_for(run.config.seed, "train segmentation", patient, n) for n in range(faulty)]
    makers = []
    for n, seen in enumerate((model, *(with_faults(model, rng) for rng in seeds))):
        sources = by_tissue(seen)
        shapes = shapes_for_samples(run, patient, sources)  # of the organs as they are told, as in a reconstruction
        refused = faulty > 0 and n == faulty  # the last copy sees no prior image, as where a reconstruction refuses it
        if shapes is not None and not refused:
            sources = Sources(sources, shapes, 1.0, tuple(range(len(shapes.foci)))).textured
        makers.append(FeatureMaker(projector, seen, sources))
    return Problem(data, tuple(makers), nuclide, shift_mm, run.config.seed, patient, batch)


def sources_of(run: Run, patient: str) -> list[Path]:
    """Patient model, sample table and projections: what the virtual data consist of."""
    model = run.need("model", "segment", patient=patient)
    prior = run.path("prior", patient=patient)
    images = [prior] if run.cohort.has_prior(patient) else []
    return [model, run.need("samples", "sample-uptake", patient=patient), *images, *chunk_paths(run, patient)]
