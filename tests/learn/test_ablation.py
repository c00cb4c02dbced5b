"""What the network sees in the benchmark's ablations."""


import numpy as np
from benchmarks.reconstruction.ablation import OF_COUNTS, WITHOUT
from learn_small import tiny_data, tiny_model, tiny_projector

from planardose.learn.features import CHANNELS, FeatureMaker
from planardose.recon.acquired import Acquired
from planardose.recon.tissues import by_tissue


def example_without(part: str):
    model = tiny_model()
    projector = tiny_projector(model)
    rates = tiny_data(model, projector, 1).rates[0, :, 0]
    acquired = Acquired(rates * 100.0, np.zeros(rates.shape), 100.0)
    with WITHOUT[part]():
        maker = FeatureMaker(projector, model, by_tissue(model))
        return maker.example(maker.estimate(acquired)), model.fractions[:, *maker.box].sum(axis=0)


def test_without_the_base_it_starts_from_an_evenly_filled_body_of_the_same_counts():
    whole, share = example_without("")
    even, _ = example_without("base")
    full = share > 0.999
    levels = even.base.numpy()[full]
    assert np.ptp(levels) < 1e-4 * levels.mean() and np.ptp(whole.base.numpy()[full]) > levels.mean()
    assert float(even.base.sum()) > 0.5 * float(whole.base.sum())
    assert float(even.channels[CHANNELS.index("log_mlem")].abs().max()) > 0.1


def test_without_the_ratios_it_is_blind_to_the_counts_and_sees_the_rest():
    whole, _ = example_without("")
    blind, _ = example_without("ratios")
    hidden = [CHANNELS.index(name) for name in OF_COUNTS]
    kept = [n for n in range(len(CHANNELS)) if n not in hidden]
    assert not blind.channels[hidden].any() and whole.channels[hidden].any()
    assert np.array_equal(blind.channels[kept], whole.channels[kept]) and np.array_equal(blind.base, whole.base)
