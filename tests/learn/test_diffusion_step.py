"""The step `train_diffusion` on the tiny patient's files: resumed after a hard kill, and used on an acquisition."""

import os
import signal
import subprocess
import sys
import time
from datetime import datetime
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from learn_small import tiny_data, tiny_model, tiny_projector

from planardose.cohort import Cohort, Row
from planardose.config import parse_config
from planardose.errors import InputError
from planardose.learn.dataset import training_acquisition
from planardose.learn.diffusion_infer import diffusion_draws
from planardose.library import load_nuclide
from planardose.recon.acquired import acquired_from
from planardose.recon.tissues import by_tissue
from planardose.run import Run
from planardose.steps.train_diffusion import train_diffusion

HERE = Path(__file__).parent
SETTINGS = {
    "methods": ["qplanar_mlem", "diffusion"],
    "sampling": {"samples": 8, "validation": 2},
    "train": {"checkpoint_every": 2},
    "diffusion": {"steps": 8, "width": 8, "draws": 6, "sampling_steps": 3},
}


def tiny_run(folder: Path, **changed) -> Run:
    row = Row("P01", "t24", "177Lu", "177Lu-PSMA-617", "siemens_symbia_melp", 7000.0, datetime(2026, 1, 1), {})
    return Run(parse_config(SETTINGS | changed), Cohort((row,)), folder)


def write_virtual_data(run: Run) -> None:
    """What the steps before leave in the results folder."""
    model = tiny_model()
    data = tiny_data(model, tiny_projector(model))
    paths = [run.path(k, patient="P01", chunk=0) for k in ("model", "samples", "projections")]
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
    model.save(paths[0])
    table = pd.DataFrame(
        {
            "sample": np.arange(8),
            "split": np.where(data.training, "train", "validation"),
            "log10_counts": data.log10_counts,
            "shift_x_mm": data.shift_mm[:, 0],
            "shift_z_mm": data.shift_mm[:, 1],
            "texture_seed": 0,
            "lesions": "",
        }
    )
    table.to_csv(paths[1], sep="\t", index=False)
    np.savez(paths[2], samples=np.arange(8), activity=data.activity, views=data.rates)


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    run = tiny_run(tmp_path_factory.mktemp("results"))
    write_virtual_data(run)
    train_diffusion(run, "P01")
    return run


def draws_of(run: Run, timepoint: str = "t24"):
    model = tiny_model()
    projector = tiny_projector(model)
    data, nuclide = tiny_data(model, projector), load_nuclide("177Lu")
    made = training_acquisition(data, 0.0, 1, "P01", 0)
    acquired = acquired_from(made.counts, data.windows, made.exposure_s, nuclide, data.step_mm)
    return diffusion_draws(run, "P01", timepoint, model, projector, acquired, by_tissue(model)), acquired, projector


SCRIPT = """
import sys
sys.path.insert(0, {here!r})
from pathlib import Path
from test_diffusion_step import tiny_run, train_diffusion
train_diffusion(tiny_run(Path({folder!r})), "P01")
"""


def start(folder: Path) -> subprocess.Popen:
    script = SCRIPT.format(here=str(HERE), folder=str(folder))
    setting = {**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    return subprocess.Popen([sys.executable, "-c", script], env=setting, stderr=subprocess.DEVNULL)


def test_kill_9_and_resumed_gives_the_same_bytes(finished, tmp_path):
    run = tiny_run(tmp_path)
    write_virtual_data(run)
    checkpoint = run.path("diffusion_checkpoint", patient="P01")
    first, deadline = start(tmp_path), time.monotonic() + 300
    while not checkpoint.exists() and time.monotonic() < deadline and first.poll() is None:
        time.sleep(0.01)
    first.send_signal(signal.SIGKILL)
    assert first.wait() == -signal.SIGKILL, "finished before it could be killed"
    assert checkpoint.exists() and not run.path("diffusion_weights", patient="P01").exists()
    train_diffusion(run, "P01")
    assert not checkpoint.exists()
    for key in ("diffusion_weights", "diffusion_log"):
        assert run.path(key, patient="P01").read_bytes() == finished.path(key, patient="P01").read_bytes()


def test_draws_of_an_acquisition_repeat_and_explain_its_counts(finished):
    draws, acquired, projector = draws_of(finished)
    again, other = draws_of(finished)[0], draws_of(finished, "t48")[0]
    assert draws.maps.shape == (6, *tiny_model().grid.shape)
    assert np.array_equal(draws.maps, again.maps)
    assert not np.array_equal(draws.maps, other.maps)
    primary = projector.forward(projector.tensor(draws.maps)).sum(dim=(1, 2, 3)).numpy() * acquired.exposure_s
    total = acquired.counts.sum()
    assert np.all(np.abs(primary / total - 1) < 0.2)  # scatter is the rest
    assert draws.voxel_u.shape == draws.mean.shape and draws.voxel_u.max() > 0


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"diffusion": SETTINGS["diffusion"] | {"sampling_steps": 4}}, "calibrated for 6 draws of 3 steps"),
        ({}, "trained for patient model .*; run 'planardose train-diffusion' again"),
    ],
)
def test_weights_of_another_setting_or_patient_model_are_refused(finished, tmp_path, changed, words):
    run = tiny_run(tmp_path, **changed)
    for key in ("diffusion_weights", "model"):
        run.path(key, patient="P01").parent.mkdir(parents=True)
    run.path("diffusion_weights", patient="P01").write_bytes(
        finished.path("diffusion_weights", patient="P01").read_bytes()
    )
    model = finished.path("model", patient="P01").read_bytes()
    run.path("model", patient="P01").write_bytes(model if changed else model + b"another one")
    with pytest.raises(InputError, match=words):
        draws_of(run)
