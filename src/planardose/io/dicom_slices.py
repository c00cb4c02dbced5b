"""From the single-slice DICOM files of a folder to one volume: CT and PET alike."""

import logging
from collections.abc import Callable
from itertools import chain, pairwise

import numpy as np
from pydicom.dataset import Dataset

from planardose.errors import InputError
from planardose.frames import ras_from_lps
from planardose.image import Grid, Volume
from planardose.io.dicom_headers import check_one_patient
from planardose.io.dicom_padding import padding
from planardose.io.dicom_read import numbers, pixels, rescale

log = logging.getLogger(__name__)
FEWEST_SLICES = 3  # a group with fewer is a scout or a screen shot where a larger group stands beside it
LISTED = 4  # series that a message describes
POSITION_TOLERANCE = 0.05  # of the spacing: headers round positions
GEOMETRY = ("ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing")


def volume_of_slices(
    slices: list[Dataset], noun: str, quantity: str, unit: str, outside: float, where: str
) -> Volume:
    """The one series among the slices as a volume of rescaled values.

    Slices are grouped by frame of reference, orientation, matrix and pixel size; a group whose positions repeat is
    split by series. Frames of reference that every slice has for itself do not count, with a warning. The spacing comes
    from positions alone. Each slice has its own rescale slope.

    Parameters
    ----------
    slices : list of Dataset
        One image each.
    noun : str
        What they are in messages: ``"CT"`` or ``"PET"``.
    quantity, unit : str
        Of the values.
    outside : float
        Value of pixels that the header calls padding: they lie outside the scanned circle.
    where : str
        Sheet row and column, for errors.

    Returns
    -------
    Volume
        (I, J, K) float32, i along a row of pixels, j down the rows, k along the slices; oblique and sheared (tilted
        gantry) series keep their affine.

    Raises
    ------
    InputError
        Several series or patients, missing slices, uneven spacing, broken files.
    """
    return _stack(one_series(slices, noun, where), noun, quantity, unit, outside, where)


def one_series(slices: list[Dataset], noun: str, where: str) -> list[Dataset]:
    """The slices of the one series among `slices`, each once, along the normal; faults as `volume_of_slices`."""
    check_one_patient(slices, where)
    for ds in slices:
        missing = next((name for name in GEOMETRY if not ds.get(name)), None)
        if missing:
            raise InputError(
                where,
                f"a {noun} slice has no {missing}",
                "slices with their places in the patient",
                f"export the {noun} series again, or convert it to NIfTI",
            )
        _check_header(ds, where)
    return _ordered(_one_series(_unique(slices), noun, where), noun, where)


def _check_header(ds: Dataset, where: str) -> None:
    """Refuse a slice whose geometry is no geometry."""
    for name, count in (*zip(GEOMETRY, (3, 6, 2), strict=True), ("Rows", 1), ("Columns", 1)):
        found = numbers(ds, name, count, f"{where} {name}")
        if name in ("PixelSpacing", "Rows", "Columns") and min(found) <= 0:
            raise InputError(f"{where} {name}", ", ".join(f"{x:g}" for x in found), "numbers above 0")


def _unique(slices: list[Dataset]) -> list[Dataset]:
    """Each object once: copies of a file share their SOPInstanceUID and their place."""
    seen: dict[tuple, Dataset] = {}
    for n, ds in enumerate(slices):
        place = _geometry_key(ds), tuple(map(float, ds.ImagePositionPatient))
        seen.setdefault((str(ds.get("SOPInstanceUID") or n), place), ds)
    return list(seen.values())


def _geometry_key(ds: Dataset) -> tuple:
    orientation = tuple(round(float(x), 3) + 0.0 for x in ds.ImageOrientationPatient)
    spacing = tuple(round(float(x), 4) for x in ds.PixelSpacing)
    return str(ds.get("FrameOfReferenceUID") or ""), orientation, int(ds.Rows), int(ds.Columns), spacing


def _grouped(slices: list[Dataset], key: Callable[[Dataset], object]) -> list[list[Dataset]]:
    groups: dict[object, list[Dataset]] = {}
    for ds in slices:
        groups.setdefault(key(ds), []).append(ds)
    return list(groups.values())


def _in_one_frame(slices: list[Dataset], noun: str, where: str) -> list[list[Dataset]]:
    """Slices of one geometry in groups of one frame of reference; in one group where each slice names its own.

    Some anonymisers give every file new UIDs. One series, or as many series as slices, and even steps are asked for all
    the same, so that no two scans are mixed.
    """
    frames = {str(ds.get("FrameOfReferenceUID") or "") for ds in slices}
    series = {str(ds.get("SeriesInstanceUID") or "") for ds in slices}
    if len(slices) < FEWEST_SLICES or len(frames) < len(slices) or len(series) not in (1, len(slices)):
        return _grouped(slices, _geometry_key)
    log.warning("%s: each of %d %s slices names a FrameOfReferenceUID of its own: taken as one series by their places",
                where, len(slices), noun)  # fmt: skip
    return [slices]


def _interleaved(series: list[list[Dataset]]) -> bool:
    """Whether slices of one series lie between those of another; series end to end are one volume in parts."""
    row, column = np.array(series[0][0].ImageOrientationPatient, dtype=float).reshape(2, 3)
    normal = np.cross(row, column)
    spans = []
    for part in series:
        at = [float(normal @ np.array(ds.ImagePositionPatient, dtype=float)) for ds in part]
        spans.append((min(at), max(at)))
    return any(after[0] < before[1] for before, after in pairwise(sorted(spans)))


def _one_series(slices: list[Dataset], noun: str, where: str) -> list[Dataset]:
    """The one group of slices that makes a volume; two or more are refused."""
    groups: list[list[Dataset]] = []
    in_frames = [_in_one_frame(g, noun, where) for g in _grouped(slices, lambda ds: _geometry_key(ds)[1:])]
    for group in chain.from_iterable(in_frames):
        positions = {tuple(round(float(x), 2) for x in ds.ImagePositionPatient) for ds in group}
        series = _grouped(group, lambda ds: str(ds.get("SeriesInstanceUID") or ""))
        groups += series if len(positions) < len(group) or _interleaved(series) else [group]
    large = [g for g in groups if len(g) >= FEWEST_SLICES] or groups
    if len(large) > 1:
        found = ", ".join(f"{len(g)} slices of {g[0].Rows}x{g[0].Columns}" for g in large[:LISTED])
        found += ", ..." * (len(large) > LISTED)
        raise InputError(
            where,
            f"{len(large)} {noun} series in one folder ({found})",
            f"one {noun} series",
            "put the series that belongs to the planar images into a folder of its own",
        )
    if len(large[0]) < 2:
        raise InputError(where, f"a single {noun} slice", "a series of slices, one file each")
    return large[0]


def _ordered(series: list[Dataset], noun: str, where: str) -> list[Dataset]:
    """Slices along the normal; refuses repeated positions, gaps and uneven spacing."""
    row, column = np.array(series[0].ImageOrientationPatient, dtype=float).reshape(2, 3)
    normal = np.cross(row, column)
    if abs(np.linalg.norm(normal) - 1) > 1e-2:
        raise InputError(where, "ImageOrientationPatient is not two perpendicular unit vectors", "a valid orientation")
    distance = np.array([normal @ np.array(ds.ImagePositionPatient, dtype=float) for ds in series])
    order = np.argsort(distance, kind="stable")
    distance = distance[order]
    steps = np.diff(distance)
    if steps.min() < 1e-3:
        raise InputError(
            where,
            f"two different {noun} slices at the same position ({distance[np.argmin(steps)]:g} mm)",
            "one slice per position",
            "put each reconstruction into a folder of its own",
        )
    _check_spacing(steps, distance, noun, where)
    return [series[n] for n in order]


def _check_spacing(steps: np.ndarray, distance: np.ndarray, noun: str, where: str) -> None:
    spacing = float(np.median(steps))
    uneven = np.abs(steps - spacing) > POSITION_TOLERANCE * spacing + 0.01
    if not uneven.any():
        return
    at = int(np.argmax(np.abs(steps - spacing)))
    multiple = steps[uneven] / spacing
    whole = np.abs(multiple - np.rint(multiple)) <= 2 * POSITION_TOLERANCE
    if whole.all() and uneven.mean() < 0.5:
        lost = int(np.rint(multiple - 1).sum())
        raise InputError(
            where,
            f"{lost} {noun} slice{'s' if lost > 1 else ''} missing: a gap of {steps[at]:g} mm after "
            f"{distance[at]:g} mm",
            f"a slice every {spacing:g} mm",
            "export the whole series again",
        )
    raise InputError(
        where,
        f"non-uniform {noun} spacing, from {steps.min():g} to {steps.max():g} mm",
        f"equal steps (the median is {spacing:g} mm)",
        "export one reconstruction with equal spacing",
    )


def _stack(series: list[Dataset], noun: str, quantity: str, unit: str, outside: float, where: str) -> Volume:
    """Volume of ordered slices; the affine's third column is the mean step of the positions."""
    first, last = (np.array(ds.ImagePositionPatient, dtype=float) for ds in (series[0], series[-1]))
    step = (last - first) / (len(series) - 1)
    for n, ds in enumerate(series):
        off = np.abs(np.array(ds.ImagePositionPatient, dtype=float) - first - n * step).max()
        if off > 2 * POSITION_TOLERANCE * np.linalg.norm(step) + 0.1:
            raise InputError(
                where, f"{noun} slice {n + 1} lies {off:.1f} mm off the line of the others", "a straight stack"
            )
    without = sum(ds.get("RescaleIntercept") in (None, "") for ds in series)
    if 0 < without < len(series):
        told = f"{without} of {len(series)} {noun} slices have no RescaleIntercept"
        raise InputError(where, told, "one in every slice", "export the series again")
    rows_mm, columns_mm = (float(x) for x in series[0].PixelSpacing)
    row, column = np.array(series[0].ImageOrientationPatient, dtype=float).reshape(2, 3)
    lps = np.eye(4)
    lps[:3, 0], lps[:3, 1], lps[:3, 2], lps[:3, 3] = row * columns_mm, column * rows_mm, step, first
    data = np.empty((int(series[0].Columns), int(series[0].Rows), len(series)), dtype=np.float32)
    for k, ds in enumerate(series):
        image = pixels(ds, where)
        if image.ndim != 2 or image.T.shape != data.shape[:2]:
            raise InputError(where, f"{noun} slice {k + 1} has pixels of shape {image.shape}", f"{data.shape[1::-1]}")
        slope, intercept = rescale(ds, where)
        data[:, :, k] = np.where(padding(ds, image), outside, image * slope + intercept).T
    return Volume(data, Grid(data.shape, ras_from_lps @ lps), quantity, unit)
