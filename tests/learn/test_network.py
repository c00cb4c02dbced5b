import numpy as np
import pytest
import torch

from planardose.errors import InputError
from planardose.learn.device import products_of
from planardose.learn.features import CHANNELS
from planardose.learn.network import LIMIT, new_network
from planardose.learn.weights import Header, check_fits, load_network
from planardose.learn.weights_file import write_weights


def inputs(shape=(9, 6, 11)):
    generator = torch.Generator().manual_seed(4)
    base = torch.rand((2, *shape), generator=generator)
    base[:, :2] = 0
    return torch.randn((2, len(CHANNELS), *shape), generator=generator), base


def trained_network(width=4):
    network = new_network(len(CHANNELS), width, 7)
    torch.nn.init.normal_(network.head.weight, generator=torch.Generator().manual_seed(2))
    return network


def header(**changes):
    values = {
        "patient": "P01", "model_sha256": "a" * 64, "grid": [9, 6, 11], "channels": list(CHANNELS), "width": 4,
        "scale": 1.0, "organ_relative_u": {"liver": 0.04}, "training": {"steps": 3},
    }  # fmt: skip
    return Header(**{**values, **changes})


def test_untrained_network_returns_its_base_exactly():
    channels, base = inputs()
    assert torch.equal(new_network(len(CHANNELS), 4, 7)(channels, base), base)


def test_one_sample_gives_what_it_gives_among_others():
    channels, base = inputs()
    network = trained_network()
    torch.testing.assert_close(network(channels[:1], base[:1]), network(channels, base)[:1])


def test_bfloat16_products_are_near_and_for_training_only():
    channels, base = inputs()
    network = trained_network()
    exact = network(channels, base)
    network.products = products_of("bfloat16", "cpu")
    low = network(channels, base)
    assert low.dtype == torch.float32 and not torch.equal(low, exact)
    far = (low / exact.clamp_min(1e-9)).log()[base > 0]
    assert far.abs().max() < 0.1 and far.square().mean().sqrt() < 0.02
    network.eval()
    assert torch.equal(network(channels, base), exact)


@pytest.mark.parametrize("native", [True, False])
def test_bfloat16_is_chosen_where_a_gpu_multiplies_it(native, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation=True: including_emulation or native)
    assert products_of("auto", "cuda") == (torch.bfloat16 if native else torch.float32)
    assert products_of("auto", "cpu") == products_of("float32", "cuda") == torch.float32
    assert products_of("bfloat16", "cuda") == torch.bfloat16


def test_scale_zero_returns_the_base_exactly():
    channels, base = inputs()
    network = trained_network()
    assert not torch.equal(network(channels, base), base)
    network.scale.fill_(0.0)
    assert torch.equal(network(channels, base), base)


def test_output_is_bounded_and_empty_where_the_base_is():
    channels, base = inputs()
    network = trained_network()
    torch.nn.init.constant_(network.head.bias, 1e3)
    out = network(channels, base)
    assert out.shape == base.shape
    assert (out[base == 0] == 0).all()
    torch.testing.assert_close(out, base * np.exp(LIMIT))


def test_weights_depend_on_the_seed_only(monkeypatch):
    torch.manual_seed(1)
    monkeypatch.setattr(torch.cuda, "manual_seed_all", lambda seed: pytest.fail("the GPUs' generators were seeded"))
    before = torch.get_rng_state()
    first = new_network(3, 4, 7).state_dict()
    assert torch.equal(torch.get_rng_state(), before)
    torch.rand(5)
    assert all(torch.equal(v, first[k]) for k, v in new_network(3, 4, 7).state_dict().items())
    other = new_network(3, 4, 8).state_dict()
    assert any(not torch.equal(v, first[k]) for k, v in other.items())


def test_weights_file_roundtrip(tmp_path):
    network, (channels, base) = trained_network().eval(), inputs()
    write_weights(tmp_path / "a.safetensors", network, header())
    write_weights(tmp_path / "b.safetensors", network, header())
    assert (tmp_path / "a.safetensors").read_bytes() == (tmp_path / "b.safetensors").read_bytes()
    loaded, found = load_network(tmp_path / "a.safetensors", "P01 weights")
    assert found == header()
    assert torch.equal(loaded(channels, base), network(channels, base))


def test_files_that_are_no_weights_are_refused(tmp_path):
    path = tmp_path / "unet.safetensors"
    path.write_bytes(b"not weights")
    with pytest.raises(InputError, match="P01 weights: not a readable weights file"):
        load_network(path, "P01 weights")
    write_weights(path, trained_network(width=4), header(width=8))
    with pytest.raises(InputError, match=r"tensors do not fit.*width 8"):
        load_network(path, "P01 weights")
    write_weights(path, trained_network(), header(channels=["log_base"]))
    with pytest.raises(InputError, match="trained on channels log_base"):
        load_network(path, "P01 weights")


@pytest.mark.parametrize(
    ("patient", "sha256", "grid", "message"),
    [
        ("P02", "a" * 64, (9, 6, 11), "trained for patient P01"),
        ("P01", "b" * 64, (9, 6, 11), "trained for patient model aaaaaaaaaaaa"),
        ("P01", "a" * 64, (9, 6, 12), "trained for grid 9x6x11; expected grid 9x6x12"),
    ],
)
def test_weights_of_another_patient_or_grid_are_refused(patient, sha256, grid, message):
    check_fits(header(), "P01", "a" * 64, (9, 6, 11), "P01 weights")
    with pytest.raises(InputError, match=message):
        check_fits(header(), patient, sha256, grid, "P01 weights")
