"""`planardose benchmark` runs every step that the config asks for and prints its seconds."""

import re

from planardose.commands.benchmark import benchmark
from planardose.config import parse_config


def test_every_step_is_timed():
    lines = []
    benchmark(parse_config({"methods": ["qplanar_mlem"]}), lines.append)
    rows = dict(re.match(r"([a-z-]+) +([0-9.]+) +\d+$", x).groups() for x in lines[2:-1])
    assert list(rows) == [
        "import-ct", "segment", "import-planar", "register", "reconstruct", "fit-kinetics", "absorbed-dose", "report"
    ]  # fmt: skip
    assert all(float(s) >= 0 for s in rows.values()) and float(rows["register"]) > 0.2
    points, minutes, jobs = re.search(r"with (\d) time points: ([0-9.]+) min .* of its (\d+) jobs", lines[-1]).groups()
    assert float(minutes) > 0 and int(jobs) == 5 + 3 * int(points)
