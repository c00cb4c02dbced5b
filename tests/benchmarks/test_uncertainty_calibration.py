"""The calibration of uncertainties finds what time points share beside their counts."""

import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks" / "uncertainty"))

from calibrate import shared_part


@pytest.mark.parametrize("counts", [0.1, 0.6])
def test_what_time_points_share_is_found_beside_counts(counts):
    """Errors of variance 1, `counts` of it from counting: 0.8 of the rest is shared."""
    rng, organs, points = np.random.default_rng(6), 3000, 4
    common, alone = (rng.standard_normal(s) for s in ((organs, 1), (2, organs, points)))
    rest = np.sqrt(1 - counts) * (np.sqrt(0.8) * common + np.sqrt(0.2) * alone[0])
    cases = pd.DataFrame({
        "patient": np.repeat(np.arange(organs), points), "organ": "liver", "activity": 10.0, "virtual": 0.0,
        "error": (rest + np.sqrt(counts) * alone[1]).ravel(), "counts_mbq": 1.0, "counting_mbq": np.sqrt(counts),
        "spread_mbq": 0.0, "holds_mbq": 1e6,
    })  # fmt: skip
    assert shared_part(cases, np.array([1e-6, 0.2, 1.0])) == pytest.approx(0.8, abs=0.06)
