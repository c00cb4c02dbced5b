"""A cohort: one row per patient and time point, as `planardose.sheet` read and checked it. Light: no torch."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cached_property
from pathlib import Path

from planardose import library, plausible
from planardose.config import Hand
from planardose.errors import InputError
from planardose.units import HOURS_PER_DAY, hours_between


def key_by_hand(where: str) -> str:
    """Config key of the decisions by hand on a row, by its `Row.where`: ids hold no blanks."""
    return f"patients.{where.replace(' ', '.')}"


@dataclass(frozen=True)
class Row:
    """One acquisition of one patient: a line of the sheet (docs/inputs.md), by the names and units of its columns.

    Paths are absolute, by column; empty cells are None, and no paths. Times are on the clock of the place of injection;
    `utc_offset` is its zone, None where the sheet names none.
    """

    patient: str
    timepoint: str
    nuclide: str
    tracer: str
    camera: str
    injected_mbq: float
    injected_at: datetime
    paths: dict[str, Path]
    acquired_at: datetime | None = None
    calibration_cps_per_mbq: float | None = None
    calibration_cps_per_mbq_u: float | None = None
    residual_mbq: float = 0.0
    weight_kg: float | None = None
    utc_offset: timedelta | None = None
    spect_bqml_per_count: float | None = None
    spect_at: datetime | None = None

    @property
    def administered_mbq(self) -> float:
        """Injected activity less the residue in the syringe, MBq."""
        return self.injected_mbq - self.residual_mbq

    def left_mbq(self, at: datetime) -> float:
        """What physical decay leaves of the administered activity at a time, MBq."""
        half_life_h = library.load_nuclide(self.nuclide).half_life_h
        return self.administered_mbq * 0.5 ** (hours_between(self.injected_at, at) / half_life_h)

    @property
    def is_compared(self) -> bool:
        """Whether it has a SPECT beside planar images, to compare their maps with."""
        return {"planar", "spect"} <= set(self.paths)

    @property
    def from_spect(self) -> bool:
        """Whether its activity comes from a SPECT: there are no planar images."""
        return "planar" not in self.paths

    @property
    def where(self) -> str:
        """Patient and time point, as faults name the row."""
        return f"{self.patient} {self.timepoint}"


@dataclass(frozen=True)
class Cohort:
    """All rows, in the sheet's order."""

    rows: tuple[Row, ...]

    @cached_property
    def patients(self) -> tuple[str, ...]:
        """Pseudonyms in the sheet's order."""
        return tuple(dict.fromkeys(r.patient for r in self.rows))

    def rows_of(self, patient: str) -> tuple[Row, ...]:
        """Rows of a patient in the sheet's order; an unknown patient raises `InputError`."""
        found = tuple(r for r in self.rows if r.patient == patient)
        if not found:
            raise InputError(f"patient '{patient}'", "not in the cohort sheet", f"one of {', '.join(self.patients)}")
        return found

    def first_row(self, patient: str) -> Row:
        """Row of the first injection: the steps before the planar images look at no other.

        One with planar images, as its camera is theirs.
        """
        return min(self.rows_of(patient), key=lambda r: (r.from_spect, r.injected_at))

    def has_prior(self, patient: str) -> bool:
        """Whether the sheet names a prior image of the patient."""
        return "prior_image" in self.rows_of(patient)[0].paths

    def row(self, patient: str, timepoint: str) -> Row:
        """Row of a time point; one that the sheet does not have raises `InputError`."""
        for r in self.rows_of(patient):
            if r.timepoint == timepoint:
                return r
        known = ", ".join(r.timepoint for r in self.rows_of(patient))
        raise InputError(f"{patient} timepoint '{timepoint}'", "not in the cohort sheet", f"one of {known}")

    def check_decisions(self, patients: dict[str, dict[str, Hand]]) -> None:
        """Refuse decisions by hand (config key `patients`) for a patient or time point that the sheet does not have."""
        for patient, timepoints in patients.items():
            for timepoint in timepoints:
                try:
                    self.row(patient, timepoint)
                except InputError as fault:
                    raise InputError(
                        f"config patients.{patient}.{timepoint}", fault.problem, fault.expected, "correct the key"
                    ) from None

    def cycle_of(self, row: Row) -> int:
        """Cycle number of a row: 1 for the patient's earliest injection."""
        return 1 + sorted({r.injected_at for r in self.rows_of(row.patient)}).index(row.injected_at)


def check_decay(row: Row, acquired_at: datetime, column: str = "acquired_at") -> None:
    """Refuse an acquisition so long after the injection that nothing is left: a slip in a date.

    Raises
    ------
    InputError
        Beyond `plausible.MOST_HALF_LIVES`.
    """
    hours = hours_between(row.injected_at, acquired_at)
    half_life_h = library.load_nuclide(row.nuclide).half_life_h
    if hours > plausible.MOST_HALF_LIVES * half_life_h:
        raise InputError(
            f"{row.where} {column}",
            f"{acquired_at.isoformat()} is {hours / HOURS_PER_DAY:.0f} days or {hours / half_life_h:.0f} half-lives "
            f"after the injection ({row.injected_at.isoformat()})",
            f"at most {plausible.MOST_HALF_LIVES:g} half-lives of {row.nuclide}",
            "check the years and months of injected_at and of the acquisition",
        )
