"""Biologically effective dose of a dose rate that follows an organ's curve, by the linear-quadratic model."""

import numpy as np
import pandas as pd

from planardose.dose.constants import dose_constants
from planardose.dose.shape import Shape


def bed_gy(dose_gy: float, shape: Shape, alpha_beta_gy: float, repair_h: float) -> float:
    """D + G D^2 / (alpha / beta): BED (Gy) of a dose given with the dose rate of a `shape`.

    G counts damage that meets other damage before it is repaired, with half-time `repair_h` (Dale, Br J Radiol
    1985;58:515): T_r / (T_r + T_eff) of one exponential; of a sum with amplitudes a, rates l and the repair's rate m,
    2 sum_ij a_i a_j / ((l_i + m) (l_i + l_j)) over the square of its integral.
    """
    amplitudes = np.array([1.0, shape.early])
    rates, repair = np.log(2) / np.array([shape.t_eff_h, shape.early_t_eff_h]), np.log(2) / repair_h
    pairs = np.outer(amplitudes, amplitudes) / ((rates + repair)[:, None] * np.add.outer(rates, rates))
    return dose_gy + 2 * float(pairs.sum()) / shape.after(0.0) ** 2 * dose_gy**2 / alpha_beta_gy


def kidney_bed(doses: pd.DataFrame, kinetics: pd.DataFrame) -> dict[str, tuple[float, float]]:
    """Kidney -> BED and its standard uncertainty (Gy) by that of the dose, all cycles added.

    `doses` and `kinetics` are the rows of one method. What was not repaired when the next cycle came is nothing after
    days. A kidney without a dose in one of the cycles has none.
    """
    c, found = dose_constants(), {}
    known = doses[doses.groupby("organ").cycle.transform("nunique") == doses.cycle.nunique()]
    for d in known[known.organ.str.startswith("kidney_")].itertuples():
        fit = kinetics[(kinetics.organ == d.organ) & (kinetics.cycle == d.cycle)].iloc[0]
        value = bed_gy(d.dose_gy, Shape.of_row(fit), c.kidney_alpha_beta_gy, c.kidney_repair_h)
        slope = 2 * value / d.dose_gy - 1 if d.dose_gy > 0 else 1.0  # d BED / d D
        before = found.get(d.organ, (0.0, 0.0))
        found[d.organ] = before[0] + value, before[1] + slope * d.dose_gy_u
    return found
