"""The whole workflow on a real Slurm of two nodes: GPU rules on the GPU node, and nothing private in the logs."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

pytestmark = [pytest.mark.slurm, pytest.mark.slow]
CLUSTER = Path(__file__).with_name("cluster.sh")
COMMANDS = ("munged", "slurmctld", "slurmd", "sbatch", "unshare", "setpriv")
ON_GPU = {"project", "train"}
FAST_POLLING = ("--slurm-init-seconds-before-status-checks", "2")


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    """A running cluster; what it says about its jobs."""
    path = os.pathsep.join([os.environ["PATH"], "/usr/sbin", "/sbin"])
    missing = [c for c in COMMANDS if shutil.which(c, path=path) is None]
    if missing:
        pytest.skip(f"no Slurm: {', '.join(missing)} missing")
    environment = os.environ | {"SLURM_TEST_DIR": str(tmp_path_factory.mktemp("cluster"))}
    subprocess.run([CLUSTER, "start"], env=environment, check=True, timeout=120)
    try:
        yield environment
    finally:
        subprocess.run([CLUSTER, "stop"], env=environment, check=True, timeout=120)


def finished_jobs() -> list[dict]:
    """Rule, partition, node and state of every job that Slurm remembers."""
    text = subprocess.run(
        ["squeue", "-h", "-t", "all", "-o", "%k|%P|%N|%T"], check=True, capture_output=True, text=True
    )
    fields = ("comment", "partition", "node", "state")
    return [dict(zip(fields, line.split("|"), strict=True)) for line in text.stdout.splitlines()]


def rule_of(job: dict) -> str:
    return job["comment"].removeprefix("rule_").split("_wildcards_")[0]


@pytest.fixture(scope="module")
def run(cluster, demo, workflow, tmp_path_factory):
    folder = tmp_path_factory.mktemp("work")
    flags = ("--jobs", "8", "--latency-wait", "5", *FAST_POLLING)
    run = workflow(folder, demo.sheet(folder / "sheet.tsv", *demo.rows[:1]), profile="slurm", flags=flags)
    done = run()
    (folder / "terminal.txt").write_text(done.stdout)
    assert done.returncode == 0, done.stdout
    return run


def test_every_output_is_there(run):
    for name in (
        "cohort.html",
        "cohort.csv",
        "P01/report.html",
        "P01/dose/organ_doses.csv",
        "P01/model/unet.safetensors",
    ):
        assert (run.folder / "out" / name).stat().st_size > 0, name


def test_gpu_rules_ran_on_the_gpu_node_and_only_they(run):
    jobs = finished_jobs()
    assert {rule_of(j) for j in jobs} >= ON_GPU | {"import_ct", "reconstruct", "absorbed_dose"}
    for job in jobs:
        place = ("gpu", "gpu1") if rule_of(job) in ON_GPU else ("cpu", "cpu1")
        assert (job["partition"], job["node"]) == place, job
        assert job["state"] == "COMPLETED", job


def test_nothing_is_left_to_do(run):
    assert run.jobs() == {}


def test_no_name_and_no_input_folder_in_any_log(run, demo):
    assert [x for x in demo.leaks_in(run.folder) if not x.startswith("sheet.tsv")] == []


def test_a_refused_job_is_told_without_the_paths_of_sheet_and_config(cluster, demo, workflow, tmp_path):
    """Snakemake prints the whole command of a job that Slurm does not take."""
    mine = demo.folder / "mine.yaml"  # below a folder with a name
    mine.write_text("methods: [qplanar_mlem]\n")
    sheet = demo.sheet(demo.folder / "sheet.tsv", *demo.rows[:1])
    flags = ("--jobs", "8", "--default-resources", "slurm_partition=nowhere")
    refused = workflow(tmp_path, sheet, profile="slurm", configfile=mine, flags=flags)()
    (tmp_path / "terminal.txt").write_text(refused.stdout)
    assert refused.returncode == 1 and "sbatch call:" in refused.stdout and "invalid partition" in refused.stdout
    assert demo.leaks_in(tmp_path) == []
