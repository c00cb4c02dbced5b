"""Train the population network that ships with the package; see README.md beside this file.

    python benchmarks/population/train.py --cache /tmp/population

writes ``src/planardose/data/population/unet.safetensors`` and ``unet.yaml``. Data of finished parts are taken from the
cache; a killed training goes on from its checkpoint there.
"""

import argparse
import hashlib
import json
import logging
import subprocess
from dataclasses import asdict
from pathlib import Path

import numpy as np
import torch
from cohort import SEGMENTATIONS, Size, population_run
from features import Group, groups_of

from planardose.demo.patient import CAMERA, CT_SPACING_MM, NUCLIDE, TRACER
from planardose.learn.features import CHANNELS, Example
from planardose.learn.loop import COLUMNS, Plan, Progress, fit, reproducible
from planardose.learn.loss import body_mae, body_nrmse, loss
from planardose.learn.network import ResidualMap, new_network
from planardose.learn.population import FOLDER, NAME, save_population
from planardose.seeds import rng_for, seed_for
from planardose.units import rounded

SEED, SIZE = 301, Size(anatomies=24, uptakes=16, histories=5e5, ct_mm=(5.0, 5.0, 5.0))
VALIDATION_SEED, VALIDATION_SIZE = 302, Size(anatomies=4, uptakes=8, histories=1e6, ct_mm=CT_SPACING_MM)
ACQUISITIONS = 16  # per patient and segmentation
SLICES = 48  # of a batch, a random part of the body: the same work sees more patients
WIDTH, BATCH, LEARNING_RATE, STEPS, VALIDATE_EVERY = 16, 1, 2e-3, 6000, 200
log = logging.getLogger("planardose.population")


class PopulationProblem:
    """Batches, loss and scores over many patients; one batch holds acquisitions of one patient (boxes differ)."""

    def __init__(self, training: list[Group], validation: list[Group], seed: int):
        self.training, self.validation, self.seed = training, validation, seed

    def batch_of(self, step: int) -> tuple[Example, torch.Tensor, torch.Tensor]:
        """Examples, body and variance in `SLICES` slices; each round goes through all groups in a new order."""
        time_round, place = divmod(step, len(self.training))
        order = rng_for(self.seed, "population order", "", time_round).permutation(len(self.training))
        group = self.training[order[place]]
        rng = rng_for(self.seed, "population batch", "", step)
        whole = group.batch(rng.choice(group.size, BATCH, replace=False).tolist())
        _, body, variance = group.fixed()
        first = int(rng.integers(0, max(body.shape[-1] - SLICES, 0) + 1))
        cut = slice(first, first + SLICES)
        example = Example(*(t[..., cut].contiguous() for t in (whole.channels, whole.base, whole.truth)))
        # errors count relative to the mean of the whole body, not to that of its part
        means = [(t * b).sum() / b.sum() for t, b in ((whole.truth, body), (example.truth, body[..., cut]))]
        return example, body[..., cut], variance[..., cut] * (means[0] / means[1]) ** 2

    def loss_of(self, network: ResidualMap, batch: tuple[Example, torch.Tensor, torch.Tensor]) -> torch.Tensor:
        example, body, variance = batch
        return loss(network(example.channels, example.base), example.truth, body, variance)

    def scores(self, network: ResidualMap) -> tuple[float, float, float]:
        """Means over all validation acquisitions of loss, body MAE and NRMSE."""
        network.eval()
        rows = []
        with torch.no_grad():
            for group in self.validation:
                _, body, variance = group.fixed()
                for n in range(group.size):
                    example = group.batch([n])
                    estimate = network(example.channels, example.base)
                    value = loss(estimate, example.truth, body, variance)
                    errors = (f(estimate, example.truth, body) for f in (body_mae, body_nrmse))
                    rows.append([float(value), *map(float, errors)])
        a, b, c = np.mean(rows, axis=0).tolist()
        return a, b, c


def settings(steps: int) -> dict:
    """Everything that decides the weights, for the YAML file and the checkpoint's fingerprint."""
    return {
        "training": {"seed": SEED, **asdict(SIZE), "ct_mm": list(SIZE.ct_mm), "segmentations": 1 + SEGMENTATIONS,
                     "acquisitions": ACQUISITIONS},
        "validation": {"seed": VALIDATION_SEED, **asdict(VALIDATION_SIZE), "ct_mm": list(VALIDATION_SIZE.ct_mm)},
        "nuclide": NUCLIDE, "tracer": TRACER, "camera": CAMERA,
        "optimiser": {"steps": steps, "batch": BATCH, "slices": SLICES, "learning_rate": LEARNING_RATE},
    }  # fmt: skip


def train(cache: Path, out: Path, steps: int) -> None:
    """Make the data, train, write weights and their description."""
    training = population_run(cache, SEED, SIZE)
    held_out = population_run(cache, VALIDATION_SEED, VALIDATION_SIZE)
    with reproducible(1):
        groups = groups_of(training, cache, ACQUISITIONS, tuple(range(1 + SEGMENTATIONS)))
        problem = PopulationProblem(groups, groups_of(held_out, cache, 0, (1,)), SEED)
        network = new_network(len(CHANNELS), WIDTH, seed_for(SEED, "population network"))
        fingerprint = hashlib.sha256(json.dumps([settings(steps), CHANNELS]).encode()).hexdigest()
        plan = Plan(steps, LEARNING_RATE, VALIDATE_EVERY, fingerprint)
        progress = fit(network, problem.batch_of, problem.loss_of, problem.scores, plan, cache / "checkpoint.pt")
    told = {"commit": _commit()} | settings(steps) | {"scores": _scores(progress)}
    save_population(out, network, training.config.grid_mm, told)


def _commit() -> str:
    """The commit whose command gives these weights."""
    git = ["git", "describe", "--always", "--dirty", "--exclude=*"]
    return subprocess.run(git, cwd=Path(__file__).parent, capture_output=True, text=True, check=True).stdout.strip()


def _scores(progress: Progress) -> dict:
    """Validation scores of the zero output and of the network that was kept."""
    zero, best = progress.rows[0], min(progress.rows, key=lambda r: r[3])
    rows = {"zero_output": zero, "network": best}
    scores = {k: {c: rounded(v) for c, v in zip(COLUMNS[3:], r[3:], strict=True)} for k, r in rows.items()}
    return scores | {"best_step": int(best[0])}


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cache", type=Path, required=True, help="folder for data and checkpoint")
    parser.add_argument("--out", type=Path, default=FOLDER / NAME, help="weights file to write")
    parser.add_argument("--steps", type=int, default=STEPS)
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(name)s: %(message)s")
    logging.getLogger("planardose").setLevel(logging.INFO)
    train(arguments.cache, arguments.out, arguments.steps)
