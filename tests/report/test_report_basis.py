"""What the page says of what its doses rest on: as sidecars and tables hold it."""

import json
import math
import re
import shutil
from dataclasses import replace

import fake_results as fake
import numpy as np
import pandas as pd
import pytest

from planardose.errors import InputError
from planardose.io.nifti import read_volume
from planardose.organs import label_of_name
from planardose.report.basis import NO_ACTIVITY, NOT_STATED, basis_context
from planardose.report.text import is_key
from planardose.run import Run
from planardose.sidecar import sidecar_of
from planardose.steps.cycle_points import read_cycles
from planardose.steps.fit_kinetics import fit_kinetics
from planardose.steps.planar_points import planar_points
from planardose.steps.report import report
from planardose.steps.report_basis import (
    _at_injection,
    _dead_time,
    _import_notes,
    _integral,
    _outlines,
    _scatter,
    basis_of,
    dead_time_not_corrected,
)

GIVEN = [{"row": "P01 t24", "column": c, "sha256": c[:4] * 16} for c in ("segmentation", "lesions")]


def used(run, key):
    return pd.read_csv(run.path(key, patient="P01")).query("method == 'unet'").fillna({"flags": ""})


@pytest.fixture(scope="module")
def basis(cohort):
    labels = read_volume(cohort.path("labels", patient="P01"), "labels", "1", "P01 labels", np.int16)
    labels.data[40:43, 28, 0] = [label_of_name()[name] for name in ("skull", "liver", "spinal_cord")]
    tables = used(cohort, "kinetics"), used(cohort, "organ_doses")
    return basis_of(cohort, "P01", planar_points(cohort, "P01"), read_cycles(cohort, "P01"), *tables, labels)


@pytest.fixture
def copy(cohort, tmp_path):
    shutil.copytree(cohort.results, tmp_path / "results")
    return Run(cohort.config, cohort.cohort, tmp_path / "results")


def tell(run, key, **more):
    """Change what the sidecar of an output tells."""
    keys = {"timepoint": more.pop("timepoint")} if "timepoint" in more else {}
    path = sidecar_of(run.path(key, patient="P01", **keys))
    path.write_text(json.dumps(json.loads(path.read_text()) | more))


def test_page_shows_the_section_after_the_first_screen(cohort, basis):
    html = cohort.path("report", patient="P01").read_text()
    section = html.split('<section id="basis">')[1].split('<section id="outlines">')[0]
    assert [m for m in re.findall(r'<section id="(\w+)">', html)][:4] == ["summary", "basis", "outlines", "maps"]
    for label, text in basis.facts:
        if label != "Cut by the CT's end":
            assert f"<dt>{label}</dt><dd>{text}</dd>" in section
    assert '<th scope="row">Kidney, left</th><td>15 %</td>' in section


def test_facts_are_those_of_the_tables(cohort, basis):
    facts, fits = dict(basis.facts), used(cohort, "kinetics")
    assert facts["Outlines"] == "TotalSegmentator 2.10.0 (total); lesions not outlined"
    assert facts["Cut by the CT's end"] == "liver; skeleton"
    assert facts["Energy of a decay"].startswith("147.9 keV as electrons")
    share = (fits.a0_mbq + fits.early_mbq).sum() / 7400
    assert f"({100 * share:.0f} %) of the administered" in facts["Activity at injection"]
    most = 7400 * 159.528 / math.log(2)
    assert facts["Integral of all organs"].startswith(f"{100 * fits.tia_mbq_h.sum() / most:.0f} % of")
    assert facts["Notes of the import"] == "none"


def test_what_stands_for_several_cycles_tells_which(tmp_path):
    """Two bare shares after each other may be taken for a range."""
    run = fake.make_run(tmp_path, ["P01"], cycles=2, hours={"t24": 24.0, "t168": 168.0}, methods=["qplanar"])
    fake.fill_patient(run, "P01")
    fit_kinetics(run, "P01")
    cycles, fits = read_cycles(run, "P01"), pd.read_csv(run.path("kinetics", patient="P01"))
    parts = r"cycle 1: {0}, cycle 2: {0} of "
    assert re.match(parts.format(r"[\d\u202f.]+\xa0MBq \(\d+ %\)"), _at_injection(cycles, fits))
    assert re.match(parts.format(r"\d+ %"), _integral(cycles, fits, 159.5))


def test_outlines_of_the_sheet():
    told = {"backend": "labels", "inputs": [{"output": "P01/anatomy/ct.nii.gz", "sha256": "0" * 64}, *GIVEN]}
    assert _outlines(told) == "label map of the sheet (segmsegm…); lesions of the sheet"
    assert _outlines(told | {"given_as": "RTSTRUCT"}).startswith("RTSTRUCT of the sheet (segmsegm…)")
    coarse = fake.SEGMENTED | {"fastest": True, "inputs": GIVEN[1:]}
    assert _outlines(coarse) == "TotalSegmentator 2.10.0 (total, its 6 mm model); lesions of the sheet"


def test_notes_of_several_time_points_stand_once(copy):
    tell(copy, "planar", timepoint="t24", notes=["the start is read from X", "pixels saturated"])
    tell(copy, "planar", timepoint="t168", notes=["the start is read from X"])
    tell(copy, "ct", clipped=fake.CLIPPED | {"voxels_above": 7})
    tell(copy, "labels", notes=["contrast medium in liver"])
    metal, contrast, *others = _import_notes(copy, "P01", planar_points(copy, "P01"))
    assert metal.startswith("CT: 7 voxels above 3071 HU") and contrast == "contrast medium in liver"
    assert others == ["t24, t168: the start is read from X", "t24: pixels saturated"]


def test_a_missing_scatter_window_is_told(copy):
    assert _scatter(planar_points(copy, "P01")) == "modelled, checked by windows beside the photopeak"
    tell(copy, "planar", timepoint="t168", scatter_windows_kev=[])
    assert _scatter(planar_points(copy, "P01")) == "modelled; no window beside the photopeak at t168 checks it"


def seen_by(points, camera):
    """The time points as another camera would have taken them."""
    return tuple(replace(p, camera=camera) for p in points)


def test_dead_time_is_told_by_its_size(copy):
    points = planar_points(copy, "P01")
    first = points[0]
    pair, lost = first.pair, first.lost_by_dead_time
    assert first.name == "t24"
    busiest = pair.counts[:, 0].sum(axis=(1, 2)).max() / pair.exposure_s  # all of a view at once: an upper limit
    assert 0 < lost < 1 - math.exp(-busiest * 4.6e-6 * 1.2)
    assert f"at most {100 * lost:.1f} % of the counts at t24" in _dead_time(points)
    assert _dead_time(points).endswith("of the counts at t24")  # measured for this window
    other = replace(first.camera, tau_by_kev=(("177Lu", 113.0, 6.0), ("99mTc", 140.0, 2.0)))
    measured = "measured with 177Lu at 113 keV and 99mTc at 140 keV"
    assert _dead_time(seen_by(points, other)).endswith(f"; by a dead time {measured} alone")
    computed = replace(other, tau_computed_by_kev=(("177Lu", 208.37, 3.0),))
    told = f"; by a dead time computed from one {measured}"
    assert _dead_time(seen_by(points, computed)).endswith(told)
    unknown = replace(first.camera, tau_us=None, tau_by_kev=())
    assert _dead_time(seen_by(points, unknown)) == "not corrected"
    assert _dead_time((*seen_by(points[:1], unknown), *points[1:])) == "not corrected at t24"


def test_an_unknown_dead_time_is_told_by_the_highest_rate(copy):
    """The rate of the whole field in a head's photopeak, at the time point that has most of it."""
    points = planar_points(copy, "P01")
    assert dead_time_not_corrected(points) is None
    pair, unknown = points[0].pair, replace(points[0].camera, tau_us=None, tau_by_kev=())
    told = dead_time_not_corrected(seen_by(points, unknown))
    below, above = pair.counts[:, 1].sum(axis=-1, dtype=float), pair.counts[:, 2].sum(axis=-1, dtype=float)
    half = pair.windows[0].width_kev / 2  # the trapezoid below the photopeak: the dead time is one of primary photons
    scatter = half * (below / pair.windows[1].width_kev + above / pair.windows[2].width_kev)
    rows = np.maximum(pair.counts[:, 0].sum(axis=-1, dtype=float) - scatter, 0) / pair.exposure_s
    n = round(387.0 / pair.pixel_mm[0])
    field = max(view[max(k - n, 0) : k].sum() for view in rows for k in range(1, len(view) + n))
    assert told["timepoint"] == "t24" and told["rate_cps"] == pytest.approx(field)
    true = field / (1 - told["lost"])
    assert true * math.exp(-true * told["assumed_us"] * 1e-6) == pytest.approx(field, rel=1e-5)


def test_parts_of_the_uncertainty_add_up_to_the_doses(basis):
    parts = basis.parts.set_index("organ")
    assert list(parts.index)[:2] == ["kidney_left", "kidney_right"] and "lesion_1" in parts.index
    assert "skeleton" not in parts.index and parts.calibration.to_numpy() == pytest.approx(0.15)
    for p in parts.itertuples():
        assert math.hypot(p.calibration, p.anatomy, p.curve, p.mass) == pytest.approx(p.dose, rel=0.05), p.Index


@pytest.mark.parametrize("stated", [True, False])
def test_a_missing_table_says_why(cohort, stated):
    """A patient in whose organs nothing was found, and a method without uncertainty."""
    labels = read_volume(cohort.path("labels", patient="P01"), "labels", "1", "P01 labels", np.int16)
    kinetics, doses = used(cohort, "kinetics"), used(cohort, "organ_doses")
    if not stated:
        doses, kinetics = doses.assign(dose_gy_u=np.nan), kinetics.assign(tia_mbq_h_u=np.nan)
    key = kinetics.organ.map(is_key)
    empty = kinetics.assign(tia_mbq_h=kinetics.tia_mbq_h.where(~key, 0.0)) if stated else kinetics
    context = basis_context(
        basis_of(cohort, "P01", planar_points(cohort, "P01"), read_cycles(cohort, "P01"), empty, doses, labels)
    )
    assert not context["parts"]
    assert context["no_parts"] == (NO_ACTIVITY if stated else NOT_STATED)


def test_labels_of_an_older_segment_step_are_one_clear_line(copy):
    beside = sidecar_of(copy.path("labels", patient="P01"))
    told = json.loads(beside.read_text())
    del told["notes"]
    beside.write_text(json.dumps(told))
    with pytest.raises(InputError, match=r"^P01 labels sidecar: no entry 'notes'; .*run 'planardose segment' again$"):
        report(copy, "P01")


def test_a_part_above_the_dose_itself_is_no_number(basis):
    parts = basis.parts.assign(curve=[154.7] + [0.26] * (len(basis.parts) - 1))
    rows = basis_context(replace(basis, parts=parts))["parts"]
    assert [r["cells"][2] for r in rows] == ["> 100 %"] + ["26 %"] * (len(rows) - 1)
