"""Networks on a GPU: trained there, and the same maps as on the CPU from the same weights."""

import numpy as np
import pytest
import torch
from learn_small import tiny_data, tiny_model, tiny_projector
from test_diffusion_step import tiny_run, write_virtual_data

from planardose.learn.dataset import training_acquisition
from planardose.learn.diffusion_infer import diffusion_draws
from planardose.learn.infer import unet_map
from planardose.library import load_nuclide
from planardose.recon.acquired import acquired_from
from planardose.recon.tissues import by_tissue
from planardose.steps.reinforce import reinforce
from planardose.steps.train import train
from planardose.steps.train_diffusion import train_diffusion

TRAIN = {"start": "scratch", "steps": 8, "batch": 2, "width": 4, "checkpoint_every": 4, "learning_rate": 5e-3}
DIFFUSION = {"steps": 4, "draws": 4, "sampling_steps": 3, "width": 8}


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")
def test_trained_on_the_gpu_and_drawn_alike_on_both(tmp_path):
    stage = {"steps": 4, "checkpoint_every": 2}
    methods = ["unet", "diffusion"]
    run = tiny_run(tmp_path, methods=methods, device="cuda", train=TRAIN, reinforce=stage, diffusion=DIFFUSION)
    write_virtual_data(run)
    for step in (train, reinforce, train_diffusion):
        step(run, "P01")
    model, maps = tiny_model(), {}
    for device in ("cpu", "cuda"):
        projector = tiny_projector(model, device=device)
        data, nuclide = tiny_data(model, tiny_projector(model)), load_nuclide("177Lu")
        drawn = training_acquisition(data, 0.0, 1, "P01", 3)
        acquired = acquired_from(drawn.counts, data.windows, drawn.exposure_s, nuclide, data.step_mm)
        given = model, projector, acquired, by_tissue(model)
        maps[device] = unet_map(run, "P01", *given)[0], diffusion_draws(run, "P01", "t24", *given).mean
    for cpu, cuda in zip(*maps.values(), strict=True):
        assert np.abs(cuda - cpu).sum() < 1e-2 * cpu.sum()
