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


def test_a_class_among_others_is_as_it_is_alone():
    """The rows of a class keep the numbers that they have among all cases."""
    rng, organs, points = np.random.default_rng(7), 60, 3
    counting = rng.uniform(0.1, 0.9, organs * points)
    alone = pd.DataFrame({
        "patient": np.repeat(np.arange(organs), points), "organ": "liver", "activity": 10.0, "virtual": 0.0,
        "error": np.repeat(rng.standard_normal(organs), points) + 0.3 * rng.standard_normal(organs * points),
        "counts_mbq": 1.0, "counting_mbq": np.sqrt(counting), "spread_mbq": 0.0, "holds_mbq": 1e6,
    })  # fmt: skip
    both = pd.concat([alone.assign(organ="spleen", counting_mbq=0.0), alone], ignore_index=True)
    factors = np.array([1e-6, 0.2, 1.0])
    assert shared_part(both[both.organ == "liver"], factors) == shared_part(alone, factors)
