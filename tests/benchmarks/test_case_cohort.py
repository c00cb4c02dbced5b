"""The generator of the reconstruction benchmark: same seed, same files; splits apart; every mismatch tells."""

import sys
from dataclasses import replace
from functools import cache

import numpy as np
import pytest
from benchmarks.reconstruction import cohort, run
from benchmarks.reconstruction.anatomies import FIRST_SEED, SEEDS_PER_SPLIT, Case, root_seed
from benchmarks.reconstruction.cohort import Fineness, planar_pair, seen, write_case, write_sheet
from benchmarks.reconstruction.mismatch import DISTANCE_MM, FACTORS, SHIFT_MM, TURN_DEG, VARIANTS

from planardose.config import Hand
from planardose.demo.patient import truth_of
from planardose.errors import InputError
from planardose.io.ct import read_ct
from planardose.io.nifti import read_volume
from planardose.io.planar_in import read_planar
from planardose.library import load_camera
from planardose.physics import warp_runtime
from planardose.sheet import load_cohort

COARSE = Fineness(ct_mm=(10.0, 10.0, 10.0), sim_mm=14.0, histories=1e4)
CASE = Case("validation", 999_000, 1, "matched", 2)


@pytest.fixture
def one_factor(monkeypatch):
    """A case that differs from the matched one by one factor only, with arms where the factor is arms."""

    def make(factor: str) -> Case:
        monkeypatch.setitem(VARIANTS, factor, frozenset({factor}))
        cases = [replace(CASE, variant=factor, seed=CASE.seed + n) for n in range(10)]
        return next(c for c in cases if factor != "arms" or c.site().arms)

    return make


@cache
def views_of(case: Case):
    return seen(case, truth_of(case.cycles(COARSE.ct_mm)[0]), 0, COARSE)


def test_the_same_case_gives_the_same_counts_and_another_seed_others():
    truth = truth_of(CASE.cycles(COARSE.ct_mm)[0])
    first, again = planar_pair(CASE, truth, 0, COARSE), planar_pair(CASE, truth, 0, COARSE)
    assert np.array_equal(first.counts, again.counts)
    other = replace(CASE, seed=CASE.seed + 1)
    assert other.phantom().lesions != CASE.phantom().lesions


def test_splits_share_no_seed_and_refuse_to_reach_into_each_other():
    ranges = [range(root_seed(s), root_seed(s, SEEDS_PER_SPLIT - 1) + 1) for s in FIRST_SEED]
    assert all(set((a[0], a[-1])).isdisjoint(b) for a in ranges for b in ranges if a is not b)
    for seed in (-1, SEEDS_PER_SPLIT):
        with pytest.raises(ValueError, match="expected one of"):
            root_seed("test", seed)
    with pytest.raises(ValueError, match="expected one of"):
        root_seed("tset")


def test_fewer_samples_are_the_first_of_more_and_hours_cover_the_week():
    many = [a for cycle in replace(CASE, samples=10).cycles(COARSE.ct_mm) for a in cycle.acquisitions]
    few = [a for cycle in CASE.cycles(COARSE.ct_mm) for a in cycle.acquisitions]
    assert many[:2] == few and len(many) == 10
    hours = {a.name.split("-")[1] for a in many}
    assert len({min((4, 24, 96, 168), key=lambda h, t=t: abs(h - int(t[1:]))) for t in hours}) == 4


def test_poses_stay_in_the_protocols_range_and_reach_far():
    poses = [replace(CASE, variant="mismatched").shot(n).pose for n in range(200)]
    lengths = [np.hypot(p.shift_mm[0], p.shift_mm[2]) for p in poses]
    turns = [abs(p.rotation_deg[1]) for p in poses]
    assert 0.9 * SHIFT_MM < max(lengths) <= SHIFT_MM and 0.9 * TURN_DEG < max(turns) <= TURN_DEG


def test_unusual_anatomies_lie_outside_the_usual_ranges():
    width = [replace(CASE, number=n).phantom().scale[0] for n in range(1, 13)]
    usual = [0.92 <= w <= 1.08 for w in width]
    assert usual == [n % 4 != 0 for n in range(1, 13)]


@pytest.mark.parametrize(
    "factor", ["detector", "window_drift", "ct_numbers", "matter", "couch", "arms", "breathing", "pose", "uptake"]
)
def test_each_mismatch_changes_the_primary_counts(factor, one_factor):
    """Primaries have no noise and equal cases equal bits: any change is the factor's."""
    case = one_factor(factor)
    plain, changed = (views_of(c).views.primary[:, 0] for c in (replace(case, variant="matched"), case))
    if plain.shape != changed.shape:  # arms need a wider grid, of the same voxels
        assert changed.sum() > 1.005 * plain.sum()
    else:
        assert np.sqrt(((changed - plain) ** 2).mean() / (plain**2).mean()) > 1e-4


def test_the_mismatches_that_leave_the_views_alone(one_factor):
    sensitivity = one_factor("sensitivity")
    factor = sensitivity.site().sensitivity
    assert abs(factor - 1) > 0.002
    plain, changed = (
        planar_pair(c, truth_of(c.cycles(COARSE.ct_mm)[0]), 0, COARSE).counts[:, 0].sum()
        for c in (replace(sensitivity, variant="matched"), sensitivity)
    )
    assert changed / plain == pytest.approx(factor, abs=4 * float(np.sqrt(2 / plain)))
    distance = one_factor("head_distance")
    told, true = views_of(distance).told_mm, views_of(replace(distance, variant="matched")).told_mm
    error = np.subtract(told, true)
    assert (abs(error) <= DISTANCE_MM + 0.1).all() and (abs(error) > 0.1).all()


def test_every_factor_is_tested_here():
    assert set(FACTORS) == {
        "detector", "window_drift", "ct_numbers", "matter", "couch", "arms", "breathing", "pose", "uptake",
        "sensitivity", "head_distance", "segmentation",
    }  # fmt: skip


def test_breathing_keeps_the_activity(one_factor):
    case = one_factor("breathing")
    still, breathing = views_of(replace(case, variant="matched")), views_of(case)
    ratio = breathing.views.primary[:, 0].sum() / still.views.primary[:, 0].sum()
    assert ratio == pytest.approx(1.0, abs=0.03)  # organs that move change their attenuation only


def test_the_ordinary_readers_take_the_cohort(tmp_path, one_factor):
    cases = [replace(one_factor("segmentation"), seed=CASE.seed), CASE]
    labels = []
    for case in cases:
        out = tmp_path / case.variant
        write_case(out, case, COARSE)
        rows = load_cohort(write_sheet(out, [case])).rows
        assert [r.patient for r in rows] == ["P01", "P01"]
        ct = read_ct(rows[0].paths["ct"], "ct")
        labels.append(read_volume(rows[0].paths["segmentation"], "labels", "1", "labels", np.int16).data)
        assert ct.data.shape == labels[-1].shape
        truth = read_volume(out / "truth/P01/labels.nii.gz", "labels", "1", "labels", np.int16)
        assert truth.grid.same_as(ct.grid)
        for row in rows:
            pair = read_planar(row.paths["planar"], load_camera(row.camera), row.where, Hand(), "test").pair
            assert (pair.counts[:, 0].sum(axis=(1, 2)) > 3e4).all()
            assert (out / f"truth/P01/{row.timepoint}_activity.nii.gz").is_file()
    assert 10 < (labels[0] != labels[1]).sum() < 0.1 * (labels[1] > 0).sum()  # the segmentation errs in one variant


@pytest.mark.parametrize("command", [cohort, run])
def test_a_gpu_is_asked_for_by_the_chains_word(command, monkeypatch, tmp_path):
    """Not by Warp's, which names it otherwise where its memory is short."""
    size = ["--quick"] if command is run else []
    monkeypatch.setattr(sys, "argv", ["command", str(tmp_path / "out"), *size, "--device", "cuda"])
    monkeypatch.setattr(warp_runtime.wp, "is_cuda_available", lambda: False)
    with pytest.raises(InputError, match="no CUDA device can be used"):
        command.main()
    assert not (tmp_path / "out").exists()
