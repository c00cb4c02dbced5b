"""Step `train`: the network of a patient: the shipped one, checked on the patient's virtual acquisitions.

Where ``train.steps`` asks for it, it is trained on them too. It is not by default: on synthetic patients that gains
nothing (docs/architecture.md).
"""

import logging
import math
import time
from collections.abc import Callable
from pathlib import Path

import torch

from planardose.io.files import sha256_of, write_text
from planardose.learn.curve import plot_training
from planardose.learn.device import device_of, products_of
from planardose.learn.features import CHANNELS
from planardose.learn.loop import COLUMNS, Plan, Progress, Scores, fingerprint_of, fit, reproducible
from planardose.learn.network import ResidualMap, new_network
from planardose.learn.patient_problem import make_problem, sources_of
from planardose.learn.population import load_population
from planardose.learn.problem import Problem
from planardose.learn.speed import training_steps
from planardose.learn.training_table import table_text
from planardose.learn.weights import Header
from planardose.learn.weights_file import write_weights
from planardose.paths import STEP_VERSIONS
from planardose.patient_model import PatientModel
from planardose.run import Run
from planardose.seeds import seed_for

log = logging.getLogger("planardose.train")
ZERO, POPULATION, PATIENT = "zero output", "population", "patient"  # what can be kept
SPARED = 0.02  # what the population network may lose to its base on virtual data, which flatter the base
TRAINING = "training"  # of a row of training.csv: the training itself, which is never kept as it is


def train(run: Run, patient: str) -> None:
    """Write ``model/unet.safetensors``, ``training.csv`` and ``training.png``.

    What is kept is decided on the patient's validation samples: the patient's network (`halfway` between the fine-tuned
    weights and those of the population network) where it wins over the population network in loss and over its base
    (its own zero output) in loss and MAE; the population network where it loses no more than `SPARED` to its base; else
    the base (scale 0). What was kept and all scores stand in the sidecars and the weights' header, the scores of every
    network in ``training.csv``. A killed run goes on from ``model/checkpoint.pt``.

    Raises
    ------
    InputError
        If an earlier output is missing or does not fit, or ``device: cuda`` without a CUDA device.
    """
    sources = sources_of(run, patient)
    device = device_of(run.config.device)
    began = time.monotonic()
    with reproducible(run.config.train.threads):
        problem = make_problem(run, patient, device)
        network, start = _starting_network(run, patient, device, float(problem.maker.model.grid.spacing_mm[0]))
        network.products = products_of(run.config.train.precision, device)
        plan = _make_plan(run, patient, problem, sources, device, start)
        first = {k: v.detach().clone() for k, v in network.state_dict().items()}
        prepared = time.monotonic()
        checkpoint = run.path("checkpoint", patient=patient)
        progress = fit(network, problem.batch_of, problem.loss_of, problem.scores, plan, checkpoint)
        choice = choose(network, first, progress, problem.scores, problem.base_scores(), start["start"])
        organ_u = problem.organ_relative_u(network)
    seconds = {"preparation": prepared - began, "training": time.monotonic() - prepared}
    _write(run, patient, network, progress, plan, start | choice, organ_u, sources, seconds)
    checkpoint.unlink(missing_ok=True)


def _starting_network(run: Run, patient: str, device: str, grid_mm: float) -> tuple[ResidualMap, dict]:
    """The network that training starts from, and which it is (``start``, and the population network's hash)."""
    settings = run.config.train
    if settings.start == POPULATION:
        population = load_population(settings.width, device)
        nuclide = run.cohort.rows_of(patient)[0].nuclide
        if not math.isclose(population.grid_mm, grid_mm) or nuclide != population.training["nuclide"]:
            known = population.training["nuclide"], population.grid_mm
            told = "training starts from it" if settings.steps or settings.minutes else "it is checked, not trained on"
            log.warning("the population network knows %s and voxels of %g mm: %s", *known, told)
        return population.network, {"start": POPULATION, "population_sha256": population.sha256}
    seed = seed_for(run.config.seed, "train network", patient)
    return new_network(len(CHANNELS), settings.width, seed).to(device), {"start": settings.start}


def _make_plan(run: Run, patient: str, problem: Problem, sources: list[Path], device: str, start: dict) -> Plan:
    """Steps and fingerprint of the training; whatever changes the weights changes the fingerprint."""
    settings = run.config.train
    steps = training_steps(settings, device, problem.body.numel())
    decisive = {
        "version": STEP_VERSIONS["train"],
        "train": settings.model_dump(exclude={"steps", "minutes"}),
        "steps": steps,
        "seed": run.config.seed,
        "patient": patient,
        "shift_mm": problem.shift_mm,
        "device": device,
        "channels": CHANNELS,
        "start": start,
        "inputs": [sha256_of(path) for path in sources],
    }
    fingerprint = fingerprint_of(decisive)
    log.info("%s: %d steps on %s", patient, steps, device)
    return Plan(steps, settings.learning_rate, settings.checkpoint_every, fingerprint)


def halfway(first: dict[str, torch.Tensor], second: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Mean of two sets of weights.

    A network that was fine-tuned on one patient's virtual data forgets some of what the population taught it about
    faults that these data do not have; the mean of the weights before and after keeps most of both (Wortsman et al.
    2022, Robust fine-tuning of zero-shot models). Figures: benchmarks/population/README.md.
    """
    return {k: v if k == "scale" else 0.5 * (v + second[k]) for k, v in first.items()}


def choose(
    network: ResidualMap,
    first: dict,
    progress: Progress,
    score: Callable[[ResidualMap], Scores],
    base: Scores,
    start: str,
) -> dict:
    """What is kept, its step, and the validation scores of all candidates; the scale becomes 0 where none beats `base`.

    `fit` has put the weights with the lowest validation loss into the network, those of the start among them; `first`
    holds the latter. From the population network on, the patient's own is the mean of both. What is kept has the lowest
    loss of those that win over the base in loss and MAE, the population network within `SPARED`: on virtual data the
    base knows organs, pose and camera exactly, and a hair's breadth there says nothing about real images.
    """
    best = min(progress.rows, key=lambda r: r[3])
    scores = {ZERO: base}
    if start == POPULATION:
        scores[POPULATION] = progress.rows[0][3:]
    if start == POPULATION and best[0] > 0:
        network.load_state_dict(halfway(first, network.state_dict()))
        scores[PATIENT] = score(network)
    elif start != POPULATION:
        scores[PATIENT] = best[3:]
    allowed = {POPULATION: 1 + SPARED, PATIENT: 1.0}
    winners = [n for n in allowed if n in scores and all(scores[n][k] < allowed[n] * base[k] for k in (0, 1))]
    kept = min(winners, key=lambda n: scores[n][0], default=ZERO)
    if kept == POPULATION:
        network.load_state_dict(first)
    network.scale.fill_(0.0 if kept == ZERO else 1.0)
    if kept == ZERO:
        log.warning("the network does not win over its base on the validation samples: it will return the base")
    else:
        log.info("kept: %s network; body MAE on validation %.4f, zero output %.4f", kept, scores[kept][1], base[1])
    step = 0 if kept == POPULATION else int(best[0])
    told = {k: dict(zip(COLUMNS[3:], map(float, v), strict=True)) for k, v in scores.items()}
    return {"kept": kept, "best_step": step, "scale": float(network.scale), "scores": told}


def _table(progress: Progress, choice: dict) -> str:
    """``training.csv``: zero output, the rows of `progress`, and the patient's network, each with what it is of."""
    scores = choice["scores"]
    first = POPULATION if POPULATION in scores else TRAINING
    best = min(progress.rows, key=lambda r: r[3])[0]
    rows = [(0.0, math.nan, math.nan, *scores[ZERO].values(), ZERO)]
    rows += [(*r, first if r[0] == 0 else TRAINING) for r in progress.rows]
    if PATIENT in scores:
        rows += [(best, math.nan, math.nan, *scores[PATIENT].values(), PATIENT)]
    return table_text((*COLUMNS, "network"), rows)


def _write(
    run: Run,
    patient: str,
    network: ResidualMap,
    progress: Progress,
    plan: Plan,
    choice: dict,
    organ_u: dict[str, float],
    sources: list[Path],
    seconds: dict[str, float],
) -> None:
    """Weights, table and figure with their sidecars."""
    settings = run.config.train
    training = {**settings.model_dump(), "steps": plan.steps, "seed": run.config.seed, **choice}
    header = Header(
        patient=patient,
        model_sha256=sha256_of(sources[0]),
        grid=list(PatientModel.load(sources[0]).grid.shape),
        channels=list(CHANNELS),
        width=settings.width,
        scale=choice["scale"],
        organ_relative_u=organ_u,
        training=training,
    )
    weights, table, figure = (run.path(k, patient=patient) for k in ("weights", "training_log", "training_curve"))
    write_weights(weights, network, header)
    write_text(table, _table(progress, choice))
    title = f"Network of {patient} on virtual acquisitions that were not trained on. Kept: {choice['kept']}"
    plot_training(figure, progress.rows, choice["scores"], title)
    more = {"training": training, "seconds": {k: round(v, 1) for k, v in seconds.items()}}
    run.sidecar(weights, "train", "weights of the patient's network", "", sources, organ_relative_u=organ_u, **more)
    run.sidecar(table, "train", "losses and validation scores", "1", sources, **more)
    run.sidecar(figure, "train", "training curve", "", [table])
