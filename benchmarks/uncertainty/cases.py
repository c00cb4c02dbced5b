"""Organ activities of a finished run beside the truth, with what their uncertainty is made of: one row per case."""

from pathlib import Path

import numpy as np
import pandas as pd

from planardose.commands.evaluate import organ_truth, true_anatomy
from planardose.config import Config
from planardose.io.result_table import read_rows
from planardose.recon.uncertainty import CALIBRATED, Terms, class_of, counting_variance, factors, model_variance
from planardose.run import Run
from planardose.sheet import load_cohort

FACTORS = ("relative", "texture", "limit", "virtual")
TERMS = ("counts_mbq", "counting_mbq", "spread_mbq", "holds_mbq")


def organ_cases(cohort: Path, results: Path) -> pd.DataFrame:
    """One row per patient, time point, method with an uncertainty, and organ that holds activity.

    Columns: patient, timepoint, method, organ, group, volume_ml, activity, truth, error, stated_u (all MBq), the terms
    of `planardose.recon.uncertainty`, and virtual. Time points without results are left out.
    """
    run = Run(Config(), load_cohort(cohort / "cohort.tsv"), results)
    tables = []
    for patient in run.cohort.patients:
        rows = [r.timepoint for r in run.cohort.rows_of(patient)]
        done = [t for t in rows if run.path("organs", patient=patient, timepoint=t).is_file()]
        if done:
            anatomy = true_anatomy(cohort / "truth" / patient, patient)
            tables += [_of(run, cohort, patient, t, anatomy) for t in done]
    return pd.concat(tables, ignore_index=True)


def _of(run: Run, cohort: Path, patient: str, timepoint: str, anatomy) -> pd.DataFrame:
    keys = {"patient": patient, "timepoint": timepoint}
    table = read_rows(run, "organs", "reconstruct", **keys)
    source = cohort / "truth" / patient / f"{timepoint}_activity.nii.gz"
    truth = organ_truth(run, patient, timepoint, anatomy, source, set(table.organ))[0]
    terms = run.told("organs", "reconstruct", **keys)["uncertainty_terms"]
    table = table[table.activity_mbq_u.notna() & table.organ.map(lambda o: truth.get(o, 0.0) > 0)].copy()
    for name in TERMS:
        table[name] = [np.inf if terms[o][name] is None else terms[o][name] for o in table.organ]
    table["virtual"] = [terms[o]["virtual"] if m not in ("qplanar", "qplanar_mlem") else 0.0
                        for o, m in zip(table.organ, table.method, strict=True)]  # fmt: skip
    table = table.rename(columns={"activity_mbq": "activity", "activity_mbq_u": "stated_u"})
    table["truth"] = table.organ.map(truth)
    table["error"] = table.activity - table.truth
    table["group"] = table.organ.map(class_of)
    return table.assign(patient=patient, timepoint=timepoint)


def present_u(cases: pd.DataFrame) -> np.ndarray:
    """(N,) MBq: standard uncertainty of the cases by ``data/uncertainty.yaml`` as it is now, on a calibrated camera."""
    own = [factors()[m][g] for m, g in zip(cases.method, cases.group, strict=True)]
    factors_of = [np.array([getattr(f, k) for f in own]) for k in FACTORS]
    return np.sqrt(variance_of(cases, *factors_of) + (CALIBRATED * cases.activity.to_numpy()) ** 2)


def variance_of(cases: pd.DataFrame, relative, texture, limit, virtual=0.0) -> np.ndarray:
    """(N,) MBq^2: model variance of the cases for given factors; the calibration is not in it."""
    terms = terms_of(cases)
    shown = virtual * cases.virtual.to_numpy()
    return model_variance(cases.activity.to_numpy(), terms, shown, relative, texture, limit)


def terms_of(cases: pd.DataFrame) -> Terms:
    """Terms of the cases, each (N,)."""
    return Terms(*(cases[t].to_numpy() for t in TERMS))


def counting_of(cases: pd.DataFrame, texture, limit) -> np.ndarray:
    """(N,) MBq^2: what counting statistics make of `variance_of`."""
    return counting_variance(cases.activity.to_numpy(), terms_of(cases), texture, limit)
