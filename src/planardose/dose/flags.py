"""What the flags of the kinetics and dose tables mean, in words for the reader of a report."""

FLAGS = {
    "single_point": "one time point: Hänscheid's approximation, its uncertainty from the spread of half-lives",
    "physical_limit": "clearance not distinguishable from zero: effective half-life set to the physical one",
    "shortest_limit": "half-life at the lower bound of the fit",
    "administered_limit": "activity at injection limited to the administered activity",
    "poor_fit": "a single exponential does not describe the points; uncertainty scaled up",
    "no_activity": "no activity found",
    "no_uncertainty": "the method states no uncertainty; points weighted alike",
    "contents_not_wall": "dose to the contents, not to the wall",
}
