"""Whether a label map can be a person's, and this CT's: sides, sizes and HU that only a mistake explains."""

import logging
from math import ceil

import numpy as np
from scipy import ndimage

from planardose.cohort import Row, key_by_hand
from planardose.config import Config
from planardose.errors import InputError
from planardose.image import Volume
from planardose.organs import LESION_BASE, lesion_name, name_of_label, source_name

log = logging.getLogger(__name__)
SAMPLED = 2e6  # voxels looked at: sides and sizes do not need all
# In version 1 of TotalSegmentator label 17 was a lower lobe of the lung and label 8 the inferior vena cava. A goitre
# may be as large as this thyroid, and a metastasis as this adrenal gland; both at once are another numbering.
VERSION_1_ML = {"thyroid_gland": 100.0, "adrenal_gland_right": 25.0}
# Volumes (mL) that no patient's organ reaches, from about ten times the reference adult's (ICRP 89 and 110: kidney 155,
# pancreas 140, spleen 150, thyroid 20, adrenal 7, prostate 17, oesophagus 40, gallbladder and bile 70) down to a small
# liver. Polycystic kidneys, giant spleens and a retention may be larger: a names table lifts these limits.
MOST_ML = {
    "kidney_right": 1000.0, "kidney_left": 1000.0, "gallbladder": 700.0, "pancreas": 600.0,
    "adrenal_gland_right": 500.0, "adrenal_gland_left": 500.0,
    "thyroid_gland": 700.0, "prostate": 600.0, "urinary_bladder": 2500.0,
    "esophagus": 800.0, "trachea": 300.0, "duodenum": 700.0,
}  # fmt: skip
# Mean HU of an organ under its own outline. Outlines 25 mm off along z leave the skeleton 81 to 130 HU of 233 to 352,
# and put the spleen at -190 or 122 HU (one real CT and two synthetic ones). Liver, spleen and kidneys have the limit of
# bone: contrast agent, seen at 40 keV, takes them as far (kidneys of 550 HU), and misplaced outlines nowhere above it.
# The kidneys are one witness: contrast agent and disease (angiomyolipoma) take both.
MEAN_HU = {
    "lungs": (-1000.0, -350.0), "skeleton": (50.0, 1500.0), "liver": (-60.0, 1500.0), "spleen": (-60.0, 1500.0),
    "kidneys": (-60.0, 1500.0), "brain": (-60.0, 200.0),
}  # fmt: skip
WITNESS = {"kidney_left": "kidneys", "kidney_right": "kidneys"}  # of sources that are judged together
ODD_SKELETON_HU = 140.0  # noted below: an old patient's may be so
LEAST_ML = 20.0  # of an organ that is judged by its mean
PART_ML = 0.3  # smaller parts of a lesion are ragged edges
LARGE_LESION_ML = 1000.0  # noted above: `lesions` may hold the organs' map


def check_labels(labels: Volume, numbered: bool, where: str) -> None:
    """Refuse a map whose left and right are exchanged, or one in another numbering, as its sizes show.

    Parameters
    ----------
    labels : Volume
        In our numbering.
    numbered : bool
        The labels came as numbers, without a names table; organs that were named may be larger, which is told.
    where : str
        Pseudonymous place, for errors.

    Raises
    ------
    InputError
        Two or more pairs of organs, and most of them, lie on the wrong side of each other; or, without a names table,
        sizes of version 1 of TotalSegmentator's numbers, or one above `MOST_ML`.
    """
    step = max(1, ceil((labels.data.size / SAMPLED) ** (1 / 3)))
    data = labels.data[::step, ::step, ::step]
    counts = np.bincount(data.ravel(order="K"))
    names = {name_of_label()[n]: n for n in np.flatnonzero(counts) if n in name_of_label()}
    _check_sides(data, labels.grid.ras_from_voxel[0, :3], names, where)
    ml = {name: float(counts[n]) * step**3 * labels.grid.voxel_ml for name, n in names.items()}
    if numbered and all(ml.get(name, 0.0) > limit for name, limit in VERSION_1_ML.items()):
        found = " and ".join(f"{name} of {ml[name]:.0f} mL" for name in VERSION_1_ML)
        raise InputError(where, found, "TotalSegmentator's numbers of task 'total', version 2",
                         "version 1 numbers otherwise: name the labels in a table <stem>.tsv (label, name)")
    for name, limit in MOST_ML.items():
        if ml.get(name, 0.0) <= limit:
            continue
        if not numbered:
            log.warning("%s: %s has %.0f mL, where most have at most %.0f mL", where, name, ml[name], limit)
        else:
            raise InputError(where, f"label {names[name]}, {name}, has {ml[name]:.0f} mL",
                             f"at most {limit:.0f} mL, as labels are TotalSegmentator's numbers without a names table",
                             "name the labels in a table <stem>.tsv (label, name), also if it is so large")  # fmt: skip


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


def check_matter(ct: Volume, labels: Volume, where: str) -> None:
    """Refuse outlines under which the CT has other matter than the organs': those of another CT, or out of place.

    Parameters
    ----------
    ct, labels : Volume
        HU, and labels in our numbering, on one grid.
    where : str
        For the error and the note.

    Raises
    ------
    InputError
        Where the means of two organs of `MEAN_HU` or more are outside their ranges; one alone is noted.
    """
    step = max(1, ceil((labels.data.size / SAMPLED) ** (1 / 3)))
    label, hu = (v.data[::step, ::step, ::step].ravel() for v in (labels, ct))
    voxels, total = np.bincount(label), np.bincount(label, hu)
    least, odd = LEAST_ML / (labels.grid.voxel_ml * step**3), []
    for organ, (low, high) in MEAN_HU.items():
        own = [n for n in np.flatnonzero(voxels[: LESION_BASE + 1]) if n and _witness(int(n)) == organ]
        if voxels[own].sum() < least:
            continue
        mean = total[own].sum() / voxels[own].sum()
        if not low <= mean <= high:
            odd.append(f"{organ} {mean:.0f} HU ({low:g} to {high:g})")
        elif organ == "skeleton" and mean < ODD_SKELETON_HU:
            log.warning("%s: the skeleton has %.0f HU on average: is the label map shifted?", where, mean)
    if len(odd) > 1:
        found = f"under the outlines the CT has, on average, {', '.join(odd)}"
        raise InputError(where, found, "the organs' own matter",
                         "check that the labels are of this CT, and not shifted or turned")  # fmt: skip
    if odd:
        log.warning("%s: under its outline the CT has, on average, %s: is it shifted?", where, odd[0])


def _witness(label: int) -> str:
    return WITNESS.get(source_name(label), source_name(label))


def check_own_labels(config: Config, row: Row, ct: Volume, labels: Volume) -> None:
    """Hold the labels against the CT with `check_matter`.

    What it refuses is only noted where the config has an `accept_segmentation`, at any time point: they share the map.

    Parameters
    ----------
    config : Config
    row : Row
        A row of the patient.
    ct, labels : Volume
        HU, and labels in our numbering, on one grid.

    Raises
    ------
    InputError
        Naming the organs and their mean HU, and the key that accepts them.
    """
    reason = config.shared_decision(row.patient, "accept_segmentation")
    try:
        check_matter(ct, labels, f"{row.patient} segmentation")
    except InputError as fault:
        if reason is None:
            key = f"{key_by_hand(row.where)}.accept_segmentation"
            do = f"{fault.do}; if you looked and they are right, set {key}: 'reason' in the config"
            raise InputError(fault.where, fault.problem, fault.expected, do) from None
        log.warning("%s: %s; accepted: %s", fault.where, fault.problem, reason)


def note_odd_lesions(lesions: np.ndarray, voxel_ml: float, where: str) -> None:
    """Tell of a map without lesions, of lesions as large as an organ, and of one number for several.

    Parameters
    ----------
    lesions : (I, J, K) int
        0, or a lesion's number.
    voxel_ml : float
        mL.
    where : str
        For the notes.
    """
    if not lesions.any():
        log.warning("%s: no lesions in the map: all labels are 0", where)
    for number, box in enumerate(ndimage.find_objects(lesions), start=1):
        if box is None:
            continue
        own, name = lesions[box] == number, lesion_name(number)
        volume = np.count_nonzero(own) * voxel_ml
        if volume > LARGE_LESION_ML:
            log.warning("%s: %s has %.0f mL: is this the lesions' map?", where, name, volume)
        sizes = np.bincount(ndimage.label(own)[0].ravel())[1:] * voxel_ml
        parts = np.count_nonzero(sizes >= PART_ML)
        if parts > 1:
            log.warning("%s: %s has %d separate parts: give each lesion its own number", where, name, parts)
