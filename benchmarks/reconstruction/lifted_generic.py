"""The compute-matched control of the networks on lifted views: trained on other anatomies, as `generic` is."""

from pathlib import Path

import torch
from benchmarks.reconstruction.generic import ANATOMIES, Mixed, training_run
from benchmarks.reconstruction.lifted import (
    CHANNELS,
    DEVICE,
    LiftedDenoiser,
    LiftedDiffusion,
    fitted,
    fitted_denoiser,
    lifted_problem,
    with_moments,
)

from planardose.config import Config
from planardose.io.files import atomic
from planardose.learn.denoiser import new_denoiser
from planardose.learn.device import products_of
from planardose.learn.loop import reproducible
from planardose.learn.network import ResidualMap, new_network
from planardose.run import Run
from planardose.seeds import seed_for


def train_lifted_generic(folder: Path, config: Config, seed: int, anatomies: int = ANATOMIES) -> Path:
    """File with both networks of training seed `seed`, trained where it is missing."""
    path = folder / f"lifted-{seed}.pt"
    if path.exists():
        return path
    made = training_run(folder, config, anatomies)
    run = Run(made.config.model_copy(update={"seed": seed}), made.cohort, made.results)
    with reproducible(config.train.threads):
        problems = [lifted_problem(run, patient) for patient in run.cohort.patients]
        voxels = max(p.body.numel() for p in problems)
        seeds = [seed_for(seed, f"{name} generic lifted") for name in ("train", "diffusion")]
        network = fitted(run, Mixed(problems), voxels, seeds[0], "generic", folder / f"lifted-{seed}-unet.pt")
        around = [LiftedDiffusion(p, network) for p in problems]
        checkpoint = folder / f"lifted-{seed}-diffusion.pt"
        found = with_moments(fitted_denoiser(run, Mixed(around), seeds[1], "generic", checkpoint), around)
    parts = {"network": network.state_dict(), "denoiser": found.denoiser.state_dict()}
    with atomic(path) as temporary:
        torch.save(parts | {"organs": found.organs, "smoothing": found.smoothing}, temporary)
    return path


def load_lifted_generic(path: Path, config: Config) -> tuple[ResidualMap, LiftedDenoiser]:
    """The networks of such a file."""
    parts = torch.load(path, weights_only=True)
    network = new_network(len(CHANNELS), config.train.width, 0)
    network.load_state_dict(parts["network"])
    denoiser = new_denoiser(len(CHANNELS) + 1, config.diffusion.width, 0)
    denoiser.products = products_of(config.train.precision, DEVICE)
    denoiser.load_state_dict(parts["denoiser"])
    return network.eval(), LiftedDenoiser(denoiser.eval(), parts["organs"], parts["smoothing"])
