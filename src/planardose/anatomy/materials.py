"""CT numbers to matter: mass of adipose tissue, soft tissue and bone per volume (`patient_model.MATERIALS`)."""

from functools import cache

import numpy as np

from planardose.data_table import data_table
from planardose.patient_model import MATERIALS

HU_RANGE = (-1000, 3071)  # CT numbers outside carry no more information on tissue: they are taken at the nearer end


@cache
def matter_table() -> np.ndarray:
    """(3, N) float32, g/mL: partial densities at every integer CT number of `HU_RANGE` (source in the data file)."""
    rows = data_table("hu_to_matter.tsv")
    knots = np.array([float(r["hu"]) for r in rows])
    hu = np.arange(HU_RANGE[0], HU_RANGE[1] + 1)
    table = np.stack([np.interp(hu, knots, [float(r[m]) for r in rows]) for m in MATERIALS]).astype(np.float32)
    table.setflags(write=False)
    return table


def partial_density_from_hu(hu: np.ndarray) -> np.ndarray:
    """Partial densities of CT numbers by the stoichiometric calibration of Schneider et al. (2000).

    Parameters
    ----------
    hu : array of any shape
        CT numbers in HU, rounded to integers.

    Returns
    -------
    (3, ...) float32, g/mL
        In the order of `MATERIALS`; their sum is the density.
    """
    index = np.clip(np.rint(hu), *HU_RANGE).astype(np.int32) - HU_RANGE[0]
    return matter_table()[:, index]
