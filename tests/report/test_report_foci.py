"""Foci on the patient's page: one row per place over all time points."""

import pandas as pd

from planardose.recon.foci_table import COLUMNS
from planardose.report.foci import foci_context, foci_note, places_of
from planardose.report.text import EMPTY


def table(*rows):
    """`rows`: timepoint, organ, (x, y, z), MBq; uncertainties of the place grow as the activity falls."""
    records = [
        dict(zip(COLUMNS.split(","), (1, organ, *at, 2.0, 3 + 10 / mbq, 2.0, mbq, 0.1 * mbq, 7.0), strict=True))
        | {"timepoint": t}
        for t, organ, at, mbq in rows
    ]
    return pd.DataFrame(records, columns=[*COLUMNS.split(","), "timepoint"])


FOCI = table(
    ("t4", "liver", (60, -30, 100), 8.0), ("t24", "lungs", (58, -45, 103), 2.0), ("t24", "skeleton", (0, -60, 50), 9.0),
    ("t4", "skeleton", (25, -60, 50), 1.0), ("t4", "remainder", (2, -58, 55), 3.0),
)  # fmt: skip


def test_a_place_holds_one_focus_of_each_time_point():
    places = places_of(FOCI)
    assert [[(r.timepoint, r.activity_mbq) for r in p.rows] for p in places] == [
        [("t24", 9.0), ("t4", 3.0)], [("t4", 8.0), ("t24", 2.0)], [("t4", 1.0)],
    ]  # fmt: skip
    assert [p.best.organ for p in places] == ["skeleton", "liver", "skeleton"]


def test_rows_have_a_cell_per_time_point_and_the_place_as_viewers_tell_it():
    rows = foci_context(FOCI, ["t4", "t24", "t96"])["foci"]
    assert [r["number"] for r in rows] == [1, 2, 3]
    assert rows[1]["place"] == ["−60 ± 2", "30 ± 4", "100 ± 2"] and rows[1]["organ"] == "Liver"
    assert [c.replace("\xa0", " ") for c in rows[1]["cells"]] == ["8.00 ± 0.80", "2.00 ± 0.20", EMPTY]


def test_the_first_screen_names_the_brightest():
    note = foci_note(FOCI)
    told = "The counts show 3 foci that no outline tells of, the brightest with 9.00 ±\xa00.90 MBq at t24 (skeleton)"
    assert note.startswith(told)
    alone = foci_note(FOCI[:1])
    assert alone.startswith("The counts show one focus that no outline tells of, with 8.00 ±\xa00.80 MBq at t4 (liver)")
    assert foci_note(FOCI[:0]) == "" and foci_context(FOCI[:0], ["t4"]) == {"foci": []}


def test_the_page_says_what_a_cell_without_a_focus_means(cohort):
    html = cohort.path("report", patient="P01").read_text()
    section = html.split('<section id="foci">')[1].split("</section>")[0]
    assert '<th scope="row">1</th><td>Liver</td>' in section
    assert f"{EMPTY}: not found at that time point; in a SPECT they are not looked for." in section
