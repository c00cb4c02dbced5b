"""Do the CT and the other images of a patient's rows belong together, as far as their headers say?"""

import logging

from planardose.cohort import Row
from planardose.config import Config
from planardose.errors import InputError
from planardose.io.dicom_headers import ANOTHER_NAME, Header, header_of
from planardose.times import offset_text

log = logging.getLogger(__name__)
MODALITIES = {"prior_image": ("PT", "NM"), "prior_ct": ("CT",), "spect": ("NM", "PT"), "spect_ct": ("CT",)}


def check_same_patient(config: Config, rows: tuple[Row, ...], chosen: tuple[Row, ...]) -> None:
    """Compare the images of the `chosen` rows with the CT, and their planar images with those of all `rows`.

    So is a SPECT that stands alone in its row, as its activity enters the same curve.

    Without a zone in the sheet, the clocks of the images of a cycle must agree as well: local times of two zones, or of
    summer and winter time, cannot be subtracted. A row whose `same_patient` is given in the config is not compared.

    Raises
    ------
    InputError
        Naming the DICOM attribute that differs, never its values.
    """
    ct = header_of(rows[0].paths["ct"], "CT")
    _check_other_images(config, ct, chosen)
    planar = {
        r.timepoint: header_of(r.paths["planar"], "NM")
        for r in rows
        if "planar" in r.paths and config.hand(r.patient, r.timepoint).same_patient is None
    }
    for row in chosen:
        own, column = planar.get(row.timepoint), "planar"
        if row.from_spect and config.hand(row.patient, row.timepoint).same_patient is None:
            own, column = header_of(row.paths["spect"], *MODALITIES["spect"]), "spect"
        if own is None:
            continue
        others = {name: h for name, h in planar.items() if name != row.timepoint and h is not None}
        if ct is not None and not row.from_spect:
            _compare(own, ct, "the CT", row, column)
        for name, header in others.items():
            _compare(own, header, f"the planar images of {name}", row, column)
        if row.utc_offset is None:
            same_cycle = {r.timepoint for r in rows if r.injected_at == row.injected_at}
            _compare_clocks(own, {name: h for name, h in others.items() if name in same_cycle}, row, column)


def _check_other_images(config: Config, ct: Header | None, chosen: tuple[Row, ...]) -> None:
    """Compare prior images and SPECTs, and their own CTs, with the CT."""
    for row in chosen if ct is not None else ():
        if config.hand(row.patient, row.timepoint).same_patient is not None:
            continue
        for column, modalities in MODALITIES.items():
            own = header_of(row.paths[column], *modalities) if column in row.paths else None
            if own is not None:
                _compare(own, ct, "the CT", row, column)


def _compare(own: Header, other: Header, name: str, row: Row, column: str) -> None:
    differs = own.difference(other)
    if differs:
        raise InputError(
            f"{row.where} {column}",
            f"the images belong to another patient than {name} ({differs} differs)",
            "images of one patient on all rows of a patient",
            "correct the sheet; if you know that they are the same person, "
            f"set patients.{row.patient}.{row.timepoint}.same_patient: 'reason' in the config",
        )
    if not own.same_name(other):
        log.warning("%s %s: PatientName differs from that of %s, where %s", row.where, column, name, ANOTHER_NAME)


def _compare_clocks(own: Header, others: dict[str, Header], row: Row, column: str) -> None:
    for name, header in others.items():
        if None not in (own.utc_offset, header.utc_offset) and own.utc_offset != header.utc_offset:
            raise InputError(
                f"{row.where} {column}",
                f"acquired on a clock {offset_text(own.utc_offset)} from UTC, {name} on one "
                f"{offset_text(header.utc_offset)} from it (TimezoneOffsetFromUTC)",
                "one zone for all times of a patient",
                "give injected_at with its zone, e.g. 2026-03-28T09:30:00+01:00",
            )
