"""The machine that computes, in words and without its name: for timings and pages."""

import os
import platform
from pathlib import Path


def processor() -> str:
    """Model and number of cores, as ``AMD EPYC 7763 64-Core Processor, 2 cores``."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.is_file() else []
    model = next((x.partition(":")[2].strip() for x in lines if x.startswith("model name")), "")
    return f"{model or platform.machine()}, {os.cpu_count()} cores"


def load() -> float:
    """Mean number of processes that wanted a core during the last minute."""
    return round(os.getloadavg()[0], 1)
