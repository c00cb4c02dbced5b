"""Time-integrated activity with the exponential alone and with the early phases that the chain chooses.

    python -m benchmarks.dose.kinetics --seed 5101 --seeds 3

Curves as `make-demo` draws them from the tracers' priors, in closed form, at several sets of time points. Each point
gets the error of its own and the one that all share with which the chain knows that class of organ (medians of the
demo's organ tables, QPlanar + MLEM; `--own 2` doubles what is drawn of the own errors, not what is stated). Per group
of organs: bias (median) and error (68 % of the organs are below) of the integral without the shared error, and the
shares of truths in the 68 and 95 % intervals with it; both for the exponential alone and for the chain's choice.
`--phase 8` gives the lesions another half-time of uptake than the tracers' 3 h.
"""

import argparse
from dataclasses import replace

import numpy as np
import pandas as pd

from planardose.dose.kinetics import fit_curve
from planardose.dose.time_activity import TimeActivity
from planardose.library import load_nuclide
from planardose.organs import OUTSIDE_CT
from planardose.recon.uncertainty import LESIONS, class_of
from planardose.seeds import rng_for
from planardose.sim.tracer import exponentials_at, load_tracer
from planardose.sim.uptake import draw_curves

TRACERS = ("177Lu-PSMA-617", "177Lu-DOTATATE")
HOURS = (
    (4, 24, 96, 168), (24, 72, 168), (4, 24, 48, 96), (24, 48, 96, 168), (1, 4, 24, 72, 168), (4, 24, 48, 72, 120, 168),
)  # fmt: skip
ADMINISTERED_MBQ, PATIENTS, LESION_NUMBER = 7400.0, 4, 3
PHASES = "uptake phase", "bi-exponential"
# class -> own error over the activity, own error over the activity at 24 h, shared error over the activity
ERRORS = {
    "kidneys": (0.020, 0.001, 0.06), "glands": (0.025, 0.008, 0.06), "liver": (0.016, 0.002, 0.06),
    "spleen, bladder": (0.030, 0.010, 0.06), "bowel, stomach": (0.12, 0.04, 0.3), "large": (0.06, 0.02, 0.15),
    LESIONS: (0.037, 0.002, 0.09), "small": (0.4, 0.15, 0.7),
}  # fmt: skip
GROUPS = {
    "kidneys, liver, glands, spleen": lambda r: r.cls in ("kidneys", "liver", "glands") or r.organ == "spleen",
    "lesions": lambda r: r.cls == LESIONS,
    "other organs": lambda r: r.cls in ("bowel, stomach", "large") or r.organ == "urinary_bladder",
    "small organs": lambda r: r.cls == "small",
}


def curves_of(tracer_name: str, half_life_h: float, phase_h: float | None, rng: np.random.Generator) -> list:
    """(organ, amplitudes, rates) of the organs of one patient; concentrations stand for activities."""
    tracer, found = load_tracer(tracer_name), []
    known = tracer.lesions if phase_h is None else replace(tracer.lesions, uptake_h=phase_h)
    for prior in (*tracer.groups, known):
        organs = prior.organs or tuple(f"lesion_{n + 1}" for n in range(LESION_NUMBER))
        drawn = draw_curves(prior, len(organs), tracer.reference_h, half_life_h, ADMINISTERED_MBQ, rng)
        found += [(o, *curve) for o, curve in zip(organs, drawn, strict=True) if o != OUTSIDE_CT]
    return found


def fitted(organ: str, amplitudes, rates, hours: np.ndarray, half_life_h: float, more_own: float, rng) -> list[dict]:
    """The exponential alone and the chain's choice for one organ with errors drawn."""
    clean, at_24 = exponentials_at(amplitudes, rates, hours), float(exponentials_at(amplitudes, rates, 24.0))
    relative, floor, shared = ERRORS[class_of(organ)]
    own = np.hypot(relative * clean, floor * at_24)
    mbq = np.maximum(clean + more_own * own * rng.standard_normal(len(hours)), 1e-6 * at_24)
    scale, truth = max(1.0 + shared * rng.standard_normal(), 0.05), float((amplitudes / rates).sum())
    data = TimeActivity(hours, scale * mbq, scale * np.hypot(own, shared * mbq), scale * shared * mbq)
    rows = []
    for early in (False, True):
        curve = fit_curve(data, half_life_h, ADMINISTERED_MBQ, early)
        rows.append({
            "organ": organ, "cls": class_of(organ), "early": early, "ratio": curve.tia_mbq_h / truth / scale,
            "z": (curve.tia_mbq_h - truth) / curve.tia_mbq_h_u, "model": curve.model,
        })  # fmt: skip
    return rows


def told(part: pd.DataFrame) -> str:
    ratio, z = part.ratio, part.z.abs()
    return (f"bias {100 * (ratio.median() - 1):+6.1f} %, error {100 * (ratio - 1).abs().quantile(0.683):5.1f} %, "
            f"held {100 * (z < 1).mean():3.0f} and {100 * (z < 1.96).mean():3.0f} %")  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", type=int, default=5101)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--own", type=float, default=1.0)
    parser.add_argument("--phase", type=float, default=None)
    options = parser.parse_args()
    half_life_h = load_nuclide("177Lu").half_life_h
    for hours in HOURS:
        rows = []
        for seed in range(options.seed, options.seed + options.seeds):
            rng = rng_for(seed, "kinetics benchmark", str(hours))
            for tracer in (t for t in TRACERS for _ in range(PATIENTS)):
                for organ, *curve in curves_of(tracer, half_life_h, options.phase, rng):
                    at = np.array(hours, dtype=float)
                    rows += fitted(organ, *curve, at, half_life_h, options.own, rng)
        table = pd.DataFrame(rows)
        print(f"{', '.join(map(str, hours))} h: {len(table) // 2} organs", flush=True)
        for name, holds in GROUPS.items():
            part = table[[holds(r) for r in table.itertuples()]]
            alone, chosen = part[~part.early], part[part.early]
            phases = chosen.model.value_counts()
            share = ", ".join(f"{k} {100 * phases.get(k, 0) / len(chosen):.0f} %" for k in PHASES)
            print(f"  {name} ({len(chosen)})\n    exponential {told(alone)}\n    chosen      {told(chosen)}; {share}")


if __name__ == "__main__":
    main()
