"""Where the CT number does not tell the density: contrast medium and metal. There the organ's own density is used.

Iodine raises the CT number, and with it the density that the calibration gives (1.10 g/mL at 80 HU, 1.12 at 100,
above it part bone), but neither the mass nor the attenuation of the imaged lines. An organ is judged as a whole:
enhanced or not. In an enhanced one only what is denser than the organ itself is replaced, so that gas in the bowel and
fat at an edge stay. Lesions keep their CT numbers: those of the bone may be as dense as they look.
"""

import numpy as np

from planardose.anatomy.materials import HU_RANGE, matter_table
from planardose.image import Volume
from planardose.organs import LESION_BASE, REMAINDER, name_of_label, organ_table

# Unenhanced: liver and blood 45 to 65 HU, spleen 35 to 55, muscle 10 to 60, kidney 20 to 40, brain 20 to 45 (Prokop,
# Spiral and Multislice Computed Tomography of the Body, 2003). In the portal venous phase the liver has 100 to 120.
ENHANCED_HU = 75.0  # a soft organ whose median is above it holds contrast medium
CONTRAST_HU = 150.0
CONTRAST_SHARE = 0.2  # of an organ's voxels above CONTRAST_HU: less is calcification or the edge of a bone
OWN_IODINE = "thyroid_gland"  # 80 to 110 HU without contrast medium: treated alike, not told
# Bone, protein or cavities in bone: bright without contrast medium, and as dense as they look.
DENSE = ("hard_palate", "eye_lens_left", "eye_lens_right", "auditory_canal_left", "auditory_canal_right")
METAL_HU = 2500.0  # above the densest cortical bone
WATER_DENSITY = 1.0
LESION_DENSITY = 1.05  # soft tissue


def _hu_of_density(density: np.ndarray) -> np.ndarray:
    """CT number that the calibration turns into a density (g/mL)."""
    table = matter_table().sum(axis=0)
    rising = np.maximum.accumulate(table)
    return np.interp(density, rising, np.arange(HU_RANGE[0], HU_RANGE[1] + 1)).astype(np.float32)


class Corruption:
    """Which soft labels hold contrast medium, where metal is, and the CT number that stands for an organ's density.

    Parameters
    ----------
    ct, labels : Volume
        Same shape.

    Attributes
    ----------
    voxels : (L,) int64
        Number of voxels of each label.
    notes : tuple of str
        What was found, for the log and the report.
    """

    def __init__(self, ct: Volume, labels: Volume):
        size = int(labels.data.max()) + 1
        self.voxels, enhanced, bright, metal = np.zeros((4, size), dtype=np.int64)
        for k in range(ct.data.shape[2]):
            plane, hu = labels.data[:, :, k], ct.data[:, :, k]
            self.voxels += np.bincount(plane.ravel(), minlength=size)
            enhanced += np.bincount(plane[hu > ENHANCED_HU], minlength=size)
            bright += np.bincount(plane[hu > CONTRAST_HU], minlength=size)
            metal += np.bincount(plane[hu > METAL_HU], minlength=size)
        density, judged = np.full(size, WATER_DENSITY), np.arange(size) > 0
        density[LESION_BASE:] = LESION_DENSITY
        for organ in organ_table():
            if organ.label < size:
                density[organ.label] = organ.density_g_ml
                judged[organ.label] = organ.name not in DENSE
        soft = judged & (density > 0.9) & (density < 1.1) & (np.arange(size) < LESION_BASE)
        self.contrast = soft & ((enhanced > 0.5 * self.voxels) | (bright > CONTRAST_SHARE * self.voxels))
        self.hu = _hu_of_density(density)
        self.notes = (*self._of_contrast(enhanced), *self._of_metal(metal))

    def _of_contrast(self, enhanced: np.ndarray) -> list[str]:
        found = {int(n): name_of_label()[int(n)] for n in np.flatnonzero(self.contrast)}
        return [
            f"contrast medium in {name.replace('_', ' ')} ({enhanced[n] / self.voxels[n]:.0%} above "
            f"{ENHANCED_HU:g} HU): density set to the organ's"
            for n, name in found.items()
            if name != OWN_IODINE
        ]

    @staticmethod
    def _of_metal(metal: np.ndarray) -> list[str]:
        if not metal.any():
            return []
        worst = int(metal.argmax())
        place = name_of_label().get(worst, REMAINDER if worst == 0 else "a lesion").replace("_", " ")
        found = f"{metal.sum()} voxels above {METAL_HU:g} HU taken as metal, most in {place}"
        return [f"{found}: density set to the organ's"]

    def trusted_hu(self, hu: np.ndarray, label: np.ndarray) -> np.ndarray:
        """CT numbers (n,) with those of contrast medium and metal replaced by the organ's own."""
        bad = (hu > METAL_HU) | (self.contrast[label] & (hu > self.hu[label]))
        return np.where(bad, self.hu[label], hu)
