"""The table of virtual uptakes, read as it was written."""

from pathlib import Path

import numpy as np
import pandas as pd


def read_samples(path: Path) -> pd.DataFrame:
    """Table of the step `sample-uptake` (columns: `planardose.sim.uptake.draw_samples`): lesions as text."""
    table = pd.read_csv(path, sep="\t", dtype={"texture_seed": np.int64, "lesions": str}, float_precision="round_trip")
    return table.fillna({"lesions": ""})
