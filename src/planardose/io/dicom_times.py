"""When an acquisition started and on which clock, by a DICOM header."""

import re
from datetime import datetime, timedelta, timezone

from pydicom.dataset import Dataset

STARTS = (  # where a start may stand, beside AcquisitionDateTime; the last are of processing rather than of acquisition
    ("AcquisitionDate", "AcquisitionTime"), ("SeriesDate", "AcquisitionTime"), ("ContentDate", "ContentTime"),
    ("SeriesDate", "SeriesTime"),
)  # fmt: skip
MOMENT = re.compile(r"(\d{4})\.?(\d{2})\.?(\d{2})(\d{2})(\d{2})(?:(\d{2})(?:\.(\d+))?)?")
OFFSET = re.compile(r"([+-])(0\d|1[0-4])([0-5]\d)$")


def datetime_of(ds: Dataset) -> datetime | None:
    """Start of the acquisition by the first of `STARTS` that can be read; None without any.

    The time is that of the camera's clock; it carries the offset from UTC where the header names one, in the date and
    time itself or in TimezoneOffsetFromUTC.
    """
    return _start_of(ds)[1]


def odd_source_of_start(ds: Dataset) -> str:
    """What `datetime_of` was read from, where it is not the acquisition's own date and time; else empty."""
    source, found = _start_of(ds)
    return "" if found is None or source.startswith("Acquisition") else source


def between_starts_s(ds: Dataset) -> float:
    """Seconds between AcquisitionDateTime and AcquisitionDate with AcquisitionTime; 0 where they cannot be compared.

    Only one of them may be shifted by an anonymiser. With a zone in one alone the difference may be the zone's.
    """
    offset = utc_offset_of(ds)
    parts = [str(ds.get(name) or "") for name in STARTS[0]]
    first, second = moment(str(ds.get("AcquisitionDateTime") or ""), offset), moment("".join(parts), offset)
    if first is None or second is None or (first.tzinfo is None) != (second.tzinfo is None):
        return 0.0
    return abs((first - second).total_seconds())


def _start_of(ds: Dataset) -> tuple[str, datetime | None]:
    stamps = [("AcquisitionDateTime", str(ds.get("AcquisitionDateTime") or ""))]
    for date, time in STARTS:
        parts = [str(ds.get(name) or "").strip() for name in (date, time)]
        stamps.append((f"{date} and {time}", "".join(parts) if all(parts) else ""))
    for source, stamp in stamps:
        if (found := moment(stamp, utc_offset_of(ds))) is not None:
            return source, found
    return "", None


def moment(stamp: str, offset: timedelta | None) -> datetime | None:
    """Date and time as DICOM writes them; None where the minute is missing: an hour is no time of an acquisition."""
    stamp = stamp.replace(":", "").strip()
    if suffix := OFFSET.search(stamp):
        stamp, offset = stamp[: suffix.start()].strip(), _offset(*suffix.groups())
    if not (found := MOMENT.fullmatch(stamp)):
        return None
    *date, hour, minute, second, fraction = found.groups()
    try:
        at = datetime(*map(int, date), int(hour), int(minute), min(int(second or 0), 59))  # 60: a leap second
    except ValueError:
        return None
    at += timedelta(microseconds=int((fraction or "0")[:6].ljust(6, "0")))
    return at if offset is None else at.replace(tzinfo=timezone(offset))


def earliest(datasets: list[Dataset]) -> datetime | None:
    """Earliest start of the acquisitions, as far as their headers tell."""
    return min(on_one_clock([s for s in map(datetime_of, datasets) if s is not None]), default=None)


def on_one_clock(starts: list[datetime]) -> list[datetime]:
    """Starts that all carry a zone, or none: where only some files name it, they share the clock."""
    return starts if all(s.tzinfo for s in starts) else [s.replace(tzinfo=None) for s in starts]


def utc_offset_of(ds: Dataset) -> timedelta | None:
    """TimezoneOffsetFromUTC (0008,0201), ``+HHMM``; None where the header has none that can be read."""
    found = OFFSET.fullmatch(str(ds.get("TimezoneOffsetFromUTC") or "").strip())
    return _offset(*found.groups()) if found else None


def _offset(sign: str, hours: str, minutes: str) -> timedelta:
    size = timedelta(hours=int(hours), minutes=int(minutes))
    return -size if sign == "-" else size
