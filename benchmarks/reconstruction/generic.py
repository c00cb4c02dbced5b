"""The compute-matched control: a network trained on other anatomies, with the samples and steps of a patient's own.

The training anatomies are of the split `training`, with segmentation errors as the patients have them; the samples of
one patient's virtual data are shared out among them.
"""

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from benchmarks.reconstruction.anatomies import BASE_SEED, Case
from benchmarks.reconstruction.cohort import Fineness, write_case, write_sheet

from planardose.cohort import Cohort
from planardose.config import Config
from planardose.io.files import sha256_of
from planardose.learn.device import products_of
from planardose.learn.features import CHANNELS
from planardose.learn.loop import Plan, fit, reproducible
from planardose.learn.network import new_network
from planardose.learn.patient_problem import make_problem
from planardose.learn.problem import Problem
from planardose.learn.speed import training_steps
from planardose.learn.weights import Header, load_network
from planardose.learn.weights_file import write_weights
from planardose.patient_model import PatientModel
from planardose.run import Run
from planardose.seeds import seed_for
from planardose.sheet import load_cohort
from planardose.steps.import_ct import import_ct
from planardose.steps.project import project
from planardose.steps.sample_uptake import sample_uptake
from planardose.steps.segment import segment

ANATOMIES = 4  # of which the fourth is an unusual one
DEVICE = "cpu"


@dataclass
class Mixed:
    """The problems of several anatomies in turn, step by step; scores are their means."""

    problems: list[Problem]

    def batch_of(self, step: int) -> tuple[Problem, object]:
        problem = self.problems[step % len(self.problems)]
        return problem, problem.batch_of(step // len(self.problems))

    @staticmethod
    def loss_of(network, batch: tuple[Problem, object]) -> torch.Tensor:
        problem, examples = batch
        return problem.loss_of(network, examples)

    def scores(self, network) -> tuple[float, ...]:
        return tuple(np.mean([p.scores(network) for p in self.problems], axis=0))

    def organ_relative_u(self, network) -> dict[str, float]:
        """Root mean square over the anatomies of each organ's relative error."""
        found: dict[str, list[float]] = {}
        for problem in self.problems:
            for organ, u in problem.organ_relative_u(network).items():
                found.setdefault(organ, []).append(u)
        return {organ: float(np.sqrt(np.mean(np.square(us)))) for organ, us in found.items()}


def training_run(folder: Path, config: Config, anatomies: int, fineness: Fineness | None = None) -> Run:
    """Models and virtual data of the training anatomies, made where they are missing."""
    cases = [Case("training", 0, n, "mismatched", 1) for n in range(1, anatomies + 1)]
    share = {"samples": config.sampling.samples // anatomies, "validation": config.sampling.validation // anatomies}
    own = config.model_copy(update={"sampling": config.sampling.model_copy(update=share), "seed": BASE_SEED})
    run = Run(own, Cohort(()), folder / "results")
    for case in cases:
        write_case(folder / "cohort", case, fineness or Fineness())
        rows = load_cohort(write_sheet(folder / "cohort", [case], f"{case.name}.tsv")).rows
        run = Run(own, Cohort((*run.cohort.rows, *rows)), run.results)
        if not run.path("model", patient=case.name).exists():
            import_ct(run, case.name)
            segment(run, case.name)
        if not run.path("samples", patient=case.name).exists():
            sample_uptake(run, case.name)
        for chunk in own.chunks:
            if not run.path("projections", patient=case.name, chunk=chunk).exists():
                project(run, case.name, chunk)
    return run


def train_generic(
    folder: Path, config: Config, seed: int, anatomies: int = ANATOMIES, fineness: Fineness | None = None
) -> Path:
    """Weights of the generic network with training seed `seed`, trained where they are missing."""
    path = folder / f"generic-{seed}.safetensors"
    if path.exists():
        return path
    run = training_run(folder, config, anatomies, fineness)
    seeded = Run(run.config.model_copy(update={"seed": seed}), run.cohort, run.results)
    settings = config.train
    with reproducible(settings.threads):
        mixed = Mixed([make_problem(seeded, patient, DEVICE) for patient in seeded.cohort.patients])
        steps = training_steps(settings, DEVICE, max(p.body.numel() for p in mixed.problems))
        network = new_network(len(CHANNELS), settings.width, seed_for(seed, "train generic network"))
        network.products = products_of(settings.precision, DEVICE)
        plan = Plan(steps, settings.learning_rate, settings.checkpoint_every, f"generic {seed} {steps}")
        fit(network, mixed.batch_of, mixed.loss_of, mixed.scores, plan, folder / f"generic-{seed}.pt")
        organ_u = mixed.organ_relative_u(network)
    training = {**settings.model_dump(), "start": "scratch", "steps": steps, "seed": seed, "anatomies": anatomies}
    header = Header("generic", "", [0, 0, 0], list(CHANNELS), settings.width, 1.0, organ_u, training)
    write_weights(path, network, header)
    return path


def use_generic(run: Run, patient: str, weights: Path) -> None:
    """Give a patient the generic network in place of the patient's own."""
    network, header = load_network(weights, f"{patient} generic weights")
    model = run.need("model", "segment", patient=patient)
    grid = list(PatientModel.load(model).grid.shape)
    own = replace(header, patient=patient, model_sha256=sha256_of(model), grid=grid, scale=1.0)
    write_weights(run.path("weights", patient=patient), network, own)
