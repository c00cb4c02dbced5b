"""A patient with a SPECT alone at one of three time points, from files to the report and the cohort's table."""

import csv
import json
import shutil
from dataclasses import replace
from datetime import datetime

import numpy as np
import pandas as pd
import pytest
from spect_scene import SEED, write_scene

from planardose.cohort import Cohort, Row
from planardose.commands.check import check
from planardose.commands.evaluate import evaluate
from planardose.commands.make_demo import COLUMNS, SPECT_COLUMNS
from planardose.commands.plan import plan
from planardose.commands.status import status
from planardose.config import Config
from planardose.demo import spect as demo_spect
from planardose.demo.patient import concentrations_kbq_ml, draw_patient
from planardose.errors import InputError
from planardose.image import Grid
from planardose.io.nifti import read_volume, write_volume
from planardose.patient_model import PatientModel
from planardose.recon.blur_recovery import Recovered, recovered
from planardose.recon.emission import OnGrid, smoothed
from planardose.run import Run
from planardose.sheet import load_cohort
from planardose.steps.absorbed_dose import absorbed_dose
from planardose.steps.cycle_points import read_cycles
from planardose.steps.fit_kinetics import fit_kinetics
from planardose.steps.import_ct import import_ct
from planardose.steps.import_planar import import_planar
from planardose.steps.reconstruct import reconstruct
from planardose.steps.register import register
from planardose.steps.report import report
from planardose.steps.report_cohort import report_cohort
from planardose.steps.segment import segment
from planardose.steps.spect_activity import spect_activity, spect_uncertainty, spill_error

SPECT, PLANAR = "t24", ("t4", "t96")
WHERE = {"patient": "P01", "timepoint": SPECT}
METHODS = ("conjugate_view", "qplanar", "qplanar_mlem", "mlem")


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Folder, sheet rows and true MBq by organ at the SPECT's time."""
    out = tmp_path_factory.mktemp("hybrid")
    scene = write_scene(out)
    truth, patient, volumes = scene.truth, scene.truth.patient, scene.volumes
    rows = []
    for acquisition in (a for a in patient.acquisitions if a.name in (SPECT, *PLANAR)):
        name, planar, spect = acquisition.name, "", ("", "", "")
        if name == SPECT:
            scene.write_spect(acquisition)
            spect = (f"in/spect_{name}.dcm", f"in/spect_ct_{name}", f"{demo_spect.BQML_PER_COUNT:g}")
            mean = concentrations_kbq_ml(patient, truth.anatomy.classes, acquisition.hours + demo_spect.LATER_H)
            true = {c: float(m) * volumes[c] * 1e-3 for c, m in zip(truth.anatomy.classes, mean, strict=True)}
        else:
            planar = f"in/{name}.dcm"
            scene.write_planar(out / planar, acquisition)
        cells = ["P01", name, "in/ct", planar, "177Lu", "177Lu-PSMA-617", "siemens_symbia_melp",
                 f"{patient.injected_mbq:g}", patient.injected_at.isoformat(), "in/segmentation.nii.gz",
                 "in/lesions.nii.gz", "" if name == SPECT else f"{scene.source:.6g}", "70", *spect]  # fmt: skip
        rows.append(dict(zip(COLUMNS + SPECT_COLUMNS, cells, strict=True)))
    return out, rows, true


def run_of(made, results: str = "results", only: tuple[str, ...] = (SPECT, *PLANAR), **config) -> Run:
    sheet = made[0] / f"{results}.tsv"
    with sheet.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(made[1][0]), delimiter="\t", lineterminator="\n")
        writer.writeheader()
        writer.writerows(r for r in made[1] if r["timepoint"] in only)
    return Run(Config(**{"methods": METHODS} | config), load_cohort(sheet), made[0] / results)


@pytest.fixture(scope="module")
def run(made):
    """The whole chain."""
    run = run_of(made)
    assert check(run) == []
    import_ct(run, "P01")
    segment(run, "P01")
    spect_activity(run, "P01", SPECT)
    for name in PLANAR:
        for step in (import_planar, register, reconstruct):
            step(run, "P01", name)
    for step in (fit_kinetics, absorbed_dose, report):
        step(run, "P01")
    report_cohort(run)
    return run


def rows_of(run: Run, method: str = "qplanar_mlem") -> pd.DataFrame:
    t = pd.read_csv(run.path("organs", **WHERE))
    return t[t.method == method].set_index("organ")


def told(run: Run, key: str = "organs") -> dict:
    return json.loads(run.path(key, **WHERE).with_name(run.path(key, **WHERE).name + ".json").read_text())


def test_organs_are_the_truth_within_their_uncertainty(run, made):
    t = rows_of(run)
    for organ in ("kidney_left", "kidney_right", "liver", "spleen"):
        found, u, true = t.activity_mbq[organ], t.activity_mbq_u[organ], made[2][organ]
        assert abs(found / true - 1) < 0.15, (organ, found / true)
        assert abs(found - true) < 2 * u and 0.04 * found < u, organ
    # a kidney that loses a third to blur is known less well than the liver
    relative = t.activity_mbq_u / t.activity_mbq
    assert relative["liver"] < relative["kidney_left"] < 0.3


def test_every_method_has_the_same_rows_and_map(run):
    first = rows_of(run)
    assert not run.path("map", method="conjugate_view", **WHERE).exists()
    for method in METHODS:
        t = rows_of(run, method)
        assert (t.activity_mbq == first.activity_mbq[t.index]).all()
        # what has none at planar time points has none here: a curve weighs all points alike
        assert t.activity_mbq_u.notna().any() == (method in ("qplanar", "qplanar_mlem"))
        if method != "conjugate_view":
            v = read_volume(run.path("map", method=method, **WHERE), "x", "Bq/mL", "test", np.float64)
            assert v.data.min() >= 0
            held = v.data.sum() * v.grid.voxel_ml / 1e6
            assert held == pytest.approx(t.activity_mbq.drop("outside_ct", errors="ignore").sum(), rel=1e-4)


def test_what_the_field_does_not_hold_whole_is_not_told(run):
    t, beyond = rows_of(run), told(run)["share_in_field"]
    assert {"remainder", "skeleton"} <= set(beyond) and not {"kidney_left", "liver"} & set(beyond)
    assert t.activity_mbq_u[list(beyond)].isna().all()
    assert t.activity_mbq_u[[o for o in t.index if o not in beyond and t.activity_mbq[o] > 0]].notna().all()
    kinetics = pd.read_csv(run.path("kinetics", patient="P01"))
    points = kinetics[kinetics.method == "qplanar_mlem"].set_index("organ").points
    assert points["kidney_left"] == 3 and points["remainder"] == 2
    assert set(kinetics.organ) == set(pd.read_csv(run.path("organs", patient="P01", timepoint="t4")).organ)


def test_the_map_of_integrals_holds_the_curves_integrals(run):
    kinetics = pd.read_csv(run.path("kinetics", patient="P01"))
    expected = kinetics[(kinetics.method == "qplanar_mlem") & (kinetics.organ != "outside_ct")].tia_mbq_h.sum()
    tia = read_volume(run.path("tia", patient="P01"), "x", "MBq.h/mL", "test", np.float64)
    assert tia.data.sum() * tia.grid.voxel_ml == pytest.approx(expected, rel=0.02)


def test_the_point_lies_where_its_own_time_is(run, made):
    cycle = read_cycles(run, "P01")[0]
    assert cycle.names == ("t4", SPECT, "t96")
    acquisition = next(a for a in draw_patient(SEED, 1).acquisitions if a.name == SPECT)
    assert cycle.hours[1] == pytest.approx(acquisition.hours + demo_spect.LATER_H, abs=0.01)
    series = cycle.series("kidney_left", "qplanar_mlem")
    common = series.common() / series.mbq_u
    assert common[1] > 0.9 and common[0] > 0.3
    assert series.camera.tolist() == [0, 1, 0]  # the SPECT's errors are not the planar images'


def test_report_gate_plan_and_status(run):
    summary = json.loads(run.path("summary", patient="P01").read_text())
    assert summary["gate"] == "passed" and summary["status"] == "ok" and summary["from_spect"] == [SPECT]
    assert summary["calibrated"] and set(summary["scale"]) == set(PLANAR)
    page = run.path("report", patient="P01").read_text()
    assert page.count('alt="Registration of') == 2 and page.count('alt="Views of') == 2
    assert ">from SPECT, used<" in page and "(a star in the curves)" in page
    assert f"{SPECT} (SPECT) at " in page and " Bq/mL of a count, by the sheet; ± 5 % (assumed)" in page
    assert '"star"' in page and "Compared with the SPECT" not in page
    table = pd.read_csv(run.results / "cohort.csv")
    assert set(table.gate) == {"passed"} and set(table.status) == {"ok"}
    assert "1 from SPECT alone" in plan(run)[1] and "not calibrated" not in plan(run)[1]
    assert "12 of 12" in status(run)[1]


def test_evaluate_compares_the_organs_that_are_told(run, tmp_path):
    """A truth of 1 kBq/mL everywhere: what is compared, not how well."""
    folder = tmp_path / "P01"
    folder.mkdir()
    labels = read_volume(run.path("labels", patient="P01"), "labels", "1", "test", np.int16)
    write_volume(folder / "labels.nii.gz", labels, np.int16)
    even = replace(labels, data=np.full(labels.grid.shape, 1000.0, np.float32))
    for name in (SPECT, "t4"):
        write_volume(folder / f"{name}_activity.nii.gz", even)
    evaluate(run, tmp_path)
    table = pd.read_csv(run.results / "evaluation.csv")
    at = {n: table[table.timepoint == n] for n in (SPECT, "t4")}
    assert "mae" in set(at["t4"].measure) and set(at[SPECT].measure) == {"activity_mbq"}
    beyond = set(told(run)["share_in_field"])
    assert {"kidney_left", "liver"} <= set(at[SPECT].region) and not beyond & set(at[SPECT].region)
    assert "remainder" in set(at["t4"].region)


def test_the_resolution_can_be_stated_and_the_step_needs_what_comes_before(run, made):
    other = run_of(made, "stated", spect={"fwhm_mm": 5.0})
    with pytest.raises(InputError, match="run 'planardose segment' first"):
        spect_activity(other, "P01", SPECT)
    shutil.copytree(run.results / "P01/anatomy", other.results / "P01/anatomy")
    spect_activity(other, "P01", SPECT)
    assert told(other)["fwhm_mm"] == 5.0 and told(other)["fwhm_source"] == "stated in the config"
    # less blur is put back
    assert rows_of(other).activity_mbq["kidney_left"] < 0.95 * rows_of(run).activity_mbq["kidney_left"]
    with pytest.raises(InputError, match="its SPECT's"):
        import_planar(other, "P01", SPECT)


def test_the_maps_of_planar_images_are_not_overwritten(tmp_path):
    """With planar images a SPECT is compared with; its step by hand would replace what `reconstruct` made."""
    row = Row("P01", "t24", "177Lu", "177Lu-PSMA-617", "siemens_symbia_melp", 7400.0, datetime(2026, 3, 2),
              {"ct": tmp_path, "planar": tmp_path, "spect": tmp_path})  # fmt: skip
    with pytest.raises(InputError, match=r"^P01 t24 spect: .* planar images .*run 'planardose compare-spect'"):
        spect_activity(Run(Config(), Cohort((row,)), tmp_path), "P01", "t24")


def test_a_cycle_of_spects_alone_is_refused(made):
    with pytest.raises(InputError, match=r"P01 t24 planar: .*at one time point of each injection"):
        run_of(made, "alone", only=(SPECT,))


def test_recovery_undoes_the_blur_and_tells_its_size():
    """Two organs side by side in a cold body, one cut by the field: exact for even organs and the right resolution."""
    grid = Grid.axis_aligned((24, 20, 22), 8.0, 0.0)
    index = np.indices(grid.shape)
    hot = (np.abs(index - np.array([8, 10, 10])[:, None, None, None]) <= 2).all(axis=0)
    warm = (index[0] >= 11) & (index[0] < 16) & (np.abs(index[1] - 10) <= 3)
    rest = ~hot & ~warm
    fractions = np.stack([hot, warm, rest]).astype(np.float32)
    model = PatientModel(grid, ("kidney_left", "liver", "remainder"), fractions, np.zeros((3, *grid.shape), np.float32))
    covered = np.broadcast_to(index[2] < 20, grid.shape)
    mbq = smoothed(hot * 1.0 + warm * 0.2 + rest * 0.01, 16.0, grid)
    # what lies beyond the field shines in, and is not modelled: far from the organ it does not matter
    found = recovered(OnGrid(mbq / grid.voxel_ml * 1e6, covered), model, 16.0, mbq)
    assert found.mbq[0] == pytest.approx(hot.sum(), rel=1e-3)
    assert mbq[hot].sum() < 0.7 * hot.sum() and found.spilt_mbq[0] > 0.3 * hot.sum()
    assert found.share == pytest.approx([1.0, 20 / 22, (rest & covered).sum() / rest.sum()])
    wrong = recovered(OnGrid(mbq / grid.voxel_ml * 1e6, covered), model, 8.0, mbq)
    assert wrong.mbq[0] < 0.9 * hot.sum()
    sharp = hot * 1.0 + warm * 0.2 + rest * 0.01
    exact = recovered(OnGrid(sharp, covered), model, 0.0, sharp)
    assert exact.spilt_mbq == pytest.approx(np.zeros(3), abs=1e-3)
    assert (found.lacking_mbq == 0).all()
    # an empty organ whose outline holds less than its neighbours bring in is not known better than that
    cold = smoothed(warm * 0.2 + rest * 0.05, 16.0, grid) * np.where(hot, 0.5, 1.0)
    empty = recovered(OnGrid(cold / grid.voxel_ml * 1e6, covered), model, 16.0, cold)
    lack = empty.lacking_mbq[0]
    assert empty.mbq[0] == 0 and lack == pytest.approx(-unbounded(empty, model, 16.0, cold)[0], rel=0.5) and lack > 1
    u = spect_uncertainty(empty.mbq, empty)
    assert u.total_mbq[0] > lack and u.own_mbq[0] > lack > spill_error().spill * empty.spilt_mbq[0]


def unbounded(found, model, fwhm_mm, mbq):
    """(O,) MBq: the recovery with activities below zero allowed, of a field that holds nearly all."""
    blurred = np.stack([smoothed(f.astype(float), fwhm_mm, model.grid) for f in model.fractions])
    masks = model.fractions.reshape(len(model.organs), -1).astype(float)
    per_voxel = np.linalg.solve(masks @ blurred.reshape(len(masks), -1).T, masks @ mbq.ravel())
    return per_voxel * masks.sum(axis=1)


def test_what_the_spects_of_a_patient_share():
    """Calibration and most of the blur's error are the same each time; beyond the field nothing is told."""
    found = Recovered(*np.array([[10.0, 10.0, 0.0], [1.0] * 3, [4.0, 4.0, 2.0], [0.0, 0.0, 3.0], [1.0, 0.5, 1.0]]))
    u, spill = spect_uncertainty(found.mbq, found), spill_error()
    assert np.isnan([u.total_mbq[1], u.own_mbq[1]]).all()
    assert u.total_mbq[0] == pytest.approx(np.hypot(0.5, 4 * spill.spill))
    assert u.own_mbq[0] == pytest.approx(4 * spill.spill * np.sqrt(1 - spill.shared))
    assert 3.0 < u.own_mbq[2] < u.total_mbq[2] and 0 < spill.shared < 1
