"""`planardose verify`: what must be equal, and what need not be."""

import gzip
import json

import numpy as np
import pytest

from planardose.commands.verify import verify
from planardose.errors import InputError
from planardose.io.files import sha256_of


def results(folder, seconds=1.0, value=1.0, zipped_at=0.0, word="one"):
    """A results folder with one file of every kind."""
    p01 = folder / "P01"
    for name in ("recon", "model", "logs", "projection"):
        (p01 / name).mkdir(parents=True)
    (p01 / "recon/t4_organs.csv").write_text(f"organ,activity_mbq\nliver,{value:.8g}\n")
    with gzip.GzipFile(p01 / "recon/t4_mlem.nii.gz", "wb", mtime=zipped_at) as f:
        f.write(np.float32([value]).tobytes())
    np.savez(p01 / "projection/chunk_0.npz", views=np.array([value]))
    (p01 / "model/unet.safetensors").write_bytes(np.float32([value]).tobytes())
    sidecar = {"seed": 1, "command": f"planardose {word}", "seconds": {"training": seconds}, "value": value}
    (p01 / "model/unet.safetensors.json").write_text(json.dumps(sidecar))
    (p01 / "report.html").write_text(word)
    (p01 / "report.html.json").write_text(
        json.dumps({"sha256": word, "inputs": [{"output": "P01/report.html", "sha256": word}]})
    )
    (p01 / "logs/train.log").write_text(word)
    (folder / ".complete").write_text(word)
    return folder


def test_times_pages_logs_and_commands_need_not_be_equal(tmp_path):
    a = results(tmp_path / "a")
    b = results(tmp_path / "b", seconds=2.0, zipped_at=99.0, word="two")
    compared, differences = verify(a, b)
    assert differences == []
    assert compared == 6


def test_every_kind_of_number_must_be_equal(tmp_path):
    a, b = results(tmp_path / "a"), results(tmp_path / "b", value=1.0000001)
    _, differences = verify(a, b)
    assert {d.split(":")[0] for d in differences} == {
        "P01/recon/t4_organs.csv",
        "P01/recon/t4_mlem.nii.gz",
        "P01/projection/chunk_0.npz",
        "P01/model/unet.safetensors",
        "P01/model/unet.safetensors.json",
    }
    assert any("line 2: A 'liver,1', B 'liver,1.0000001'" in d for d in differences)


def test_a_file_that_is_not_what_its_step_wrote_is_told_also_where_both_folders_have_it(tmp_path):
    a, b = results(tmp_path / "a"), results(tmp_path / "b")
    table = "P01/recon/t4_organs.csv"
    for folder in (a, b):
        (folder / f"{table}.json").write_text(json.dumps({"sha256": sha256_of(folder / table)}))
    assert verify(a, b)[1] == []
    changed = "cut off, or changed after it was written, in {}; run its step again"
    whole = (a / table).read_text()
    (a / table).write_text(whole.replace("liver,1", "liver,2"))
    assert verify(a, b)[1] == [f"{table}: {changed.format('A')}"]
    (b / table).write_bytes((a / table).read_bytes())
    assert verify(a, b)[1] == [f"{table}: {changed.format('A and B')}"]
    for folder in (a, b):
        (folder / table).write_text(whole)
    (b / f"{table}.json").write_text('{"sha256": "')
    assert verify(a, b)[1] == [f"{table}.json: {changed.format('B')}"]


def test_a_missing_file_is_a_difference(tmp_path):
    a, b = results(tmp_path / "a"), results(tmp_path / "b")
    (b / "P01/recon/t4_mlem.nii.gz").unlink()
    (a / "cohort.csv").write_text("patient\nP01\n")
    (b / "cohort.csv").write_text("patient\nP01\nP02\n")
    _, differences = verify(a, b)
    assert differences == ["P01/recon/t4_mlem.nii.gz: only in A", "cohort.csv: 2 lines in A, 3 in B"]


def test_nothing_to_compare_is_refused(tmp_path):
    with pytest.raises(InputError, match="folder B"):
        verify(results(tmp_path / "a"), tmp_path / "empty")
