"""``planardose validate-physics``: the printed table, exit codes, and the page."""

import pytest
from typer.testing import CliRunner

from planardose.cli import app
from planardose.validation.check import Check, Demand, Measured
from planardose.validation.page import GROUPS
from planardose.validation.registry import demands


def call(*words):
    return CliRunner().invoke(app, ["validate-physics", "--quick", *words])


def test_rows_are_printed_with_reference_source_tolerance_and_verdict():
    run = call("--only", "mu_water_208")
    assert run.exit_code == 0, run.output
    line = run.output.splitlines()[1]
    for word in ("pass", "mu_water_208", "0.13513", "0.5 %", "1/cm", "NIST XCOM"):
        assert word in line
    assert "1 rows" in run.output and "0 fail" in run.output


def test_a_failing_row_ends_in_exit_1_with_its_analysis():
    run = call("--only", "lead_scatter_208", "--only", "mu_water_208")
    assert run.exit_code == 1
    assert "FAIL  lead_scatter_208" in run.output and demands()["lead_scatter_208"].analysis in run.output
    assert "1 fail: lead_scatter_208" in run.output


def test_an_unknown_row_is_refused_in_one_line():
    run = call("--only", "phlogiston")
    assert run.exit_code == 2
    assert "phlogiston" in run.output and len(run.output.splitlines()) == 1


def test_a_folder_that_cannot_be_made_is_refused_before_anything_is_measured(tmp_path):
    (tmp_path / "file").write_text("")
    run = call("--only", "mu_water_208", "--output", str(tmp_path / "file" / "page"))
    assert run.exit_code == 2 and "pass" not in run.output


def test_the_page_holds_the_rows_the_command_and_the_machine(tmp_path):
    run = call("--only", "matter", "--seed", "3", "--output", str(tmp_path / "page"))
    assert run.exit_code == 0, run.output
    text = (tmp_path / "page" / "index.md").read_text()
    for name, demand in demands().items():
        assert (f"`{name}`" in text) == (demand.group == "matter")
    assert "--only 'matter' --seed 3 --quick" in text and "cores" in text and "xraylib" in text
    assert "](attenuation.png)" in text and (tmp_path / "page" / "attenuation.png").stat().st_size > 5000


def test_groups_of_the_table_are_those_of_the_page():
    assert list(dict.fromkeys(d.group for d in demands().values())) == list(GROUPS)


@pytest.mark.parametrize(
    ("kind", "tolerance", "ours", "u", "passed"),
    [
        ("relative", 0.01, 202.0, None, True),
        ("relative", 0.01, 202.1, None, False),
        ("absolute", 1.5, 198.5, None, True),
        ("absolute", 1.5, 198.4, None, False),
        ("sigma", 3.0, 206.0, 2.0, True),
        ("sigma", 3.0, 206.1, 2.0, False),
        ("absolute", 0.0, 200.0, None, True),
        ("absolute", 1e9, float("nan"), None, False),
    ],
)
def test_verdicts(kind, tolerance, ours, u, passed):
    demand = Demand("n", "matter", "q", "1", 200.0, tolerance, kind, "s", "")
    assert Check(demand, Measured(ours, u), 0.0).passed == passed


def test_a_tolerance_in_sigma_needs_an_uncertainty_and_a_row_a_reference():
    demand = Demand("n", "matter", "q", "1", None, 3.0, "sigma", "s", "")
    with pytest.raises(ValueError, match="uncertainty"):
        _ = Check(demand, Measured(1.0, None, 1.0), 0.0).passed
    with pytest.raises(ValueError, match="reference"):
        _ = Check(demand, Measured(1.0, 1.0), 0.0).passed
    with pytest.raises(ValueError, match="kind"):
        Demand("n", "matter", "q", "1", None, 3.0, "twofold", "s", "")
