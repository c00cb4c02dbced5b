"""Step import-planar: the planar images of a sheet row become ``planar/{timepoint}.npz``."""

import logging
from dataclasses import replace

from planardose.cohort import Row
from planardose.config import Config
from planardose.errors import InputError
from planardose.io.dicom_nm import PlanarImport
from planardose.io.files import companions, sha256_of
from planardose.io.planar_file import save_pair
from planardose.io.planar_in import read_planar
from planardose.library import Nuclide, load_camera, load_nuclide
from planardose.planar import VIEWS, PlanarPair
from planardose.run import Run

log = logging.getLogger(__name__)
TIME_DIFFERENCE_S = 300.0  # between sheet and header, above which the import warns
CENTRE_TOLERANCE = 0.1  # of the line's energy: how far the middle of the photopeak window may lie from it


def import_planar(run: Run, patient: str, timepoint: str) -> None:
    """Read and check a time point's pair; notes on what the header left open go into the sidecar and the log.

    Raises
    ------
    InputError
        As `checked_pair`.
    """
    row = run.cohort.row(patient, timepoint)
    found = checked_pair(run.config, row)
    for note in found.notes:
        log.warning("%s planar: %s", row.where, note)
    output = run.path("planar", patient=patient, timepoint=timepoint)
    save_pair(output, found.pair)
    run.sidecar(
        output,
        "import_planar",
        "counts",
        "1",
        _inputs(run, row),
        views=["anterior", "posterior"],
        windows_kev=[[w.low_kev, w.high_kev] for w in found.pair.windows],
        acquired_at=found.pair.acquired_at.isoformat(),
        exposure_s=found.pair.exposure_s,
        duration_s=found.pair.duration_s,
        camera=row.camera,
        notes=list(found.notes),
    )


def _inputs(run: Run, row: Row) -> list[dict]:
    """Sidecar entries of the images, and of the JSON beside an NPZ."""
    beside = [
        {"row": row.where, "column": "planar (JSON)", "sha256": sha256_of(f)} for f in companions(row.paths["planar"])
    ]
    return [run.sheet_input(row.patient, "planar", row.timepoint), *beside]


def checked_pair(config: Config, row: Row) -> PlanarImport:
    """The pair of a sheet row, with the sheet's time, checked against injection and nuclide.

    Raises
    ------
    InputError
        As `read_planar`; no planar column; acquired before the injection; no window on the nuclide's photopeak.
    """
    where = f"{row.where} planar"
    if "planar" not in row.paths:
        raise InputError(where, "empty cell", "planar images", "this version reconstructs from planar images only")
    key = f"patients.{row.patient}.{row.timepoint}"
    hand = config.hand(row.patient, row.timepoint)
    found = read_planar(row.paths["planar"], load_camera(row.camera), where, hand, key, row.acquired_at)
    check_photopeak(found.pair, load_nuclide(row.nuclide), where)
    check_views(found.pair, load_nuclide(row.nuclide), where)
    found = _with_sheet_time(found, row)
    if found.pair.acquired_at <= row.injected_at:
        raise InputError(
            f"{row.where} acquired_at",
            f"acquired {found.pair.acquired_at.isoformat()}, before the injection ({row.injected_at.isoformat()})",
            "an acquisition after injected_at",
            "correct injected_at, or give the true start in acquired_at",
        )
    return found


def check_views(pair: PlanarPair, nuclide: Nuclide, where: str) -> None:
    """Refuse a pair in which one view has no counts at all in the photopeak."""
    peak = pair.counts[:, pair.window_index(nuclide.imaged_line().energy_kev)]
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
        "check the nuclide of the sheet and that the images belong to this patient",
    )


def _with_sheet_time(found: PlanarImport, row: Row) -> PlanarImport:
    """`acquired_at` of the sheet replaces the header's start; a difference above 5 min is noted."""
    if row.acquired_at is None:
        return found
    seconds = (row.acquired_at - found.pair.acquired_at).total_seconds()
    notes = found.notes
    if abs(seconds) > TIME_DIFFERENCE_S:
        notes = (
            *notes,
            f"acquired_at of the sheet is {seconds / 60:+.0f} min from the header's start; the sheet is used",
        )
    return PlanarImport(replace(found.pair, acquired_at=row.acquired_at), notes)
