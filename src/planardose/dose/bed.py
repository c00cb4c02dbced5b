"""Biologically effective dose of an exponentially falling dose rate, by the linear-quadratic model."""

import pandas as pd

from planardose.dose.constants import dose_constants


def bed_gy(dose_gy: float, t_eff_h: float, alpha_beta_gy: float, repair_h: float) -> float:
    """D + D^2 / (alpha / beta) T_r / (T_r + T_eff): BED (Gy) of a dose given with the half-life `t_eff_h`.

    The quadratic part counts damage that meets other damage before it is repaired, with half-time `repair_h` (Dale, Br
    J Radiol 1985;58:515).
    """
    return dose_gy + dose_gy**2 / alpha_beta_gy * repair_h / (repair_h + t_eff_h)


def kidney_bed(doses: pd.DataFrame, kinetics: pd.DataFrame) -> dict[str, tuple[float, float]]:
    """Kidney -> BED and its standard uncertainty (Gy) by that of the dose, all cycles added.

    `doses` and `kinetics` are the rows of one method. What was not repaired when the next cycle came is nothing after
    days. A kidney without a dose in one of the cycles has none.
    """
    c, found = dose_constants(), {}
    known = doses[doses.groupby("organ").cycle.transform("nunique") == doses.cycle.nunique()]
    for d in known[known.organ.str.startswith("kidney_")].itertuples():
        t_eff = float(kinetics[(kinetics.organ == d.organ) & (kinetics.cycle == d.cycle)].t_eff_h.iloc[0])
        value = bed_gy(d.dose_gy, t_eff, c.kidney_alpha_beta_gy, c.kidney_repair_h)
        slope = 2 * value / d.dose_gy - 1 if d.dose_gy > 0 else 1.0  # d BED / d D
        before = found.get(d.organ, (0.0, 0.0))
        found[d.organ] = before[0] + value, before[1] + slope * d.dose_gy_u
    return found
