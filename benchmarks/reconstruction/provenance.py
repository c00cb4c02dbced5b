"""Which code made a number, on which machine, when."""

import hashlib
import platform
import subprocess
from datetime import date
from functools import cache
from pathlib import Path

from planardose.machine import load, processor

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


def stamp() -> dict:
    """What every cell carries."""
    return {
        "commit": commit(), "date": date.today().isoformat(), "machine": processor(),
        "load": load(), "python": platform.python_version(),
    }  # fmt: skip
