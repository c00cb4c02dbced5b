"""A later cycle with one time point: its integral with and without the half-life that the first cycle told.

    python -m benchmarks.dose.later_cycle --seed 8201

Curves and errors as in `benchmarks.dose.kinetics`; the first cycle has points at 4, 24, 96 and 168 h. The effective
half-life of the later one differs by the spread between cycles of `data/dosimetry.yaml` (`--between 2`: twice as far).
"""

import argparse
from dataclasses import replace

import numpy as np
import pandas as pd
from benchmarks.dose.kinetics import ADMINISTERED_MBQ, ERRORS, GROUPS, TRACERS, intervals, told, varied

from planardose.dose.constants import dose_constants
from planardose.dose.kinetics import fit_curve
from planardose.dose.organ_prior import OrganPrior
from planardose.dose.time_activity import TimeActivity
from planardose.library import load_nuclide
from planardose.organs import OUTSIDE_CT
from planardose.recon.uncertainty import class_of
from planardose.seeds import rng_for
from planardose.sim.tracer import exponentials_at, load_tracer

FIRST, LATER = (4.0, 24.0, 96.0, 168.0), (4.0, 24.0, 48.0, 72.0, 96.0, 168.0)


def drawn(curve: tuple, hours: np.ndarray, cls: str, scale: float, rng: np.random.Generator) -> TimeActivity:
    """Points of a curve, (amplitudes, rates), with errors of their own and `scale` (spreads) the shared one."""
    clean, at_24 = exponentials_at(*curve, hours), float(exponentials_at(*curve, 24.0))
    relative, floor, shared = ERRORS[cls]
    own, factor = np.hypot(relative * clean, floor * at_24), max(1.0 + shared * scale, 0.05)
    mbq = factor * np.maximum(clean + own * rng.standard_normal(len(hours)), 1e-6 * at_24)
    return TimeActivity(hours, mbq, np.hypot(factor * own, shared * mbq), shared * mbq)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", type=int, default=8201)
    parser.add_argument("--patients", type=int, default=16, help="of each tracer")
    parser.add_argument("--between", type=float, default=1.0)
    options = parser.parse_args()
    half_life_h, rows = load_nuclide("177Lu").half_life_h, []
    rng = rng_for(options.seed, "later cycle benchmark")
    spread = options.between * dose_constants().between_cycles_t_eff
    for name in (t for t in TRACERS for _ in range(options.patients)):
        tracer = load_tracer(name)
        for group in (*tracer.groups, replace(tracer.lesions, organs=("lesion_1", "lesion_2", "lesion_3"))):
            known = OrganPrior.of_tracer(group.biological_h, group.uptake_h, group.fast)
            for organ in (o for o in group.organs if o != OUTSIDE_CT):
                median, between = group.biological_h
                first_h = median * np.exp(between * rng.standard_normal())
                t_eff_h = 1 / (1 / first_h + 1 / half_life_h) * np.exp(spread * rng.standard_normal())
                later_h = 1 / max(1 / t_eff_h - 1 / half_life_h, 1e-4)
                truth, cls, scale = varied(group, 1.0, rng), class_of(organ), rng.standard_normal()
                curves = []
                for bio in (first_h, later_h):
                    amplitudes, rates = truth.curve(bio, half_life_h)
                    size = 10.0 / float(exponentials_at(amplitudes, rates, 24.0))
                    curves.append((size * amplitudes, rates))
                points = drawn(curves[0], np.array(FIRST), cls, scale, rng)
                first = fit_curve(points, half_life_h, ADMINISTERED_MBQ, known)
                integral = float((curves[1][0] / curves[1][1]).sum())
                factor = max(1.0 + ERRORS[cls][2] * scale, 0.05)
                for hours in LATER:
                    data = drawn(curves[1], np.array([hours]), cls, scale, rng)
                    for way, prior in (("tracer", known), ("cycle 1", known.after(first, half_life_h))):
                        c = fit_curve(data, half_life_h, ADMINISTERED_MBQ, prior)
                        rows.append({"organ": organ, "cls": cls, "hours": hours, "way": way, "ratio": c.tia_mbq_h
                                     / integral / factor, **intervals(c, integral)})  # fmt: skip
    table = pd.DataFrame(rows)
    for group, holds in GROUPS.items():
        part = table[[holds(r) for r in table.itertuples()]]
        for (hours, way), those in part.groupby(["hours", "way"], sort=False):
            print(f"{group:31s} {hours:4.0f} h {way:8s} ({len(those)}) {told(those)}")


if __name__ == "__main__":
    main()
