"""An activity that no injection explains is refused; what a calibration may be off by is not."""

from datetime import datetime, timedelta
from types import SimpleNamespace

import fake_results as fake
import pytest

from planardose.cohort import Row
from planardose.errors import InputError
from planardose.steps import reconstruct as module
from planardose.steps.reconstruct import check_total, reconstruct

AT = datetime(2026, 1, 5, 9)


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
