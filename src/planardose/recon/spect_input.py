"""The SPECT of a sheet row: concentration in Bq/mL at a known time, and where it lies in the planning CT's frame."""

import logging
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

import numpy as np

from planardose.cohort import Row, check_decay
from planardose.errors import InputError
from planardose.image import Volume
from planardose.io.activity_image import read_activity_image
from planardose.io.ct import read_ct
from planardose.io.dicom_tomographic import BQ_ML, ActivityImage
from planardose.recon.rigid import Rigid, register_cts
from planardose.times import in_zone, offset_text
from planardose.units import BQ_PER_MBQ

MOST_HELD = 1.2  # activity in the SPECT over what is left of the injection; above, the unit is wrong
LEAST_HELD = 0.001
LEAST_CORRELATION = 0.80  # of the registered CTs: one phantom above 0.95, two up to 0.93
LEAST_OVERLAP = 0.3
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Spect:
    """Concentration in Bq/mL at `at` (on the clock of the injection), in the SPECT's own frame."""

    volume: Volume
    at: datetime


def read_spect(row: Row) -> Spect:
    """Read the SPECT of a row in Bq/mL.

    Raises
    ------
    InputError
        As `read_activity_image`; no SPECT in the row; values decayed to the administration; a unit or a time that is
        not known; a time that cannot be; more activity than is left of the injection, or next to none: a wrong unit.
    """
    where = f"{row.where} spect"
    if "spect" not in row.paths:
        raise InputError(where, "empty cell", "a SPECT to compare with")
    image = read_activity_image(row.paths["spect"], where)
    if image.decayed_to == "ADMIN":
        raise InputError(
            where,
            "DecayCorrection ADMIN: its values are what they would have been at the administration",
            "the activity at the time of the acquisition",
            "export it with decay corrected to the acquisition's start, or not at all",
        )
    volume, at = _in_bq_ml(image, row, where), _time(image, row)
    if at <= row.injected_at:
        raise InputError(
            f"{row.where} spect_at",
            f"acquired {at.isoformat()}, before the injection ({row.injected_at.isoformat()})",
            "a SPECT after injected_at",
            "correct injected_at, or give the true time in spect_at",
        )
    check_decay(row, at, "spect_at")
    left = row.left_mbq(at)
    held = float(volume.data.sum(dtype=np.float64)) * volume.grid.voxel_ml / BQ_PER_MBQ
    if not LEAST_HELD * left <= held <= MOST_HELD * left:
        raise InputError(
            where,
            f"it holds {held:.3g} MBq, {held / left:.2g} times what is left of the injection ({left:.3g} MBq)",
            f"{LEAST_HELD:g} to {MOST_HELD:g} times",
            "check its unit (Bq/mL), spect_bqml_per_count and the times",
        )
    return Spect(volume, at)


def _in_bq_ml(image: ActivityImage, row: Row, where: str) -> Volume:
    """A NIfTI is in Bq/mL unless the sheet has a factor; a DICOM image needs one unless its header says Bq/mL."""
    factor, stated = row.spect_bqml_per_count, image.volume.unit == BQ_ML
    if stated and factor is not None:
        raise InputError(
            f"{row.where} spect_bqml_per_count",
            f"{factor:g} for an image whose header says Bq/mL",
            "an empty cell",
            "or export the SPECT in counts",
        )
    if factor is None and image.modality and not stated:
        raise InputError(
            where,
            "the header names no unit Bq/mL",
            "spect_bqml_per_count, the Bq/mL of one count",
            "give the SPECT's calibration in the sheet, or a NIfTI in Bq/mL",
        )
    data = image.volume.data * np.float32(1.0 if factor is None else factor)
    return replace(image.volume, data=data, unit=BQ_ML)


def _time(image: ActivityImage, row: Row) -> datetime:
    """The sheet's `spect_at`, else by the header the time that decay was corrected to or the acquisition's middle."""
    if row.spect_at is not None:
        return row.spect_at
    if image.acquired_at is None:
        raise InputError(
            f"{row.where} spect_at",
            "empty cell, and the SPECT has no time in a header",
            "the time to which its activity refers",
            "give the middle of its acquisition",
        )
    if image.acquired_at.tzinfo is None and row.utc_offset is not None:
        raise InputError(
            f"{row.where} spect_at",
            f"the SPECT was acquired at {image.acquired_at.isoformat()}, and injected_at names the zone "
            f"{offset_text(row.utc_offset)}",
            "the time with its zone",
            "give spect_at as injected_at is given",
        )
    if image.odd_start:
        log.warning("%s spect: the start is read from %s: check it, or give spect_at", row.where, image.odd_start)
    after = 0.0 if image.decayed_to == "START" else (image.duration_s or 0.0) / 2
    return in_zone(image.acquired_at, row.utc_offset) + timedelta(seconds=after)


def placed(row: Row, ct: Volume) -> Rigid | None:
    """Where the SPECT lies: `spect_ct` registered to the planning CT; None where there is no `spect_ct`.

    Then the SPECT is taken to lie in the planning CT's frame, as when `ct` is the SPECT/CT's own.

    Raises
    ------
    InputError
        As `read_ct`; CTs that do not match.
    """
    if "spect_ct" not in row.paths:
        return None
    where = f"{row.where} spect_ct"
    found = register_cts(ct, read_ct(row.paths["spect_ct"], where))
    if found.correlation < LEAST_CORRELATION or found.overlap < LEAST_OVERLAP:
        raise InputError(
            where,
            f"does not match the planning CT: correlation {found.correlation:.2f}, overlap {100 * found.overlap:.0f} %",
            f"at least {LEAST_CORRELATION:g} and {100 * LEAST_OVERLAP:.0f} %",
            "check that both CTs show the same patient",
        )
    return found
