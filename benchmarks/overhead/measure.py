"""What share of a finished run went into Snakemake and imports rather than work.

    python benchmarks/overhead/measure.py RESULTS SNAKEMAKE_LOG [--cores N] [--demo SECONDS]

RESULTS holds the jobs' Snakemake benchmarks; SNAKEMAKE_LOG is the run's log (`.snakemake/log/*.log`). Of
cores x elapsed

- *imports* is the number of jobs of each step times what its modules take to import, measured here (median of three);
- *Snakemake* is the core time in which no job ran at all (start, end, planning), and what the log counts for a job
  beyond the job's own process;
- *waiting* is the core time in which a core had no job that was ready, as when the last patient trains alone. It is
  no overhead: a longer cohort fills it.

With --demo, the wall time of all of `make demo`, also what share of it these two cost: their core time over the cores,
and the imports of `make-demo` (itself, then its workers) and `evaluate`, before and after Snakemake.
"""

import argparse
import re
import statistics
import subprocess
import sys
import time
from datetime import datetime
from pathlib import Path

import pandas as pd

HEAVY = {
    "train": "import planardose.steps.train, monai.networks.nets",
    "reconstruct": "import planardose.steps.reconstruct, planardose.learn.infer, monai.networks.nets",
}


def import_seconds(step: str) -> float:
    """Median of three imports of a step, in processes of their own."""
    code = HEAVY.get(step, f"import planardose.cli, planardose.steps.{step}")
    times = []
    for _ in range(3):
        began = time.perf_counter()
        subprocess.run([sys.executable, "-c", code], check=True)
        times.append(time.perf_counter() - began)
    return statistics.median(times)


def spans_of(log: Path) -> list[tuple[float, float]]:
    """Start and end (seconds) of every job, from the time stamps of Snakemake's log."""
    now, starts, spans = 0.0, {}, []
    for line in log.read_text().splitlines():
        if stamp := re.fullmatch(r"\[(\w{3} \w{3} +\d+ [\d:]{8} \d{4})\]", line):
            now = datetime.strptime(stamp[1], "%a %b %d %H:%M:%S %Y").timestamp()
        elif begun := re.match(r" +jobid: (\d+)$", line):
            starts.setdefault(begun[1], now)
        elif ended := re.match(r"Finished jobid: (\d+) ", line):
            spans.append((starts[ended[1]], now))
    return spans


def elapsed_seconds(log: Path) -> float:
    """Time of the whole run from the line that Snakemake ends its log with."""
    days, hours, minutes, seconds = re.findall(
        r"Elapsed time: (?:(\d+) days?, )?(\d+):(\d+):([\d.]+)", log.read_text()
    )[-1]
    return int(days or 0) * 86400 + int(hours) * 3600 + int(minutes) * 60 + float(seconds)


def covered_seconds(spans: list[tuple[float, float]]) -> float:
    """Time in which at least one job ran."""
    total, until = 0.0, -float("inf")
    for start, end in sorted(spans):
        total += max(end - max(start, until), 0.0)
        until = max(until, end)
    return total


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("results", type=Path)
    parser.add_argument("log", type=Path)
    parser.add_argument("--cores", type=int, default=2)
    parser.add_argument("--demo", type=float, metavar="SECONDS", help="wall time of make demo")
    a = parser.parse_args()
    rows = []
    for file in sorted(a.results.glob("*/benchmarks/*.tsv")):
        step = re.sub(r"(_t?\d+)?$", "", file.stem)
        rows += [(step, s) for s in pd.read_csv(file, sep="\t")["s"]]
    jobs = pd.DataFrame(rows, columns=["step", "seconds"]).groupby("step")["seconds"].agg(["count", "sum"])
    jobs["import_s"] = [import_seconds(step) for step in jobs.index]
    jobs["imports"] = jobs["count"] * jobs["import_s"]
    print(jobs.round(1).to_string())
    elapsed, spans = elapsed_seconds(a.log), spans_of(a.log)
    total, in_jobs, imports = a.cores * elapsed, jobs["sum"].sum(), jobs["imports"].sum()
    beside = max(sum(end - start for start, end in spans) - in_jobs, 0.0)  # the log counts in whole seconds
    snakemake = a.cores * max(elapsed - covered_seconds(spans), 0.0) + beside
    waiting = max(total - in_jobs - snakemake, 0.0)
    print(f"cores x elapsed {total:.0f} s: work {in_jobs - imports:.0f} s, imports {imports:.0f} s, "
          f"Snakemake {snakemake:.0f} s, waiting {waiting:.0f} s")
    print(f"Snakemake and imports: {100 * (snakemake + imports) / total:.1f} % of cores x elapsed")
    if a.demo:
        apart = 2 * import_seconds("make_demo") + import_seconds("evaluate")
        share = ((snakemake + imports) / a.cores + apart) / a.demo
        print(f"of the demo's wall time ({a.demo:.0f} s): {100 * share:.1f} %")


if __name__ == "__main__":
    main()
