"""Step import-planar: the planar images of a sheet row become ``planar/{timepoint}.npz``."""

import logging
from collections.abc import Iterable
from dataclasses import replace

import numpy as np

from planardose.cohort import Row, check_decay, key_by_hand
from planardose.config import Config
from planardose.errors import InputError
from planardose.io.dicom_nm import PlanarImport
from planardose.io.files import companions, sha256_of
from planardose.io.nm_injection import ToldInjection
from planardose.io.planar_file import save_pair
from planardose.io.planar_in import read_planar
from planardose.io.same_patient import check_same_patient
from planardose.library import Camera, Nuclide, load_camera, load_nuclide
from planardose.physics.calibration import Scale
from planardose.physics.scatter_windows import neighbours
from planardose.physics.sensitivity import LEAST_OPEN, air_sensitivity_cps_per_mbq, open_share
from planardose.planar import VIEWS, EnergyWindow, PlanarPair
from planardose.recon.acquired import telling_windows
from planardose.run import Run
from planardose.times import in_zone, offset_text
from planardose.units import HOURS_PER_DAY, SECONDS_PER_HOUR, hours_between

log = logging.getLogger(__name__)
TIME_DIFFERENCE_S = 300.0  # between sheet and header, above which the import warns
INJECTION_APART_H, INJECTION_DIFFERENCE = 1.0, 0.1  # between sheet and header, above which the import warns
SHORT_S = 60.0  # an exposure below it is noted: it may be minutes typed as seconds
MOST_SEEN = 1.5  # counts over those of the whole injected activity without attenuation: right demo pairs: up to 0.33
LEAST_SEEN = 0.0005  # noted below: right demo pairs have 0.009 or more
BROKEN = 0.01  # of the pixels: noted when more hold no whole number
INNER, BEYOND_FIELD = 0.01, 1.15  # share of the counts left out at each end; of the field, blur and edges allowed for
CENTRE_TOLERANCE = 0.1  # of the line's energy: how far the middle of the photopeak window may lie from it


def import_planar(run: Run, patient: str, timepoint: str) -> None:
    """Read and check a time point's pair; notes on what the header left open go into the sidecar and the log.

    Raises
    ------
    InputError
        As `checked_pair` and `check_same_patient`.
    """
    row = run.cohort.row(patient, timepoint)
    check_same_patient(run.config, run.cohort.rows_of(patient), (row,))
    found = checked_pair(run.config, row)
    for note in found.notes:
        log.warning("%s planar: %s", row.where, note)
    beside = scatter_windows(found.pair, load_nuclide(row.nuclide))
    log.info("%s planar: scatter windows: %s", row.where, _listed(beside) or "none")
    output = run.path("planar", patient=patient, timepoint=timepoint)
    save_pair(output, found.pair)
    run.sidecar(
        output,
        "import_planar",
        "counts",
        "1",
        _inputs(run, row),
        views=["anterior", "posterior", *(found.pair.more.angles_deg if found.pair.more else ())],
        windows_kev=[[w.low_kev, w.high_kev] for w in found.pair.windows],
        scatter_windows_kev=[[w.low_kev, w.high_kev] for w in beside],
        acquired_at=found.pair.acquired_at.isoformat(),
        exposure_s=found.pair.exposure_s,
        duration_s=found.pair.duration_s,
        camera=row.camera,
        notes=list(found.notes),
    )


def _inputs(run: Run, row: Row) -> list[dict]:
    """Sidecar entries of the images, and of the file that belongs to them: JSON and NPZ, whichever the sheet names."""
    beside = [
        {"row": row.where, "column": f"planar ({f.suffix[1:].upper()})", "sha256": sha256_of(f)}
        for f in companions(row.paths["planar"])
    ]
    return [run.sheet_input(row.patient, "planar", row.timepoint), *beside]


def checked_pair(config: Config, row: Row) -> PlanarImport:
    """The pair of a sheet row, with the sheet's time, checked against injection and nuclide.

    Raises
    ------
    InputError
        As `read_planar`; no planar column; acquired before the injection or when nothing is left of it; no window on
        the nuclide's photopeak; more counts than the injected activity can give; counts per second.
    """
    where = f"{row.where} planar"
    if "planar" not in row.paths:
        raise InputError(
            where,
            "empty cell: the activity of this time point is its SPECT's",
            "planar images",
            "run 'planardose spect-activity' for it",
        )
    key = key_by_hand(row.where)
    hand = config.hand(row.patient, row.timepoint)
    found = read_planar(row.paths["planar"], load_camera(row.camera), where, hand, key, row.acquired_at)
    check_photopeak(found.pair, load_nuclide(row.nuclide), where)
    _check_views(found.pair, load_nuclide(row.nuclide), where)
    found = _with_sheet_time(_on_sheets_clock(found, row), row)
    if found.pair.acquired_at <= row.injected_at:
        raise InputError(
            f"{row.where} acquired_at",
            f"acquired {found.pair.acquired_at.isoformat()}, before the injection ({row.injected_at.isoformat()})",
            "an acquisition after injected_at",
            "correct injected_at, or give the true start in acquired_at",
        )
    check_decay(row, found.pair.acquired_at)
    nuclide, camera = load_nuclide(row.nuclide), load_camera(row.camera)
    peak = nuclide.peak_index(found.pair.windows)
    computed = air_sensitivity_cps_per_mbq(camera, nuclide, found.pair.windows[peak])
    seen = _share_seen(found.pair, row, peak, row.calibration_cps_per_mbq or computed)
    _check_still(found.pair, camera, peak, where, key)
    more = [*_scatter_notes(found.pair, nuclide, peak), *_odd_numbers(found.pair, row, seen, computed),
            *_collimator_notes(camera, nuclide, found.pair.windows[peak]),
            *_injection_notes(found.injection, row)]  # fmt: skip
    return replace(found, notes=(*found.notes, *more))


def scatter_windows(pair: PlanarPair, nuclide: Nuclide) -> list[EnergyWindow]:
    """The windows from which the scatter in the photopeak is estimated."""
    peak = nuclide.peak_index(pair.windows)
    return [pair.windows[n] for n in telling_windows(pair.windows, peak, nuclide)]


def _listed(windows: Iterable[EnergyWindow]) -> str:
    """Edges of windows in words."""
    text = ", ".join(f"{w.low_kev:g}-{w.high_kev:g}" for w in windows)
    return f"{text} keV" if text else ""


def _scatter_notes(pair: PlanarPair, nuclide: Nuclide, peak: int) -> list[str]:
    """A note where windows were acquired beside the photopeak and none of them tells its scatter."""
    others = [w for n, w in enumerate(pair.windows) if n != peak]
    if not others or telling_windows(pair.windows, peak, nuclide):
        return []
    beside = [pair.windows[n] for n in neighbours(pair.windows, peak, nuclide)]
    if beside:
        return [f"how {_listed(beside)} tells the scatter of {nuclide.name} is not known; all scatter is modelled"]
    return [
        f"no scatter window: {_listed(others)} does not touch the photopeak {_listed([pair.windows[peak]])} or holds a "
        f"line of {nuclide.name}; all scatter is modelled"
    ]


def _share_seen(pair: PlanarPair, row: Row, peak: int, sensitivity: float) -> float:
    """Photopeak counts over those of all the activity, decayed to mid-time, in air before both heads.

    `sensitivity` is in cps/MBq per head. Far more than 1 is refused: attenuation takes away more than scatter adds.
    """
    left_mbq = row.left_mbq(pair.mid_time)
    seen = float(pair.counts[:, peak].sum(dtype=np.float64)) / (2 * sensitivity * pair.exposure_s * left_mbq)
    if seen > MOST_SEEN:
        raise InputError(
            f"{row.where} planar",
            f"its counts need {seen:.2g} times the activity that is left of the injection ({left_mbq:.4g} MBq at "
            f"{sensitivity:.3g} cps/MBq, {pair.exposure_s:.4g} s)",
            f"at most {MOST_SEEN:g} times",
            "check injected_mbq, the times, the calibration and the exposure",
        )
    return seen


def _odd_numbers(pair: PlanarPair, row: Row, seen: float, computed: float) -> list[str]:
    """Notes on numbers that may be slips; `seen` as `_share_seen`, `computed` cps/MBq per head of the camera.

    Broken numbers that are far too small as well are rates, and refused.
    """
    notes = []
    broken = np.count_nonzero(pair.counts != np.rint(pair.counts)) / pair.counts.size
    if broken > BROKEN and seen < LEAST_SEEN:
        raise InputError(
            f"{row.where} planar",
            f"{100 * broken:.0f} % of the pixels hold no whole number, and all are {100 * seen:.2g} % of the counts of "
            "the injected activity",
            "counts",
            "give the counts as they were acquired, not counts per second",
        )
    if broken > BROKEN:
        notes.append(
            f"{100 * broken:.0f} % of the pixels hold no whole number: are these the counts as acquired? Rates, and "
            "images resampled without keeping their sum, give wrong activities"
        )
    if seen < LEAST_SEEN:
        notes.append(f"its counts are {100 * seen:.2g} % of the injected activity's: check injected_mbq and times")
    if pair.exposure_s < SHORT_S:
        notes.append(f"an exposure of {pair.exposure_s:g} s is short: is it in seconds?")
    scale = Scale(row.calibration_cps_per_mbq or computed, computed)
    if not scale.plausible:
        notes.append(f"calibration_cps_per_mbq: {scale}; is it per head and in air, of this camera and this window?")
    return notes


def _collimator_notes(camera: Camera, nuclide: Nuclide, window: EnergyWindow) -> list[str]:
    """A note where the images of this camera would show the lead of its collimator, as with a wrong name of it."""
    share = open_share(camera, nuclide, window)
    if share >= LEAST_OPEN:
        return []
    return [
        f"{100 * (1 - share):.0f} % of the counts of {nuclide.name} come through the lead of the {camera.collimator} "
        "collimator; is camera the one of these images?"
    ]


def _injection_notes(told: ToldInjection, row: Row) -> list[str]:
    """Notes where the header tells another injection than the sheet, which counts: doses follow from its time."""
    notes = []
    if told.at is not None:
        at = in_zone(told.at, row.utc_offset)
        if abs(hours := hours_between(row.injected_at, at)) > INJECTION_APART_H:
            apart = f"{hours:+.1f} h" if abs(hours) < HOURS_PER_DAY else f"{hours / HOURS_PER_DAY:+.1f} days"
            notes.append(f"the header tells of an injection {apart} from injected_at: is that right? The sheet is used")
    if told.mbq is not None and abs(told.mbq / row.injected_mbq - 1.0) > INJECTION_DIFFERENCE:
        notes.append(
            f"the header tells of {told.mbq:.4g} MBq administered, injected_mbq of {row.injected_mbq:.4g}: is that "
            "right? The sheet is used"
        )
    return notes


def _check_still(pair: PlanarPair, camera: Camera, peak: int, where: str, key: str) -> None:
    """Refuse a static image in which the patient is longer than the camera's field: it was swept."""
    if pair.is_swept:
        return
    share = np.cumsum(pair.counts[:, peak].sum(axis=(0, 2), dtype=np.float64))
    first, last = np.searchsorted(share, (INNER * share[-1], (1 - INNER) * share[-1]))
    length, field = (last - first + 1) * pair.pixel_mm[0], max(camera.field_mm)
    if length > BEYOND_FIELD * field:
        raise InputError(
            where,
            f"a static image whose counts reach over {length:.0f} mm, more than the camera's field of {field:g} mm",
            "a sweep",
            f"tell how long each row was in the field: {key}.seconds_per_row for DICOM, seconds_per_row in the JSON of "
            "an NPZ",
        )


def _check_views(pair: PlanarPair, nuclide: Nuclide, where: str) -> None:
    """Refuse a pair in which one view has no counts at all in the photopeak."""
    peak = pair.counts[:, nuclide.peak_index(pair.windows)]
    for view, counts in zip(VIEWS, peak, strict=True):
        if counts.sum() == 0:
            raise InputError(
                where, f"the {view} view has no counts in the photopeak", "counts in both views", "export both heads"
            )


def check_photopeak(pair: PlanarPair, nuclide: Nuclide, where: str) -> None:
    """Refuse a pair without a window around the nuclide's imaged line, its middle within 10 % of the line's energy."""
    line = nuclide.imaged_line().energy_kev
    for window in pair.windows:
        if window.contains(line) and abs(window.centre_kev - line) <= CENTRE_TOLERANCE * line:
            return
    windows = ", ".join(f"{w.low_kev:g}-{w.high_kev:g}" for w in pair.windows)
    low, high = nuclide.photopeak.low_kev, nuclide.photopeak.high_kev
    raise InputError(
        where,
        f"wrong nuclide's window: {windows} keV",
        f"a photopeak window of {nuclide.name}, about {low:g}-{high:g} keV",
        "check the nuclide, and that these are the right images",
    )


def _on_sheets_clock(found: PlanarImport, row: Row) -> PlanarImport:
    """The start on the clock of the sheet's injection, without its zone.

    Raises
    ------
    InputError
        Where only one of the two names its zone and it cannot be ignored: only a DICOM header, whose times are those of
        the camera's own clock, may name it beside a sheet that does not.
    """
    start, notes = found.pair.acquired_at, found.notes
    dicom = row.paths["planar"].suffix.lower() not in (".npz", ".json")
    if row.acquired_at is None and (start.tzinfo is None) != (row.utc_offset is None):
        if not dicom or start.tzinfo is None:
            raise InputError(
                f"{row.where} acquired_at",
                f"the images were acquired at {start.isoformat()}, and injected_at names "
                f"{'no zone' if row.utc_offset is None else 'the zone ' + offset_text(row.utc_offset)}",
                "local times without a zone, or a zone with both",
                "correct injected_at, or give acquired_at as injected_at is given",
            )
        notes = (
            *notes,
            f"the header's clock is {offset_text(start.utcoffset())} from UTC; injected_at is taken to be on it too",
        )
    moved = in_zone(start, row.utc_offset)
    if row.acquired_at is None and None not in (start.tzinfo, row.utc_offset) and start.replace(tzinfo=None) != moved:
        notes = (
            *notes,
            f"the images' clock is {offset_text(start.utcoffset())} from UTC, that of the sheet's first injection "
            f"{offset_text(row.utc_offset)}: {start:%H:%M} is taken as {moved:%H:%M}",
        )
    return replace(found, pair=replace(found.pair, acquired_at=moved), notes=notes)


def _with_sheet_time(found: PlanarImport, row: Row) -> PlanarImport:
    """`acquired_at` of the sheet replaces the header's start; a difference above 5 min is noted."""
    if row.acquired_at is None:
        return found
    seconds = (row.acquired_at - found.pair.acquired_at).total_seconds()
    notes = found.notes
    if abs(seconds) > TIME_DIFFERENCE_S:
        days = seconds / SECONDS_PER_HOUR / HOURS_PER_DAY
        apart = f"{days:+.1f} days" if abs(days) > 1 else f"{seconds / 60:+.0f} min"
        notes = (*notes, f"acquired_at of the sheet is {apart} from the header's start; the sheet is used")
    return replace(found, pair=replace(found.pair, acquired_at=row.acquired_at), notes=notes)
