"""reconstruct: units and scale of its maps and rows, and activities that no injection explains."""

from dataclasses import replace
from datetime import datetime, timedelta
from types import SimpleNamespace

import fake_results as fake
import nibabel as nib
import pandas as pd
import pytest

from planardose.cohort import Cohort, Row
from planardose.errors import InputError
from planardose.library import load_camera, load_nuclide
from planardose.physics.sensitivity import air_sensitivity_cps_per_mbq
from planardose.steps import reconstruct as module
from planardose.steps.reconstruct import check_total, reconstruct

AT = datetime(2026, 1, 5, 9)
KEYS = {"patient": "P01", "timepoint": "t24"}


def test_map_and_rows_hold_the_true_activity_which_a_calibration_scales(tmp_path):
    """Bq/mL in the map, MBq in the rows; counts of a camera that sees less stand for more activity."""
    run = fake.make_run(tmp_path, ["P01"], hours={"t24": 24.0}, methods=["qplanar"], reconstruction={"foci": False})
    model = fake.fill_patient(run, "P01")
    true = fake.concentrations(24.0, 1.0)  # MBq/mL
    camera, lu = load_camera("siemens_symbia_melp"), load_nuclide("177Lu")
    measured = 0.5 * air_sensitivity_cps_per_mbq(camera, lu, lu.photopeak)
    calibrated = Cohort(tuple(replace(r, calibration_cps_per_mbq=measured) for r in run.cohort.rows))
    for of_sheet, factor in ((run, 1.0), (replace(run, cohort=calibrated), 2.0)):
        reconstruct(of_sheet, "P01", "t24")
        image = nib.load(run.path("map", method="qplanar", **KEYS)).get_fdata()
        rows = pd.read_csv(run.path("organs", **KEYS)).query("method == 'qplanar'").set_index("organ")
        for organ in ("liver", "spleen", "kidney_left"):
            n = model.organs.index(organ)
            pure = model.fractions[n][..., model.ct_slices] > 0.999
            assert pure.sum() > 10
            assert image[pure].mean() == pytest.approx(factor * 1e6 * true[n], rel=0.04), organ
            assert rows.activity_mbq[organ] == pytest.approx(factor * true[n] * model.volumes_ml()[n], rel=0.04), organ
        total = rows.activity_mbq.drop("outside_ct").sum()
        assert image.sum() * model.grid.voxel_ml / 1e6 == pytest.approx(total, rel=0.01)


def test_more_activity_than_was_injected():
    row = Row("P01", "t160", "177Lu", "177Lu-PSMA-617", "siemens_symbia_melp", 7000.0, AT, {})
    setting = SimpleNamespace(pair=SimpleNamespace(mid_time=AT + timedelta(hours=159.5)))  # one half-life: 3500 MBq
    check_total(row, setting, 4500.0)
    with pytest.raises(InputError, match=r"P01 t160 planar: its counts are 7500 MBq .* 2.1 times .*\(3500 MBq\)"):
        check_total(row, setting, 7500.0)


def test_reconstruct_asks(tmp_path, monkeypatch):
    """The patient holds most of what is left of the injection, and no less than a hundredth of it."""
    run = fake.make_run(tmp_path, ["P01"], hours={"t24": 24.0}, methods=["qplanar"])
    fake.fill_patient(run, "P01")
    monkeypatch.setattr(module, "MOST_OF_INJECTION", 0.01)
    with pytest.raises(InputError, match=r"P01 t24 planar: its counts are .* MBq in this patient"):
        reconstruct(run, "P01", "t24")
