"""What the patient's page shows of a comparison with a SPECT."""

from dataclasses import dataclass, field

import pandas as pd

from planardose.report import limits as words
from planardose.report.text import EMPTY, method_name, missing, number, organ_name, organ_order, percent


@dataclass(frozen=True)
class SpectSection:
    """Comparison of one time point with a SPECT: table and facts of the step, and the picture's data URI."""

    timepoint: str
    table: pd.DataFrame = field(repr=False)
    facts: dict = field(repr=False)
    picture: str = field(repr=False)


def spect_context(section: SpectSection, used: str) -> dict:
    """Scores of every method and organ errors of all map methods beside a SPECT."""
    t, facts = section.table, section.facts
    methods = [m for m in dict.fromkeys(t.method) if m not in ("spect", "uniform", "all_zero")]
    body, organs = t[t.organ.isin(("body", "field"))], t[(t.measure == "activity_mbq") & (t.organ != "field")]
    value = {(r.method, r.measure): r.value for r in body.itertuples()}
    total = {r.method: r.relative_error for r in body[body.measure == "activity_mbq"].itertuples()}
    error = {(r.method, r.organ): r.relative_error for r in organs.itertuples()}
    truth = {r.organ: r.spect for r in organs.itertuples()}
    scores = [
        {
            "name": words.SPECT_NAMES.get(m) or method_name(m),
            "used": m == used,
            "cells": [number(value.get((m, k))) for k in ("ssim", "mae", "nrmse")]
            + [_signed(total.get(m)), number(value.get((m, "deviance")))],
        }
        for m in (*methods, "uniform", "all_zero", "spect")
    ]
    rows = [
        {"organ": organ_name(o), "spect": number(truth[o]), "cells": [_signed(error.get((m, o))) for m in methods]}
        for o in sorted(truth, key=organ_order)
    ]
    registered = facts["registration"]
    place = registered if isinstance(registered, str) else f"CTs correlate by {registered['ct_correlation']:.3f}"
    return {
        "name": section.timepoint,
        "picture": section.picture,
        "scores": scores,
        "methods": [method_name(m) for m in methods],
        "organs": rows,
        "text": words.SPECT.format(
            hours=f"{abs(facts['hours_from_planar']):.1f} h {'after' if facts['hours_from_planar'] >= 0 else 'before'}",
            fwhm=f"{facts['fwhm_mm']:.0f} mm, {facts['fwhm_source']}",
            covered=percent(facts["covered_body_share"]),
            place=place,
        ),
        "ssim": facts["ssim"],
    }


def _signed(fraction) -> str:
    return EMPTY if missing(fraction) else f"{100 * fraction:+z.0f} %".replace("-", "−")
