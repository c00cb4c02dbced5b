"""The doctor's list: complete, with a way to get what is missing, and without paths."""

import re
import shutil
from collections import namedtuple
from types import SimpleNamespace

import pytest
import warp as wp

from planardose.commands import doctor as module
from planardose.commands.doctor import Finding, doctor
from planardose.config import parse_config
from planardose.errors import InputError
from planardose.physics.warp_runtime import warp_device


def test_every_item_is_listed_and_missing_ones_say_how(tmp_path, monkeypatch):
    monkeypatch.setattr(shutil, "which", lambda command: None)
    config = parse_config({"results": str(tmp_path / "deep" / "results"), "segmentation": {"weights": str(tmp_path)}})
    found = {f.item: f for f in doctor(config)}
    assert list(found) == ["Python", "torch", "MONAI", "Warp", "TotalSegmentator", "Snakemake", "Snakemake for Slurm",
                           "CUDA", "CUDA for Warp", "weights total", "weights fastest", "weights head_glands_cavities",
                           "Slurm", "disk"]
    assert found["torch"].status == "ok" and found["Python"].status == "ok"
    assert "totalseg_download_weights -t total" in found["weights total"].how
    assert "totalseg_download_weights -t head_glands_cavities" in found["weights head_glands_cavities"].how
    assert found["Slurm"].status == "none" and "sbatch" in found["Slurm"].detail
    for finding in found.values():
        assert finding.status == "ok" or finding.how
        assert str(tmp_path) not in str(finding)


def test_weights_that_are_there(tmp_path):
    fold = tmp_path / "Dataset298_TotalSegmentator_total_6mm_1559subj" / "trainer__plans__3d_fullres" / "fold_0"
    fold.mkdir(parents=True)
    (fold / "checkpoint_final.pth").touch()
    found = {f.item: f for f in module._weights(parse_config({"segmentation": {"weights": str(tmp_path)}}))}
    assert found["weights fastest"].status == "ok"
    assert found["weights head_glands_cavities"].how.startswith("'totalseg_download_weights -t head_glands_cavities'")


@pytest.fixture
def gpu_for_warp(monkeypatch):
    """Warp as on a machine with one GPU whose driver is for `driver`."""

    def pretend(driver=(13, 0), seen=True, arch=90):
        device = SimpleNamespace(name="GPU", arch=arch)
        monkeypatch.setattr(wp, "get_cuda_driver_version", lambda: driver)
        monkeypatch.setattr(wp, "get_cuda_toolkit_version", lambda: (13, 4))
        monkeypatch.setattr(wp, "get_cuda_supported_archs", lambda: [75, 90])
        monkeypatch.setattr(wp, "is_cuda_available", lambda: seen)
        monkeypatch.setattr(wp, "get_cuda_devices", lambda: [device] if seen else [])
        monkeypatch.setattr(wp, "get_cuda_device", lambda ordinal: device)

    return pretend


OLD_DRIVER = {"driver": (12, 8), "seen": False}
OLD_GPU = {"arch": 70}


@pytest.mark.parametrize(
    ("machine", "told"),
    [
        (OLD_DRIVER, "driver for CUDA 13 or later (driver for CUDA 12.8, Warp's toolkit 13.4)"),
        (OLD_GPU, "sm_75 or later, this is sm_70 (driver for CUDA 13.0, Warp's toolkit 13.4)"),
    ],
)
def test_a_gpu_that_warp_cannot_use_is_told(machine, told, gpu_for_warp, caplog):
    gpu_for_warp(**machine)
    found = module._warp_cuda()
    assert found.status == "none" and told in found.detail
    assert warp_device("cpu") == "cpu" and not caplog.messages
    assert warp_device("auto") == "cpu" and len(caplog.messages) == 1 and told in caplog.messages[0]
    with pytest.raises(InputError, match=re.escape(told)):
        warp_device("cuda")


def test_a_gpu_that_warp_uses(gpu_for_warp, caplog):
    gpu_for_warp()
    assert str(module._warp_cuda()).endswith("GPU (driver for CUDA 13.0, Warp's toolkit 13.4)")
    assert warp_device("auto") == warp_device("cuda") == "cuda:0" and not caplog.messages


def test_no_driver_is_no_fault(gpu_for_warp, caplog):
    gpu_for_warp(driver=None, seen=False)
    assert "no GPU seen by Warp (driver for CUDA none, Warp's toolkit 13.4)" in str(module._warp_cuda())
    assert warp_device("auto") == "cpu" and not caplog.messages


def test_a_full_disk_is_told(tmp_path, monkeypatch):
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: usage(10**12, 10**12, 2 * 10**9))
    found = module._disk(parse_config({"results": str(tmp_path)}))
    assert (found.status, found.detail) == ("missing", "2.0 GB free for results")


def test_a_package_that_is_not_there():
    assert module._package("x", "no-such-distribution", "no_such_module").status == "missing"
    assert str(Finding("a", "ok", "b")).split() == ["ok", "a", "b"]
