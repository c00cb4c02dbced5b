"""The cohort sheet, checked as a whole before anything runs (docs/inputs.md). Light: no torch."""

import re
from dataclasses import replace
from datetime import datetime, timedelta
from itertools import pairwise
from pathlib import Path

from planardose import library, plausible
from planardose.cohort import Cohort, Row, check_decay
from planardose.config import ID_PATTERN
from planardose.errors import InputError, shown
from planardose.sheet_file import REQUIRED, sheet_lines
from planardose.times import in_zone, parse_time
from planardose.units import hours_between

FILES = ("ct", "planar", "segmentation", "lesions", "prior_image", "prior_ct", "spect", "spect_ct")
FEWEST_HOURS = 12.0  # between two injections of a patient: closer ones are one, with a slip in its time
LONGEST_NAME = 255  # bytes: of a file or folder on Linux
SAME_PER_PATIENT = ("ct", "segmentation", "lesions", "prior_image", "prior_ct", "nuclide", "tracer")
IMAGED = ("acquired_at", "spect_at")
POSITIVE = (
    "injected_mbq", "calibration_cps_per_mbq", "calibration_cps_per_mbq_u", "weight_kg", "spect_bqml_per_count",
)  # fmt: skip
RANGES = {
    "injected_mbq": plausible.INJECTED_MBQ,
    "calibration_cps_per_mbq": plausible.CALIBRATION,
    "weight_kg": plausible.WEIGHT_KG,
}


def _number(text: str, where: str, positive: bool) -> float:
    try:
        value = float(text)
    except ValueError:
        raise InputError(
            where, f"{shown(text)} is not a number", "digits with a decimal point, e.g. 7400.5",
            "no decimal comma, thousands separator or unit",
        ) from None  # fmt: skip
    if not (value > 0 if positive else value >= 0) or value == float("inf"):
        raise InputError(
            where, f"value {text}", "a finite number above 0" if positive else "a finite number, 0 or more"
        )
    return value


def _times(cells: dict[str, str], where: str) -> tuple[datetime, dict[str, datetime], timedelta | None]:
    """Injection, the times of images that are given, and the injection's offset from UTC; all on its clock."""
    injected = parse_time(cells["injected_at"], f"{where} injected_at")
    offset, given = injected.utcoffset(), {}
    for column in IMAGED:
        if not cells.get(column):
            continue
        time = parse_time(cells[column], f"{where} {column}")
        if (time.tzinfo is None) != (offset is None):
            raise InputError(
                f"{where} {column}",
                f"{time.isoformat()} beside injected_at {injected.isoformat()}: one has a zone, the other has none",
                "both as local times without a zone, or both with one",
            )
        given[column] = in_zone(time, offset)
        if given[column] <= injected.replace(tzinfo=None):
            raise InputError(
                f"{where} {column}",
                f"{given[column].isoformat()} is not after the injection ({injected.replace(tzinfo=None).isoformat()})",
                "a time after injected_at",
            )
    return injected.replace(tzinfo=None), given, offset


def _row(cells: dict[str, str], number: int, folder: Path) -> Row:
    """A line of the sheet, checked by itself; `folder` is the one that relative paths start from."""
    _check_ids(cells, number)
    where = f"{cells['patient']} {cells['timepoint']}"
    _check_filled(cells, where)
    nuclide = _check_catalogue(cells, where)
    numbers = _numbers(cells, where)
    injected, times, offset = _times(cells, where)
    row = Row(
        patient=cells["patient"],
        timepoint=cells["timepoint"],
        nuclide=nuclide,
        tracer=cells["tracer"],
        camera=cells["camera"],
        injected_mbq=numbers["injected_mbq"],
        injected_at=injected,
        paths={c: (folder / cells[c]).absolute() for c in FILES if cells.get(c)},
        acquired_at=times.get("acquired_at"),
        calibration_cps_per_mbq=numbers.get("calibration_cps_per_mbq"),
        calibration_cps_per_mbq_u=numbers.get("calibration_cps_per_mbq_u"),
        residual_mbq=numbers.get("residual_mbq", 0.0),
        weight_kg=numbers.get("weight_kg"),
        utc_offset=offset,
        spect_bqml_per_count=numbers.get("spect_bqml_per_count"),
        spect_at=times.get("spect_at"),
    )
    for column, time in times.items():
        check_decay(row, time, column)
    return row


def _check_ids(cells: dict[str, str], number: int) -> None:
    """Refuse ids that cannot be names of folders and files."""
    for column in ("patient", "timepoint"):
        if not re.match(ID_PATTERN, cells[column]):
            raise InputError(
                f"sheet row {number}, {column}",
                shown(cells[column]),
                "1 to 32 letters, digits or '-'",
                "ids become file names; choose a pseudonym",
            )


def _check_filled(cells: dict[str, str], where: str) -> None:
    """Refuse empty cells where a value is needed, and names that no file can have."""
    for column in REQUIRED:
        if not cells[column] and not (column == "planar" and cells.get("spect")):
            raise InputError(f"{where} {column}", "empty cell", "a value")
    if cells.get("prior_ct") and not cells.get("prior_image"):
        raise InputError(f"{where} prior_image", "empty cell beside prior_ct", "the image that belongs to this CT")
    for column in FILES:
        if any(len(part.encode()) > LONGEST_NAME for part in Path(cells.get(column, "")).parts):
            raise InputError(f"{where} {column}", "too long for a file name", f"at most {LONGEST_NAME} bytes")


def _check_catalogue(cells: dict[str, str], where: str) -> str:
    """The nuclide's name as the catalogue spells it; refuses a nuclide, tracer or camera that is not there."""
    try:
        nuclide = library.load_nuclide(cells["nuclide"]).name
        library.entry_path("tracers", cells["tracer"])
        library.load_camera(cells["camera"])
    except InputError as fault:
        raise InputError(f"{where} {fault.where}", fault.problem, fault.expected, fault.do) from None
    return nuclide


def _numbers(cells: dict[str, str], where: str) -> dict[str, float]:
    """The numbers that the cells hold, each in its range, by column."""
    numbers = {c: _number(cells[c], f"{where} {c}", c in POSITIVE) for c in (*POSITIVE, "residual_mbq") if cells.get(c)}
    if numbers.get("residual_mbq", 0.0) >= numbers["injected_mbq"]:
        raise InputError(
            f"{where} residual_mbq",
            f"{numbers['residual_mbq']} MBq",
            f"less than injected_mbq ({numbers['injected_mbq']})",
        )
    for column, allowed in RANGES.items():
        if column in numbers:
            allowed.check(numbers[column], f"{where} {column}")
    _check_calibration(numbers, where)
    return numbers


def _check_calibration(numbers: dict[str, float], where: str) -> None:
    """Refuse an uncertainty without its calibration, or one in per cent."""
    u, value = numbers.get("calibration_cps_per_mbq_u"), numbers.get("calibration_cps_per_mbq")
    if u is not None and value is None:
        raise InputError(f"{where} calibration_cps_per_mbq", "empty cell beside its uncertainty", "the calibration")
    if u is not None and u > plausible.MOST_CALIBRATION_U * value:
        raise InputError(
            f"{where} calibration_cps_per_mbq_u", f"{u:g} cps/MBq beside {value:g}",
            f"at most {plausible.MOST_CALIBRATION_U:.0%} of it", "give cps/MBq, k = 1, not per cent",
        )  # fmt: skip


def _two_spellings(where: str, first: str) -> InputError:
    """Of ids that differ only by case: a slip that splits a patient, and one folder on disks that know no case."""
    return InputError(where, f"differs from '{first}' only by case", "one spelling, or ids that differ by more")


def _check_patient(rows: list[Row], cells: list[dict[str, str]]) -> None:
    """Refuse rows of one patient, with their cells, that disagree."""
    for column in SAME_PER_PATIENT:
        values = list(dict.fromkeys(c.get(column, "") for c in cells))
        if len({library.canonical_nuclide(v) for v in values} if column == "nuclide" else values) > 1:
            raise InputError(
                f"{rows[0].patient} {column}", "the rows of this patient disagree", "one value on all rows of a patient"
            )
    seen: dict[str, str] = {}
    for r in rows:
        first = seen.get(r.timepoint.lower())
        if first == r.timepoint:
            raise InputError(f"{r.where} timepoint", "stands twice", "each time point once per patient")
        if first:
            raise _two_spellings(f"{r.where} timepoint", first)
        seen[r.timepoint.lower()] = r.timepoint
    _check_injections(rows)
    _check_planar(rows)


def _check_planar(rows: list[Row]) -> None:
    """Refuse a cycle of SPECTs alone: beyond their field, and for the network, there would be nothing."""
    for injected in sorted({r.injected_at for r in rows}):
        cycle = [r for r in rows if r.injected_at == injected]
        if all(r.from_spect for r in cycle):
            raise InputError(
                f"{cycle[0].where} planar",
                "empty cell, as on every row of this injection",
                "planar images at one time point of each injection at least",
                "add them, or leave out the rows of this injection",
            )


def _check_injections(rows: list[Row]) -> None:
    """Refuse injections of one patient that follow too closely, or of which the rows tell different activities."""
    injections = sorted({r.injected_at for r in rows})
    for first, second in pairwise(injections):
        if hours_between(first, second) < FEWEST_HOURS:
            row = next(r for r in rows if r.injected_at == second)
            raise InputError(
                f"{row.where} injected_at",
                f"{second.isoformat()}, {60 * hours_between(first, second):.0f} min after another injection",
                f"the same injected_at on all rows of a cycle, and cycles at least {FEWEST_HOURS:g} h apart",
            )
    given: dict[datetime, float] = {}
    left: dict[datetime, float] = {}
    for r in rows:
        if given.setdefault(r.injected_at, r.injected_mbq) != r.injected_mbq:
            raise InputError(
                f"{r.where} injected_mbq",
                f"{r.injected_mbq:g} MBq differs from another row of the same injection",
                "one injected_mbq per injected_at",
            )
        if r.residual_mbq and left.setdefault(r.injected_at, r.residual_mbq) != r.residual_mbq:  # 0: not told here
            raise InputError(
                f"{r.where} residual_mbq",
                f"{r.residual_mbq:g} MBq differs from {left[r.injected_at]:g} MBq on another row of the same injection",
                "one residual_mbq per injected_at",
            )


def _on_one_clock(rows: list[Row]) -> list[Row]:
    """Rows of a patient with all times on the clock of the first row's injection."""
    offset = rows[0].utc_offset
    if len({r.utc_offset is None for r in rows}) > 1:
        raise InputError(
            f"{rows[0].patient} injected_at",
            "some rows name a zone and some do not",
            "local times without a zone, or the zone on every row of the patient",
        )
    if offset is None:
        return rows

    def moved(time: datetime | None, row: Row) -> datetime | None:
        return None if time is None else time + (offset - row.utc_offset)

    return [
        replace(
            r,
            injected_at=moved(r.injected_at, r),
            acquired_at=moved(r.acquired_at, r),
            spect_at=moved(r.spect_at, r),
            utc_offset=offset,
        )
        for r in rows
    ]


def _with_residue(row: Row, rows: list[Row]) -> Row:
    """The residue of an injection may stand on any of its rows: all of them get it."""
    same = [r.residual_mbq for r in rows if (r.patient, r.injected_at) == (row.patient, row.injected_at)]
    return replace(row, residual_mbq=max(same))


def load_cohort(path: Path) -> Cohort:
    """Read and check a cohort sheet (TSV, UTF-8, header line; see docs/inputs.md).

    Catalogue names are looked up in the library folders of `planardose.workflow.use_library` as well.

    Raises
    ------
    InputError
        The first fault (missing or unknown column, id, number, time, catalogue name, duplicate, disagreement), with
        those of other rows and patients as its `others`.
    """
    lines = sheet_lines(path)
    if not lines:
        raise InputError("cohort sheet", "no rows", "one row per patient and time point")
    cells, rows, faults = [c for _, c in lines], {}, []
    for n, (number, c) in enumerate(lines):
        try:
            rows[n] = _row(c, number, path.absolute().parent)
        except InputError as fault:
            faults.append(fault)
    spelled: dict[str, str] = {}
    for patient in dict.fromkeys(r.patient for r in rows.values()):
        if (first := spelled.setdefault(patient.lower(), patient)) != patient:
            faults.append(_two_spellings(f"sheet, patient '{patient}'", first))
        chosen = [n for n, r in rows.items() if r.patient == patient]
        try:
            rows |= dict(zip(chosen, _on_one_clock([rows[n] for n in chosen]), strict=True))
            _check_patient([rows[n] for n in chosen], [cells[n] for n in chosen])
        except InputError as fault:
            faults.append(fault)
    if faults:
        faults[0].others = tuple(faults[1:])
        raise faults[0]
    return Cohort(tuple(_with_residue(r, list(rows.values())) for r in rows.values()))
