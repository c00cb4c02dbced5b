"""Shared by the tests that run the whole workflow: a small synthetic cohort, and a way to call Snakemake."""

import csv
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest

CLONE = Path(__file__).parents[1]
PLANTED = "Quillfeather"


@dataclass(frozen=True)
class Demo:
    """A synthetic cohort of one patient: its folder, sheet rows and the words that no output may hold."""

    folder: Path
    rows: list[dict]
    forbidden: tuple[str, ...]

    def sheet(self, path: Path, *rows: dict) -> Path:
        """Write a sheet elsewhere, of rows with paths made absolute; returns its path."""
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("w", newline="") as f:
            writer = csv.DictWriter(f, list(self.rows[0]), delimiter="\t", lineterminator="\n")
            writer.writeheader()
            for row in rows:
                writer.writerow({k: str(self.folder / v) if v.startswith("inputs/") else v for k, v in row.items()})
        return path

    def leaks_in(self, folder: Path) -> list[str]:
        """Files below `folder` that hold a forbidden word, in their name or their content."""
        found = []
        for path in folder.rglob("*"):
            text = str(path.relative_to(folder)).encode() + (path.read_bytes() if path.is_file() else b"")
            found += [f"{path.relative_to(folder)}: {w}" for w in self.forbidden if w.lower().encode() in text.lower()]
        return found


@pytest.fixture(scope="session")
def demo(tmp_path_factory) -> Demo:
    from planardose.commands.make_demo import Settings, make_demo

    folder = tmp_path_factory.mktemp(PLANTED)  # a name in the inputs' path, above the folders that make_demo names
    make_demo(folder, 1, 3, Settings(ct_mm=(8.0, 8.0, 8.0), sim_mm=10.0, histories=2e4, photons=1e5))
    with (folder / "cohort.tsv").open(newline="") as f:
        rows = list(csv.DictReader(f, delimiter="\t"))
    names = (folder / "planted_names.txt").read_text().splitlines()
    inputs = {part for row in rows for part in Path(row["ct"]).parts} - {"ct", "inputs"}
    return Demo(folder, rows, tuple(sorted({*filter(None, names), *inputs, PLANTED})))


@dataclass
class Workflow:
    """Calls of Snakemake in a working folder outside the clone, as a user makes them.

    `flags` come before ``--config``; `config` are its words.
    """

    folder: Path
    sheet: Path | str
    results: str = "out"
    profile: str = "local"
    configfile: Path | None = CLONE / "config/test.yaml"
    flags: tuple[str, ...] = ("--cores", "2")
    config: tuple[str, ...] = ()
    environment: dict = field(default_factory=dict)

    def command(self, *more: str) -> list[str]:
        return [
            str(Path(sys.executable).with_name("snakemake")), "-s", str(CLONE / "Snakefile"),
            "--profile", str(CLONE / "profiles" / self.profile), "--directory", str(self.folder),
            *(["--configfile", str(self.configfile)] if self.configfile else []), *self.flags, *more,
            "--config", f"cohort={self.sheet}", f"results={self.results}", *self.config,
        ]  # fmt: skip

    def __call__(self, *more: str) -> subprocess.CompletedProcess:
        """Run to the end; stdout and stderr together in `stdout`."""
        # nothing of the virtual environment on PATH: the rules must find it themselves
        path = os.pathsep.join(p for p in os.environ["PATH"].split(os.pathsep) if ".venv" not in p)
        environment = os.environ | {"PATH": path} | self.environment
        return subprocess.run(
            self.command(*more),
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )

    def jobs(self, *more: str) -> dict[str, int]:
        """Rule -> number of jobs that a run would do now."""
        run = self("--dry-run", *more)
        assert run.returncode == 0, run.stdout
        table = re.search(r"^job +count\n[- ]+\n(.*?)^total ", run.stdout, re.M | re.S)
        if table is None:
            assert "Nothing to be done" in run.stdout, run.stdout
            return {}
        return {w[0]: int(w[1]) for line in table[1].splitlines() if len(w := line.split()) == 2}

    def kill_when(self, reached: Callable[[], bool], timeout_s: float = 600) -> None:
        """Start a run, and kill it with all its processes as soon as it has got so far."""
        process = subprocess.Popen(
            self.command(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
        )
        end = time.monotonic() + timeout_s
        while not reached():
            assert process.poll() is None, "the run ended before it was to be killed"
            assert time.monotonic() < end, "the run did not get so far"
            time.sleep(0.01)
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


@pytest.fixture(scope="session")
def workflow() -> type[Workflow]:
    return Workflow
