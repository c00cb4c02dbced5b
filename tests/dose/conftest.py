"""The dose steps start from the results folder of tests/report/fake_results.py."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "report"))
