"""The TotalSegmentator package itself, on tiny weights whose classes follow thresholds of the CT number.

TotalSegmentator resamples the CT to its model's spacing. Where that is the CT's own, labels must equal the rule in
every voxel; elsewhere the CT is made of blocks, and labels must equal the rule away from the blocks' faces.
"""

import json
import socket
from pathlib import Path

import numpy as np
import pytest

from planardose.anatomy import totalseg
from planardose.anatomy.totalseg import missing_weights, segment_ct, weights_folder
from planardose.errors import InputError
from planardose.image import Grid, Volume

TOTAL_RULE = ([-600.0, -100.0, 120.0, 300.0], [0, 10, 5, 52, 91])  # air, lung, liver, aorta, skull
HEAD_RULE = ([-300.0, 100.0, 400.0], [0, 7, 10, 19])  # parotid, submandibular, hard palate
ANGLE = np.deg2rad(11.0)
OBLIQUE = np.array([[np.cos(ANGLE), 0, np.sin(ANGLE)], [0, 1, 0], [-np.sin(ANGLE), 0, np.cos(ANGLE)]])


@pytest.fixture(scope="module")
def weights(tmp_path_factory) -> Path:
    from tiny_nnunet import write_weights

    folder = tmp_path_factory.mktemp("weights")
    write_weights(folder, "Dataset298_TotalSegmentator_total_6mm_1559subj", "nnUNetTrainer_4000epochs_NoMirroring",
                  "3d_fullres", [6.0, 6.0, 6.0], 118, *TOTAL_RULE)
    write_weights(folder, "Dataset775_head_glands_cavities_492subj", "nnUNetTrainer_DASegOrd0_NoMirroring",
                  "3d_fullres_high", [1.0, 0.75, 0.75], 20, *HEAD_RULE, patch=64)
    return folder


@pytest.fixture(autouse=True)
def no_network(monkeypatch, tmp_path):
    """Every connection fails, and TotalSegmentator must leave nothing in the home folder."""

    def refuse(*_args, **_kwargs):
        raise AssertionError("a socket was opened")

    monkeypatch.setattr(socket, "create_connection", refuse)
    connect = socket.socket.connect
    monkeypatch.setattr(socket.socket, "connect",
                        lambda s, address: connect(s, address) if s.family == socket.AF_UNIX else refuse())
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.delenv("TOTALSEG_WEIGHTS_PATH", raising=False)
    monkeypatch.delenv("TOTALSEG_HOME_DIR", raising=False)
    (tmp_path / "home").mkdir()
    yield
    assert not (tmp_path / "home" / ".totalsegmentator").exists()


def volume(hu: np.ndarray, spacing) -> Volume:
    """A CT with flipped i and k axes and an oblique affine."""
    affine = np.eye(4)
    affine[:3, :3] = OBLIQUE @ np.diag(spacing) @ np.diag([-1, 1, -1])
    affine[:3, 3] = (30, -40, 50)
    return Volume(hu.astype(np.int16), Grid(hu.shape, affine), "CT number", "HU")


def rule_of(hu: np.ndarray, rule) -> np.ndarray:
    from tiny_nnunet import rule as classes_by_threshold

    return classes_by_threshold(hu, *rule)


def test_fastest_follows_the_rule_in_every_voxel(weights):
    rng = np.random.default_rng(1)
    hu = rng.choice([-900, -400, 40, 200], size=(24, 30, 37))
    hu[3, 4, 5:9] = -1000
    ct = volume(hu, (6.0, 6.0, 6.0))
    labels, description = segment_ct(ct, str(weights), True, "cpu", "P01 ct")
    assert labels.grid.same_as(ct.grid) and labels.data.dtype == np.int16
    assert np.array_equal(labels.data, rule_of(hu, TOTAL_RULE))
    assert description["tasks"] == ["total"] and description["fastest"] is True  # no skull: no search for glands
    assert str(weights) not in json.dumps(description)


def head_ct() -> tuple[Volume, np.ndarray]:
    """A CT of 0.75 x 0.75 x 1 mm, the glands model's own spacing, and the distance in mm of each voxel from its skull.

    Upper part: a skull of 24 mm in tissue whose CT numbers vary from voxel to voxel. Lower part: liver and lung.
    """
    spacing, shape = np.array([0.75, 0.75, 1.0]), (96, 88, 150)
    rng = np.random.default_rng(2)
    hu = rng.choice([-200, 0, 60, 200], size=shape)
    hu[:, :, 80:] = 40  # k runs downwards in `volume`
    hu[:48, :, 80:] = -400
    offset = np.abs((np.indices(shape).T - np.array([47.5, 43.5, 34.5])) * spacing).max(axis=-1).T
    hu[offset < 12] = 700
    return volume(hu, spacing), offset - 12


@pytest.mark.slow
def test_head_with_its_crop(weights):
    """Over the 6 mm labels lie those of the glands model, which looks at the skull and 20 mm around it."""
    ct, distance = head_ct()
    labels, description = segment_ct(ct, str(weights), True, "cpu", "P01 ct")
    assert description["tasks"] == ["total", "head_glands_cavities"]
    inside = distance < 20 - 6  # the crop's faces are known to a voxel of the rough 6 mm model
    assert np.array_equal(labels.data[inside], 200 + rule_of(ct.data[inside], HEAD_RULE))
    assert set(np.unique(labels.data[inside])) == {207, 210, 219}
    outside = distance > 20 + 6
    assert labels.data[outside].max() <= 117
    lower = np.zeros(ct.data.shape, dtype=bool)
    lower[:, :, 92:] = True
    lower[40:56] = False  # 6 mm on both sides of the face between the blocks
    lower &= outside
    assert lower.mean() > 0.3 and np.array_equal(labels.data[lower], rule_of(ct.data[lower], TOTAL_RULE))


def test_a_node_without_a_gpu_segments_on_its_cpu_and_says_so(monkeypatch, caplog):
    import torch

    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert totalseg._device("auto", "P01 ct") == totalseg._device("cpu", "P01 ct") == "cpu" and not caplog.text
    assert totalseg._device("cuda", "P01 ct") == "cpu" and "P01 ct: torch sees no GPU" in caplog.text
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert [totalseg._device(choice, "P01 ct") for choice in ("auto", "cpu", "cuda")] == ["gpu", "cpu", "gpu"]


def test_absent_weights_name_the_command(tmp_path):
    ct = volume(np.zeros((4, 4, 4)), (6.0, 6.0, 6.0))
    with pytest.raises(InputError, match="totalseg_download_weights -t total") as fault:
        segment_ct(ct, str(tmp_path), False, "cpu", "P01 ct")
    assert "Dataset291" in str(fault.value) and str(tmp_path) not in str(fault.value)
    assert list(missing_weights(tmp_path, "head_glands_cavities").values())[-1].endswith("head_glands_cavities")


def test_weights_folder(monkeypatch, tmp_path):
    assert weights_folder(str(tmp_path)) == tmp_path
    monkeypatch.setenv("TOTALSEG_WEIGHTS_PATH", str(tmp_path / "elsewhere"))
    assert weights_folder(None) == tmp_path / "elsewhere"


def test_nothing_found(weights, monkeypatch):
    monkeypatch.setattr(totalseg, "_predict", lambda image, *_: np.zeros(image.shape, dtype=np.uint8))
    with pytest.raises(InputError, match="P01 ct: TotalSegmentator found no organ"):
        segment_ct(volume(np.full((24, 24, 24), -1000), (6.0, 6.0, 6.0)), str(weights), True, "cpu", "P01 ct")


def test_head_seen_without_the_glands_weights(weights, tmp_path, monkeypatch, caplog):
    (tmp_path / "Dataset298_TotalSegmentator_total_6mm_1559subj").symlink_to(next(weights.glob("Dataset298*")))
    monkeypatch.setattr(totalseg, "_predict", lambda image, *_: np.full(image.shape, 91, dtype=np.uint8))
    with pytest.raises(InputError, match=r"Dataset775.*'totalseg_download_weights -t head_glands_cavities'"):
        segment_ct(volume(np.full((8, 8, 8), 40), (6.0, 6.0, 6.0)), str(tmp_path), True, "cpu", "P01 ct")
    assert "if the CT shows a head" in caplog.text
