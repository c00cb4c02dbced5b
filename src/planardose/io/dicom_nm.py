"""Planar images in DICOM NM, static or swept, as cameras write them (`dicom_nm_write` writes them)."""

from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path

import numpy as np
from pydicom.dataset import Dataset

from planardose import plausible
from planardose.config import Hand
from planardose.errors import InputError
from planardose.io.by_hand import decide
from planardose.io.dicom_nm_write import write_planar
from planardose.io.dicom_read import read_datasets, understood
from planardose.io.dicom_times import between_starts_s, datetime_of, odd_source_of_start, on_one_clock
from planardose.io.nm_camera import camera_notes
from planardose.io.nm_heads import Head, heads_of, with_common_windows
from planardose.io.nm_images import planar_images
from planardose.io.nm_injection import UNTOLD, ToldInjection, told_injection
from planardose.io.nm_more import more_views, without_more
from planardose.io.nm_pixels import pixel_mm, pixel_notes
from planardose.io.nm_times import Timing, timing_of
from planardose.io.nm_vectors import vector_notes
from planardose.io.nm_views import as_seen, orientation_notes, position_notes, posterior_looks_mirrored, views_of
from planardose.io.planar_file import check_counts
from planardose.library import Camera
from planardose.planar import VIEWS, EnergyWindow, PlanarPair

__all__ = ["PlanarImport", "read_planar_dicom", "write_planar"]
SAME_START_S = 300.0  # views that start further apart were taken by one head after each other
SAME_VISIT_S = 3600.0  # views that start further apart are not one acquisition


@dataclass(frozen=True)
class PlanarImport:
    """A pair as read, with notes on what the header did not say (pseudonymous, for sidecar and log).

    `injection` is what the headers tell of it.
    """

    pair: PlanarPair
    notes: tuple[str, ...] = ()
    injection: ToldInjection = UNTOLD


def read_planar_dicom(
    path: Path, camera: Camera | None, where: str, hand: Hand, key: str, acquired_at: datetime | None = None
) -> PlanarImport:
    """Read an NM file, or a folder with one head or window per file.

    Parameters
    ----------
    path : Path
    camera : Camera or None
        Its axial field over the scan velocity is the exposure of a sweep; a static image needs none.
    where : str
        Sheet row and column, for errors.
    hand : Hand
        The user's decisions for this time point.
    key : str
        Config key of those decisions, e.g. ``patients.P01.t24``, named where the header cannot decide; empty for images
        of no time point (`by_hand.decide`).
    acquired_at : datetime or None
        The sheet's start of acquisition, used where the header has none.

    Raises
    ------
    InputError
        Broken or foreign files, several patients, a missing view, swapped heads, or what only the user can decide.
    """
    datasets = read_datasets(path, where)
    with understood(where):
        return _pair_of(datasets, camera, where, hand, key, acquired_at)


def _pair_of(
    datasets: list[Dataset], camera: Camera | None, where: str, hand: Hand, key: str, acquired_at: datetime | None
) -> PlanarImport:
    files, left_out = planar_images(datasets, camera, where)
    every = [head for n, ds in enumerate(files) for head in heads_of(ds, n, hand, where, key)]
    heads, beside = without_more(with_common_windows(every), hand, where, key)
    of_pair = sorted({h.file for h in heads})
    views, notes = views_of(heads, hand, where, key)
    notes += _order_notes([files[h.file] for h in heads], hand)
    believe, more = orientation_notes(heads, views, hand, key)
    frames = _frames(heads, views, believe, where)
    counts, windows = _assembled(frames, where)
    size = pixel_mm(files, counts.shape[-2:], where)
    timings = [timing_of(ds, camera, where, key, hand.seconds_per_row) for ds in files]
    timing = _one_timing(timings, of_pair, where)
    plausible.EXPOSURE_S.check(timing.exposure_s, f"{where} exposure")
    plausible.DURATION_S.check(timing.duration_s, f"{where} duration")
    further, more_notes = more_views(beside, windows, counts.shape[-2:], believe, where)
    whole = counts if further is None else np.concatenate([counts, further.counts])
    check_counts(whole, where)
    distances, distance_notes = _distances(heads, views)
    start, start_notes = _start(files, of_pair, acquired_at, where, key)
    pair = PlanarPair(
        counts=counts,
        windows=windows,
        pixel_mm=size,
        exposure_s=timing.exposure_s,
        acquired_at=start,
        duration_s=timing.duration_s,
        detector_distance_mm=distances,
        more=further,
    )
    pair, mirror_notes = _mirrored(pair, hand, believe, where, key)
    by_hand = ["energy windows by hand"] if hand.windows_kev is not None else []
    notes += [*left_out, *by_hand, *more, *mirror_notes, *timing.notes, *distance_notes, *more_notes, *start_notes]
    notes += [*vector_notes(files), *pixel_notes(files, whole, where)]
    notes += [*position_notes(files), *camera_notes(files, camera)]
    return PlanarImport(pair, tuple(dict.fromkeys(notes)), told_injection(files))


def _order_notes(files: list[Dataset], hand: Hand) -> list[str]:
    """Which of the one-head files `head_order` took as the first; never its name, which may be a person's."""
    if hand.head_order is None or len(files) < 2 or any(ds is files[0] for ds in files[1:]):
        return []
    if len(files) > 2:
        return ["head_order: the first file of each window is that with the lower SeriesNumber, InstanceNumber or name"]
    for name in ("SeriesNumber", "InstanceNumber"):
        first, second = (int(ds.get(name) or 0) for ds in files)
        if first != second:
            return [f"head_order: the first file is that with {name} {first}, before {second}"]
    first, second = map(datetime_of, files)
    if first == second:
        return ["head_order: the two files have one number and start: the first by file name was taken as the first"]
    return [f"head_order: the first file, by file name, is that acquired at {first:%H:%M:%S}, beside {second:%H:%M:%S}"
            if first and second else "head_order: the first file was chosen by file name"]  # fmt: skip


def _frames(heads: list[Head], views: list[str], believe: bool, where: str) -> dict:
    """{(view, window): counts (rows, columns)}; a second frame for one view and window is refused."""
    frames: dict[tuple[str, EnergyWindow], np.ndarray] = {}
    for head, view in zip(heads, views, strict=True):
        for window, image in head.frames:
            slot = (view, window)
            if slot in frames:
                raise InputError(
                    where,
                    f"several {view} frames in the window {window.low_kev:g}-{window.high_kev:g} keV",
                    "one frame per view and window",
                    "put one acquisition into the folder; bed positions are not joined here: give them joined, as NPZ "
                    "+ JSON with seconds_per_row",
                )
            frames[slot] = as_seen(image, head, view, believe, where)
    return frames


def _assembled(frames: dict, where: str) -> tuple[np.ndarray, tuple[EnergyWindow, ...]]:
    """Counts (view, window, row, column) float32 and the windows in the file's order."""
    windows = tuple(dict.fromkeys(window for _, window in frames))
    shapes = {image.shape for image in frames.values()}
    if len(shapes) > 1:
        raise InputError(where, f"frames of different sizes {sorted(shapes)}", "one matrix for both views")
    for view in VIEWS:
        for w in windows:
            if (view, w) not in frames:
                raise InputError(
                    where,
                    f"the {view} view has no frame in the window {w.low_kev:g}-{w.high_kev:g} keV",
                    "both views in every window",
                )
    return np.array([[frames[view, w] for w in windows] for view in VIEWS], dtype=np.float32), windows


def _start(
    files: list[Dataset], of_pair: list[int], acquired_at: datetime | None, where: str, key: str
) -> tuple[datetime, list[str]]:
    """Start of the pair's files (numbers `of_pair`), the sheet's where the header has none; and notes.

    The earliest of the files; the middle of both where one head took the views after each other.
    """
    starts = on_one_clock([s for s in (datetime_of(files[n]) for n in of_pair) if s is not None])
    if not starts and acquired_at is None:
        raise InputError(
            where,
            "no acquisition date and time in the header",
            "AcquisitionDate and AcquisitionTime",
            "fill in the column acquired_at" if key else decide(key, "acquired_at"),
        )
    first = min(starts) if starts else acquired_at
    between = max(starts, default=first) - first
    if between.total_seconds() > SAME_VISIT_S:
        raise InputError(
            where,
            f"files acquired {between.total_seconds() / 60:.0f} min apart",
            "the two views of one acquisition",
            "put one acquisition into the folder",
        )
    notes = [] if acquired_at else _two_starts([files[n] for n in of_pair], where, key)
    if between.total_seconds() > SAME_START_S:
        first += between / 2
        notes.append(f"the views started {between.total_seconds() / 60:.0f} min apart: the middle is taken")
    notes += _apart([datetime_of(ds) for n, ds in enumerate(files) if n not in of_pair], first, where)
    if acquired_at is None:
        sources = sorted({odd_source_of_start(files[n]) for n in of_pair} - {""})
        notes += [f"the start is read from {s}: check it{', or give acquired_at' if key else ''}" for s in sources]
    return first, notes


def _two_starts(files: list[Dataset], where: str, key: str) -> list[str]:
    """A note where a header names two starts of one acquisition; refuses those of different visits."""
    apart = max(map(between_starts_s, files))
    told = f"AcquisitionDateTime is {_far(apart)} from AcquisitionDate and AcquisitionTime"
    if apart > SAME_VISIT_S:
        do = "fill in the column acquired_at" if key else decide(key, "acquired_at")
        raise InputError(where, told, "one start", do)
    return [f"{told}: the former is taken"] if apart > SAME_START_S else []


def _far(seconds: float) -> str:
    return f"{seconds / 3600:.3g} h" if seconds > SAME_VISIT_S else f"{seconds / 60:.0f} min"


def _apart(others: list[datetime | None], first: datetime, where: str) -> list[str]:
    """Notes on files of views beside the pair that started at another time; refuses another visit."""
    apart = [abs((a - b).total_seconds()) for a, b in (on_one_clock([first, s]) for s in others if s is not None)]
    if apart and max(apart) > SAME_VISIT_S:
        raise InputError(
            where,
            f"a view beside the pair acquired {max(apart) / 60:.0f} min from it",
            f"at most {SAME_VISIT_S / 60:.0f} min",
            "put one acquisition into the folder",
        )
    notes = ["a view beside the pair has no acquisition time: taken as simultaneous"] * (None in others)
    if apart and max(apart) > SAME_START_S:
        notes.append(f"views beside the pair started {max(apart) / 60:.0f} min from it: taken as simultaneous")
    return notes


def _one_timing(timings: list[Timing], of_pair: list[int], where: str) -> Timing:
    """Timing of the pair's files (numbers `of_pair`); all views must have its exposure, swept or still as it is."""
    exposures = [t.exposure_s for t in timings]
    if max(exposures) > 1.01 * min(exposures):
        raise InputError(
            where, f"views of {min(exposures):g} and {max(exposures):g} s exposure", "one exposure for all views"
        )
    if len({t.duration_s > 1.01 * t.exposure_s for t in timings}) > 1:
        raise InputError(
            where, "static and swept images together", "one kind for all views", "put one acquisition into the folder"
        )
    return max((timings[n] for n in of_pair), key=lambda t: t.duration_s)


def _distances(heads: list[Head], views: list[str]) -> tuple[tuple[float, float] | None, list[str]]:
    """Radial position of the (anterior, posterior) head, where the header has both; notes on odd ones, not used."""
    found = {view: head.radial_mm for head, view in zip(heads, views, strict=True) if head.radial_mm}
    allowed = plausible.HEAD_DISTANCE_MM
    odd = [f"{r:g}" for r in found.values() if not allowed.low <= r <= allowed.high]
    if odd:
        return None, [f"RadialPosition {' and '.join(odd)} mm is not {allowed.text}: the default distance is used"]
    return ((found["anterior"], found["posterior"]) if len(found) == 2 else None), []


def _mirrored(pair: PlanarPair, hand: Hand, believe: bool, where: str, key: str) -> tuple[PlanarPair, list[str]]:
    """The pair with its posterior view mirrored where the user says so; refuses to guess where the images disagree."""
    if hand.flip_posterior is not None:
        return flipped(pair) if hand.flip_posterior else pair, [
            f"flip_posterior {str(hand.flip_posterior).lower()} by hand"
        ]
    ras = pair.ras()
    if not posterior_looks_mirrored(ras[:, int(np.argmax(ras.sum(axis=(0, 2, 3))))]):
        return pair, []
    if believe:
        return pair, [
            f"the posterior view fits the anterior one better mirrored, against the header; see {key}.flip_posterior"
        ]
    raise InputError(
        where,
        "the posterior view fits the anterior one only when mirrored, and the header does not tell how it is stored",
        "views as the camera sees them",
        decide(key, "flip_posterior"),
    )


def flipped(pair: PlanarPair) -> PlanarPair:
    """The pair with its posterior view mirrored left to right."""
    counts = pair.counts.copy()
    counts[1] = counts[1, :, :, ::-1]
    return replace(pair, counts=counts)


def turned(pair: PlanarPair) -> PlanarPair:
    """The pair with every view, those beside it too, turned by 180 degrees in its plane."""
    more = None if pair.more is None else replace(pair.more, counts=pair.more.counts[..., ::-1, ::-1].copy())
    return replace(pair, counts=pair.counts[..., ::-1, ::-1].copy(), more=more)
