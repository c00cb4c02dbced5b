"""Step `train_diffusion`: the patient's own diffusion model around the U-Net's map, and the scales of its spread."""

import logging
import time
from pathlib import Path

from planardose.io.files import sha256_of, write_text
from planardose.learn.calibration import Calibration, calibrated
from planardose.learn.curve import plot_training
from planardose.learn.denoiser import Denoiser, new_denoiser
from planardose.learn.device import device_of, products_of
from planardose.learn.diffusion_problem import DiffusionProblem
from planardose.learn.diffusion_weights import REFERENCE, DiffusionHeader
from planardose.learn.features import CHANNELS
from planardose.learn.loop import COLUMNS, Plan, Progress, fingerprint_of, fit, reproducible
from planardose.learn.patient_problem import make_problem, sources_of
from planardose.learn.training_table import table_text
from planardose.learn.weights import load_network, unet_weights
from planardose.learn.weights_file import write_weights
from planardose.paths import STEP_VERSIONS
from planardose.run import Run
from planardose.seeds import seed_for

log = logging.getLogger("planardose.train_diffusion")


def train_diffusion(run: Run, patient: str) -> None:
    """Write ``model/diffusion.safetensors``, ``diffusion_training.csv`` and ``.png``.

    The U-Net's map is the reference where `unet` is among the methods, else the physics base. The weights are those of
    the best validation loss; the row of step 0 is noise with each organ's spread. A killed run goes on from
    ``model/diffusion_checkpoint.pt``.

    Raises
    ------
    InputError
        If an earlier output is missing or does not fit, or ``device: cuda`` without a CUDA device.
    """
    sources, device = sources_of(run, patient), device_of(run.config.device)
    unet_path = unet_weights(run, patient) if run.config.needs_training else None
    sources += [unet_path] if unet_path else []
    settings, began = run.config.diffusion, time.monotonic()
    checkpoint = run.path("diffusion_checkpoint", patient=patient)
    with reproducible(run.config.train.threads):
        unet = load_network(unet_path, f"{patient} weights", device)[0] if unet_path else None
        problem = DiffusionProblem(make_problem(run, patient, device), unet)
        plan = _plan(run, patient, sources, device)
        seed = seed_for(run.config.seed, "diffusion network", patient)
        denoiser = new_denoiser(len(CHANNELS) + 1, settings.width, seed).to(device)
        denoiser.products = products_of(run.config.train.precision, device)
        prepared = time.monotonic()
        progress = fit(denoiser, problem.batch_of, problem.loss_of, problem.scores, plan, checkpoint)
        trained = time.monotonic()
        calibration = calibrated(denoiser, problem, settings.draws, settings.sampling_steps)
    now = time.monotonic()
    seconds = {"preparation": prepared - began, "training": trained - prepared, "calibration": now - trained}
    _write(run, patient, denoiser, problem, progress, calibration, sources, seconds)
    checkpoint.unlink(missing_ok=True)


def _plan(run: Run, patient: str, sources: list[Path], device: str) -> Plan:
    """Steps and fingerprint of the training; whatever changes the weights changes the fingerprint."""
    train, diffusion = run.config.train, run.config.diffusion
    decisive = {
        "version": STEP_VERSIONS["train_diffusion"],
        "train": train.model_dump(exclude={"steps", "minutes", "width"}),
        "diffusion": [diffusion.steps, diffusion.width],
        "seed": run.config.seed,
        "patient": patient,
        "shift_mm": run.config.sampling.shift_mm,
        "device": device,
        "channels": CHANNELS,
        "inputs": [sha256_of(path) for path in sources],
    }
    fingerprint = fingerprint_of(decisive)
    log.info("%s: %d steps on %s", patient, diffusion.steps, device)
    return Plan(diffusion.steps, train.learning_rate, train.checkpoint_every, fingerprint)


def _header(
    run: Run, patient: str, problem: DiffusionProblem, progress: Progress, found: Calibration, sources: list[Path]
) -> DiffusionHeader:
    model, settings, best = problem.problem.maker.model, run.config.diffusion, min(progress.rows, key=lambda r: r[3])
    zero, names = progress.rows[0], COLUMNS[3:]
    mean, spread = (m.tolist() for m in problem.moments)
    training = {
        **settings.model_dump(),
        "seed": run.config.seed,
        "noise": dict(zip(names, zero[3:], strict=True)),
        "network": dict(zip(names, best[3:], strict=True)),
        "best_step": int(best[0]),
        "calibration": found.told(),
    }
    return DiffusionHeader(
        patient=patient,
        model_sha256=sha256_of(sources[0]),
        unet_sha256=sha256_of(sources[-1]) if problem.unet is not None else "",
        grid=list(model.grid.shape),
        channels=[*CHANNELS, REFERENCE],
        width=settings.width,
        organs=list(model.organs),
        moments=[[m, s] for m, s in zip(mean, spread, strict=True)],
        common=problem.noise.common.tolist(),
        smoothing=problem.noise.smoothing,
        draws=settings.draws,
        sampling_steps=settings.sampling_steps,
        voxel_scale=found.voxel_scale,
        training=training,
    )


def _write(
    run: Run,
    patient: str,
    denoiser: Denoiser,
    problem: DiffusionProblem,
    progress: Progress,
    calibration: Calibration,
    sources: list[Path],
    seconds: dict[str, float],
) -> None:
    """Weights, table and figure with their sidecars."""
    header = _header(run, patient, problem, progress, calibration, sources)
    keys = ("diffusion_weights", "diffusion_log", "diffusion_curve")
    weights, table, figure = (run.path(k, patient=patient) for k in keys)
    write_weights(weights, denoiser, header)
    write_text(table, table_text(COLUMNS, progress.rows))
    untrained = {"zero output": dict(zip(COLUMNS, progress.rows[0], strict=True))}
    title = f"Training of {patient}'s diffusion: validation on uptakes that were not trained on"
    plot_training(figure, progress.rows, untrained, title)
    more = {"training": header.training, "seconds": {k: round(v, 1) for k, v in seconds.items()}}
    run.sidecar(weights, "train_diffusion", "weights of the patient's diffusion model", "", sources, **more)
    run.sidecar(table, "train_diffusion", "losses and validation scores", "1", sources, **more)
    run.sidecar(figure, "train_diffusion", "training curve", "", [table])
