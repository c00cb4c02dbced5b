"""Constants of the dose step, read from ``data/dosimetry.yaml``."""

from dataclasses import dataclass
from functools import cache

import yaml

from planardose.library import DATA

TWO_SIDED_95 = 1.96  # half of a normal distribution's 95 % interval, in standard deviations


@dataclass(frozen=True)
class DoseConstants:
    """Values of ``data/dosimetry.yaml``; each has its source beside it there."""

    shortest_t_eff_h: float
    relative_sigma_without_u: float
    usual_t_bio_h: tuple[float, float]
    between_cycles_t_eff: float
    haenscheid_t_over_t_eff: tuple[float, float]
    early_half_time_h: tuple[float, float]
    tracer_phase_spread: tuple[float, float]
    assumed_phase_flagged: float
    residue_flagged: float
    poor_fit_probability: float
    density_floor_g_ml: float
    edge_fwhm_mm: float
    missing_self_percent: dict[str, dict[str, float]]
    kidney_alpha_beta_gy: float
    kidney_repair_h: float
    contents: tuple[str, ...]


@cache
def dose_constants() -> DoseConstants:
    """The constants shipped with the package."""
    d = yaml.safe_load((DATA / "dosimetry.yaml").read_text())
    return DoseConstants(
        **{k: tuple(v) if isinstance(v, list) else float(v) for k, v in d["kinetics"].items()},
        density_floor_g_ml=float(d["local_dose"]["density_floor_g_ml"]),
        edge_fwhm_mm=float(d["segmentation"]["edge_fwhm_mm"]),
        missing_self_percent=d["photons"]["missing_self_percent"],
        **{k: float(v) for k, v in d["bed"].items()},
        contents=tuple(d["contents"]),
    )
