"""docs/example.md is executed block by block, as a reader would."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

CLONE = Path(__file__).parents[2]


@pytest.mark.slow
def test_every_block_of_the_worked_example_runs(tmp_path):
    blocks = re.findall(r"^```bash\n(.*?)^```", (CLONE / "docs/example.md").read_text(), re.M | re.S)
    assert len(blocks) >= 7
    environment = os.environ | {
        "CLONE": str(CLONE),
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
    }
    printed = []
    for block in blocks:
        run = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", block],
            cwd=tmp_path,
            env=environment,
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            check=False,
        )
        assert run.returncode == 0, f"{block}\n{run.stdout[-3000:]}"
        printed.append(run.stdout)
    assert "kidney_left" in printed[4]
    assert "P01_dose.dcm" in printed[5]
    assert "rotation_deg" in printed[7]
    assert (tmp_path / "out/cohort.html").is_file()
