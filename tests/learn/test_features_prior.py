"""With a prior image the network's base is QPlanar with its shapes: texture and foci."""

from dataclasses import replace

import numpy as np
import pytest
from learn_small import tiny_data, tiny_model, tiny_projector
from test_diffusion_step import tiny_run, write_virtual_data

from planardose.learn import patient_problem
from planardose.learn.features import CHANNELS, FeatureMaker
from planardose.learn.patient_problem import make_problem
from planardose.recon.acquired import Acquired
from planardose.recon.prior_shapes import Anatomy, PriorImage, shapes_of
from planardose.recon.qplanar import qplanar
from planardose.recon.tissues import by_tissue


def test_the_base_has_the_texture_and_the_focus_and_the_channels_stay():
    model = tiny_model()
    projector = tiny_projector(model)
    data = tiny_data(model, projector, 1)
    shapes = np.concatenate([model.fractions, np.zeros((1, *model.grid.shape), np.float32)])
    shapes[2] *= np.linspace(0.5, 1.5, model.grid.shape[0], dtype=np.float32)[:, None, None]
    shapes[3, 6, 6, 6] = 1.0
    sources = replace(model, organs=(*model.organs, "focus_1"), fractions=shapes)
    maker = FeatureMaker(projector, model, sources)
    acquired = Acquired(data.rates[0, :, 0] * 100.0, np.zeros_like(data.rates[0, :, 0], dtype=float), 100.0)
    example = maker.example(maker.estimate(acquired))
    seen = replace(acquired, of_body=maker.of_body)
    expected = qplanar(projector, sources, seen, maker.responses).map(sources)[maker.box]
    assert example.base.numpy() == pytest.approx(expected, rel=1e-4, abs=1e-9)
    even = FeatureMaker(projector, model, model)
    plain = even.example(even.estimate(acquired)).base.numpy()
    assert np.abs(plain / expected.clip(1e-9) - 1.0)[expected > 0].max() > 0.3
    assert example.channels.shape == (len(CHANNELS), *example.base.shape)
    assert maker.fractions.shape[0] == len(model.organs), "the loss and the organ errors keep the organs"


def test_the_last_faulty_copy_sees_no_prior_image(tmp_path, monkeypatch):
    """As where a reconstruction refuses the image: the network has to know that too."""
    run = tiny_run(tmp_path, methods=["unet"], train={"start": "scratch", "steps": 1, "segmentations": 2})
    write_virtual_data(run)
    fine = np.repeat(np.repeat(np.repeat(tiny_model().body, 2, axis=0), 2, axis=1), 2, axis=2)
    texture = np.random.default_rng(3).lognormal(0.0, 0.3, fine.shape)
    image = PriorImage(np.where(fine, texture, 0.0).astype(np.float32))
    monkeypatch.setattr(
        patient_problem, "shapes_for_samples", lambda run, patient, model: shapes_of(image, Anatomy(model))
    )
    makers = make_problem(run, "P01", "cpu").makers
    even = [np.array_equal(m.sources.fractions, by_tissue(m.model).fractions) for m in makers]
    assert even == [False, False, True]
