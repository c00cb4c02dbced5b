"""The training's table as a file."""

import math

from planardose.learn.training_table import table_text


def test_numbers_have_eight_digits_and_what_is_not_known_is_empty():
    rows = [(0, math.nan, 0.123456789, "zero output"), (25.0, 2e-3, 1e-12, "training")]
    text = "step,rate,loss,network\n0,,0.12345679,zero output\n25,0.002,1e-12,training\n"
    assert table_text(("step", "rate", "loss", "network"), rows) == text
