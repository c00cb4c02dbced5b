"""What the numbers rest on, in words, for the patient's page."""

from planardose.library import load_nuclide
from planardose.physics.calibration import published_ratios, uncalibrated_relative_u
from planardose.report.text import number, percent

MAP = (
    "The three-dimensional maps are generated from two opposed planar views and a CT, not measured by SPECT. How well "
    "the chain does was measured in silico only, not in patients. "
    "Totals of large organs with uptake are well determined; where activity sits along the line of view is not, unless "
    "an organ's outline says so, or a spot stands out of what surrounds it. A lesion that no label outlines "
    "counts in the organ around it, found as a focus or not: no uncertainty of that organ holds it."
)
FROM_SPECT = (
    "The activity at {} is a SPECT's (a star in the curves), the same for every method. What blur moved between organs "
    "is put back by its resolution and the outlines, each organ taken as evenly filled; its uncertainty holds the "
    "SPECT's calibration and the blur. Organs that do not lie whole in its field have no activity there, and no gate "
    "judges it."
)
CURVES = (
    "Time-activity curves are mono-exponential, with the uptake phase or the fast washout that the tracer usually has "
    "in the organ, as far as points of the first hours do not tell another; what is not known of it is in the "
    "uncertainty. Clearance goes on as between the points. Half-lives are held below the physical one, "
    "activities below the administered one. Where the points do not tell the half-life, clearance much faster than "
    "is usual for organs is held back."
)
DOSE_MAP = (
    "The dose map gives every voxel its own amplitude and the half-life of its organ. Its voxels mix an organ with "
    "what is around it: an organ's dose is the table's, the mean of the map inside an outline is lower, for small "
    "organs by far, and a dose-volume histogram of the map misleads."
)
PHOTONS = (
    "Electrons deposit their energy in the voxel where the decay happened. The photons of all lines are followed by "
    "Monte Carlo through the CT's tissues, from each organ as if it were evenly filled, down to 5 keV; of glands and "
    "small lesions, which the voxels blur, the part of their own photons comes out too low (by 20 to 40 % where it was "
    "measured, with 177Lu in voxels of 10 mm)."
)
NO_PHOTONS = "Electrons deposit their energy in the voxel where the decay happened. Photons are not included: {}"
SELF_DOSE = (
    "for {nuclide} they would add {kidneys:g} % to a kidney's self-dose, {liver:g} % to the liver's, and the "
    "cross-dose from the neighbours."
)
UNKNOWN_SELF_DOSE = (
    "a decay of {nuclide} sets {photons:g} keV free as photons and {electrons:g} keV as electrons; what an organ "
    "absorbs of the former, its own and its neighbours', is missing."
)
CONTENTS = (
    "Urinary bladder, gallbladder, stomach and bowel: the label holds the contents; the dose is not that of the "
    "wall. The skeleton's dose is not that of the red marrow."
)
UNCERTAINTIES = (
    "Uncertainties (k = 1) of activities hold the counts, uneven uptake in the organ and its neighbours, and what "
    "synthetic patients with imperfect segmentations showed for this class of organ; the calibration is added. Most "
    "of it but the counts is shared by all time points and does not average down. Doses add the fit and the organ's "
    "volume by the EANM guide's edge model, which takes every organ as a sphere: too little for skeleton, muscle and "
    "bowel. Edges of lesions are taken as blurred by {lesion_mm:g} mm (dose.lesion_edge_fwhm_mm). They hold what is "
    "not known of a curve's early phase, no other error of its shape, nor of a segmentation worse than those."
)
LEARNT_WITH = "177Lu"
OTHER_NUCLIDE = (
    "What those patients showed, and what the gate takes for usual, was learnt with 177Lu and a medium-energy "
    "collimator, not with {nuclide}."
)
DEAD_TIME = (
    "Dead time is corrected with the paralysable model along the sweep, on the photopeak's rate less the scatter that "
    "the windows beside it tell."
)
NO_DEAD_TIME = (
    "Dead time is not corrected: the camera's file does not state it (tau_us). At the highest rate in a head's "
    "photopeak less its scatter, {rate} counts/s at {timepoint}, one of {assumed_us:g} μs would take {lost} of the "
    "counts, and activities there would be too low by as much."
)
DEAD_TIME_MATTERS = " Measure the camera's dead time with this nuclide, or leave such early points out."
NOTED_LOSS = 0.05  # as much as a calibration is uncertain: above it the first screen tells of it
MOMENT = (
    "Activities refer to the middle of the acquisition; decay during it is neglected, which is up to {:.2g} % where "
    "the body is seen first or last."
)
GATE_FAILED = (
    "The re-projection gate failed: the map does not explain the counts, or images, CT and position do not belong "
    "together. Do not use these doses without finding out why: look at the gate and the residuals, and check that CT, "
    "label map and images are of one patient, the pixel size, the order of the heads and the nuclide."
)
NOT_CALIBRATED = (
    "Not calibrated on this camera: activities rest on the sensitivity computed for the camera type, with {u} "
    "uncertainty that all time points share. Published calibrations (177Lu, Symbia, medium energy) are {least:.0f} to "
    "{most:.0f} % lower than computed: without one, activities and doses tend to be too low."
)
SCALE = (
    "The site's calibration is far from the sensitivity computed for the camera (measured / computed {}): check its "
    "value, the camera and the energy window. Activities and doses scale with it."
)
TOO_MUCH = (
    "More activity found than was administered ({}, decay-corrected): check the calibration, the administered "
    "activity and the times."
)
GAINED = (
    "More activity found later than before ({} of the administered, decay-corrected), but no body gains any: check "
    "that each time point has its own images, times and exposure, that all show one part of the body, and dead time."
)
ONE_POINT = (
    "One time point only{}, which does not tell the half-life: taken is {}the time after injection, as Hänscheid's "
    "approximation does, where that is near the half-life that the organ usually has with this tracer, and else the "
    "usual one."
)
EARLIER = "that of the organ in an earlier cycle, where it was told, weighed with its usual one with this tracer; else "
KEY_NOTE = "Mean dose of each organ, ± standard uncertainty (k = 1); electrons deposited locally, photons {}. "
NO_DOSE = "Without a dose: red marrow, lacrimal glands, walls of hollow organs, lesions that nobody outlined."
NO_OUTLINE = " No outline was given of: {}."
PER_GBQ = "The uncertainty of the administered activity is not in Gy/GBq."
PHOTONS_MATTER = "These doses are too low. {}"
MATTERS = 0.1  # added to the liver's self-dose, or photon over electron energy where that is not known
ADDED_CYCLES = " Cycles are added; their uncertainties add fully, and a letter may be one cycle's: see Doses."
SPECT_NAMES = {"spect": "SPECT itself", "uniform": "even body", "all_zero": "empty image"}
SPECT = (
    "Taken {hours} the planar images, brought to their time by physical decay only: what the body cleared in between "
    "counts as a difference. Maps are blurred to the SPECT's resolution ({fwhm}). It covers {covered} of the CT's "
    "body; place: {place}."
)
RESIDUE = "At most {} % of an earlier cycle's activity can be left (physical decay only)."
SEVERAL_CYCLES = (
    "Every cycle is fitted on its own, but for half-lives that its time points do not tell and an earlier one did. "
    "What an earlier cycle left behind is not subtracted and counts again, with a remark where that matters."
)


def not_calibrated() -> str:
    """What the lack of a calibration means."""
    most, least = (100 * (1 - ratio) for ratio in published_ratios())
    return NOT_CALIBRATED.format(u=percent(uncalibrated_relative_u()), least=least, most=most)


def one_point(summary: dict) -> str:
    """On what the half-lives of cycles with a single time point rest; empty where all have more."""
    single = [n for n, c in summary["cycles"].items() if len(c["timepoints"]) == 1]
    if not single:
        return ""
    where = f" in cycle {' and '.join(single)}" if len(summary["cycles"]) > 1 else ""
    return ONE_POINT.format(where, EARLIER if "earlier_half_life" in summary["flags"] else "")


def photons(summary: dict) -> tuple[str, bool]:
    """What the dose holds of the photons, and whether the first screen must say what it lacks."""
    if summary["config"]["dose"]["photons"]:
        return PHOTONS, False
    nuclide, missing = load_nuclide(summary["nuclide"]), summary["photons_missing_percent"]
    if missing is None:
        energies = {"photons": nuclide.photon_kev, "electrons": nuclide.electron_kev}
        told = UNKNOWN_SELF_DOSE.format(nuclide=nuclide.name, **energies)
        return NO_PHOTONS.format(told), nuclide.photon_kev > MATTERS * nuclide.electron_kev
    return NO_PHOTONS.format(SELF_DOSE.format(nuclide=nuclide.name, **missing)), missing["liver"] > 100 * MATTERS


def no_dead_time(summary: dict) -> tuple[str, bool]:
    """What the lack of a dead time means at the highest rate, and whether the first screen must say it."""
    told = summary["dead_time_not_corrected"]
    rate, lost = number(told["rate_cps"]), percent(told["lost"])
    return NO_DEAD_TIME.format(**told | {"rate": rate, "lost": lost}), told["lost"] > NOTED_LOSS


def limits(summary: dict, kinetics_note: str) -> list[str]:
    """Sentences that fit this patient; `kinetics_note` is what the curve fits add, or empty."""
    dead_time = DEAD_TIME if summary["dead_time_corrected"] else no_dead_time(summary)[0]
    several = SEVERAL_CYCLES if len(summary["cycles"]) > 1 else ""
    moment = MOMENT.format(max(0.01, 100 * summary["decay_neglected"]))  # of a static image less: no 8.8e-06 %
    uncertainties = UNCERTAINTIES.format(lesion_mm=summary["config"]["dose"]["lesion_edge_fwhm_mm"])
    nuclide = summary["nuclide"]
    other = OTHER_NUCLIDE.format(nuclide=nuclide) if nuclide != LEARNT_WITH else ""
    spect = FROM_SPECT.format(", ".join(summary["from_spect"])) if summary.get("from_spect") else ""
    found = (
        MAP, spect, CURVES, DOSE_MAP, photons(summary)[0], CONTENTS, uncertainties, other, dead_time, moment,
        kinetics_note, several,
    )  # fmt: skip
    return [line for line in found if line]
