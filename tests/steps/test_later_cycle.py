"""fit-kinetics where a later cycle has one time point: the half-life that an earlier cycle told."""

from pathlib import Path

import fake_results as fake
import pandas as pd
import pytest

from planardose.config import parse_config
from planardose.run import Run
from planardose.sheet import load_cohort
from planardose.steps.fit_kinetics import fit_kinetics

SLOW_SPLEEN_H, USUAL_SPLEEN_H = 30.0, 16.8  # the patient's, and the median with 177Lu-PSMA-617, effective


def fitted(folder: Path, monkeypatch, timepoints: list[str]) -> pd.DataFrame:
    """Kinetics (cycle, organ) of a patient with the time points given; his spleen clears slowly in all cycles."""
    monkeypatch.setitem(fake.ORGANS, "spleen", (*fake.ORGANS["spleen"][:3], SLOW_SPLEEN_H))
    folder.mkdir()
    sheet = fake.sheet(folder, ["P01"], calibrated=True, cycles=3)
    rows = pd.read_csv(sheet, sep="\t", dtype=str)
    rows[rows.timepoint.isin(timepoints)].to_csv(sheet, sep="\t", index=False)
    config = parse_config({"methods": ["qplanar"], "dose": {"photons": 0}})
    run = Run(config, load_cohort(sheet), folder / "results")
    fake.fill_patient(run, "P01", noise=0.02)
    fit_kinetics(run, "P01")
    table = pd.read_csv(run.path("kinetics", patient="P01")).fillna({"flags": ""})
    return table[table.method == "qplanar"].set_index(["cycle", "organ"])


def test_one_point_takes_the_half_life_of_an_earlier_cycle(tmp_path, monkeypatch):
    """A third cycle takes it from the first: the second's is not its own."""
    first = ["t24", "t72", "t168"]
    found = fitted(tmp_path / "all", monkeypatch, [*first, "c2t24", "c3t72"])
    alone = fitted(tmp_path / "alone", monkeypatch, first)
    told = found.loc[1].index[~found.loc[1, "flags"].str.contains("half_life_assumed|rising|poor_fit|limit")]
    assert {"spleen", "liver", "kidney_left"} <= set(told)
    for cycle in (2, 3):
        later = found.loc[cycle]
        assert later["flags"][told].str.contains("earlier_half_life").all()
        assert not later["flags"][told].str.contains("half_life_assumed").any()
        assert USUAL_SPLEEN_H + 5 < later.t_eff_h["spleen"] < found.t_eff_h[1, "spleen"]
    pd.testing.assert_frame_equal(found.loc[1], alone.loc[1])


def test_nothing_is_passed_on_of_one_point(tmp_path, monkeypatch):
    both = fitted(tmp_path / "both", monkeypatch, ["t24", "c2t24"])
    assert not both["flags"].str.contains("earlier_half_life").any()
    spleen = both.t_eff_h[[(1, "spleen"), (2, "spleen")]].to_list()
    assert spleen == pytest.approx([24.0, 24.0], rel=0.01)  # Haenscheid's T_eff = t
