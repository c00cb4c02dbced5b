"""The counts that a reconstruction starts from, at a placement: heads apart, organs that moved, what images show."""

from dataclasses import replace

import fake_results as fake
import numpy as np
import pytest

from planardose.frames import PlanarPose
from planardose.io.planar_file import save_pair
from planardose.planar import EnergyWindow
from planardose.recon.placement import Placement, middle_of
from planardose.recon.setting import load_setting


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    run = fake.make_run(tmp_path_factory.mktemp("setting"), ["P01"], hours={"t24": 24.0}, methods=["qplanar"])
    fake.fill_patient(run, "P01")
    return run


@pytest.fixture(scope="module")
def setting(run):
    return load_setting(run, "P01", "t24")


@pytest.fixture(scope="module")
def pose(setting) -> PlanarPose:
    """Where each pixel lies on a cell of the grid."""
    return PlanarPose(*middle_of(setting.model.grid))


def test_a_displaced_posterior_head_is_brought_over_the_anterior_one(setting, pose):
    """It shows everything one cell of 10 mm farther to the right and two to the feet."""
    plain = setting.acquired(pose).counts
    found = setting.acquired_at(Placement(pose, head=(10.0, -20.0, 0.0))).counts
    np.testing.assert_allclose(found[0], plain[0], atol=1e-6)
    np.testing.assert_allclose(found[1, :-1, 2:], plain[1, 1:, :-2], atol=1e-6)


def test_an_organ_that_lay_lower_is_brought_back_up(setting, pose):
    """Only there: the counts stay the same in all, and as they are where it neither lay nor lies."""
    plain = setting.acquired(pose)
    found = setting.acquired_at(Placement(pose, organs={"liver": (0.0, -10.0)}))
    change = found.counts - plain.counts
    z = setting.model.grid.axis_mm(2)
    assert (change.sum(axis=(0, 1)) * z).sum() > 0
    assert abs(change.sum()) < 0.002 * plain.counts.sum() < 0.1 * np.abs(change).sum()
    far = setting.model.fractions[setting.model.organs.index("liver")].any(axis=1)
    far = ~np.array([np.convolve(row, np.ones(15), "same") > 0 for row in far.T]).T
    assert np.abs(change[:, far]).sum() < 0.15 * np.abs(change).sum()


def test_cells_that_the_images_do_not_show_are_not_looked_at(setting, pose):
    """Images that lie 200 mm higher show nothing of the lowest 20 slices."""
    whole, part = (setting.acquired(p).of_body for p in (pose, replace(pose, z_mm=pose.z_mm + 200.0)))
    assert whole[:, :, :20].any() and not part[:, :, :20].any()
    np.testing.assert_array_equal(part[:, :, 20:], whole[:, :, 20:])


def test_the_sensitivity_is_that_of_the_window_that_was_acquired(run, setting):
    """A photopeak half as wide about the line sees less of it."""
    narrow = EnergyWindow(203.0, 213.8)
    windows = tuple(narrow if n == setting.peak else w for n, w in enumerate(setting.pair.windows))
    path = run.path("planar", patient="P01", timepoint="t24")
    whole = path.read_bytes()
    try:
        save_pair(path, replace(setting.pair, windows=windows))
        sensitivity = load_setting(run, "P01", "t24").projector.sensitivity
    finally:
        path.write_bytes(whole)
    assert 0.2 < sensitivity / setting.projector.sensitivity < 0.8
