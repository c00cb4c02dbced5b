"""Sentences on what the numbers rest on, against the data that they tell of."""

from planardose.library import load_camera, load_nuclide
from planardose.physics.sensitivity import scale_of, uncalibrated_relative_u
from planardose.report import limits as words

LU = load_nuclide("177Lu")


def test_a_camera_without_calibration():
    """Published: 9.03 to 9.36 cps/MBq per head of a Symbia MELP (`data/physics/calibration.yaml`)."""
    camera = load_camera("siemens_symbia_melp")
    low, high = (100 * scale_of(measured, camera, LU, LU.photopeak).ratio for measured in (9.03, 9.36))
    assert f"{100 - high:.0f} to {100 - low:.0f} % lower" in words.NOT_CALIBRATED
    assert f"with {100 * uncalibrated_relative_u():.0f} % uncertainty" in words.NOT_CALIBRATED
