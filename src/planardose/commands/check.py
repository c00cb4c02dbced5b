"""``planardose check``: read every input of the sheet before time is spent, and tell each fault on one line."""

import logging
from collections.abc import Callable
from hashlib import sha256

import numpy as np

from planardose.anatomy.label_checks import check_own_labels
from planardose.anatomy.labels import add_lesions, read_segmentation
from planardose.cohort import Row
from planardose.errors import InputError
from planardose.image import Volume
from planardose.io.activity_image import read_activity_image
from planardose.io.ct import read_ct
from planardose.io.same_patient import check_same_patient
from planardose.recon.spect_input import read_spect
from planardose.run import Run
from planardose.steps.import_planar import checked_pair

log = logging.getLogger(__name__)


def check(run: Run) -> list[str]:
    """Read the CT, labels and planar images of every patient as the steps would.

    Remarks that are no faults (columns that this version does not use, what a header leaves open, a calibration far
    from what the camera type should give) go to the log.

    Returns
    -------
    list of str
        One line per fault, in the sheet's order; empty when every input is good. Faults of the sheet itself (columns,
        ids, duplicates, times) were raised when it was read.
    """
    faults: list[str] = []
    seen: dict[bytes, str] = {}  # images -> the time point whose they are
    _check_weights(run)
    for patient in run.cohort.patients:
        _check_anatomy(run, patient, faults)
        for row in run.cohort.rows_of(patient):
            found = None if row.from_spect else _tried(faults, checked_pair, run.config, row)
            if found:
                first = seen.setdefault(sha256(found.pair.counts.tobytes()).digest(), row.where)
                if first != row.where:
                    log.warning("%s planar: the same images as %s", row.where, first)
            _tried(faults, check_same_patient, run.config, run.cohort.rows_of(patient), (row,))
            _check_spect(row, faults)
            for note in found.notes if found else ():
                log.warning("%s planar: %s", row.where, note)
    return faults


def _check_anatomy(run: Run, patient: str, faults: list[str]) -> None:
    row = run.cohort.rows_of(patient)[0]
    paths = row.paths
    ct = _tried(faults, read_ct, paths["ct"], f"{patient} ct")
    if ct is None:
        return
    labels: Volume | None = None
    if "segmentation" in paths and run.config.segmentation.backend != "totalsegmentator":
        where = f"{patient} segmentation"
        labels = _tried(faults, read_segmentation, paths["segmentation"], ct.grid, where, paths["ct"])
        if labels is not None:
            _tried(faults, check_own_labels, run.config, row, ct, labels)
    elif run.config.segmentation.backend == "labels":
        faults.append(f"{patient} segmentation: empty cell; expected labels, as segmentation.backend is 'labels'")
    if "prior_image" in paths:
        _tried(faults, read_activity_image, paths["prior_image"], f"{patient} prior_image")
    if "prior_ct" in paths:
        _tried(faults, read_ct, paths["prior_ct"], f"{patient} prior_ct")
    if "lesions" in paths:
        unlabelled = Volume(np.zeros(ct.grid.shape, dtype=np.int16), ct.grid, "label", "1")
        _tried(faults, add_lesions, labels or unlabelled, paths["lesions"], f"{patient} lesions", paths["ct"])


def _check_weights(run: Run) -> None:
    """Warn where TotalSegmentator is to find the organs and its weights are not on this machine."""
    choice, patients = run.config.segmentation, run.cohort.patients
    asked = choice.backend == "totalsegmentator"
    without = [p for p in patients if asked or "segmentation" not in run.cohort.rows_of(p)[0].paths]
    if not without or choice.backend == "labels":
        return
    from planardose.anatomy.totalseg import need_weights, weights_folder  # torch: not for runs with given labels

    try:
        need_weights(weights_folder(choice.weights), "fastest" if choice.fastest else "total")
    except InputError as fault:
        log.warning("%s: TotalSegmentator is to find the organs; %s", ", ".join(without), fault)


def _check_spect(row: Row, faults: list[str]) -> None:
    if "spect" in row.paths:
        _tried(faults, read_spect, row)
    elif "spect_ct" in row.paths:
        log.warning("%s spect_ct: not used without spect", row.where)
    if "spect" in row.paths and "spect_ct" in row.paths:
        _tried(faults, read_ct, row.paths["spect_ct"], f"{row.where} spect_ct")


def _tried(faults: list[str], read: Callable, *arguments):
    """Result of a reader, or None with its fault noted."""
    try:
        return read(*arguments)
    except InputError as fault:
        faults.append(str(fault))
        return None
