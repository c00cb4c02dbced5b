"""The section that says what the doses rest on: inputs, plausibility, and parts of the uncertainty."""

from dataclasses import dataclass, field

import pandas as pd

from planardose.report.text import organ_name, percent

LEAST = 0.001  # no part is nothing: less reads as below one per cent
NOT_STATED = "Not stated by this method."
NO_ACTIVITY = "No activity was found in the organs of the first screen."
PARTS = ("calibration", "anatomy", "curve", "mass", "dose")


@dataclass(frozen=True)
class Basis:
    """What the section shows.

    Parameters
    ----------
    facts : tuple of (label, text)
    notes : tuple of str
        That the import of CT and images recorded.
    parts : DataFrame
        organ, and relative standard uncertainties `PARTS` of the first cycle.
    stated : bool
        Whether the method states uncertainties.
    """

    facts: tuple[tuple[str, str], ...]
    notes: tuple[str, ...]
    parts: pd.DataFrame = field(repr=False)
    stated: bool


def basis_context(basis: Basis) -> dict:
    """Values of the template."""
    rows = [
        {"organ": organ_name(r.organ), "cells": [_part(getattr(r, part)) for part in PARTS]}
        for r in basis.parts.itertuples()
    ]
    no_parts = NO_ACTIVITY if basis.stated else NOT_STATED
    return {"basis": basis.facts, "import_notes": basis.notes, "parts": rows, "no_parts": no_parts}


def _part(share: float) -> str:
    """A part of the uncertainty; more than the dose itself is no number to read."""
    return "> 100 %" if share > 1 else percent(max(share, LEAST))
