"""The small patient, its camera and projector."""

import pytest
from small_patient import make_model

from planardose.library import load_camera, load_nuclide
from planardose.recon.projector import Projector


@pytest.fixture(scope="session")
def model():
    return make_model()


@pytest.fixture(scope="session")
def camera():
    return load_camera("siemens_symbia_melp")


@pytest.fixture(scope="session")
def nuclide():
    return load_nuclide("177Lu")


@pytest.fixture(scope="session")
def faces():
    return (108.0, -152.0)


@pytest.fixture(scope="session")
def projector(model, camera, nuclide, faces):
    return Projector(model, camera, nuclide, faces)
