"""Points in time: how a user's text becomes one, and how times with a zone are brought together. Light: no numpy.

The convention is the local time of the place of injection, without a zone. A zone (``Z``, ``+02:00``) is understood
where every time of the patient can be brought into that of the injection; where it cannot, it is refused.
"""

import re
from datetime import datetime, timedelta, timezone

from planardose.errors import InputError, shown

# a date alone would be midnight, and a week date or a bare number (a spreadsheet's day) is nobody's intention
STAMP = re.compile(r"(19|2[01])\d{2}-\d{2}-\d{2}[T ]\d{2}:\d{2}(:\d{2}(\.\d{1,6})?)?(Z|[+-]\d{2}:?\d{2})?")
EXAMPLE = "ISO 8601 with date and time of day, e.g. 2026-03-02T09:30:00"


def parse_time(text: str, where: str) -> datetime:
    """A time of ISO 8601, with its zone where the text has one.

    Raises
    ------
    InputError
        On anything else: a date alone, a spreadsheet's number, another order of day and month.
    """
    stripped = text.strip()
    try:
        if not STAMP.fullmatch(stripped):
            raise ValueError
        return datetime.fromisoformat(stripped)
    except ValueError:
        told = f"'{stripped[:40]}'" if re.fullmatch(r"[\d\s/.:,+TZ-]+", stripped) else shown(text)
        raise InputError(where, f"{told} is not a date with a time of day", EXAMPLE) from None


def in_zone(time: datetime, offset: timedelta | None) -> datetime:
    """`time` without its zone: on the clock `offset` from UTC where both are known, else as its own clock showed it."""
    if time.tzinfo is not None and offset is not None:
        time = time.astimezone(timezone(offset))
    return time.replace(tzinfo=None)


def offset_text(offset: timedelta) -> str:
    """``+02:00``."""
    sign, minutes = ("-", -offset) if offset < timedelta(0) else ("+", offset)
    hours, rest = divmod(round(minutes.total_seconds() / 60), 60)
    return f"{sign}{hours:02d}:{rest:02d}"
