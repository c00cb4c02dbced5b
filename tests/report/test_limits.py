"""Sentences on what the numbers rest on, against the data that they tell of."""

import json
from datetime import datetime

import numpy as np
import pytest
from page_words import page, text_of

from planardose.dose.flags import FLAGS
from planardose.dose.organ_prior import OrganPrior
from planardose.library import load_camera, load_nuclide
from planardose.physics.calibration import published_ratios, uncalibrated_relative_u
from planardose.physics.sensitivity import scale_of
from planardose.planar import PlanarPair
from planardose.report import limits as words
from planardose.report.first_screen import first_notes
from planardose.sim.tracer import load_tracer
from planardose.steps.report import _radiopharmaceutical, decay_neglected

LU = load_nuclide("177Lu")


def test_a_camera_without_calibration():
    """Published: 9.03 to 9.36 cps/MBq per head of a Symbia MELP (`data/physics/calibration.yaml`)."""
    camera = load_camera("siemens_symbia_melp")
    ratios = [scale_of(measured, camera, LU, LU.photopeak).ratio for measured in (9.03, 9.36)]
    assert published_ratios() == pytest.approx(ratios, abs=0.005)
    told = words.not_calibrated()
    assert "are 21 to 24 % lower than computed" in told
    assert f"with {100 * uncalibrated_relative_u():.0f} % uncertainty" in told


@pytest.mark.parametrize(("name", "short", "long"), [("177Lu", 0.05, 0.10), ("123I", 0.6, 1.1), ("99mTc", 1.3, 2.5)])
def test_decay_during_a_sweep(name: str, short: float, long: float):
    """Sweeps of 15 and 30 min, of which each row is seen for 150 s; against the mean of a fine series of times."""
    nuclide, counts = load_nuclide(name), np.ones((2, 1, 4, 4), dtype=np.float32)
    for minutes, percent in ((15, short), (30, long)):
        moment = datetime(2026, 3, 2)
        pair = PlanarPair(counts, (nuclide.photopeak,), (2.4, 2.4), 150.0, moment, 60.0 * minutes)
        seen_h = np.linspace(0.0, 150.0, 1001) / 3600 - minutes / 120  # the first row, from the mid-time on
        found = decay_neglected(pair, nuclide)
        assert found == pytest.approx(np.mean(np.exp2(-seen_h / nuclide.half_life_h)) - 1, rel=1e-4)
        assert 100 * found == pytest.approx(percent, rel=0.1)
    static = PlanarPair(counts, (nuclide.photopeak,), (2.4, 2.4), 1800.0, moment, 1800.0)
    assert 0 < decay_neglected(static, nuclide) < 2e-4


def test_the_page_tells_the_patients_own_decay_during_the_acquisition(cohort):
    """1200 s, of which each row is seen for 120 s: the first one 540 s before the middle."""
    summary = json.loads(cohort.path("summary", patient="P01").read_text())
    assert summary["decay_neglected"] == pytest.approx(2 ** (0.15 / LU.half_life_h) - 1, rel=1e-3)
    assert any("decay during it is neglected, which is up to 0.065 %" in x for x in words.limits(summary, ""))
    for share, percent in ((0.0123, 1.2), (8.8e-8, 0.01)):
        assert any(f"up to {percent} %" in x for x in words.limits(summary | {"decay_neglected": share}, ""))


def test_a_single_point_rests_on_the_organs_half_life_with_its_tracer():
    """Two tracers of one nuclide have a kidney's half-life each; what takes one of them is called by the tracer."""
    known = (load_tracer(name).prior_of("kidney_left") for name in ("177Lu-PSMA-617", "177Lu-DOTATATE"))
    priors = (OrganPrior.of_tracer(p.biological_h, p.uptake_h, p.fast) for p in known)
    assert len({p.half_life(LU.half_life_h).median_h for p in priors}) == 2
    assert "half-life that the organ usually has with this tracer" in words.ONE_POINT
    assert "of the organ with its tracer" in FLAGS["half_life_assumed"]


def test_a_single_point_of_a_later_cycle_is_told_as_such():
    """The first screen names the cycle, and the earlier cycle's half-life only where one was taken."""
    alone = {"cycles": {"1": {"timepoints": ["t24"]}}, "flags": ["single_point"]}
    assert words.one_point(alone).startswith("One time point only, which") and "earlier" not in words.one_point(alone)
    both = {"1": {"timepoints": ["c1t24", "c1t96"]}, "2": {"timepoints": ["c2t24"]}}
    later = {"cycles": both, "flags": ["earlier_half_life", "single_point"]}
    assert words.one_point(later).startswith("One time point only in cycle 2, which")
    assert "taken is that of the organ in an earlier cycle, where it was told" in words.one_point(later)
    assert words.one_point(later | {"cycles": {"1": both["1"], "2": both["1"]}}) == ""


@pytest.mark.parametrize(
    ("tracer", "nuclide", "told"),
    [
        ("177Lu-PSMA-617", "177Lu", "177Lu-PSMA-617"),
        ("177Lu-PSMA-617", "131I", "not told; uptake priors of 177Lu-PSMA-617"),
        ("I-131-mIBG", "131I", "I-131-mIBG"),
        ("mIBG", "131I", "mIBG"),
    ],
)
def test_no_other_nuclides_tracer_is_told_as_given(tracer: str, nuclide: str, told: str):
    """The catalogue's tracers are labelled with 177Lu; with another nuclide only their priors are used."""
    assert _radiopharmaceutical(tracer, nuclide) == told


@pytest.mark.parametrize(("name", "learnt"), [("177Lu", True), ("131I", False), ("161Tb", False)])
def test_what_was_learnt_with_another_nuclide_is_told(cohort, name: str, learnt: bool):
    summary = json.loads(cohort.path("summary", patient="P01").read_text()) | {"nuclide": name}
    told = words.limits(summary, "")
    assert any(f"not with {name}" in x for x in told) != learnt


def test_limits_are_stated(cohort):
    told = text_of(page(cohort))
    for part in ("not measured by SPECT", "mono-exponential", "followed by Monte Carlo", "not that of the wall"):
        assert part in told


@pytest.mark.parametrize(
    ("nuclide", "percent", "says", "on_top"),
    [("177Lu", {"kidneys": 1.1, "liver": 4.1}, "add 1.1 % to a kidney's self-dose, 4.1 % to the liver's", False),
     ("131I", {"kidneys": 16, "liver": 35}, "for 131I they would add 16 %", True),
     ("131I", None, "a decay of 131I sets 380.8 keV free as photons and 191 keV as electrons", True)],
)  # fmt: skip
def test_what_is_missing_without_photons_is_that_of_the_nuclide(cohort, nuclide, percent, says: str, on_top: bool):
    summary = json.loads(cohort.path("summary", patient="P01").read_text())
    assert "photons_missing_percent" not in summary
    assert not any("not included" in line for line in words.limits(summary, ""))
    summary["config"]["dose"]["photons"] = 0
    summary |= {"nuclide": nuclide, "photons_missing_percent": percent}
    assert any(says in line for line in words.limits(summary, ""))
    assert any(says in n["text"] and n["kind"] == "bad" for n in first_notes(summary, {})) == on_top


def test_what_blurred_photons_lack_is_told_with_what_it_was_measured_for(cohort):
    """The figure is that of one nuclide and voxel, and the page may be another's."""
    summary = json.loads(cohort.path("summary", patient="P01").read_text())
    (line,) = [x for x in words.limits(summary, "") if "20 to 40" in x]
    assert "measured, with 177Lu in voxels of 10 mm" in line


def test_dead_time_is_told_as_it_was_corrected(cohort):
    summary = json.loads(cohort.path("summary", patient="P01").read_text())
    assert summary["dead_time_corrected"] is True
    assert any(line.startswith("Dead time is corrected") for line in words.limits(summary, ""))
    told = {"timepoint": "t4", "rate_cps": 60_000.0, "lost": 0.43, "assumed_us": 5.0}
    summary |= {"dead_time_corrected": False, "dead_time_not_corrected": told}
    assert any("60\u202f000 counts/s at t4, one of 5 μs would take 43 %" in x for x in words.limits(summary, ""))
    assert [n["kind"] for n in first_notes(summary, {}) if "early points out" in n["text"]] == ["warn"]
    summary["dead_time_not_corrected"] = told | {"lost": 0.02}
    assert not any("Dead time" in n["text"] for n in first_notes(summary, {}))
