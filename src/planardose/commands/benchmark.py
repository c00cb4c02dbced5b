"""How long the steps take on this machine, on one synthetic patient: `planardose benchmark`."""

import subprocess
import sys
import time
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from tempfile import TemporaryDirectory

import planardose
from planardose.commands.columns import columns
from planardose.commands.make_demo import make_demo
from planardose.config import Config
from planardose.jobs import Job, jobs_of
from planardose.learn.device import device_of
from planardose.machine import load, processor
from planardose.run import Run
from planardose.sheet import load_cohort

SEED = 1
MINUTE = 60.0


def benchmark(config: Config, say: Callable[[str], None]) -> None:
    """Run the jobs of a synthetic patient and print the seconds of each kind, and what a patient takes on one core.

    The patient is one of `make-demo`, with its CT and sweeps; of equal jobs (time points, chunks of samples) the first
    is run, and with it only the first time point goes into curves and dose.

    Parameters
    ----------
    config : Config
        Methods, grid, samples and device as in a run.
    say : callable
        Prints a line.
    """
    say(f"{processor()}, load {load():.1f}; {device_of(config.device)}; planardose {planardose.__version__}")
    with TemporaryDirectory() as folder:
        make_demo(Path(folder) / "demo", 1, SEED)
        whole = load_cohort(Path(folder) / "demo/cohort.tsv")
        one = type(whole)(whole.rows[:1])
        run = Run(config, one, Path(folder) / "results")
        jobs = jobs_of(config, whole, one.patients[0])
        seconds = _timed(run, jobs)
    start = _start_up()
    rows = [("step", "seconds", "jobs")]
    rows += [(s.replace("_", "-"), f"{t:.1f}", f"{n}") for s, (t, n) in seconds.items()]
    for line in columns(rows):
        say(line)
    work, number = sum(t * n for t, n in seconds.values()), sum(n for _, n in seconds.values())
    patient = f"a patient with {len(whole.rows)} time points: {work / MINUTE:.1f} min of one core"
    say(f"{patient}, and {start:.1f} s to start each of its {number} jobs")


def _timed(run: Run, jobs: tuple[Job, ...]) -> dict[str, tuple[float, int]]:
    """Seconds of the first job of each step, and how many such jobs there are; the training needs all chunks."""
    seconds: dict[str, tuple[float, int]] = {}
    for job in jobs:
        first = job.step not in seconds
        if first or job.chunk is not None:
            began = time.perf_counter()
            where = [x for x in (job.timepoint, job.chunk) if x is not None]
            getattr(import_module(f"planardose.steps.{job.step}"), job.step)(run, job.patient, *where)
            taken = time.perf_counter() - began
            seconds.setdefault(job.step, (taken, sum(j.step == job.step for j in jobs)))
    return seconds


def _start_up() -> float:
    """Seconds that a job with a network needs until its work begins."""
    began = time.perf_counter()
    subprocess.run([sys.executable, "-c", "import planardose.cli, planardose.learn.infer"], check=True)
    return time.perf_counter() - began
