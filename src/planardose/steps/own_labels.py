"""Are the labels those of the patient's CT, as far as its numbers tell and the user does not know better?"""

import logging

from planardose.anatomy.label_checks import check_matter
from planardose.cohort import Row
from planardose.config import Config
from planardose.errors import InputError
from planardose.image import Volume

log = logging.getLogger(__name__)


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
            key = f"patients.{row.patient}.{row.timepoint}.accept_segmentation"
            do = f"{fault.do}; if you looked and they are right, set {key}: 'reason' in the config"
            raise InputError(fault.where, fault.problem, fault.expected, do) from None
        log.warning("%s: %s; accepted: %s", fault.where, fault.problem, reason)
