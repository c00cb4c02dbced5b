"""What planar headers tell of the injection, and the notes where the sheet says otherwise."""

import json
from datetime import datetime, timedelta, timezone

import pydicom
import pytest
from imaging_scene import INJECTED, write_patient
from pydicom.dataelem import RawDataElement
from pydicom.dataset import Dataset
from pydicom.tag import Tag

from planardose.commands.check import check
from planardose.io.nm_injection import ToldInjection, told_injection
from planardose.steps.import_planar import import_planar


def header(*items: dict) -> Dataset:
    ds = Dataset()
    ds.RadiopharmaceuticalInformationSequence = [Dataset() for _ in items]
    for item, values in zip(ds.RadiopharmaceuticalInformationSequence, items, strict=True):
        for name, value in values.items():
            setattr(item, name, value)
    return ds


@pytest.mark.parametrize(
    ("values", "told"),
    [
        ({"RadionuclideTotalDose": "7400.5"}, ToldInjection(7400.5)),
        ({"RadionuclideTotalDose": "7400500000"}, ToldInjection(7400.5)),  # Bq, as in PET
        ({"RadionuclideTotalDose": "0"}, ToldInjection()),
        ({"RadionuclideTotalDose": ""}, ToldInjection()),
        ({"RadiopharmaceuticalStartDateTime": "20260302093000"}, ToldInjection(None, datetime(2026, 3, 2, 9, 30))),
        (
            {"RadiopharmaceuticalStartDateTime": "20260302093000.00+0200"},
            ToldInjection(None, datetime(2026, 3, 2, 9, 30, tzinfo=timezone(timedelta(hours=2)))),
        ),
        ({"RadiopharmaceuticalStartTime": "093000"}, ToldInjection()),  # of which day?
        ({"RadiopharmaceuticalStartDateTime": "20260302"}, ToldInjection()),
    ],
)
def test_what_the_header_tells(values: dict, told: ToldInjection):
    assert told_injection([Dataset(), header({}), header(values)]) == told


def test_the_first_header_that_tells_is_believed():
    empty, full = header({"RadionuclideTotalDose": ""}), header({"RadionuclideTotalDose": "5000"})
    assert told_injection([empty, full, header({"RadionuclideTotalDose": "6000"})]).mbq == 5000
    assert told_injection([]) == ToldInjection()


@pytest.mark.parametrize("text", [b"7.4 GBq ", b"7400,5", b"7400\\7300"])
@pytest.mark.filterwarnings("ignore")
def test_what_cannot_be_read_is_not_told_and_refuses_nothing(text: bytes):
    broken, tag = Dataset(), Tag("RadionuclideTotalDose")
    broken[tag] = RawDataElement(tag, "DS", len(text), text, 0, False, True)
    ds = Dataset()
    ds.RadiopharmaceuticalInformationSequence = [broken]
    assert told_injection([ds]) == ToldInjection()


@pytest.mark.parametrize(
    ("hours", "factor", "told"),
    [
        (0.5, 1.05, []),  # of the syringe's calibration, and its residue
        (24.0, 1.0, ["the header tells of an injection +1.0 days from injected_at"]),
        (-3.0, 1.0, ["the header tells of an injection -3.0 h from injected_at"]),
        (0.0, 0.1, ["MBq administered, injected_mbq of "]),
        (48.0, 10.0, ["the header tells of an injection +2.0 days", "MBq administered, injected_mbq of "]),
    ],
)
def test_check_and_import_note_another_injection(hours: float, factor: float, told: list, tmp_path, caplog):
    """A day too early in the sheet makes doses of 177Lu half as large again, and the counts do not show it."""
    run = write_patient(tmp_path)
    row = run.cohort.rows[0]
    ds = pydicom.dcmread(row.paths["planar"])
    item = ds.RadiopharmaceuticalInformationSequence[0]
    item.RadionuclideTotalDose = f"{factor * row.injected_mbq:.6g}"
    item.RadiopharmaceuticalStartDateTime = (INJECTED + timedelta(hours=hours)).strftime("%Y%m%d%H%M%S")
    ds.save_as(row.paths["planar"])
    assert check(run) == []
    assert caplog.text.count("is that right? The sheet is used") == len(told)
    import_planar(run, "P01", "t24")
    output = run.path("planar", patient="P01", timepoint="t24")
    notes = json.loads(output.with_name(output.name + ".json").read_text())["notes"]
    found = [n for n in notes if "The sheet is used" in n]
    assert len(found) == len(told) and all(part in note for part, note in zip(told, found, strict=True))
