"""Cells of the reconstruction benchmark: a coarse case through the ordinary steps, what is stored and kept."""

import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from benchmarks.reconstruction import cells as module
from benchmarks.reconstruction.anatomies import Case
from benchmarks.reconstruction.cells import Cell, cached, compute_cells
from benchmarks.reconstruction.cohort import Fineness, write_case, write_sheet
from benchmarks.reconstruction.groups import Group
from benchmarks.reconstruction.kept import pack, unpack
from benchmarks.reconstruction.run import FULL, QUICK, cells_of
from benchmarks.reconstruction.sections import shown_sections
from benchmarks.reconstruction.summary import load_cells, measures, with_interval
from benchmarks.reconstruction.table import difference_table, page

from planardose.errors import InputError

COARSE = Fineness(ct_mm=(10.0, 10.0, 10.0), sim_mm=14.0, histories=1e4)
CASE = Case("validation", 999_100, 1, "matched", 1)
VARIED = ("lesion_masks", "unregistered", "no_scatter")


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """Folder, cell and content of a computed classical cell; beside it one that is told of all lesions."""
    out, before = tmp_path_factory.mktemp("benchmark"), dict(module.GROUPS)
    coarse = {"grid_mm": 14.0}
    module.GROUPS["classical"] = Group(("conjugate_view", "qplanar", "qplanar_mlem"), coarse)
    for name in VARIED:
        module.GROUPS[name] = replace(before[name], methods=("qplanar_mlem",), config=coarse)
    try:
        write_case(out / "cohorts" / "matched", CASE, COARSE)
        write_sheet(out / "cohorts" / "matched", [CASE], f"{CASE.name}.tsv")
        cell = Cell(CASE, "classical", 0)
        compute_cells(out, [cell, *(Cell(CASE, name, 0) for name in VARIED)], keep_work=False)
    finally:
        module.GROUPS |= before
    return out, cell, json.loads(cell.path(out).read_text())


def test_kept_cells_are_those_of_the_run_and_leave_what_is_there(finished, tmp_path):
    out, cell, content = finished
    file, other = tmp_path / "cells.jsonl.gz", tmp_path / "other"
    number = pack(out, file)
    assert number == 1 + len(VARIED) and unpack(other, file) == number
    assert json.loads(cell.path(other).read_text()) == content
    before = file.read_bytes()
    cell.path(other).write_text("{}")
    assert unpack(other, file) == 0 and cell.path(other).read_text() == "{}"
    pack(out, file)
    assert file.read_bytes() == before


def test_a_cell_holds_the_scores_of_every_method_and_where_they_come_from(finished):
    _, _, content = finished
    rows = pd.DataFrame(content["rows"])
    for method in ("qplanar", "qplanar_mlem"):
        mine = rows[rows.method == method].set_index("measure").value
        assert 0.05 < mine["mae"] < 1.0 and mine["deviance"] > 0
        assert 0.5 < mine["ssim"] < 1.0
    assert {"hidden_lesion_bq_ml", "activity_mbq", "mae_at_depth"} <= set(rows.measure)
    assert rows[rows.measure == "hidden_lesion_bq_ml"].volume_ml.between(0.5, 15).all()
    assert content["case"] == vars(CASE) and content["commit"] and content["seconds"]["reconstruct"] > 0
    shift = rows[rows.measure == "residual_shift_mm"].value
    assert len(shift) == 1 and shift.iloc[0] < 10  # matched: the pose is the CT's, the voxels have 14 mm


def test_a_group_told_of_all_lesions_recovers_the_hidden_ones(finished):
    out, _, content = finished
    told = pd.DataFrame(json.loads(Cell(CASE, "lesion_masks", 0).path(out).read_text())["rows"])
    by_share = told[told.measure == "hidden_lesion_mbq"]
    assert len(by_share) >= 2 and (by_share.truth > 0).all()
    recovery = {}
    for rows, method in ((pd.DataFrame(content["rows"]), "qplanar_mlem"), (told, "qplanar_mlem, lesion masks")):
        part = rows[(rows.method == method) & (rows.measure == "hidden_lesion_bq_ml")].set_index("region")
        recovery[method] = (part.value / part.truth).to_dict()
    plain, masked = recovery.values()
    # a lesion's activity misses less than its mean inside the outline, which the voxels of 14 mm spread out
    assert (by_share.value / by_share.truth).mean() > np.mean(list(masked.values()))
    assert plain.keys() == masked.keys() and len(plain) >= 2
    assert np.mean(list(masked.values())) > np.mean(list(plain.values())) + 0.2


def test_an_ablation_does_without_its_part(finished):
    out, _, content = finished
    whole = pd.DataFrame(content["rows"])
    whole = whole[whole.method == "qplanar_mlem"]
    parts = {name: pd.DataFrame(json.loads(Cell(CASE, name, 0).path(out).read_text())["rows"]) for name in VARIED}

    def value(rows: pd.DataFrame, measure: str) -> float:
        return float(rows[rows.measure == measure].value.sum())

    # scatter is a third of the counts: without it as much more activity
    assert value(parts["no_scatter"], "activity_mbq") > 1.15 * value(whole, "activity_mbq")
    # the matched pose has no shift: the image's centre lies on the CT's, within half a voxel of the simulation
    assert value(parts["unregistered"], "residual_shift_mm") < COARSE.sim_mm / 2
    assert {m for rows in parts.values() for m in rows.method} >= {
        "qplanar_mlem, not registered", "qplanar_mlem, scatter not modelled"
    }  # fmt: skip


def test_a_cell_is_computed_again_for_another_commit_or_case_only(finished):
    out, cell, content = finished
    assert cached(cell, out, False, content["commit"])
    assert not cached(cell, out, False, "another")
    assert cached(cell, out, True, "another")
    assert not cached(Cell(replace(CASE, samples=2), "classical", 0), out, True, content["commit"])
    assert not cached(Cell(CASE, "unet", 1), out, True, content["commit"])


def test_a_cohorts_folder_refuses_cases_made_otherwise(finished):
    out, _, _ = finished
    with pytest.raises(InputError, match="was made with"):
        write_case(out / "cohorts" / "matched", replace(CASE, seed=1), COARSE)


def test_networks_get_a_cell_per_training_seed_where_the_scale_has_them():
    mismatched = replace(CASE, variant="mismatched")
    names = [c.name for c in cells_of(mismatched, FULL, ["classical", "unet"], 3)]
    assert names == [f"mismatched-P01-{g}" for g in ("classical-0", "unet-1", "unet-2", "unet-3")]
    assert [c.group for c in cells_of(CASE, QUICK, ["classical", "unet"], 1)] == ["classical"]
    untrained = [c.name for c in cells_of(mismatched, FULL, ["population"], 3)]
    assert untrained == ["mismatched-P01-population-0"]
    turns = [cells_of(replace(mismatched, number=n), FULL, ["unet"], 3, in_turn=True) for n in range(1, 5)]
    assert [[c.train_seed for c in cells] for cells in turns] == [[2], [3], [1], [2]]


def rows_with(factor: float, method: str) -> pd.DataFrame:
    """MAE of eight anatomies, 0.1 to 0.8, times a factor; a kidney 10 % too high with an uncertainty of 8 %."""
    kidney = {"measure": "activity_mbq", "region": "kidney_left", "value": 1.1, "truth": 1.0, "u": 0.08}
    rows = []
    for n in range(1, 9):
        rows += [{"measure": "mae", "region": "body", "value": factor * n / 10, "anatomy": n}, kidney | {"anatomy": n}]
    return pd.DataFrame(rows).assign(method=method, volume_ml=np.nan, train_seed=0)


def test_paired_intervals_do_not_see_the_spread_between_anatomies():
    reference, number = rows_with(1.0, "qplanar_mlem"), measures()["MAE"]
    change, low, high = with_interval(rows_with(0.8, "unet"), reference, number)
    assert (change, low, high) == pytest.approx((-20.0, -20.0, -20.0))
    noisy = rows_with(0.8, "unet")
    noisy.loc[noisy.measure == "mae", "value"] *= 1 + 0.2 * np.array([1, -1, 1, -1, -1, 1, -1, 1])
    change, low, high = with_interval(noisy, reference, number)
    assert low < change < high and -40 < low < -21 and -19 < high < 0


def test_only_training_seeds_that_both_have_are_compared():
    """Seed 2 of the reference would make the method look twice as good; a method without training goes with all."""
    number = measures()["MAE"]
    method = rows_with(0.8, "diffusion").assign(train_seed=1)
    seeds = [rows_with(f, "unet").assign(train_seed=s) for s, f in ((1, 1.0), (2, 2.2))]
    reference = pd.concat(seeds, ignore_index=True)
    assert with_interval(method, reference, number)[0] == pytest.approx(-20.0)
    classical = rows_with(1.6, "qplanar_mlem").assign(train_seed=0)
    assert with_interval(reference, classical, number)[0] == pytest.approx(0.0)


def test_coverage_counts_the_organs_inside_their_interval():
    rows, numbers = rows_with(1.0, "unet"), measures()
    assert numbers["activity error, kidneys, median %"](rows) == pytest.approx(10.0)
    assert numbers["organs inside their 68 % interval, %"](rows) == 0.0
    assert numbers["organs inside their 95 % interval, %"](rows) == 100.0


def test_the_tables_name_every_method(finished):
    out, _, _ = finished
    rows, heads = load_cells(out)
    text = page(rows, heads, "figures", "")
    assert "nan" not in text and "## Matched" in text
    for method in dict.fromkeys(rows.method[rows.method != ""]):
        assert f"| {method} |" in text, method
    sections = [line for line in text.splitlines() if line.startswith("### ")]
    assert sections == ["### Methods", "### Without registration, without scatter correction",
                        "### Prior image and lesion masks"]  # fmt: skip


def test_differences_are_those_to_the_sections_reference():
    rows = pd.concat([rows_with(1.0, "resunet_generic"), rows_with(0.8, "resunet"), rows_with(0.5, "qplanar_mlem")])
    there = list(dict.fromkeys(rows.method))
    (section, methods), *more = [(s, m) for s, m in shown_sections(there) if "U-Net" in s.title]
    assert methods == ["resunet_generic", "resunet"] and not more
    line = next(x for x in difference_table(rows, methods, section.reference).splitlines() if x.startswith("| MAE |"))
    assert line == "| MAE | -20.0 % (-20.0 to -20.0) |"
