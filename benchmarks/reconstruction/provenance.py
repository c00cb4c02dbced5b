"""Which code made a number, on which machine, when."""

import hashlib
import os
import platform
import subprocess
from datetime import date
from functools import cache
from pathlib import Path

CLONE = Path(__file__).parents[2]


def _git(*words: str) -> str:
    done = subprocess.run(["git", "-C", str(CLONE), *words], capture_output=True, text=True, check=False)
    return done.stdout if done.returncode == 0 else ""


@cache
def commit() -> str:
    """Description of the commit when it was first asked for, or ``unknown``; changes in src or benchmarks show."""
    described = _git("describe", "--always", "--abbrev=12", "--exclude=*").strip() or "unknown"
    changes = _git("diff", "HEAD", "--", "src", "benchmarks")
    return f"{described}-dirty-{hashlib.sha256(changes.encode()).hexdigest()[:8]}" if changes else described


def machine() -> str:
    """Processor, cores and load, without a host's name."""
    model = ""
    info = Path("/proc/cpuinfo")
    if info.exists():
        model = next((x.split(":")[1].strip() for x in info.read_text().splitlines() if x.startswith("model name")), "")
    return f"{model or platform.machine()}, {os.cpu_count()} cores"


def stamp() -> dict:
    """What every cell carries."""
    return {
        "commit": commit(), "date": date.today().isoformat(), "machine": machine(),
        "load": round(os.getloadavg()[0], 1), "python": platform.python_version(),
    }  # fmt: skip
