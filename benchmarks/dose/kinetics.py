"""Time-integrated activity by what is known: the points alone, or with the early phase and half-life of the tracer.

    python -m benchmarks.dose.kinetics --seed 8101

Curves as `make-demo` draws them from the tracers' priors, in closed form, at the sets of time points that clinics use.
Half-times of uptake and fast washout and the odds of the latter are drawn about those of the tracers with the spreads
that `data/dosimetry.yaml` states (`--spread 0`: as the tracers have them, `--spread 2`: twice as far). Each point gets
the error of its own and the one that all share with which the chain knows that class of organ (medians of the demo's
organ tables, QPlanar + MLEM; `--own 2` doubles what is drawn of the own errors, not what is stated). Per set of time
points, group of organs and tracer: bias (median) and error (68 % of the organs are below) of the integral without the
shared error, and the shares of truths in the 68 and 95 % intervals with it, and half the widths of these over the
integral (medians); of the exponential alone (from four points on), of what the points tell, and of the chain. Beside
them bias and error of trapezoids from two points on, with the first point's activity before it and behind the last one
decay alone, or the exponential of the last two. At the end the chain's over both tracers, and the groups where the
shares leave 60 to 76 and 90 to 98 %. `--phase 8` gives the lesions another half-time of uptake than the tracers' 3 h,
of which the chain does not know.
"""

import argparse
from dataclasses import replace

import numpy as np
import pandas as pd

from planardose.dose.constants import dose_constants
from planardose.dose.curve import Curve
from planardose.dose.kinetics import fit_curve
from planardose.dose.organ_prior import IN_GENERAL, OrganPrior
from planardose.dose.time_activity import TimeActivity
from planardose.library import load_nuclide
from planardose.organs import OUTSIDE_CT, is_lesion
from planardose.recon.uncertainty import LESIONS, class_of
from planardose.seeds import rng_for
from planardose.sim.tracer import Prior, exponentials_at, load_tracer
from planardose.sim.uptake import Administered

TRACERS = ("177Lu-PSMA-617", "177Lu-DOTATATE")
HOURS = (
    (1, 4, 24, 72, 168), (4, 24, 48, 72, 120, 168), (4, 24, 96, 168), (4, 24, 48, 96), (4, 24, 72), (4, 24),
    (24, 48, 96, 168), (24, 72, 168), (24, 48, 72), (24, 96), (24, 168), (4,), (24,), (48,), (72,), (96,), (168,),
)  # fmt: skip
ADMINISTERED_MBQ, LESION_NUMBER, LESION_LITRES = 7400.0, 3, 0.01
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
TRAPEZOIDS = "physical tail", "fitted tail"  # trapezoids, with what is after the last point
WAYS = (*TRAPEZOIDS, "exponential", "points", "chain")
FEWEST = dict.fromkeys(TRAPEZOIDS, 2) | {"exponential": 4}  # points; three tell an exponential and no more
AIM = (60, 76), (90, 98)  # %, of the truths in the 68 and 95 % intervals


def varied(prior: Prior, spread: float, rng: np.random.Generator) -> Prior:
    """The prior with another early phase, `spread` standard deviations of what is stated about its own."""
    half_time, odds = np.exp(spread * np.array(dose_constants().tracer_phase_spread) * rng.standard_normal(2))
    fraction, fast_h = prior.fast
    odds *= fraction / (1 - fraction)
    return replace(prior, uptake_h=half_time * prior.uptake_h, fast=(odds / (1 + odds), half_time * fast_h))


def organs_of(name: str, half_life_h: float, options: argparse.Namespace, rng: np.random.Generator):
    """(organ, amplitudes, rates, what is known of it) of one patient's organs, each of a litre, lesions of 10 mL.

    A lesion of a litre would hold more than was administered.
    """
    tracer = load_tracer(name)
    given = Administered(tracer, half_life_h, ADMINISTERED_MBQ)
    for prior in (*tracer.groups, tracer.lesions):
        known = OrganPrior.of_tracer(prior.biological_h, prior.uptake_h, prior.fast)
        for organ in prior.organs or [f"lesion_{n + 1}" for n in range(LESION_NUMBER)]:
            other = is_lesion(organ) and options.phase
            truth = varied(replace(prior, uptake_h=options.phase) if other else prior, options.spread, rng)
            (curve,) = given.draw_curves(truth, 1, rng)
            amplitudes, rates = curve
            if organ != OUTSIDE_CT:
                yield organ, amplitudes * (LESION_LITRES if is_lesion(organ) else 1.0), rates, known


def fitted(organ: str, amplitudes, rates, known: OrganPrior, hours, half_life_h: float, options, rng) -> list:
    """One row for each of `options.ways` for one organ with errors drawn."""
    clean, at_24 = exponentials_at(amplitudes, rates, hours), float(exponentials_at(amplitudes, rates, 24.0))
    relative, floor, shared = ERRORS[class_of(organ)]
    own = np.hypot(relative * clean, floor * at_24)
    mbq = np.maximum(clean + options.own * own * rng.standard_normal(len(hours)), 1e-6 * at_24)
    scale, truth = max(1.0 + shared * rng.standard_normal(), 0.05), float((amplitudes / rates).sum())
    stated = own, shared * clean
    if class_of(organ) != BOUNDED:
        stated = scale * own, scale * shared * mbq
    data = TimeActivity(hours, scale * mbq, np.hypot(*stated), stated[1])
    rows = []
    for way in options.ways:
        if len(hours) < FEWEST.get(way, 1):
            continue
        if way in TRAPEZOIDS:
            rows.append({"organ": organ, "cls": class_of(organ), "way": way,
                         "ratio": trapezoids(data, half_life_h, way == "fitted tail") / truth / scale})  # fmt: skip
            continue
        prior = known if way == "chain" else IN_GENERAL
        curve = fit_curve(data, half_life_h, ADMINISTERED_MBQ, prior, early_phase=way != "exponential")
        rows.append({
            "organ": organ, "cls": class_of(organ), "way": way, "ratio": curve.tia_mbq_h / truth / scale,
            "early": "early_phase" in curve.flags, **intervals(curve, truth),
        })  # fmt: skip
    return rows


def trapezoids(data: TimeActivity, half_life_h: float, fitted_tail: bool) -> float:
    """Integral in MBq h: level up to the first point, trapezoids, and a tail that falls no slower than decay."""
    t, a = data.hours, data.mbq
    tail_h = half_life_h
    if fitted_tail and a[-1] < a[-2]:
        tail_h = min((t[-1] - t[-2]) / np.log2(a[-2] / a[-1]), half_life_h)
    return float(a[0] * t[0] + np.trapezoid(a, t) + a[-1] * tail_h / np.log(2))


def intervals(curve: Curve, truth: float) -> dict[str, float]:
    """Whether the 68 and the 95 % interval hold the true integral, and half their widths over the integral."""
    u, low, high = curve.tia_mbq_h_u, curve.tia_mbq_h_low, curve.tia_mbq_h_high
    return {
        "in_68": abs(curve.tia_mbq_h - truth) < u, "in_95": low <= truth <= high,
        "wide_68": u / curve.tia_mbq_h, "wide_95": (high - low) / 2 / curve.tia_mbq_h,
    }  # fmt: skip


def held(part: pd.DataFrame) -> tuple[float, float]:
    """Shares of truths in the 68 and 95 % intervals, %."""
    return 100 * float(part.in_68.mean()), 100 * float(part.in_95.mean())


def told(part: pd.DataFrame) -> str:
    off = part.ratio - 1
    errors = f"bias {100 * off.median():+6.1f} %, error {100 * off.abs().quantile(0.683):5.1f} %"
    if part.way.isin(TRAPEZOIDS).all():
        return errors
    return (f"{errors}, held {{:3.0f}} and {{:3.0f}} %, ".format(*held(part))
            + "half width {:4.0f} and {:4.0f} %".format(*(100 * part[["wide_68", "wide_95"]].median())))  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", type=int, default=8101)
    parser.add_argument("--patients", type=int, default=8, help="of each tracer and set of time points")
    parser.add_argument("--own", type=float, default=1.0)
    parser.add_argument("--spread", type=float, default=1.0)
    parser.add_argument("--phase", type=float, default=None)
    parser.add_argument("--ways", nargs="+", choices=WAYS, default=list(WAYS))
    parser.add_argument("--hours", type=int, nargs="+", default=None, help="one set of time points alone, h")
    options = parser.parse_args()
    half_life_h = load_nuclide("177Lu").half_life_h
    summary = []
    for hours in [tuple(options.hours)] if options.hours else HOURS:
        rng, rows, at = rng_for(options.seed, "kinetics benchmark", str(hours)), [], np.array(hours, dtype=float)
        for tracer in (t for t in TRACERS for _ in range(options.patients)):
            for organ in organs_of(tracer, half_life_h, options, rng):
                rows += [r | {"tracer": tracer} for r in fitted(*organ, at, half_life_h, options, rng)]
        table, name = pd.DataFrame(rows), ", ".join(map(str, hours)) + " h"
        print(f"{name}: {(table.way == options.ways[-1]).sum()} organs", flush=True)
        for group, holds in GROUPS.items():
            part = table[[holds(r) for r in table.itertuples()]]
            for (tracer, way), those in part.groupby(["tracer", "way"], sort=False):
                print(f"  {group}, {tracer} ({len(those)}) {way:13s} {told(those)}")
            summary.append((name, group, part[part.way == options.ways[-1]]))
    print(f"\n{options.ways[-1]}, both tracers")
    for name, group, part in summary:
        shares = held(part) if "in_68" in part else ()
        outside = any(not low <= share <= high for share, (low, high) in zip(shares, AIM, strict=False))
        print(f"  {name:24s} {group:31s} ({len(part):3d}) {told(part)}{'  outside' if outside else ''}")
    many = [part.early for name, _, part in summary if name.count(",") > 2 and "early" in part]
    if many:
        found, total = sum(x.sum() for x in many), sum(map(len, many))
        print(f"{found} of {total} organs with four points or more got another early phase")


if __name__ == "__main__":
    main()
