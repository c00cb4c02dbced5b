"""Targets of the Makefile that touch nothing but a given folder."""

import os
import subprocess
from pathlib import Path

ROOT = Path(__file__).parents[1]


def link_profiles(home: Path) -> subprocess.CompletedProcess:
    environment = os.environ | {"XDG_CONFIG_HOME": str(home)}
    return subprocess.run(
        ["make", "-C", ROOT, "link-profiles"], env=environment, capture_output=True, text=True, check=False
    )


def test_link_profiles_twice(tmp_path):
    assert link_profiles(tmp_path).returncode == 0
    for name in ("local", "slurm"):
        assert (tmp_path / "snakemake" / name / "config.yaml").samefile(ROOT / "profiles" / name / "config.yaml")
    assert link_profiles(tmp_path).returncode == 0


def test_link_profiles_replaces_nothing(tmp_path):
    mine = tmp_path / "snakemake/slurm"
    mine.mkdir(parents=True)
    (mine / "config.yaml").write_text("jobs: 1\n")
    done = link_profiles(tmp_path)
    assert done.returncode != 0
    assert "exists already" in done.stderr
    assert (mine / "config.yaml").read_text() == "jobs: 1\n"
    assert not (tmp_path / "snakemake/local").exists()


def test_setup_refuses_an_unknown_build_of_torch():
    done = subprocess.run(["make", "-C", ROOT, "setup", "TORCH=tpu"], capture_output=True, text=True, check=False)
    assert done.returncode != 0
    assert "TORCH=tpu is none of any, cuda, cpu" in done.stderr
