"""The patient's summary.json: what was used, what it gave, what to mind. Both pages start from it."""

import json
import platform
from importlib.metadata import version

import pandas as pd

import planardose
from planardose.library import load_nuclide
from planardose.organs import OUTSIDE_CT
from planardose.report.remarks import split
from planardose.report.text import method_name
from planardose.run import Run
from planardose.units import rounded

# paths may hold names; other patients' decisions are not this patient's
NOT_IN_SUMMARY = {"cohort": True, "results": True, "library": True, "patients": True, "segmentation": {"weights"}}
DOSE_MODEL = {
    True: "electrons deposited locally, photons by Monte Carlo",
    False: "electrons deposited locally, photons not included",
}
SOFTWARE = (
    "numpy",
    "scipy",
    "torch",
    "monai",
    "warp-lang",
    "xraylib",
    "totalsegmentator",
    "pydicom",
    "nibabel",
)


def patient_summary(
    run: Run, patient: str, gates: dict, choice: dict, kinetics: pd.DataFrame, doses: pd.DataFrame, **more
) -> dict:
    """Content of summary.json.

    Parameters
    ----------
    run, patient
    gates : dict
        Time point -> gate file.
    choice : dict
        ``method``, ``status`` (ok or fallback), ``gate`` (passed, accepted or failed).
    kinetics, doses : DataFrame
        The dose step's tables.
    **more
        Further entries: energy, hashes, decay_neglected, photons_missing_percent (where the dose lacks them), scale
        (time point -> measured and computed sensitivity), from_spect (time points whose activity is a SPECT's),
        dead_time_not_corrected (where a camera's file lacks it: the highest rate, and what it may cost).
    """
    rows, cycles = run.cohort.rows_of(patient), _cycles(run, patient)
    planar = [r for r in rows if not r.from_spect]
    nuclide = load_nuclide(rows[0].nuclide)
    fits, used = kinetics[kinetics.method == choice["method"]], doses[doses.method == choice["method"]]
    return {
        "patient": patient,
        "nuclide": nuclide.name,
        "half_life_h": nuclide.half_life_h,
        "tracer": rows[0].tracer,
        **choice,
        "preferred_method": run.config.map_method,
        "gates": {t: {k: g.get(k) for k in ("chosen", "status", "accepted")} for t, g in gates.items()},
        "message": _message(gates, choice, run.config.map_method),
        "calibrated": all(r.calibration_cps_per_mbq is not None for r in planar),
        "cycles": cycles,
        "organs": _organs(used, sum(c["administered_mbq"] for c in cycles.values()) / 1000),
        "tia_mbq_h": float(f"{fits.tia_mbq_h.sum():.8g}"),
        "tia_outside_ct_mbq_h": float(f"{fits[fits.organ == OUTSIDE_CT].tia_mbq_h.sum():.8g}"),
        "dead_time_corrected": "dead_time_not_corrected" not in more,
        "flags": sorted(set().union(*map(split, fits["flags"]))),
        "dose_model": DOSE_MODEL[run.config.dose.photons > 0],
        "kinetic_model": "; ".join(sorted(set(fits.model.dropna()))),
        "planardose": planardose.__version__,
        "software": {"python": platform.python_version(), **{n: version(n) for n in SOFTWARE}},
        "seed": run.config.seed,
        "config": json.loads(run.config.model_dump_json(exclude=NOT_IN_SUMMARY)),
        "by_hand": {t: h.model_dump(exclude_defaults=True) for t, h in run.config.patients.get(patient, {}).items()},
        **more,
    }


def _cycles(run: Run, patient: str) -> dict[str, dict]:
    cycles: dict[str, dict] = {}
    for row in run.cohort.rows_of(patient):
        start = {"administered_mbq": row.administered_mbq, "injected_at": row.injected_at.isoformat(), "timepoints": []}
        cycles.setdefault(str(run.cohort.cycle_of(row)), start)["timepoints"].append(row.timepoint)
    return dict(sorted(cycles.items()))


def _organs(used: pd.DataFrame, administered_gbq: float) -> list[dict]:
    """Dose of each organ over all cycles; uncertainties add fully, since cycles share calibration and mass.

    An organ without a dose in one of the cycles, which the images do not show, has none.
    """
    found = []
    for organ, group in used.groupby("organ", sort=False):
        if group.cycle.nunique() < used.cycle.nunique():
            continue
        u = group.dose_gy_u.sum(skipna=False)
        found.append(
            {
                "organ": organ,
                "dose_gy": rounded(group.dose_gy.sum()),
                "dose_gy_u": None if pd.isna(u) else rounded(u),
                "dose_gy_per_gbq": rounded(group.dose_gy.sum() / administered_gbq),
            }
        )
    return found


def _message(gates: dict, choice: dict, preferred: str) -> str:
    """One line for the cohort table; empty when there is nothing to say."""
    if choice["status"] == "fallback":
        where = ", ".join(t for t, g in gates.items() if g["status"] == "fallback")
        used = method_name(choice["method"])
        unfit = [f"{t} ({odd(g['inputs']['worst'])})" for t, g in gates.items() if not _inputs_fit(g)]
        why = f"images, CT and position do not belong together at {', '.join(unfit)}" if unfit else ""
        if choice["method"] == preferred:
            failed = why or "the re-projection gate failed"
            return f"{failed}; there is no other method to fall back to"
        failed = why or f"the preferred method failed its re-projection gate at {where}"
        last = ", whose own gate failed too: do not use these doses" if choice["gate"] == "failed" else ""
        return f"{failed}: {used} is used at all time points{last}"
    accepted = [f"{t}: {g['accepted']}" for t, g in gates.items() if g.get("accepted")]
    return f"failed gate accepted by hand ({'; '.join(accepted)})" if accepted else ""


def _inputs_fit(gate: dict) -> bool:
    return gate.get("inputs", {}).get("passed", True)


def odd(statistic: str) -> str:
    """What is odd, in words, for the statistic of the gate that is farthest from the usual."""
    words = {
        "unexplained": "counts that the organs do not explain",
        "worst_strip": "counts that the organs do not explain in one strip",
        "voxel_strip": "counts that no map explains in one strip",
        "view_ratio": "ratio of the two views",
        "shift": "position of a view",
        "scatter": "scatter for this nuclide",
        "organ_shift": "position of organs",
        "beside": "a source beside the body",
        "size": "size of the body",
    }
    return next((text for start, text in words.items() if statistic.startswith(start)), statistic)
