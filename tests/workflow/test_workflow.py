"""The whole workflow on a tiny cohort: what it writes, what reruns, what a fault or a kill does, and privacy."""

import csv
import resource
import shutil
from pathlib import Path

import numpy as np
import pytest

from planardose.commands.verify import verify

pytestmark = pytest.mark.slow
PER_TIMEPOINT = {"import_planar": 1, "register": 1, "reconstruct": 1}
AFTER = {"fit_kinetics": 1, "absorbed_dose": 1, "report": 1, "report_cohort": 1, "all": 1}


def planned(jobs: dict) -> dict:
    return dict(sorted(jobs.items()))


@pytest.fixture(scope="module")
def finished(demo, workflow, tmp_path_factory):
    """A finished run of one patient with two time points and every method."""
    folder = tmp_path_factory.mktemp("work")
    run = workflow(folder, demo.sheet(folder / "sheet.tsv", *demo.rows[:2]))
    done = run()
    assert done.returncode == 0, done.stdout
    (folder / "terminal.txt").write_text(done.stdout)
    return run


def table(path: Path) -> list[dict]:
    with path.open(newline="") as f:
        return list(csv.DictReader(f))


def test_outputs_are_there(finished):
    out = finished.folder / "out"
    p01 = out / "P01"
    for name in ("report.html", "summary.json", "dose/dose_gy.nii.gz", "dose/organ_doses.csv", "anatomy/labels.tsv"):
        assert (p01 / name).stat().st_size > 0, name
    assert (out / "cohort.html").exists()
    methods = {r["method"] for r in table(p01 / "recon/t4_organs.csv")}
    assert methods == {"conjugate_view", "qplanar", "qplanar_mlem", "mlem", "unet"}
    assert {r["status"] for r in table(out / "cohort.csv")} <= {"ok", "fallback"}
    assert not list(p01.glob("errors/*"))
    assert (p01 / "logs/train.log").exists()
    assert (p01 / "benchmarks/train.tsv").exists()


def test_nothing_changed_nothing_to_do(finished):
    assert finished.jobs() == {}


def test_no_name_and_no_input_folder_in_any_output_or_log(finished, demo):
    """The working folder holds results, Snakemake's logs and metadata, the terminal's text, and the sheet."""
    assert [x for x in demo.leaks_in(finished.folder) if not x.startswith("sheet.tsv")] == []
    assert demo.leaks_in(finished.sheet.parent), "the search itself works: the sheet holds the input folders"


def test_a_new_time_point_reruns_itself_and_what_follows_but_no_training(finished, demo, workflow):
    sheet = demo.sheet(finished.folder / "more.tsv", *demo.rows[:3])
    assert planned(workflow(finished.folder, sheet).jobs()) == planned(PER_TIMEPOINT | AFTER)


def test_a_new_patient_reruns_itself_and_the_cohort_page(finished, demo, workflow):
    second = [row | {"patient": "P02"} for row in demo.rows[:1]]
    sheet = demo.sheet(finished.folder / "two.tsv", *demo.rows[:2], *second)
    own = {"import_ct": 1, "segment": 1, "sample_uptake": 1, "project": 2, "train": 1}
    assert planned(workflow(finished.folder, sheet).jobs()) == planned(own | PER_TIMEPOINT | AFTER)


def test_diffusion_adds_its_own_training_and_a_map_of_uncertainty(finished, demo, workflow, tmp_path):
    words = (
        "methods=[conjugate_view,qplanar,qplanar_mlem,mlem,unet,diffusion]",
        "diffusion={steps: 2, width: 8, draws: 4, sampling_steps: 2}",
    )
    folder = tmp_path / "work"
    shutil.copytree(finished.folder, folder)
    with_it = workflow(folder, finished.sheet, config=words)
    assert planned(with_it.jobs()) == planned({"train_diffusion": 1, "reconstruct": 2} | AFTER)
    done = with_it()
    assert done.returncode == 0, done.stdout
    p01 = folder / "out/P01"
    for name in ("model/diffusion.safetensors", "recon/t24_diffusion.nii.gz", "recon/t24_diffusion_u.nii.gz"):
        assert (p01 / name).stat().st_size > 0, name
    rows = [r for r in table(p01 / "recon/t24_organs.csv") if r["method"] == "diffusion"]
    assert rows and all(float(r["activity_mbq_u"]) > 0 for r in rows if float(r["activity_mbq"]) > 0)


def test_one_changed_key_reruns_what_depends_on_it(finished, demo, workflow):
    longer = workflow(finished.folder, finished.sheet, config=("train={steps: 7}",))
    assert planned(longer.jobs()) == planned({"train": 1, "reconstruct": 2} | AFTER)
    hand = workflow(finished.folder, finished.sheet, config=("patients={P01: {t24: {flip_posterior: true}}}",))
    assert planned(hand.jobs()) == planned(PER_TIMEPOINT | AFTER)


def test_old_reports_are_removed_where_a_patient_is_at_work_whatever_stops_the_run(finished, workflow, tmp_path):
    """A job that is killed leaves no note of it: the doses of before must not pass for those of the changed input.

    Nor those of the cohort's table, where the run gets no further.
    """
    folder = tmp_path / "work"
    shutil.copytree(finished.folder, folder)
    run = workflow(folder, finished.sheet, config=("patients={P01: {t24: {flip_posterior: true}}}",))
    doses = ("P01/dose/organ_doses.csv", "P01/dose/dose_gy.nii.gz", "P01/recon/t24_unet.nii.gz")
    names = ("P01/report.html", "P01/summary.json", "cohort.html", "cohort.csv", *doses)
    reports = [folder / "out" / name for name in names]
    assert planned(run.jobs()) == planned(PER_TIMEPOINT | AFTER)
    assert run("--touch").returncode == 0 and all(r.exists() for r in reports), "neither makes anything anew"
    back = workflow(folder, finished.sheet)("--until", "import_planar")
    assert back.returncode == 0, back.stdout
    assert not any(r.exists() for r in reports)
    assert (folder / "out/P01/recon/t4_unet.nii.gz").exists(), "the other time point's are as they were"


def test_a_changed_organ_prior_reruns_what_depends_on_it(finished, workflow):
    """A user's own copy of the tracer, in a library folder: the virtual data and the network, not the images."""
    from planardose import library

    tracers = finished.folder / "library/tracers"
    tracers.mkdir(parents=True)
    text = library.entry_path("tracers", "177Lu-PSMA-617").read_text()
    (tracers / "177Lu-PSMA-617.yaml").write_text(text)
    same = workflow(finished.folder, finished.sheet, config=(f"library=[{tracers.parent}]",))
    assert same.jobs() == {}, "the same content elsewhere"
    (tracers / "177Lu-PSMA-617.yaml").write_text(text + "# a prior of mine\n")
    own = {"sample_uptake": 1, "project": 2, "train": 1, "reconstruct": 2}
    assert planned(same.jobs()) == planned(own | AFTER)


def test_a_hand_corrected_segmentation_reruns_what_follows_from_it(finished, demo, workflow):
    corrected = finished.folder / "corrected.nii.gz"
    given = demo.folder / demo.rows[0]["segmentation"]
    shutil.copy(given, corrected)
    shutil.copy(given.with_name("segmentation.tsv"), finished.folder / "corrected.tsv")
    rows = [row | {"segmentation": str(corrected)} for row in demo.rows[:2]]
    run = workflow(finished.folder, demo.sheet(finished.folder / "corrected-sheet.tsv", *rows))
    jobs = run.jobs()
    assert not set(jobs) & {"import_ct", "import_planar"}
    assert planned(jobs) == planned(
        {"segment": 1, "sample_uptake": 1, "project": 2, "train": 1, "register": 2, "reconstruct": 2} | AFTER
    )


def cpu_s_of_children() -> float:
    """CPU seconds of all processes that ended below this one."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def test_a_rerun_with_nothing_changed_is_quick(finished):
    """By the CPU's time: other work on the machine does not count."""
    before = cpu_s_of_children()
    done = finished()
    assert done.returncode == 0, done.stdout
    assert "Nothing to be done" in done.stdout
    assert 0.1 < cpu_s_of_children() - before < 20


def test_killed_in_projection_then_resumed_gives_identical_results(finished, workflow):
    """The second chunk is being simulated when the machine dies; its samples take long enough to be hit."""
    long = ("projection={histories: 1.5e6, chunk: 2}",)
    undisturbed = workflow(finished.folder, finished.sheet, results="long", config=long)
    run = workflow(finished.folder, finished.sheet, results="killed", flags=("--cores", "1"), config=long)
    patient = finished.folder / "killed/P01"

    def done_and_in_work(done: int, working: int) -> bool:
        log = patient / f"logs/project_{working}.log"
        begun = log.exists() and f"sample {2 * working + 1} of 4" in log.read_text()
        return begun and (patient / f"projection/chunk_{done}.npz").exists()

    run.kill_when(lambda: done_and_in_work(0, 1) or done_and_in_work(1, 0))
    (first,) = (patient / "projection").glob("chunk_?.npz")
    made = first.stat().st_mtime_ns
    for results in (undisturbed, run):
        done = results("--until", "project")
        assert done.returncode == 0, done.stdout
    assert first.stat().st_mtime_ns == made, "the finished chunk is kept"
    for n in range(2):
        a, b = (np.load(finished.folder / r / f"P01/projection/chunk_{n}.npz") for r in ("long", "killed"))
        assert sorted(a) == sorted(b) == ["activity", "samples", "views", "windows_kev"]
        assert all(a[key].tobytes() == b[key].tobytes() for key in a)


def test_killed_in_training_then_resumed_on_one_core_gives_identical_results(finished, workflow):
    run = workflow(finished.folder, finished.sheet, results="again", flags=("--cores", "1"))
    model = finished.folder / "again/P01/model"
    run.kill_when((model / "checkpoint.pt").exists)
    assert not (model / "unet.safetensors").exists(), "the kill came too late to mean anything"
    done = run()
    assert done.returncode == 0, done.stdout
    assert "going on from the checkpoint" in (finished.folder / "again/P01/logs/train.log").read_text()
    compared, differences = verify(finished.folder / "out", finished.folder / "again")
    assert not differences, "\n".join(differences)
    assert compared > 20


def test_a_second_run_in_the_same_results_is_refused(finished, workflow):
    from planardose.workflow import Plan

    plan = Plan.load({"cohort": str(finished.sheet), "results": str(finished.folder / "out")})
    longer = workflow(finished.folder, finished.sheet, config=("train={steps: 7}",))
    with plan.lock():
        second = longer()
    assert second.returncode != 0
    assert "another run is working in this folder" in second.stdout
    assert "Traceback" not in second.stdout


@pytest.fixture
def quick(demo, workflow, tmp_path):
    """Runs without sampling or training."""

    def make(*rows: dict, **more):
        return workflow(tmp_path, demo.sheet(tmp_path / "sheet.tsv", *rows), config=("methods=[qplanar_mlem]",), **more)

    return make


def test_a_broken_file_stops_its_patient_only(quick, demo, tmp_path):
    broken = tmp_path / "broken.dcm"
    broken.write_bytes((demo.folder / demo.rows[0]["planar"]).read_bytes()[:3000])
    bad = demo.rows[0] | {"patient": "P02", "planar": str(broken)}
    run = quick(demo.rows[0], bad)
    done = run()
    assert done.returncode == 1
    assert done.stdout.count("Error in rule") == 1
    rows = table(tmp_path / "out/cohort.csv")
    assert {r["status"] for r in rows if r["patient"] == "P01"} <= {"ok", "fallback"}
    failed = [r for r in rows if r["patient"] == "P02"]
    assert [r["status"] for r in failed] == ["failed"]
    assert failed[0]["organ"] == ""
    assert "P02 t4 planar" in failed[0]["message"]
    assert failed[0]["message"] in done.stdout
    assert (tmp_path / "out/cohort.html").exists()
    assert (tmp_path / "out/P01/report.html").exists()
    assert not any("P01" in str(p) for p in (tmp_path / "out/P02").rglob("*"))

    shutil.copy(demo.folder / demo.rows[0]["planar"], broken)
    assert planned(run.jobs()) == planned(PER_TIMEPOINT | AFTER), "P02 goes on where it failed"


def test_the_failed_patient_taken_off_the_sheet_leaves_the_cohort_page(quick, demo, tmp_path):
    bad = demo.rows[0] | {"patient": "P02", "ct": str(tmp_path / "nowhere")}
    assert quick(demo.rows[0], bad)().returncode == 1
    assert {r["patient"] for r in table(tmp_path / "out/cohort.csv")} == {"P01", "P02"}
    assert planned(quick(demo.rows[0]).jobs()) == {"all": 1, "report_cohort": 1}
