"""The machine in words, for who reads a timing."""

import os
import platform
from pathlib import Path

import pytest

from planardose.machine import load, processor


def test_the_processor_is_the_kernels_with_its_cores():
    model, _, cores = processor().rpartition(", ")
    assert cores == f"{os.cpu_count()} cores"
    assert f": {model}\n" in Path("/proc/cpuinfo").read_text() or model == platform.machine()


def test_the_load_is_the_last_minutes():
    assert load() == pytest.approx(os.getloadavg()[0], abs=0.2)
