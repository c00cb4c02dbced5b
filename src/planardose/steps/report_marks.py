"""Marks on the page's rows that the tables do not hold: organs that the CT cuts, lesions smaller than were tried."""

import numpy as np
import pandas as pd

from planardose.image import Volume
from planardose.organs import is_lesion, source_name

LEAST_LESION_ML = 2.0  # of benchmarks/uncertainty: the intervals of lesions were counted above it
CUT, SMALL_LESION = "cut_by_ct", "small_lesion"
MARKS = {
    CUT: "reaches the end of the CT: activity, mass and dose are those of the part inside",
    SMALL_LESION: f"lesion below {LEAST_LESION_ML:g} mL: the uncertainty was checked on larger ones",
}


def organs_cut(labels: Volume) -> set[str]:
    """Rows of the organ table with a label in the first or last slice of the CT."""
    affine = labels.grid.ras_from_voxel
    slices = np.moveaxis(labels.data, int(np.argmax(np.abs(affine[2, :3]))), 0)
    return {source_name(int(n)) for n in np.unique(slices[[0, -1]]) if n > 0}


def marked(doses: pd.DataFrame, cut: set[str]) -> pd.DataFrame:
    """The dose table with marks among its flags."""

    def flags(row) -> str:
        small = is_lesion(row.organ) and row.volume_ml < LEAST_LESION_ML
        found = [row.flags, CUT if row.organ in cut else "", SMALL_LESION if small else ""]
        return ";".join(x for x in found if x)

    return doses.assign(flags=[flags(r) for r in doses.itertuples()])
