"""What the flags of the kinetics and dose tables mean, in words for the reader of a report."""

from planardose.dose.constants import dose_constants

FLAGS = {
    "single_point": "one time point: all of the integral is extrapolated, with an uncertainty that is not symmetric "
    "(see the 95 % interval)",
    "physical_limit": "clearance not distinguishable from zero: effective half-life set to the physical one",
    "shortest_limit": "half-life at the lower bound of the fit",
    "half_life_assumed": "the points tell the half-life less well than is known "
    "of the organ with its tracer, which enters",
    "earlier_half_life": "the points do not tell the half-life: that of the organ in an earlier cycle enters, "
    "less sure by the change between cycles",
    "rising": "activity rises between the points: uptake, of which the points do not tell the curve",
    "mostly_extrapolated": "more than half of the integral lies before the first or after the last of several points",
    "administered_limit": "activity at injection (with an uptake phase its slow part) limited to what was administered",
    "earlier_cycle": f"more than {100 * dose_constants().residue_flagged:g} % of the integral is what the cycle before "
    "left behind: counted in both cycles",
    "early_phase": "an uptake phase or a fast washout other than the tracer's usual one describes the points better",
    "phase_assumed": "the points do not tell the first hours: the tracer's usual uptake phase or fast washout makes "
    f"more than {100 * dose_constants().assumed_phase_flagged:g} % of the integral",
    "poor_fit": "the curve does not describe the points (look at it); uncertainty scaled up",
    "no_activity": "no activity found",
    "not_in_images": "not in the images: activity and dose are not known",
    "points_not_in_images": "not in the images at some time points, which are left out",
    "cut_by_images": "cut by the edge of the images: what they do not show is taken to hold as much per volume (by the "
    "conjugate view: nothing)",
    "no_uncertainty": "the method states no uncertainty; points weighted alike",
    "contents_not_wall": "dose to the contents, not to the wall",
}
