"""What the headers of planar images tell of the injection: a second word beside the sheet's."""

import math
from dataclasses import dataclass
from datetime import datetime

from pydicom.dataset import Dataset

from planardose.io.dicom_times import moment, utc_offset_of
from planardose.units import BQ_PER_MBQ

MOST_MBQ = 1e5  # no injection has more: the number is in Bq, as PET has it, and not in MBq as NM has it


@dataclass(frozen=True)
class ToldInjection:
    """Administered activity in MBq, and time on the camera's clock with its zone where it has one; None: not told."""

    mbq: float | None = None
    at: datetime | None = None


UNTOLD = ToldInjection()


def told_injection(datasets: list[Dataset]) -> ToldInjection:
    """RadionuclideTotalDose and RadiopharmaceuticalStartDateTime of the first header that has a readable one.

    RadiopharmaceuticalStartTime, a time of day without a date, is not asked.
    """
    items = [(ds, item) for ds in datasets for item in ds.get("RadiopharmaceuticalInformationSequence") or ()]
    activities = (_mbq(item.get("RadionuclideTotalDose")) for _, item in items)
    starts = (moment(str(item.get("RadiopharmaceuticalStartDateTime") or ""), utc_offset_of(ds)) for ds, item in items)
    return ToldInjection(next(filter(None, activities), None), next(filter(None, starts), None))


def _mbq(value: object) -> float | None:
    try:
        mbq = float(value)
    except (TypeError, ValueError):
        return None
    if not math.isfinite(mbq) or mbq <= 0:
        return None
    return mbq / BQ_PER_MBQ if mbq > MOST_MBQ else mbq
