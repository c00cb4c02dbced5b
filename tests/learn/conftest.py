import pytest
from learn_small import tiny_problem


@pytest.fixture(scope="session")
def problem():
    """The tiny patient's training problem."""
    return tiny_problem()
