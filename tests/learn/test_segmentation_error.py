"""Faulty segmentations for the training: they keep body and matter, and are as wrong as they are said to be."""

from dataclasses import replace

import numpy as np
import torch
from learn_small import tiny_model

from planardose.learn import segmentation_error
from planardose.learn.features import FeatureMaker
from planardose.learn.segmentation_error import OFFSET_MM, with_faults
from planardose.recon.tissues import by_tissue


def drawn(model, count):
    return [with_faults(model, np.random.default_rng(n)) for n in range(count)]


def test_a_voxel_keeps_its_share_of_the_body_and_its_matter():
    model = tiny_model()
    for faulty in drawn(model, 20):
        assert np.allclose(faulty.fractions.sum(axis=0), model.fractions.sum(axis=0), atol=1e-6)
        assert faulty.fractions.min() >= 0
        assert np.array_equal(faulty.partial_density, model.partial_density)
        assert not np.array_equal(faulty.fractions[0], model.fractions[0])


def test_lesions_and_what_lies_beyond_the_ct_stay():
    model = replace(tiny_model(), organs=("lesion_1", "outside_ct", "remainder"))
    for faulty in drawn(model, 5):
        assert np.array_equal(faulty.fractions, model.fractions)
    model = replace(tiny_model(), organs=("liver", "lesion_1", "remainder"))
    for faulty in drawn(model, 5):
        assert np.array_equal(faulty.fractions[1], model.fractions[1])


def test_a_surface_moves_by_the_stated_distance(monkeypatch):
    """A liver of 60 x 60 x 80 mm gains 26400 mm2 times the offset; the ups and downs along its surface cancel."""
    monkeypatch.setattr(segmentation_error, "LOCAL_MM", 0.0)
    model = tiny_model()
    change = [float(f.volumes_ml()[0] / model.volumes_ml()[0] - 1) for f in drawn(model, 200)]
    expected = OFFSET_MM * 26400 / 288000
    assert 0.8 * expected < np.std(change) < 1.2 * expected
    assert abs(np.mean(change)) < 3 * expected / np.sqrt(200)


def test_a_small_organ_is_missed_in_half_of_the_segmentations(monkeypatch):
    monkeypatch.setattr(segmentation_error, "MISSED_ML", 200.0)  # the kidney has 96 mL, the liver 288
    missed = [f.fractions[1].sum() == 0 for f in drawn(tiny_model(), 200)]
    assert 0.35 < np.mean(missed) < 0.65
    assert all(f.fractions[0].sum() > 0 for f in drawn(tiny_model(), 200))


def test_acquisitions_are_seen_with_the_segmentations_in_turn(problem):
    own = problem.makers[0]
    model = with_faults(own.model, np.random.default_rng(1))
    faulty = FeatureMaker(own.projector, model, by_tissue(model))
    both = replace(problem, makers=(own, faulty))
    even, odd = both.example(0), both.example(1)
    assert torch.equal(even.channels, problem.example(0).channels)
    assert torch.equal(odd.truth, problem.example(1).truth)  # the activity is where it is
    assert not torch.equal(odd.base, problem.example(1).base)
    assert torch.equal(both.validation[0].base, problem.validation[0].base)
    assert not torch.equal(both.validation[1].base, problem.validation[1].base)
