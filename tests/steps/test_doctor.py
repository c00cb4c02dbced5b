"""The doctor's list: complete, with a way to get what is missing, and without paths."""

import shutil
from collections import namedtuple

from planardose.config import parse_config
from planardose.steps import doctor as module
from planardose.steps.doctor import Finding, doctor


def test_every_item_is_listed_and_missing_ones_say_how(tmp_path, monkeypatch):
    monkeypatch.setattr(shutil, "which", lambda command: None)
    config = parse_config({"results": str(tmp_path / "deep" / "results"), "segmentation": {"weights": str(tmp_path)}})
    found = {f.item: f for f in doctor(config)}
    assert list(found) == ["Python", "torch", "MONAI", "Warp", "TotalSegmentator", "Snakemake", "Snakemake for Slurm",
                           "CUDA", "weights total", "weights fastest", "weights head_glands_cavities", "Slurm", "disk"]
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


def test_a_full_disk_is_told(tmp_path, monkeypatch):
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: usage(10**12, 10**12, 2 * 10**9))
    found = module._disk(parse_config({"results": str(tmp_path)}))
    assert (found.status, found.detail) == ("missing", "2.0 GB free for results")


def test_a_package_that_is_not_there():
    assert module._package("x", "no-such-distribution", "no_such_module").status == "missing"
    assert str(Finding("a", "ok", "b")).split() == ["ok", "a", "b"]
