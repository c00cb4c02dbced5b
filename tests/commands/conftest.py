"""A patient with results, for the tests of `export-dicom`."""

from pathlib import Path

import pytest
from export_run import fill_results
from imaging_scene import write_patient

from planardose.run import Run


@pytest.fixture(scope="session")
def results(tmp_path_factory) -> Run:
    """Results that no test may change."""
    run = write_patient(tmp_path_factory.mktemp("made"))
    fill_results(run)
    return run


@pytest.fixture
def own_results(tmp_path: Path) -> Run:
    """Results that a test may change."""
    run = write_patient(tmp_path / "own")
    fill_results(run)
    return run
