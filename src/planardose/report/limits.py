"""What the numbers rest on, in words, for the patient's page."""

ALWAYS = (
    "The three-dimensional maps are generated from two opposed planar views and a CT, not measured by SPECT. "
    "Organ totals are well determined; where activity sits along the line of view is not, unless an organ's "
    "outline says so.",
    "Time-activity curves are mono-exponential from injection to infinity: uptake is taken as complete at "
    "injection, and clearance goes on as between the points. Half-lives are held below the physical one, "
    "activities below the administered one.",
    "The dose map gives every voxel its own amplitude and the half-life of its organ.",
    "Electrons deposit their energy in the voxel where the decay happened. Photons are not included: in organs "
    "this leaves out 1 to 4 % of the self-dose (kidney and spleen 1 %, liver 4 %) and the cross-dose from the "
    "neighbours.",
    "Urinary bladder, gallbladder, stomach and bowel: the label holds the contents; the dose is not that of the "
    "wall. The skeleton's dose is not that of the red marrow.",
    "Uncertainties (k = 1) of activities hold the counts, uneven uptake in the organ and its neighbours, and what "
    "synthetic patients with imperfect segmentations showed for this class of organ; the calibration is added. Most "
    "of it is shared by all time points and does not average down. Doses add the fit and the organ's volume by the "
    "EANM guide's edge model. They do not hold errors of the curve's shape, or of a segmentation worse than those.",
    "Dead time is corrected with the paralysable model on the photopeak rate, along the sweep, where the camera's "
    "file states it (tau_us); otherwise a few per cent of the counts are missing in the first hours after a therapy "
    "activity, about 2 % at 24 h.",
    "Activities refer to the middle of the acquisition; decay during it is neglected (far below 0.1 % for half an "
    "hour).",
)
GATE_FAILED = (
    "The activity map does not explain the measured counts (re-projection gate failed): do not use these doses "
    "without finding out why. See the measured and re-projected views."
)
NOT_CALIBRATED = (
    "Not calibrated on this camera: activities rest on the sensitivity computed for the camera type, with at "
    "least 15 % uncertainty that all time points share."
)
SCALE = (
    "The site's calibration is far from the sensitivity computed for the camera (measured / computed {}): check its "
    "value, the camera and the energy window. Activities and doses scale with it."
)
TOO_MUCH = (
    "More activity found than was administered ({}, decay-corrected): check the calibration, the administered "
    "activity and the times."
)
ONE_POINT = "One time point only: integrals by Hänscheid's approximation."
KEY_NOTE = (
    "Mean dose of each organ, ± standard uncertainty (k = 1); electrons deposited locally, photons not included "
    "(1 to 4 % of an organ's self-dose)."
)
ADDED_CYCLES = " Cycles are added; their uncertainties add fully."
NOT_SEPARATED = (
    "The reconstruction did not state the shared part of its uncertainty: the integrals' uncertainty is too small."
)
SPECT_NAMES = {"spect": "SPECT itself", "uniform": "even body", "all_zero": "empty image"}
SPECT = (
    "Taken {hours} the planar images, brought to their time by physical decay only: what the body cleared in between "
    "counts as a difference. Maps are blurred to the SPECT's resolution ({fwhm}). It covers {covered} of the CT's "
    "body; place: {place}."
)
RESIDUE = "At most {} % of an earlier cycle's activity can be left (physical decay only)."
SEVERAL_CYCLES = "Every cycle is fitted on its own; what an earlier cycle left behind is not subtracted."


def limits(summary: dict, kinetics_note: str) -> list[str]:
    """Sentences that fit this patient; `kinetics_note` is what the curve fits add, or empty."""
    lines = [*ALWAYS, *([kinetics_note] if kinetics_note else [])]
    return [*lines, SEVERAL_CYCLES] if len(summary["cycles"]) > 1 else lines
