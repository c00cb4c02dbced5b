"""The step `reinforce` after `train`, on the tiny patient's files: kept where it wins, repeated alike, then used."""

import json

import numpy as np
import pytest
from learn_small import tiny_data, tiny_model, tiny_projector
from test_diffusion_step import tiny_run, write_virtual_data

from planardose.errors import InputError
from planardose.io.files import sha256_of
from planardose.learn.dataset import training_acquisition
from planardose.learn.infer import unet_map
from planardose.library import load_nuclide
from planardose.recon.acquired import acquired_from
from planardose.recon.tissues import by_tissue
from planardose.steps.reinforce import reinforce
from planardose.steps.train import train

TRAIN = {"start": "scratch", "steps": 16, "batch": 1, "width": 4, "checkpoint_every": 8, "learning_rate": 5e-3}
STAGE = {"steps": 4, "learning_rate": 1e-3, "checkpoint_every": 2}


def run_with(folder, stage=STAGE):
    return tiny_run(folder, methods=["qplanar_mlem", "unet"], train=TRAIN, reinforce=stage)


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    run = run_with(tmp_path_factory.mktemp("results"))
    write_virtual_data(run)
    train(run, "P01")
    return run


def map_of(run):
    model = tiny_model()
    projector = tiny_projector(model)
    data, nuclide = tiny_data(model, projector), load_nuclide("177Lu")
    drawn = training_acquisition(data, 0.0, 1, "P01", 3)
    acquired = acquired_from(drawn.counts, data.windows, drawn.exposure_s, nuclide, data.step_mm)
    return unet_map(run, "P01", model, projector, acquired, by_tissue(model))[0]


def test_the_stage_is_needed_repeats_and_is_used(trained):
    with pytest.raises(InputError, match="reinforce"):
        map_of(trained)
    reinforce(trained, "P01")
    weights = trained.path("reinforced", patient="P01")
    first = sha256_of(weights)
    facts = json.loads(weights.with_name(weights.name + ".json").read_text())["reinforce"]
    assert facts["steps"] == 4 and facts["kept"] in (True, False)
    if facts["kept"]:
        assert facts["after"]["validation_loss"] < facts["before"]["validation_loss"]
    reinforce(trained, "P01")
    assert sha256_of(weights) == first
    without = map_of(run_with(trained.results, {"steps": 0}))
    assert np.array_equal(map_of(trained), without) != facts["kept"]
    assert not trained.path("reinforcement_checkpoint", patient="P01").exists()
