"""Results of other inputs in the results folder, which Snakemake without its memory takes for done."""

import json
from base64 import urlsafe_b64encode
from pathlib import Path

import pytest

from planardose.config import Config
from planardose.errors import InputError
from planardose.io.files import sha256_of
from planardose.jobs import jobs_of
from planardose.marks import Marks
from planardose.origin import MEMORY, check_origin
from planardose.paths import STEP_VERSIONS
from planardose.sheet import load_cohort
from planardose.sidecar import sidecar_of
from planardose.workflow import one_spelling

HEADER = "patient timepoint ct planar nuclide tracer camera injected_mbq injected_at spect"
ROW = "P01 {t} ct.nii.gz {planar} Lu-177 177Lu-PSMA-617 siemens_symbia_melp {mbq} 2026-03-02T09:30:00 {spect}"


@pytest.fixture
def made(tmp_path: Path):
    """Inputs of one patient, and what its results tell of them."""
    for name in ("ct.nii.gz", "t24.npz", "t48.dcm"):
        (tmp_path / name).write_text(f"content of {name}")
    results = tmp_path / "results"
    for output, column, name in (
        ("anatomy/ct.nii.gz", "ct", "ct.nii.gz"), ("planar/t24.npz", "planar", "t24.npz"),
        ("recon/t48_organs.csv", "spect", "t48.dcm"),
    ):  # fmt: skip
        path = results / "P01" / f"{output}.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        entry = {"row": "P01 t24", "column": column, "sha256": sha256_of(tmp_path / name)}
        path.write_text(json.dumps({"inputs": [entry]}))
    cycle = {"administered_mbq": 7400.0, "injected_at": "2026-03-02T09:30:00", "timepoints": ["t24"]}
    summary = {"nuclide": "177Lu", "tracer": "177Lu-PSMA-617", "cycles": {"1": cycle}}
    (results / "P01" / "summary.json").write_text(json.dumps(summary))
    settle(tmp_path)
    return tmp_path


def settle(folder: Path) -> None:
    """Let every sidecar that is there hold its job's settings, as `command.run_step` does."""
    for job in jobs_of(Config(), cohort(folder), "P01"):
        sidecar = sidecar_of(job.output(folder / "results"))
        if sidecar.exists():
            mark = Marks(Config(), cohort(folder)).settings(job.step, "P01", job.timepoint)
            sidecar.write_text(json.dumps(json.loads(sidecar.read_text()) | {"settings": mark}))


def cohort(folder: Path, mbq: str = "7400"):
    rows = ({"t": "t24", "planar": "t24.npz", "spect": ""}, {"t": "t48", "planar": "", "spect": "t48.dcm"})
    lines = [HEADER, *(ROW.format(mbq=mbq, **row) for row in rows)]
    (folder / "cohort.tsv").write_text("\n".join("\t".join(line.split(" ")) for line in lines) + "\n")
    return load_cohort(folder / "cohort.tsv")


def remember(folder: Path, output: str) -> None:
    """What Snakemake leaves of an output in its working folder."""
    (folder / MEMORY).mkdir(parents=True, exist_ok=True)
    (folder / MEMORY / urlsafe_b64encode(output.encode()).decode()).write_text("")


def test_results_of_the_same_inputs_are_taken(made):
    check_origin(Config(), cohort(made), str(made / "results"), made)
    check_origin(Config(), cohort(made), str(made / "nothing yet"), made)


@pytest.mark.parametrize("name", ["ct.nii.gz", "t24.npz", "t48.dcm"])
def test_results_of_other_files_are_refused_unless_snakemake_remembers_them(made, name: str):
    (made / name).write_text("another patient's")
    results = str(made / "results")
    with pytest.raises(InputError, match=r"P01 (ct|planar|spect): the results folder holds results of another \w+"):
        check_origin(Config(), cohort(made), results, made)
    remember(made, f"{results}/P012/anatomy/ct.nii.gz")
    with pytest.raises(InputError, match="P01 "):
        check_origin(Config(), cohort(made), results, made)
    remember(made, f"{results}/P01/anatomy/ct.nii.gz")
    check_origin(Config(), cohort(made), results, made)  # it reruns what the change concerns


@pytest.mark.parametrize("name", ["~1", "a~1", "ab~1", "?", "a?", "ab?", "büro"])
def test_snakemakes_record_of_a_folder_with_any_name_is_read(made, monkeypatch, name: str):
    """Depending on its place, '~' or '?' gives one of the two letters of base 64 that its kinds write otherwise."""
    monkeypatch.chdir(made)
    (made / "results").rename(name)
    (made / "ct.nii.gz").write_text("another patient's")
    remember(made, f"{name}/P01/anatomy/ct.nii.gz")
    check_origin(Config(), cohort(made), name)


@pytest.mark.parametrize("cycles", [[], {"1": {}}, {"1": None}, None])
def test_a_foreign_summary_is_told_in_one_line(made, cycles):
    path = made / "results/P01/summary.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"cycles": cycles}))
    with pytest.raises(InputError, match="P01 injections: the results folder holds results with other injections"):
        check_origin(Config(), cohort(made), str(made / "results"), made)


def test_results_of_another_administration_are_refused(made):
    with pytest.raises(InputError, match="P01 injections: the results folder holds results with other injections"):
        check_origin(Config(), cohort(made, "3700"), str(made / "results"), made)


def settings_of(folder: Path, **config) -> None:
    """Let a sidecar hold the settings of a run with this config, as `command.run_step` does."""
    path = folder / "results/P01/planar/t24_registration.json.json"
    mark = Marks(Config(**config), cohort(folder)).settings("register", "P01", "t24")
    path.write_text(json.dumps({"settings": mark}))


def test_results_of_other_settings_are_refused_unless_snakemake_remembers_them(made):
    """Snakemake's memory names outputs as the run before spelled them, and lies in the working folder of that run."""
    settings_of(made)
    check_origin(Config(seed=1), cohort(made), str(made / "results"), made)  # registration takes no seed
    wider = Config(registration={"max_shift_mm": 80.0})
    with pytest.raises(InputError, match="P01 register t24: the results folder holds results of other settings"):
        check_origin(wider, cohort(made), str(made / "results"), made)
    remember(made, f"{made / 'results'}/P01/anatomy/ct.nii.gz")
    check_origin(wider, cohort(made), str(made / "results"), made)  # it reruns what the change concerns


def test_results_of_an_older_version_are_refused_unless_snakemake_remembers_them(made, monkeypatch):
    settings_of(made)
    monkeypatch.setitem(STEP_VERSIONS, "register", STEP_VERSIONS["register"] + 1)
    with pytest.raises(InputError, match="or of another version of planardose"):
        check_origin(Config(), cohort(made), str(made / "results"), made)


def test_results_whose_sidecars_hold_no_settings_are_an_older_versions(made):
    path = made / "results/P01/anatomy/ct.nii.gz.json"
    path.write_text(json.dumps({k: v for k, v in json.loads(path.read_text()).items() if k != "settings"}))
    with pytest.raises(InputError, match=r"version of planardose; .*; choose another results folder, or delete"):
        check_origin(Config(), cohort(made), str(made / "results"), made)
    remember(made, f"{made / 'results'}/P01/anatomy/ct.nii.gz")
    check_origin(Config(), cohort(made), str(made / "results"), made)


@pytest.mark.parametrize("written", ["out", "./out", "out/", "../{work}/out", "{folder}/out", "{folder}/x/../out"])
def test_every_way_to_write_the_results_folder_is_one_to_snakemake(tmp_path, monkeypatch, written: str):
    monkeypatch.chdir(tmp_path)
    assert one_spelling(written.format(work=tmp_path.name, folder=tmp_path)) == "out"
    assert one_spelling("../elsewhere/") == "../elsewhere"
    assert one_spelling("/elsewhere/out") == "/elsewhere/out"
