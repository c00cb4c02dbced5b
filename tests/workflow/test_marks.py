"""What reruns what: the marks that the rules carry as params, without running Snakemake."""

import ast
import errno
import itertools
from dataclasses import fields
from pathlib import Path

import pytest

import planardose.workflow as workflow
from planardose import library
from planardose.config import Config, Hand
from planardose.errors import InputError
from planardose.io.files import write_text
from planardose.jobs import Job
from planardose.marks import DEPENDS, Depends
from planardose.paths import STEP_VERSIONS
from planardose.workflow import Plan

HEADER = [
    "patient",
    "timepoint",
    "ct",
    "planar",
    "nuclide",
    "tracer",
    "camera",
    "injected_mbq",
    "injected_at",
    "segmentation",
]
STEPS = tuple(s for s in STEP_VERSIONS if s != "report_cohort")
PER_TIMEPOINT = ("import_planar", "register", "reconstruct", "compare_spect", "spect_activity")
SEES_ALL_ROWS = {"fit_kinetics", "absorbed_dose", "report"}


@pytest.fixture
def cohort(tmp_path, monkeypatch):
    """Folder with inputs of two patients, the working folder of the test."""
    monkeypatch.chdir(tmp_path)
    for variable in (workflow.COHORT_VARIABLE, library.USER_FOLDERS_VARIABLE):
        monkeypatch.setenv(variable, "")  # Plan.load sets them; put back afterwards
    for patient in ("P01", "P02"):
        ct = tmp_path / "in" / patient / "ct"
        ct.mkdir(parents=True)
        (ct / "1.dcm").write_bytes(b"slice")
        (ct.parent / "labels.nii.gz").write_bytes(b"labels")
        for timepoint in ("t4", "t24", "t72"):
            (ct.parent / f"{timepoint}.npz").write_bytes(timepoint.encode())
    return tmp_path


ROWS = [("P01", "t4"), ("P01", "t24"), ("P02", "t4")]


def marks(rows=ROWS, **config) -> dict:
    plan = Plan.load({"cohort": "sheet.tsv", "results": "out", **config})
    found = {("report_cohort",): plan.marks.of("report_cohort")}
    for patient in dict.fromkeys(p for p, _ in rows):
        for step in STEPS:
            timepoints = [t for p, t in rows if p == patient] if step in PER_TIMEPOINT else [None]
            for t in timepoints:
                found[step, patient, t] = plan.marks.of(step, patient, t)
    return found


def changed(before: dict, after: dict) -> set:
    return {k for k in before if before[k] != after.get(k)}


def steps_of(keys) -> set:
    return {k[0] for k in keys}


def test_nothing_changed_nothing_reruns(cohort, write_sheet):
    write_sheet(cohort, ROWS)
    before = marks()
    assert marks() == before
    assert marks(device="cpu", results="elsewhere") == before


def test_jobs_count_on_a_gpu_only_where_there_is_one(cohort, write_sheet, monkeypatch):
    """Else profiles/local, which lets one such job run at a time, would hold up machines without a GPU."""
    write_sheet(cohort, ROWS)
    monkeypatch.setattr(workflow, "DEVICES", cohort)
    (cohort / "nvidiactl").touch()

    def counted(device):
        return Plan.load({"cohort": "sheet.tsv", "results": "out", "device": device}).gpu_jobs

    assert [counted(d) for d in ("auto", "cuda", "cpu")] == [0, 0, 0]
    (cohort / "nvidia0").touch()
    assert [counted(d) for d in ("auto", "cuda", "cpu")] == [1, 1, 0]


def test_marks_hold_no_path(cohort, write_sheet):
    write_sheet(cohort, ROWS)
    assert all(len(m) == 16 and int(m, 16) >= 0 for m in marks().values())


def test_a_new_patient_changes_the_cohort_page_only(cohort, write_sheet):
    write_sheet(cohort, ROWS[:2])
    before = marks(ROWS[:2])
    write_sheet(cohort, ROWS)
    assert changed(before, marks()) == {("report_cohort",)}


@pytest.mark.parametrize("first", [False, True])
def test_a_new_time_point_does_not_retrain(cohort, write_sheet, first):
    write_sheet(cohort, ROWS)
    before = marks()
    more = [("P01", "t72"), *ROWS] if first else [*ROWS, ("P01", "t72")]
    write_sheet(cohort, more)
    after = changed(before, marks(more))
    assert after == {("report_cohort",), *((s, "P01", None) for s in SEES_ALL_ROWS)}


def test_a_new_prior_image_is_read_again_and_only_patients_with_one_have_it(cohort, write_sheet):
    sheet = write_sheet(cohort, ROWS)
    lines = sheet.read_text().splitlines()
    cells = ["prior_image", *("in/P01/pet.nii.gz" if line.startswith("P01") else "" for line in lines[1:])]
    sheet.write_text("".join(f"{line}\t{cell}\n" for line, cell in zip(lines, cells, strict=True)))
    (cohort / "in/P01/pet.nii.gz").write_bytes(b"image")
    plan = Plan.load({"cohort": "sheet.tsv", "results": "out"})
    assert plan.cohort.has_prior("P01") and not plan.cohort.has_prior("P02")
    before = marks()
    (cohort / "in/P01/pet.nii.gz").write_bytes(b"another image")
    assert changed(before, marks()) == {("import_prior", "P01", None)}


def test_a_corrected_segmentation_changes_segment_only(cohort, write_sheet):
    write_sheet(cohort, ROWS)
    before = marks()
    (cohort / "in/P01/labels.nii.gz").write_bytes(b"corrected")
    assert changed(before, marks()) == {("segment", "P01", None)}


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("labels.tsv", ("segment", "P01", None)),
        ("t24.json", ("import_planar", "P01", "t24")),
        ("t24.npz", ("import_planar", "P01", "t24")),
        ("ct/2.dcm", ("import_ct", "P01", None)),
    ],
)
def test_inputs_and_what_stands_beside_them(cohort, write_sheet, name, expected):
    write_sheet(cohort, ROWS)
    before = marks()
    (cohort / "in/P01" / name).write_bytes(b"new content")
    assert changed(before, marks()) == {expected}


def test_images_of_a_sheet_that_names_their_json(cohort, write_sheet):
    write_sheet(cohort, ROWS[:1], planar="in/P01/t4.json")
    (cohort / "in/P01/t4.json").write_bytes(b"facts")
    before = marks(ROWS[:1])
    (cohort / "in/P01/t4.npz").write_bytes(b"other counts")
    assert changed(before, marks(ROWS[:1])) == {("import_planar", "P01", "t4")}


def test_a_file_beside_a_label_map_that_nothing_reads_reruns_nothing(cohort, write_sheet):
    write_sheet(cohort, ROWS)
    before = marks()
    (cohort / "in/P01/labels.json").write_bytes(b"a viewer's settings")
    assert marks() == before


def test_hand_made_decisions_change_their_time_point_only(cohort, write_sheet):
    write_sheet(cohort, ROWS)
    before = marks()
    flipped = changed(before, marks(patients={"P01": {"t24": {"flip_posterior": True}}}))
    assert flipped == {("import_planar", "P01", "t24"), ("report", "P01", None)}
    shifted = changed(before, marks(patients={"P01": {"t24": {"shift_mm": [1, 2]}}}))
    assert shifted == {("register", "P01", "t24"), ("report", "P01", None)}
    accepted = changed(before, marks(patients={"P01": {"t24": {"accept_segmentation": "looked at it"}}}))
    assert accepted == {("segment", "P01", None), ("report", "P01", None)}


def test_a_changed_organ_prior_changes_what_reads_it(cohort, write_sheet, monkeypatch):
    write_sheet(cohort, ROWS)
    before = marks()
    mine = cohort / "library/tracers"
    mine.mkdir(parents=True)
    text = library.entry_path("tracers", "177Lu-PSMA-617").read_text()
    (mine / "177Lu-PSMA-617.yaml").write_text(text + "# my prior\n")
    monkeypatch.setenv(library.USER_FOLDERS_VARIABLE, str(cohort / "library"))
    library._folders.cache_clear()
    try:
        after = steps_of(changed(before, marks()))
    finally:
        library._folders.cache_clear()
    assert after == {"sample_uptake", "reinforce", "fit_kinetics"}  # priors, the sites of lesions, early phases


# with the projector's camera
ANALYTIC = {"project", "train", "reinforce", "train_diffusion", "register", "reconstruct", "compare_spect", "report"}


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        ({"train": {"steps": 7}}, {"train"}),
        ({"sampling": {"shift_mm": 1}}, {"sample_uptake", "train", "reinforce", "train_diffusion"}),
        ({"train": {"batch": 3}}, {"train", "reinforce", "train_diffusion"}),
        ({"train": {"precision": "float32"}}, {"train", "reinforce", "train_diffusion", "reconstruct"}),
        ({"train": {"threads": 2}}, {"train", "reinforce", "train_diffusion", "reconstruct"}),
        ({"diffusion": {"draws": 8}}, {"train_diffusion", "reconstruct"}),
        ({"projection": {"histories": 2e6}}, {"project"}),
        ({"projection": {"penetration": False}}, ANALYTIC),
        ({"projection": {"couch": False}}, ANALYTIC),
        ({"reinforce": {"steps": 5}}, {"reinforce", "reconstruct"}),
        ({"reinforce": {"learning_rate": 1e-5}}, {"reinforce"}),
        ({"registration": {"max_shift_mm": 10}}, {"register"}),
        ({"spect": {"fwhm_mm": 12}}, {"compare_spect", "spect_activity"}),
        ({"grid_mm": 12}, {"segment"}),
    ],
)
def test_a_config_key_changes_what_reads_it(cohort, write_sheet, config, expected):
    write_sheet(cohort, ROWS)
    before = marks()
    assert steps_of(changed(before, marks(**config))) == expected


def test_another_injected_activity_changes_what_compares_the_images_with_it(cohort, write_sheet):
    """By its own mark: the imported counts stay the same bytes, which after a kill reruns nothing."""
    write_sheet(cohort, ROWS)
    before = marks()
    write_sheet(cohort, ROWS, injected_mbq="3700")
    found = changed(before, marks())
    assert steps_of(found) >= {"import_planar", "sample_uptake", "fit_kinetics", "absorbed_dose", "report"}
    assert ("reconstruct", "P01", "t24") in found


def test_every_choice_is_some_steps_business():
    places = {"cohort", "results", "library", "device"}  # where things are and what computes: not what is computed
    read = {key.partition(".")[0] for needs in DEPENDS.values() for key in needs.config}
    assert read | {"patients"} == set(Config.model_fields) - places
    assert {key for needs in DEPENDS.values() for key in needs.hand} == set(Hand.model_fields)
    assert set(DEPENDS) == set(STEP_VERSIONS)
    assert {f.name for f in fields(Depends)} >= {"config", "hand", "files", "cells", "catalogues"}


def attributes(path: Path, owner: str) -> set[str]:
    """Names X of every ``<owner>.X`` in a source file, e.g. ``run.config.X``."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Attribute) and ast.unparse(node.value).endswith(owner):
            found.add(node.attr)
    return found


@pytest.mark.parametrize("step", list(DEPENDS))
def test_a_step_reads_no_config_key_that_its_mark_leaves_out(step):
    path = Path(workflow.__file__).parent / "steps" / f"{step}.py"
    keys = attributes(path, "config") & set(Config.model_fields)
    if attributes(path, "config") & {"map_method"}:
        keys |= {"methods", "dose_method"}
    assert keys - {"device", "patients"} <= {key.partition(".")[0] for key in DEPENDS[step].config}


def test_decisions_for_an_unknown_time_point_are_refused(cohort, write_sheet):
    write_sheet(cohort, ROWS)
    with pytest.raises(InputError, match="t99"):
        Plan.load({"cohort": "sheet.tsv", "patients": {"P01": {"t99": {"flip_posterior": True}}}})


def test_the_written_config_holds_no_place(cohort, write_sheet):
    write_sheet(cohort, ROWS)
    plan = Plan.load({"cohort": str(cohort / "sheet.tsv"), "results": "out", "seed": 5})
    plan.write_config()
    text = (cohort / "out/config.yaml").read_text()
    assert "seed: 5" in text
    assert str(cohort) not in text
    stamp = (cohort / "out/config.yaml").stat().st_mtime_ns
    plan.write_config()
    assert (cohort / "out/config.yaml").stat().st_mtime_ns == stamp


def test_a_new_run_forgets_what_failed_before(cohort, write_sheet):
    write_sheet(cohort, ROWS)
    note = cohort / "out/P01/errors/train.json"
    note.parent.mkdir(parents=True)
    note.write_text("{}")
    Plan.load({"cohort": "sheet.tsv", "results": "out"}).forget_errors()
    assert not note.exists()


def test_a_file_system_without_locks_warns_and_works(cohort, write_sheet, monkeypatch, caplog):
    """Lustre mounted without 'flock' knows none; only a lock that is held means that another run works here."""
    write_sheet(cohort, ROWS)
    plan = Plan.load({"cohort": "sheet.tsv", "results": "out"})

    def refuse(file, how):
        raise OSError(errno.ENOSYS, "Function not implemented")

    with monkeypatch.context() as patched:
        patched.setattr("fcntl.flock", refuse)
        plan.lock().close()
    assert "this file system has no locks (Function not implemented)" in caplog.text
    with plan.lock(), pytest.raises(InputError, match="another run is working in this folder"):
        plan.lock()


def test_results_of_another_user_are_told_before_any_job(cohort, write_sheet, monkeypatch):
    """In a shared folder the patient's folder, or the lock, may be theirs alone."""
    write_sheet(cohort, ROWS)
    (cohort / "out/P02").mkdir(parents=True)
    plan = Plan.load({"cohort": "sheet.tsv", "results": "out"})
    (cohort / "out/.lock").mkdir()  # root may write any file, but no folder
    with pytest.raises(InputError, match=r"results: \.lock in the folder cannot be opened .*; ask who ran it before"):
        plan.lock()
    monkeypatch.setattr(workflow.os, "access", lambda path, how: path.name != "P02")
    with pytest.raises(InputError, match="results of P02: not a folder that can be written"):
        Plan.load({"cohort": "sheet.tsv", "results": "out"})


OLD = {  # an earlier run with two more methods
    "t4": ("recon/t4_organs.csv", "recon/t4_qplanar_mlem.nii.gz", "recon/t4_qplanar_mlem.nii.gz.json",
           "recon/t4_unet.nii.gz", "recon/t4_diffusion_u.nii.gz"),
    "t24": ("recon/t24_organs.csv", "recon/t24_qplanar_mlem.nii.gz"),
    "kinetics": ("dose/kinetics.csv", "dose/tia_mbq_h_ml.nii.gz"),
    "dose": ("dose/dose_gy.nii.gz", "dose/dose_gy.nii.gz.json", "dose/organ_doses.csv"),
    "report": ("report.html", "summary.json"),
    "costly": ("anatomy/labels.nii.gz", "projection/chunk_0.npz", "model/unet.safetensors"),
}  # fmt: skip
AFTER = (("fit_kinetics", None), ("absorbed_dose", None), ("report", None))


@pytest.mark.parametrize(
    ("steps", "gone"),
    [
        ([("report", None)], ["report"]),  # made of the doses that are there
        (AFTER[1:], ["dose", "report"]),
        ([("import_planar", "t4"), ("register", "t4"), ("reconstruct", "t4"), *AFTER],
         ["t4", "kinetics", "dose", "report"]),
        ([("import_planar", "t4")], ["t4", "kinetics", "dose", "report"]),  # --until import_planar
        ([("import_ct", None)], ["t4", "t24", "kinetics", "dose", "report"]),
    ],
)  # fmt: skip
def test_old_maps_doses_and_reports_go_before_the_work_on_what_they_are_made_of(cohort, write_sheet, steps, gone):
    """Whatever stops the run: a file that came in broken must not leave the maps of the one before."""
    write_sheet(cohort, ROWS)
    plan = Plan.load({"cohort": "sheet.tsv", "results": "out"})
    results = Path(plan.results)
    for patient in ("P01", "P02"):
        for name in itertools.chain.from_iterable(OLD.values()):
            write_text(results / patient / name, "old")
    cohorts = {"cohort.html", "cohort.csv"}
    for name in cohorts:
        write_text(results / name, "old")
    there = {f for f in results.rglob("*") if f.is_file()}
    plan.forget_old({Job(step, "P01", timepoint) for step, timepoint in steps})
    left = {f for f in results.rglob("*") if f.is_file()}
    expected = {results / "P01" / name for key in gone for name in OLD[key]}
    assert there - left == expected | {results / name for name in cohorts}
    plan.forget_old(set())
    assert {f for f in results.rglob("*") if f.is_file()} == left
