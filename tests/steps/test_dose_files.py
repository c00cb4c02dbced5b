"""Files of fit-kinetics and absorbed-dose: equal bytes, no paths, and none used that is damaged, old or incomplete."""

import fake_results as fake
import pandas as pd
import pytest
from dose_run import chain, rewrite

from planardose.errors import InputError
from planardose.io.result_table import read_rows
from planardose.steps.absorbed_dose import absorbed_dose
from planardose.steps.fit_kinetics import fit_kinetics
from planardose.steps.report import NEWER


def test_sidecars_name_no_path(clean):
    run, _ = clean
    for path in run.results.rglob("*.json"):
        assert "secret_doe" not in path.read_text() and "/tmp" not in path.read_text()


def test_results_are_byte_identical(tmp_path):
    runs = [fake.make_run(tmp_path / n, ["P01"], methods=["qplanar"]) for n in ("a", "b")]
    for run in runs:
        chain(run)
    for key in ("kinetics", "organ_doses", "tia", "dose"):
        assert len({r.path(key, patient="P01").read_bytes() for r in runs}) == 1, key


@pytest.mark.parametrize(
    ("key", "step", "says"),
    [("organs", fit_kinetics, "P01 t24 organs: cut off.*run 'planardose reconstruct' again"),
     ("kinetics", absorbed_dose, "P01 kinetics: cut off.*run 'planardose fit-kinetics' again"),
     ("planar", fit_kinetics, "P01 t24 planar: damaged.*run 'planardose import-planar' again"),
     ("gate", fit_kinetics, "P01 t24 gate: damaged")],
)  # fmt: skip
def test_a_file_that_was_cut_off_is_not_used(tmp_path, key, step, says: str):
    run = fake.make_run(tmp_path, ["P01"], hours={"t24": 24.0, "t72": 72.0}, methods=["qplanar", "qplanar_mlem"])
    chain(run)
    path = run.path(key, patient="P01", timepoint="t24")
    whole = path.read_bytes()
    path.write_bytes(whole[: 2 * len(whole) // 3])
    with pytest.raises(InputError, match=says):
        step(run, "P01")


@pytest.mark.parametrize("key", ["organs", "kinetics"])
def test_a_table_that_lost_its_end_is_not_used(tmp_path, key: str):
    """One method and one cycle: no other rows tell that the last one, or the end of its numbers, is missing."""
    run = fake.make_run(tmp_path, ["P01"], hours={"t24": 24.0}, methods=["qplanar"])
    chain(run)
    step, path = {"organs": fit_kinetics, "kinetics": absorbed_dose}[key], run.path(key, patient="P01", timepoint="t24")
    whole = path.read_bytes()
    last_row = whole.rstrip(b"\n").rindex(b"\n") + 1
    last_cell = whole.rindex(b",") + 1
    for end in (last_row, last_cell, len(whole) - 3, len(whole) - 1):
        path.write_bytes(whole[:end])
        with pytest.raises(InputError, match=f"{key}: cut off, or changed after it was written.*again$"):
            step(run, "P01")
    path.write_bytes(whole)
    beside = path.with_name(path.name + ".json")
    told = beside.read_text()
    for text in (told[: len(told) // 2], "[]", "{}"):
        beside.write_text(text)
        with pytest.raises(InputError, match=f"{key}: cut off"):
            step(run, "P01")
    beside.write_text(told)
    step(run, "P01")


def test_a_table_that_an_older_version_wrote_is_told(tmp_path):
    run = fake.make_run(tmp_path, ["P01"], hours={"t24": 24.0}, methods=["qplanar"])
    chain(run)
    for key, step in (("kinetics", "fit-kinetics"), ("organ_doses", "absorbed-dose")):
        assert set(NEWER[key]) <= set(read_rows(run, key, step, NEWER[key], patient="P01"))
    says = r"^P01 kinetics: no column 'newer'; expected results of this version.*run 'planardose fit-kinetics' again$"
    with pytest.raises(InputError, match=says):
        read_rows(run, "kinetics", "fit-kinetics", ("early_mbq", "newer"), patient="P01")


def test_a_time_point_with_fewer_methods_is_refused(tmp_path):
    run = fake.make_run(tmp_path, ["P01"], hours={"t24": 24.0, "t72": 72.0}, methods=["qplanar", "qplanar_mlem"])
    chain(run)
    path = run.path("organs", patient="P01", timepoint="t72")
    organs = pd.read_csv(path)
    rewrite(path, organs[organs.method == "qplanar"])
    with pytest.raises(InputError, match="time points with other rows than the others"):
        fit_kinetics(run, "P01")
