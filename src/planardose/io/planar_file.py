"""Planar pairs as NPZ: the package's own file in the results, and the user's NPZ + JSON of the cohort sheet."""

import json
import math
import zipfile
import zlib
from datetime import datetime
from functools import partial
from pathlib import Path

import numpy as np

from planardose import plausible
from planardose.errors import InputError, shown
from planardose.io.files import atomic, with_ending, write_text
from planardose.library import Camera
from planardose.planar import VIEWS, EnergyWindow, MoreViews, PlanarPair
from planardose.times import parse_time

UNREADABLE = (ValueError, EOFError, KeyError, MemoryError, OverflowError, zipfile.BadZipFile, zlib.error)  # an NPZ
USER_KEYS = ("views", "windows_kev", "pixel_mm", "acquired_at")


def save_pair(path: Path, pair: PlanarPair) -> None:
    """Write a pair atomically: ``counts`` (view, window, row, column) float32 and ``meta``, a JSON string.

    Further views go into ``more`` with their angles and distances in ``meta``.
    """
    meta = {
        "views": VIEWS,
        "windows_kev": [[w.low_kev, w.high_kev] for w in pair.windows],
        "pixel_mm": list(pair.pixel_mm),
        "exposure_s": pair.exposure_s,
        "duration_s": pair.duration_s,
        "acquired_at": pair.acquired_at.isoformat(),
        "detector_distance_mm": pair.detector_distance_mm,
    }
    arrays = {"counts": pair.counts.astype(np.float32)}
    if pair.more is not None:
        meta |= {"more_angles_deg": pair.more.angles_deg, "more_distance_mm": pair.more.distance_mm}
        arrays["more"] = pair.more.counts.astype(np.float32)
    with atomic(path) as temporary:
        np.savez_compressed(temporary, **arrays, meta=np.array(json.dumps(meta)))


def load_pair(path: Path) -> PlanarPair:
    """Read what `save_pair` wrote."""
    with np.load(path, allow_pickle=False) as archive:
        counts, meta = archive["counts"], json.loads(str(archive["meta"]))
        further = archive.get("more")
    distance, more = meta["detector_distance_mm"], None
    if further is not None:
        faces = meta["more_distance_mm"]
        more = MoreViews(tuple(meta["more_angles_deg"]), further, None if faces is None else tuple(faces))
    return PlanarPair(
        counts=counts,
        windows=tuple(EnergyWindow(*w) for w in meta["windows_kev"]),
        pixel_mm=tuple(meta["pixel_mm"]),
        exposure_s=meta["exposure_s"],
        acquired_at=datetime.fromisoformat(meta["acquired_at"]),
        duration_s=meta["duration_s"],
        detector_distance_mm=None if distance is None else tuple(distance),
        more=more,
    )


def write_user_pair(path: Path, pair: PlanarPair) -> None:
    """Write a pair as the cohort sheet takes it: ``NAME.npz`` and ``NAME.json`` (`read_user_pair`), atomically."""
    meta = {
        "views": VIEWS,
        "windows_kev": [[w.low_kev, w.high_kev] for w in pair.windows],
        "pixel_mm": list(pair.pixel_mm),
        "seconds_per_row" if pair.is_swept else "duration_s": pair.exposure_s,
        "acquired_at": pair.acquired_at.isoformat(),
        "detector_distance_mm": pair.detector_distance_mm,
    }
    with atomic(path) as temporary, temporary.open("wb") as f:  # to a name in upper case NumPy would add .npz
        np.savez_compressed(f, counts=pair.counts.astype(np.float32))
    write_text(path.with_suffix(".json"), json.dumps(meta, indent=1) + "\n")


def read_user_pair(path: Path, camera: Camera | None, where: str) -> PlanarPair:
    """Read the user's ``NAME.npz`` with ``NAME.json`` beside it (docs/inputs.md).

    Parameters
    ----------
    path : Path
        The NPZ: ``counts`` (view, window, row, column), row 0 the head, views as the camera sees them.
    camera : Camera or None
        Its axial field turns ``seconds_per_row`` (a row's time in the field of a sweep) into the sweep's duration.
    where : str
        Sheet row and column, for errors.

    Raises
    ------
    InputError
        On an unreadable file, a missing key (named), a shape that disagrees with the JSON, or bad counts.
    """
    meta = _read_json(with_ending(path, ".json"), where)
    counts = _read_counts(path, where)
    _check_keys(meta, where)
    order, angles = _view_order(meta["views"], where)
    views = len(VIEWS) + len(angles)
    windows = _windows(meta["windows_kev"], where)
    pixel_mm = _numbers(meta["pixel_mm"], 2, f"{where} pixel_mm")
    check_matrix(pixel_mm, counts.shape[-2:], f"{where} pixel_mm")
    if counts.shape[:2] != (views, len(windows)) or 0 in counts.shape:
        raise InputError(
            where,
            f"counts have shape {counts.shape}",
            f"({views}, {len(windows)}, rows, columns): views, windows_kev, rows, columns",
        )
    check_counts(counts, where)
    exposure_s, duration_s = _times(meta, counts.shape[2] * pixel_mm[0], camera, where)
    distance, more = _distances(meta, views, where), None
    if angles:
        further = [n for n in range(views) if n not in order]
        faces = None if distance is None else tuple(distance[n] for n in further)
        more = MoreViews(tuple(angles), counts[further].astype(np.float32), faces)
    return PlanarPair(
        counts=counts[order].astype(np.float32),
        windows=windows,
        pixel_mm=pixel_mm,
        exposure_s=exposure_s,
        acquired_at=parse_time(str(meta["acquired_at"]), f"{where} acquired_at"),
        duration_s=duration_s,
        detector_distance_mm=None if distance is None else (distance[order[0]], distance[order[1]]),
        more=more,
    )


def check_matrix(pixel_mm: tuple[float, float], shape: tuple[int, ...], where: str) -> None:
    """Refuse a pixel size (row, column) that is not in mm: by itself, and by the size of the image (rows, columns)."""
    for size, pixels in zip(pixel_mm, shape, strict=True):
        plausible.PLANAR_PIXEL_MM.check(size, where)
        extent = plausible.PLANAR_EXTENT_MM
        if not extent.low <= size * pixels <= extent.high:
            raise InputError(
                where,
                f"{pixels} pixels of {size:g} mm make an image of {size * pixels:g} mm",
                f"a side of {extent.text}",
                extent.slip,
            )


def check_counts(counts: np.ndarray, where: str) -> None:
    """Refuse counts that are not numbers, negative, or all zero."""
    bad = int(np.count_nonzero(~np.isfinite(counts)))
    if bad:
        raise InputError(where, f"{bad} of {counts.size} counts are NaN or infinite", "finite counts")
    if counts.min() < 0:
        raise InputError(
            where,
            f"{np.count_nonzero(counts < 0)} negative counts, lowest {counts.min():g}",
            "counts of 0 or more",
            "give the images as acquired, before any background or scatter subtraction",
        )
    if counts.max() > 1e15:  # beyond what float32 counts to, with room for the sum
        raise InputError(where, f"a pixel of {counts.max():.3g} counts", "counts of an acquisition")
    if counts.max() == 0:
        raise InputError(where, "every pixel is 0", "an image with counts")


def _read_json(path: Path, where: str) -> dict:
    try:
        meta = json.loads(path.read_text(encoding="utf-8-sig"), object_pairs_hook=partial(_once, where))
    except FileNotFoundError:
        raise InputError(where, "the JSON beside the NPZ is missing", "NAME.json beside NAME.npz") from None
    except (OSError, ValueError, RecursionError) as fault:
        raise InputError(
            where, f"the JSON beside the NPZ cannot be read ({type(fault).__name__})", "valid JSON"
        ) from None
    if not isinstance(meta, dict):
        raise InputError(where, f"the JSON holds a {type(meta).__name__}", "an object with the keys of docs/inputs.md")
    return meta


def _check_keys(meta: dict, where: str) -> None:
    for key in USER_KEYS:
        if key not in meta:
            raise InputError(
                where,
                f"key '{key}' is missing in the JSON",
                f"keys {', '.join(USER_KEYS)}, and duration_s or seconds_per_row",
            )


def _once(where: str, pairs: list[tuple[str, object]]) -> dict:
    """The mapping of a JSON object; a key that stands twice is refused: JSON's readers keep the last in silence."""
    found: dict[str, object] = {}
    for key, value in pairs:
        if key in found:
            raise InputError(where, f"key {shown(key)} stands twice in the JSON", "each key once")
        found[key] = value
    return found


def _read_counts(path: Path, where: str) -> np.ndarray:
    try:
        with np.load(path, allow_pickle=False) as archive:
            if "counts" not in archive:
                raise InputError(
                    where,
                    f"key 'counts' is missing in the NPZ (it holds {', '.join(archive.files) or 'nothing'})",
                    "counts (view, window, row, column)",
                )
            counts = archive["counts"]
    except FileNotFoundError:
        raise InputError(where, "no such file", "an existing NPZ file") from None
    except (*UNREADABLE, OSError, AttributeError, TypeError) as fault:
        raise InputError(
            where, f"not a readable NPZ file ({type(fault).__name__})", "a NumPy .npz without pickled objects"
        ) from None
    if counts.ndim != 4:
        raise InputError(where, f"counts have shape {counts.shape}", "(view, window, row, column)")
    if counts.dtype.kind not in "fiu":
        raise InputError(where, f"counts have type {counts.dtype}", "numbers (float32)")
    return counts


def _told(value: object) -> str:
    """A value of the JSON for a message, but for what looks like a path."""
    text = json.dumps(value, ensure_ascii=False)
    return "a path" if "/" in text or "\\" in text else text[:80]


def _view_order(views: object, where: str) -> tuple[list[int], list[float]]:
    """Positions of (anterior, posterior) in the file, and the angles of the further views in their order."""
    names = list(views) if isinstance(views, list) else [views]
    expected = 'views ["anterior", "posterior"], and angles in degrees of further views (0 anterior, 90 the right side)'
    missing = [v for v in VIEWS if v not in names]
    if missing:
        raise InputError(f"{where} views", f"the {missing[0]} view is missing, the file has {_told(names)}", expected)
    further = [v for v in names if v not in VIEWS]
    numbers = [v for v in further if isinstance(v, (int, float)) and not isinstance(v, bool) and math.isfinite(v)]
    if len(names) != len(VIEWS) + len(further) or len(numbers) != len(further):
        raise InputError(f"{where} views", f"{len(names)} views {_told(names)}", expected)
    return [names.index(v) for v in VIEWS], [float(v) % 360.0 for v in numbers]


def _windows(values: object, where: str) -> tuple[EnergyWindow, ...]:
    try:
        return tuple(EnergyWindow(float(low), float(high)) for low, high in values)
    except (TypeError, ValueError, OverflowError):
        raise InputError(
            f"{where} windows_kev", _told(values), "a list of [low, high] in keV with 0 < low < high"
        ) from None


def _numbers(values: object, n: int, where: str) -> tuple:
    try:
        numbers = tuple(float(x) for x in values)
    except (TypeError, ValueError, OverflowError):
        numbers = ()
    if len(numbers) != n or not all(math.isfinite(x) and x > 0 for x in numbers):
        raise InputError(where, _told(values), f"{n} positive numbers in mm")
    return numbers


def _distances(meta: dict, views: int, where: str) -> tuple[float, ...] | None:
    """Distance of each view's collimator face from the body's axis, mm, in the file's order; None where not told."""
    told, where = meta.get("detector_distance_mm"), f"{where} detector_distance_mm"
    if told is None:
        return None
    given = _numbers(told, views, where)
    for value in given:
        plausible.HEAD_DISTANCE_MM.check(value, where)
    return given


def axial_field_mm(camera: Camera | None, where: str) -> float:
    """Axial length of the field; without a camera, which only a sweep needs, an `InputError`."""
    if camera is None:
        raise InputError(
            where, "a sweep, whose exposure depends on the camera's field", "the camera", "name the camera"
        )
    return camera.field_mm[0]


def _times(meta: dict, length_mm: float, camera: Camera | None, where: str) -> tuple[float, float]:
    """(exposure, duration) in s of a static image (``duration_s``) or of a sweep (``seconds_per_row``)."""
    given = {k: meta[k] for k in ("duration_s", "seconds_per_row") if meta.get(k) is not None}
    if not given:
        raise InputError(
            where,
            "key 'duration_s' or 'seconds_per_row' is missing in the JSON",
            "duration_s of a static image, or seconds_per_row of a sweep",
        )
    for key, value in given.items():
        if not isinstance(value, (int, float)) or isinstance(value, bool) or not math.isfinite(value) or value <= 0:
            raise InputError(f"{where} {key}", _told(value), "a positive number of seconds")
        (plausible.DURATION_S if key == "duration_s" else plausible.EXPOSURE_S).check(value, f"{where} {key}")
    if "seconds_per_row" not in given:
        return float(given["duration_s"]), float(given["duration_s"])
    exposure_s = float(given["seconds_per_row"])
    return exposure_s, float(given.get("duration_s", length_mm / axial_field_mm(camera, where) * exposure_s))
