"""A results folder with doses that the tests of both steps read."""

import fake_results as fake
import pytest
from dose_run import chain, without_phases


@pytest.fixture(scope="session")
def clean(tmp_path_factory):
    """No noise: the maps are the truth. The run and its model."""
    run = fake.make_run(
        tmp_path_factory.mktemp("clean"), ["P01"], methods=["conjugate_view", "qplanar", "qplanar_mlem", "unet"]
    )
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("planardose.steps.fit_kinetics.load_tracer", without_phases)
        return run, chain(run, noise=1e-6)
