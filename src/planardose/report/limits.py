"""What the numbers rest on, in words, for the patient's page."""


def limits(summary: dict, kinetics_note: str) -> list[str]:
    """Sentences that fit this patient."""
    lines = [
        "The three-dimensional maps are generated from two opposed planar views and a CT, not measured by SPECT. Organ totals are well "
        "determined; where activity sits along the line of view is not, unless an organ's outline says so.",
        "Time-activity curves are mono-exponential from injection to infinity: uptake is taken as complete at injection, and clearance "
        "goes on as between the points. Half-lives are held below the physical one, activities below the administered one.",
        "The dose map gives every voxel its own amplitude and the half-life of its organ.",
        "Electrons deposit their energy in the voxel where the decay happened. Photons are not included: in organs this leaves out "
        "1 to 4 % of the self-dose (kidney and spleen 1 %, liver 4 %) and the cross-dose from the neighbours.",
        "Urinary bladder, gallbladder, stomach and bowel: the label holds the contents; the dose is not that of the wall. The "
        "skeleton's dose is not that of the red marrow.",
        "Uncertainties (k = 1) hold counting and model errors stated by the reconstruction, calibration (shared by all time points), the fit, "
        "and the organ's volume by the EANM guide's edge model. They do not hold errors of the curve's shape, of the segmentation beyond its "
        "edge, or of the partial-volume recovery in small lesions.",
        "Activities refer to the middle of the acquisition; decay during an acquisition is neglected (below 0.1 % for half an hour).",
    ]
    if kinetics_note:
        lines.append(kinetics_note)
    if len(summary["cycles"]) > 1:
        lines.append("Every cycle is fitted on its own; what an earlier cycle left behind is not subtracted.")
    return lines
