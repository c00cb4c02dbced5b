"""What share of a finished run went into Snakemake and imports rather than work.

    python benchmarks/overhead/measure.py RESULTS SNAKEMAKE_LOG [--cores N]

RESULTS holds the jobs' Snakemake benchmarks; SNAKEMAKE_LOG is the run's log (`.snakemake/log/*.log`). Time per job and
elapsed time come from them; how long a step's modules take to import is measured here (median of three). Overhead is
the imports of all jobs plus the core time in which no job ran, as a share of cores x elapsed.
"""

import argparse
import re
import statistics
import subprocess
import sys
import time
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


def elapsed_seconds(log: Path) -> float:
    """Time of the whole run from the line that Snakemake ends its log with."""
    days, hours, minutes, seconds = re.findall(
        r"Elapsed time: (?:(\d+) days?, )?(\d+):(\d+):([\d.]+)", log.read_text()
    )[-1]
    return int(days or 0) * 86400 + int(hours) * 3600 + int(minutes) * 60 + float(seconds)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("results", type=Path)
    parser.add_argument("log", type=Path)
    parser.add_argument("--cores", type=int, default=2)
    a = parser.parse_args()
    rows = []
    for file in sorted(a.results.glob("*/benchmarks/*.tsv")):
        step = re.sub(r"(_t?\d+)?$", "", file.stem)
        rows += [(step, s) for s in pd.read_csv(file, sep="\t")["s"]]
    jobs = pd.DataFrame(rows, columns=["step", "seconds"]).groupby("step")["seconds"].agg(["count", "sum"])
    jobs["import_s"] = [import_seconds(step) for step in jobs.index]
    jobs["imports"] = jobs["count"] * jobs["import_s"]
    total = a.cores * elapsed_seconds(a.log)
    idle = max(total - jobs["sum"].sum(), 0.0)
    print(jobs.round(1).to_string())
    in_jobs, imports = jobs["sum"].sum(), jobs["imports"].sum()
    print(f"cores x elapsed {total:.0f} s: in jobs {in_jobs:.0f} s (imports {imports:.0f} s), no job {idle:.0f} s")
    print(f"Snakemake and imports: {100 * (idle + imports) / total:.1f} % of cores x elapsed")


if __name__ == "__main__":
    main()
