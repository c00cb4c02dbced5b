"""Whether a label map can be a person's: sides and sizes that only a mistake explains."""

import logging
from math import ceil

import numpy as np

from planardose.errors import InputError
from planardose.image import Volume
from planardose.organs import LESION_BASE, lesion_name, name_of_label

log = logging.getLogger(__name__)
SAMPLED = 2e6  # voxels looked at: sides and sizes do not need all
# In version 1 of TotalSegmentator label 17 was a lower lobe of the lung and label 8 the inferior vena cava. A goitre
# may be as large as this thyroid, and a metastasis as this adrenal gland; both at once are another numbering.
VERSION_1_ML = {"thyroid_gland": 100.0, "adrenal_gland_right": 25.0}
LARGE_LESION_ML = 1000.0  # noted above: `lesions` may hold the organs' map


def check_labels(labels: Volume, numbered: bool, where: str) -> None:
    """Refuse a map whose left and right are exchanged, or one in another numbering.

    Parameters
    ----------
    labels : Volume
        In our numbering.
    numbered : bool
        The labels came as numbers, without a names table.
    where : str
        Pseudonymous place, for errors.

    Raises
    ------
    InputError
        Two or more pairs of organs, and most of them, lie on the wrong side of each other; or sizes of version 1 of
        TotalSegmentator's numbers.
    """
    step = max(1, ceil((labels.data.size / SAMPLED) ** (1 / 3)))
    data = labels.data[::step, ::step, ::step]
    counts = np.bincount(data.ravel(order="K"))
    names = {name_of_label()[n]: n for n in np.flatnonzero(counts) if n in name_of_label()}
    _check_sides(data, labels.grid.ras_from_voxel[0, :3], names, where)
    if not numbered:
        return
    ml = {name: float(counts[names[name]]) * step**3 * labels.grid.voxel_ml for name in VERSION_1_ML if name in names}
    if len(ml) == len(VERSION_1_ML) and all(ml[name] > limit for name, limit in VERSION_1_ML.items()):
        found = " and ".join(f"{name} of {volume:.0f} mL" for name, volume in ml.items())
        raise InputError(where, found, "TotalSegmentator's numbers of task 'total', version 2",
                         "version 1 numbers otherwise: name the labels in a table <stem>.tsv (label, name)")


def _check_sides(data: np.ndarray, x_of_step: np.ndarray, names: dict[str, int], where: str) -> None:
    """`x_of_step`: change of RAS x, which grows to the patient's right, per voxel along each axis."""

    def x(label: int) -> float:
        return float(sum(s * i.mean() for s, i in zip(x_of_step, np.nonzero(data == label), strict=True)))

    pairs = [(n, n.replace("left", "right")) for n in names if "left" in n and n.replace("left", "right") in names]
    exchanged = [left for left, right in pairs if x(names[left]) > x(names[right])]
    if not exchanged:
        return
    told = f"{exchanged[0]} lies to the right of {exchanged[0].replace('left', 'right')}"
    if len(exchanged) == 1 or 2 * len(exchanged) <= len(pairs):  # a crossed kidney, say
        log.warning("%s: %s: is the map mirrored?", where, told)
        return
    raise InputError(where, f"{told}, and so do {len(exchanged) - 1} more pairs of organs",
                     "the patient's left and right as in the CT",
                     "the map was mirrored when it was converted, or its names are exchanged")  # fmt: skip


def note_large_lesions(labels: Volume, where: str) -> None:
    """Tell of lesions that are as large as an organ."""
    voxels = np.bincount(labels.data.ravel(order="K"))
    for label in np.flatnonzero(voxels[LESION_BASE + 1 :] * labels.grid.voxel_ml > LARGE_LESION_ML) + LESION_BASE + 1:
        volume = voxels[label] * labels.grid.voxel_ml
        log.warning("%s: %s has %.0f mL: is this the lesions' map?", where, lesion_name(label - LESION_BASE), volume)
