"""Foci that no outline tells of, as the patient's page shows them: a row per place, its activity at each time point."""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from planardose.report.text import EMPTY, number, organ_name, with_u

SAME_PLACE_MM = 30.0  # a focus of another time point nearer than that is the same one
PLACE, PLACE_U = ["x_mm", "y_mm", "z_mm"], ["x_mm_u", "y_mm_u", "z_mm_u"]
AS_VIEWERS = (-1, -1, 1)  # DICOM's x runs to the left, y to the back
NOTE = (
    "The counts show {} with {} MBq at {} ({}): a lesion, an organ that the labels miss, urine. What foci hold counts "
    "to the organ where they lie: see Foci, and outline the lesions."
)


@dataclass
class Place:
    """Foci of several time points that lie together, brightest first."""

    rows: list

    @property
    def best(self):
        """The one with the least uncertainty of its place."""
        return min(self.rows, key=lambda r: sum(getattr(r, u) ** 2 for u in PLACE_U))

    @property
    def most_mbq(self) -> float:
        return max(r.activity_mbq for r in self.rows)


def places_of(foci: pd.DataFrame) -> list[Place]:
    """Places, brightest first, of foci (columns of `recon.foci_table` and timepoint); one focus each per time point."""
    places: list[Place] = []
    for row in foci.sort_values("activity_mbq", ascending=False, kind="stable").itertuples():
        near = [
            (float(np.linalg.norm([getattr(row, a) - getattr(p.best, a) for a in PLACE])), n)
            for n, p in enumerate(places)
            if row.timepoint not in {r.timepoint for r in p.rows}
        ]
        distance, n = min(near, default=(np.inf, -1))
        if distance < SAME_PLACE_MM:
            places[n].rows.append(row)
        else:
            places.append(Place([row]))
    return sorted(places, key=lambda p: -p.most_mbq)


def foci_context(foci: pd.DataFrame, timepoints: list[str]) -> dict:
    """Rows of the page's table, one cell per time point."""
    rows = []
    for number_, place in enumerate(places_of(foci), start=1):
        best, held = place.best, {r.timepoint: with_u(r.activity_mbq, r.activity_mbq_u) for r in place.rows}
        named = zip(AS_VIEWERS, PLACE, PLACE_U, strict=True)
        at = [(sign * getattr(best, a), getattr(best, u)) for sign, a, u in named]
        rows.append(
            {
                "number": number_,
                "organ": organ_name(best.organ),
                "place": [f"{mm:z.0f} ± {u:.0f}".replace("-", "−") for mm, u in at],
                "contrast": number(best.contrast, 2),
                "cells": [held.get(t, EMPTY) for t in timepoints],
            }
        )
    return {"foci": rows}


def foci_note(foci: pd.DataFrame) -> str:
    """For the first screen; empty without foci."""
    if foci.empty:
        return ""
    top, places = foci.loc[foci.activity_mbq.idxmax()], len(places_of(foci))
    told = "that no outline tells of"
    spots = f"one focus {told}," if places == 1 else f"{places} foci {told}, the brightest"
    mbq = with_u(top.activity_mbq, top.activity_mbq_u)
    return NOTE.format(spots, mbq, top.timepoint, organ_name(top.organ).lower())
