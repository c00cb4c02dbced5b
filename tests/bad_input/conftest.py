"""The small patient of tests/io, and the structure sets of tests/anatomy."""

import sys
from pathlib import Path

for room in ("anatomy", "io"):
    sys.path.insert(0, str(Path(__file__).parents[1] / room))
