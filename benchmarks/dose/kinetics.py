"""Time-integrated activity by what is known: the points alone, or with the early phase and half-life of the tracer.

    python -m benchmarks.dose.kinetics --seed 8101

Curves as `make-demo` draws them from the tracers' priors, in closed form, at the sets of time points that clinics use.
Half-times of uptake and fast washout and the odds of the latter are drawn about those of the tracers with the spreads
that `data/dosimetry.yaml` states (`--spread 0`: as the tracers have them, `--spread 2`: twice as far). Each point gets
the error of its own and the one that all share with which the chain knows that class of organ (medians of the demo's
organ tables, QPlanar + MLEM; `--own 2` doubles what is drawn of the own errors, not what is stated). Per set of time
points, group of organs and tracer: bias (median) and error (68 % of the organs are below) of the integral without the
shared error, and the shares of truths in the 68 and 95 % intervals with it; of the exponential alone (from four points
on), of what the points tell, and of the chain. At the end the chain's shares over both tracers, and the groups where
they leave 60 to 76 and 90 to 98 %. `--phase 8` gives the lesions another half-time of uptake than the tracers' 3 h, of
which the chain does not know.
"""

import argparse
from dataclasses import replace

import numpy as np
import pandas as pd

from planardose.dose.constants import dose_constants
from planardose.dose.kinetics import fit_curve
from planardose.dose.organ_prior import IN_GENERAL, OrganPrior
from planardose.dose.time_activity import TimeActivity
from planardose.library import load_nuclide
from planardose.organs import OUTSIDE_CT, is_lesion
from planardose.recon.uncertainty import LESIONS, class_of
from planardose.seeds import rng_for
from planardose.sim.tracer import Prior, exponentials_at, load_tracer
from planardose.sim.uptake import draw_curves

TRACERS = ("177Lu-PSMA-617", "177Lu-DOTATATE")
HOURS = (
    (1, 4, 24, 72, 168), (4, 24, 48, 72, 120, 168), (4, 24, 96, 168), (4, 24, 48, 96), (4, 24, 72), (4, 24),
    (24, 48, 96, 168), (24, 72, 168), (24, 48, 72), (24, 96), (24, 168), (4,), (24,), (48,), (72,), (96,), (168,),
)  # fmt: skip
ADMINISTERED_MBQ, LESION_NUMBER = 7400.0, 3
# class -> own error over the activity, own error over the activity at 24 h, shared error over the activity
ERRORS = {
    "kidneys": (0.020, 0.001, 0.06), "glands": (0.025, 0.008, 0.06), "liver": (0.016, 0.002, 0.06),
    "spleen, bladder": (0.030, 0.010, 0.06), "bowel, stomach": (0.12, 0.04, 0.3), "large": (0.06, 0.02, 0.15),
    LESIONS: (0.037, 0.002, 0.09), "small": (0.4, 0.15, 0.7),
}  # fmt: skip
BOUNDED = "small"  # class whose errors are those of what such a volume can hold, whatever was found
GROUPS = {
    "kidneys, liver, glands, spleen": lambda r: r.cls in ("kidneys", "liver", "glands") or r.organ == "spleen",
    "lesions": lambda r: r.cls == LESIONS,
    "other organs": lambda r: r.cls in ("bowel, stomach", "large") or r.organ == "urinary_bladder",
    "small organs": lambda r: r.cls == "small",
}
WAYS = "exponential", "points", "chain"
AIM = (60, 76), (90, 98)  # %, of the truths in the 68 and 95 % intervals


def varied(prior: Prior, spread: float, rng: np.random.Generator) -> Prior:
    """The prior with another early phase, `spread` standard deviations of what is stated about its own."""
    half_time, odds = np.exp(spread * np.array(dose_constants().tracer_phase_spread) * rng.standard_normal(2))
    fraction, fast_h = prior.fast
    odds *= fraction / (1 - fraction)
    return replace(prior, uptake_h=half_time * prior.uptake_h, fast=(odds / (1 + odds), half_time * fast_h))


def organs_of(name: str, half_life_h: float, options: argparse.Namespace, rng: np.random.Generator):
    """(organ, amplitudes, rates, what is known of it) of one patient's organs; concentrations stand for activities."""
    tracer = load_tracer(name)
    for prior in (*tracer.groups, tracer.lesions):
        known = OrganPrior.of_tracer(prior.biological_h, prior.uptake_h, prior.fast)
        for organ in prior.organs or [f"lesion_{n + 1}" for n in range(LESION_NUMBER)]:
            other = is_lesion(organ) and options.phase
            truth = varied(replace(prior, uptake_h=options.phase) if other else prior, options.spread, rng)
            (curve,) = draw_curves(truth, 1, tracer.reference_h, half_life_h, ADMINISTERED_MBQ, rng)
            if organ != OUTSIDE_CT:
                yield organ, *curve, known


def fitted(organ: str, amplitudes, rates, known: OrganPrior, hours, half_life_h: float, more_own: float, rng) -> list:
    """One row for each of `WAYS` for one organ with errors drawn."""
    clean, at_24 = exponentials_at(amplitudes, rates, hours), float(exponentials_at(amplitudes, rates, 24.0))
    relative, floor, shared = ERRORS[class_of(organ)]
    own = np.hypot(relative * clean, floor * at_24)
    mbq = np.maximum(clean + more_own * own * rng.standard_normal(len(hours)), 1e-6 * at_24)
    scale, truth = max(1.0 + shared * rng.standard_normal(), 0.05), float((amplitudes / rates).sum())
    stated = own, shared * clean
    if class_of(organ) != BOUNDED:
        stated = scale * own, scale * shared * mbq
    data = TimeActivity(hours, scale * mbq, np.hypot(*stated), stated[1])
    rows = []
    for way in WAYS if len(hours) > 3 else WAYS[1:]:  # three points tell an exponential and no more
        prior = known if way == "chain" else IN_GENERAL
        curve = fit_curve(data, half_life_h, ADMINISTERED_MBQ, prior, early_phase=way != "exponential")
        rows.append({
            "organ": organ, "cls": class_of(organ), "way": way, "ratio": curve.tia_mbq_h / truth / scale,
            "z": (curve.tia_mbq_h - truth) / curve.tia_mbq_h_u,
        })  # fmt: skip
    return rows


def held(part: pd.DataFrame) -> tuple[float, float]:
    """Shares of truths in the 68 and 95 % intervals, %."""
    return tuple(100 * float((part.z.abs() < width).mean()) for width in (1.0, 1.96))


def told(part: pd.DataFrame) -> str:
    off = part.ratio - 1
    return (f"bias {100 * off.median():+6.1f} %, error {100 * off.abs().quantile(0.683):5.1f} %, "
            "held {:3.0f} and {:3.0f} %".format(*held(part)))  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", type=int, default=8101)
    parser.add_argument("--patients", type=int, default=8, help="of each tracer and set of time points")
    parser.add_argument("--own", type=float, default=1.0)
    parser.add_argument("--spread", type=float, default=1.0)
    parser.add_argument("--phase", type=float, default=None)
    parser.add_argument("--hours", type=int, nargs="+", default=None, help="one set of time points alone, h")
    options = parser.parse_args()
    half_life_h = load_nuclide("177Lu").half_life_h
    summary = []
    for hours in [tuple(options.hours)] if options.hours else HOURS:
        rng, rows, at = rng_for(options.seed, "kinetics benchmark", str(hours)), [], np.array(hours, dtype=float)
        for tracer in (t for t in TRACERS for _ in range(options.patients)):
            for organ in organs_of(tracer, half_life_h, options, rng):
                rows += [r | {"tracer": tracer} for r in fitted(*organ, at, half_life_h, options.own, rng)]
        table, name = pd.DataFrame(rows), ", ".join(map(str, hours)) + " h"
        print(f"{name}: {(table.way == 'chain').sum()} organs", flush=True)
        for group, holds in GROUPS.items():
            part = table[[holds(r) for r in table.itertuples()]]
            for (tracer, way), those in part.groupby(["tracer", "way"], sort=False):
                print(f"  {group}, {tracer} ({len(those)}) {way:11s} {told(those)}")
            summary.append((name, group, part[part.way == "chain"]))
    print("\nthe chain, both tracers")
    for name, group, part in summary:
        outside = any(not low <= share <= high for share, (low, high) in zip(held(part), AIM, strict=True))
        print(f"  {name:24s} {group:31s} ({len(part):3d}) {told(part)}{'  outside' if outside else ''}")


if __name__ == "__main__":
    main()
