"""Marks on the page's rows that the tables do not hold: organs that the CT cuts, tiny lesions, what was not seen."""

import numpy as np
import pandas as pd

from planardose.image import Volume
from planardose.organs import is_lesion, source_name
from planardose.patient_model import PatientModel

LEAST_LESION_ML = 2.0  # of benchmarks/uncertainty: the intervals of lesions were counted above it
CUT, SMALL_LESION, NOT_SEEN = "cut_by_ct", "small_lesion", "not_seen"
MARKS = {
    CUT: "reaches the end of the CT: activity, mass and dose are those of the part inside",
    NOT_SEEN: "activity not distinguished from zero: its half-life says nothing, its uncertainty what there may be",
    SMALL_LESION: f"lesion below {LEAST_LESION_ML:g} mL: the uncertainty was checked on larger ones",
}


def organs_cut(labels: Volume) -> set[str]:
    """Rows of the organ table with a label in the first or last slice of the CT."""
    affine = labels.grid.ras_from_voxel
    slices = np.moveaxis(labels.data, int(np.argmax(np.abs(affine[2, :3]))), 0)
    return {source_name(int(n)) for n in np.unique(slices[[0, -1]]) if n > 0}


def with_unmeasured(doses: pd.DataFrame, kinetics: pd.DataFrame, model: PatientModel) -> pd.DataFrame:
    """The dose table with an empty row for each organ, method and cycle that no image shows."""
    size = pd.DataFrame({"organ": model.organs, "volume_ml": model.volumes_ml(), "mass_g": model.masses_g()})
    hidden = kinetics[kinetics.points == 0][["organ", "method", "cycle", "flags"]].merge(size, on="organ")
    return pd.concat([doses, hidden], ignore_index=True) if len(hidden) else doses


def marked(doses: pd.DataFrame, cut: set[str], kinetics: pd.DataFrame) -> pd.DataFrame:
    """The dose table with marks among its flags; `kinetics` tells which integrals are less than their uncertainty."""
    weak = kinetics[(kinetics.tia_mbq_h_u > kinetics.tia_mbq_h) & (kinetics.tia_mbq_h > 0)]
    unseen = set(zip(weak.organ, weak.method, weak.cycle, strict=True))

    def flags(row) -> str:
        marks = {
            CUT: row.organ in cut,
            SMALL_LESION: is_lesion(row.organ) and row.volume_ml < LEAST_LESION_ML,
            NOT_SEEN: (row.organ, row.method, row.cycle) in unseen,
        }
        return ";".join(x for x in (row.flags, *(m for m, there in marks.items() if there)) if x)

    return doses.assign(flags=[flags(r) for r in doses.itertuples()])
