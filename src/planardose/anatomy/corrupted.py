"""Where the CT number does not tell the density: contrast medium and metal. There the organ's own density is used."""

import logging

import numpy as np

from planardose.anatomy.materials import HU_RANGE, matter_table
from planardose.image import Volume
from planardose.organs import LESION_BASE, REMAINDER, name_of_label, organ_table

CONTRAST_HU = 150.0  # unenhanced soft organs stay below 80 HU
CONTRAST_SHARE = 0.2  # of an organ's voxels above CONTRAST_HU: less is calcification or the edge of a bone
METAL_HU = 2500.0  # above the densest cortical bone
WATER_DENSITY = 1.0
LESION_DENSITY = 1.05  # soft tissue
log = logging.getLogger(__name__)


def _hu_of_density(density: np.ndarray) -> np.ndarray:
    """CT number that the calibration turns into a density (g/mL)."""
    table = matter_table().sum(axis=0)
    rising = np.maximum.accumulate(table)
    return np.interp(density, rising, np.arange(HU_RANGE[0], HU_RANGE[1] + 1)).astype(np.float32)


class Corruption:
    """Which labels hold contrast medium or metal, and the CT number that stands for the organ's density.

    Parameters
    ----------
    ct, labels : Volume
        Same shape.
    where : str
        Pseudonymous place, for the log.

    Attributes
    ----------
    voxels : (L,) int64
        Number of voxels of each label.
    """

    def __init__(self, ct: Volume, labels: Volume, where: str):
        size = int(labels.data.max()) + 1
        self.voxels, bright, metal = np.zeros((3, size), dtype=np.int64)
        for k in range(ct.data.shape[2]):
            plane, hu = labels.data[:, :, k], ct.data[:, :, k]
            self.voxels += np.bincount(plane.ravel(), minlength=size)
            bright += np.bincount(plane[hu > CONTRAST_HU], minlength=size)
            metal += np.bincount(plane[hu > METAL_HU], minlength=size)
        density = np.full(size, WATER_DENSITY)
        density[LESION_BASE:] = LESION_DENSITY
        for organ in organ_table():
            if organ.label < size:
                density[organ.label] = organ.density_g_ml
        soft = (density > 0.9) & (density < 1.1) & (np.arange(size) > 0) & (np.arange(size) < LESION_BASE)
        self.contrast = soft & (bright > CONTRAST_SHARE * np.maximum(self.voxels, 1))
        self.hu = _hu_of_density(density)
        self._warn(bright, metal, where)

    def _warn(self, bright: np.ndarray, metal: np.ndarray, where: str) -> None:
        names = name_of_label()
        for label in np.flatnonzero(self.contrast):
            log.warning("%s: contrast medium in %s (%d voxels above %g HU): density set to the organ's",
                        where, names[int(label)], bright[label], CONTRAST_HU)
        if metal.any():
            worst = int(metal.argmax())
            log.warning("%s: %d voxels above %g HU taken as metal, most in %s: density set to the organ's",
                        where, metal.sum(), METAL_HU, names.get(worst, REMAINDER if worst == 0 else "a lesion"))

    def trusted_hu(self, hu: np.ndarray, label: np.ndarray) -> np.ndarray:
        """CT numbers (n,) with those of contrast medium and metal replaced by the organ's own."""
        bad = (hu > METAL_HU) | (self.contrast[label] & (hu > CONTRAST_HU))
        return np.where(bad, self.hu[label], hu)
