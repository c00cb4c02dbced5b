"""Step `reinforce`: the patient's network fine-tuned on a reward (`learn.reward`); kept only where it wins."""

import logging
from dataclasses import replace

from planardose.io.files import sha256_of, write_text
from planardose.learn.device import device_of, products_of
from planardose.learn.loop import COLUMNS, Plan, Progress, fingerprint_of, fit, reproducible
from planardose.learn.network import ResidualMap
from planardose.learn.patient_problem import make_problem, sources_of
from planardose.learn.reward import Reinforcement
from planardose.learn.training_table import table_text
from planardose.learn.weights import check_fits, load_network
from planardose.learn.weights_file import write_weights
from planardose.paths import STEP_VERSIONS
from planardose.patient_model import PatientModel
from planardose.run import Run
from planardose.sim.tracer import load_tracer

log = logging.getLogger("planardose.reinforce")
TOLERANCE = 0.005  # of MAE and NRMSE: the reward weighs lesions and organ totals higher than they do


def reinforce(run: Run, patient: str) -> None:
    """Write ``model/reinforced.safetensors`` and ``reinforcement.csv``.

    The weights of the lowest cost on the validation samples are kept, of those that are `no_worse`. With
    ``reinforce.steps: 0``, or where training kept the base, these are the trained weights. A killed run goes on from
    ``model/reinforcement.pt``.

    Raises
    ------
    InputError
        If the weights of `train` are missing or do not fit, or ``device: cuda`` without a CUDA device.
    """
    settings, device = run.config.reinforce, device_of(run.config.device)
    trained = run.need("weights", "train", patient=patient)
    model = run.need("model", "segment", patient=patient)
    sources = [trained, *sources_of(run, patient)]
    network, header = load_network(trained, f"{patient} weights", device)
    check_fits(header, patient, sha256_of(model), PatientModel.load(model).grid.shape, f"{patient} weights")
    network.products = products_of(run.config.train.precision, device)
    steps = settings.steps if header.scale > 0 else 0
    sites = load_tracer(run.cohort.first_row(patient).tracer).hidden.sites
    checkpoint = run.path("reinforcement_checkpoint", patient=patient)
    with reproducible(run.config.train.threads):
        stage = Reinforcement(make_problem(run, patient, device), tuple(sites))
        decisive = [STEP_VERSIONS["reinforce"], settings.model_dump(), run.config.train.model_dump(), run.config.seed]
        decisive += [patient, device, run.config.sampling.shift_mm, sorted(sites), [sha256_of(p) for p in sources]]
        fingerprint = fingerprint_of(decisive)
        plan = Plan(steps, settings.learning_rate, settings.checkpoint_every, fingerprint)
        progress = fit(network, stage.batch_of, stage.cost, stage.scores, plan, checkpoint, acceptable=no_worse)
        organ_u = stage.problem.organ_relative_u(network)
    _write(run, patient, network, replace(header, organ_relative_u=organ_u), progress, sources)
    checkpoint.unlink(missing_ok=True)


def no_worse(first: tuple, row: tuple) -> bool:
    """Whether a row of the table has an MAE and an NRMSE at most `TOLERANCE` above those before the stage."""
    return all(row[n] <= (1 + TOLERANCE) * first[n] for n in (4, 5))


def _write(run: Run, patient: str, network: ResidualMap, header, progress: Progress, sources: list) -> None:
    names = COLUMNS[3:]
    before = progress.rows[0]
    best = min((r for r in progress.rows if no_worse(before, r)), key=lambda r: r[3])
    facts = {**run.config.reinforce.model_dump(), "kept": best[0] > 0, "best_step": int(best[0])}
    told = f"kept from step {best[0]:.0f}" if best[0] else "not kept: no gain on the validation samples"
    log.info("%s: reward stage %s", patient, told)
    facts |= {k: dict(zip(names, r[3:], strict=True)) for k, r in (("before", before), ("after", best))}
    weights, table = (run.path(k, patient=patient) for k in ("reinforced", "reinforcement_log"))
    write_weights(weights, network, replace(header, training={**header.training, "reinforce": facts}))
    write_text(table, table_text(tuple(c.replace("loss", "cost") for c in COLUMNS), progress.rows))
    run.sidecar(weights, "reinforce", "weights of the patient's network", "", sources, reinforce=facts,
                organ_relative_u=header.organ_relative_u)  # fmt: skip
    run.sidecar(table, "reinforce", "costs and validation scores", "1", sources)
