"""Networks on a GPU: trained there twice alike, and the same maps as on the CPU from the same weights."""

from pathlib import Path

import numpy as np
import pytest
import torch
from learn_small import tiny_data, tiny_model, tiny_projector
from test_diffusion_step import tiny_run, write_virtual_data

from planardose.learn.dataset import training_acquisition
from planardose.learn.diffusion_infer import diffusion_draws
from planardose.learn.infer import unet_map
from planardose.learn.weights import load_network
from planardose.library import load_nuclide
from planardose.recon.acquired import acquired_from
from planardose.recon.tissues import by_tissue
from planardose.run import Run
from planardose.steps.reconstruct import _device
from planardose.steps.reinforce import reinforce
from planardose.steps.train import train
from planardose.steps.train_diffusion import train_diffusion

TRAIN = {"start": "scratch", "steps": 40, "batch": 2, "width": 4, "checkpoint_every": 4, "learning_rate": 5e-3}
DIFFUSION = {"steps": 4, "draws": 4, "sampling_steps": 3, "width": 8}
WEIGHTS = ("weights", "reinforced", "diffusion_weights")
GPU = pytest.param("cuda", marks=pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU"))


def trained(folder: Path, device: str) -> Run:
    """A run after all its trainings. In the first the network beats its base, else nothing would be fine-tuned."""
    stage = {"steps": 4, "checkpoint_every": 2}
    methods = ["unet", "diffusion"]
    run = tiny_run(folder, methods=methods, device=device, train=TRAIN, reinforce=stage, diffusion=DIFFUSION)
    write_virtual_data(run)
    for step in (train, reinforce, train_diffusion):
        step(run, "P01")
    assert load_network(run.path("weights", patient="P01"), "P01 weights")[1].scale == 1
    rewards = run.path("reinforcement_log", patient="P01").read_text().splitlines()[1:]
    assert len(rewards) > 1
    return run


def maps_on(device: str, run: Run) -> tuple[np.ndarray, np.ndarray]:
    """The network's map of an acquisition, and the mean of the draws."""
    model, nuclide = tiny_model(), load_nuclide("177Lu")
    data = tiny_data(model, tiny_projector(model))
    drawn = training_acquisition(data, 0.0, 1, "P01", 3)
    acquired = acquired_from(drawn.counts, data.windows, drawn.exposure_s, nuclide, data.step_mm)
    given = model, tiny_projector(model, device=device), acquired, by_tissue(model)
    return unet_map(run, "P01", *given)[0], diffusion_draws(run, "P01", "t24", *given).mean


def test_a_map_without_draws_takes_no_gpu(tmp_path, monkeypatch):
    """Such jobs are not counted among those that share it (`rules/reconstruction.smk`)."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)

    def asked(**config) -> str:
        return _device(tiny_run(tmp_path, **config))

    assert asked(methods=["qplanar_mlem", "unet"]) == asked(methods=["qplanar_mlem"]) == "cpu"
    assert asked(methods=["qplanar_mlem", "unet", "diffusion"]) == "cuda"
    assert asked(methods=["qplanar_mlem", "diffusion"], device="cpu") == "cpu"


@pytest.mark.parametrize("device", ["cpu", GPU])
def test_trained_twice_alike_and_drawn_as_on_the_cpu(device, tmp_path):
    run, again = (trained(tmp_path / name, device) for name in ("first", "again"))
    for key in WEIGHTS:
        assert run.path(key, patient="P01").read_bytes() == again.path(key, patient="P01").read_bytes(), key
    for cpu, there in zip(maps_on("cpu", run), maps_on(device, run), strict=True):
        assert np.abs(there - cpu).sum() < 2e-3 * cpu.sum()
