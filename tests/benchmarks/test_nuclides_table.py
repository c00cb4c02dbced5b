"""The table of benchmarks/nuclides on a small evaluation whose figures are known."""

import json

import pandas as pd
from benchmarks.nuclides.table import column

from planardose.commands.evaluate import COLUMNS


def _results(folder, passed: tuple[bool, ...]):
    rows = [
        ("P01", "t4", "qplanar_mlem", "activity_mbq", "kidney_left", 110.0, 100.0, 11.0, 88.0, 132.0),
        ("P01", "t4", "qplanar_mlem", "activity_mbq", "kidney_right", 130.0, 100.0, 10.0, 99.0, 150.0),
        ("P01", "t4", "qplanar_mlem", "activity_mbq", "liver", 95.0, 100.0, 1.0, 93.0, 97.0),
        ("P01", "t4", "qplanar_mlem", "mae", "body", 0.25, None, None, None, None),
        ("P01", "t24", "qplanar_mlem", "mae", "body", 0.35, None, None, None, None),
        ("P01", "", "qplanar_mlem", "dose_gy", "kidney_left", 2.1, 2.0, 0.2, 1.7, 2.5),
        ("P01", "t4", "conjugate_view", "activity_mbq", "kidney_left", 1.0, 100.0, None, None, None),
    ]
    pd.DataFrame(rows, columns=list(COLUMNS)).to_csv(folder / "evaluation.csv", index=False)
    for n, good in enumerate(passed):
        file = folder / "P01" / "recon" / f"t{n}_gate.json"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps({"inputs": {"passed": good}, "qplanar_mlem": {"passed": True}}))
    return folder


def test_a_column_has_errors_intervals_and_gates_of_one_method(tmp_path):
    told = column(_results(tmp_path, passed=(True, False, True)))
    assert told["patients, sweeps"] == "1, 2"
    assert told["activity, kidneys: median error, within 20 %"] == "20.0 %, 50 % of 2"
    assert told["activity, liver: median error, within 20 %"] == "5.0 %, 100 % of 1"
    assert told["activity, all organs: held by 68 and 95 % intervals"] == "33 and 67 % of 3"
    assert told["dose, kidneys: median error, within 20 %"] == "5.0 %, 100 % of 1"
    assert (told["MAE / mean truth"], told["failed gates"]) == ("0.300", "1 of 3")
