"""How long an NM image was acquired: static duration, or the exposure of each point in a whole-body sweep."""

from dataclasses import dataclass

from pydicom.dataset import Dataset

from planardose.errors import InputError
from planardose.io.by_hand import decide
from planardose.io.dicom_common import number, words_of
from planardose.io.dicom_terms import TECHNIQUES, term
from planardose.io.nm_pixels import spacing_of
from planardose.io.planar_file import axial_field_mm
from planardose.library import Camera

SWEEPS = {"1PS": 1, "2PS": 2, "PCN": 1}  # PS3.3 C.8.4.9 WholeBodyTechnique: passes over the patient
SHORTEST = 0.5  # of the camera's field: a sweep may count its travel alone
FASTEST_MM_S = 10.0  # 60 cm/min; fast whole-body sweeps take 30
SLOWEST_MM_S = 0.5  # noted below it: 3 cm/min
AGREEMENT = 0.1  # of the duration: a sweep's by its velocity is as near to the header's (6 % in a real file)
ODD = (0.9, 1.5)  # header duration over the sweep's, beyond which it is noted: a sweep's travel may count the field too
DISAGREEMENT = 2.0  # header duration over the sweep's, beyond which the velocity cannot be in mm/s


@dataclass(frozen=True)
class Timing:
    """Exposure of each point, and start to end, in seconds."""

    exposure_s: float
    duration_s: float
    notes: tuple[str, ...] = ()


def timing_of(
    ds: Dataset, camera: Camera | None, where: str, key: str = "", seconds_per_row: float | None = None
) -> Timing:
    """Timing of one NM object.

    A sweep's exposure is the camera's axial field over ScanVelocity (mm/s) and its duration ScanLength (mm) over it:
    ActualFrameDuration of a sweep counts pauses as well (6 % more in a real file).

    Parameters
    ----------
    ds : Dataset
    camera : Camera or None
        A static image needs none.
    where, key : str
        Sheet row and column; config key of this time point's decisions.
    seconds_per_row : float or None
        The user's exposure of a sweep: then no velocity of the header counts, nor that it calls the image still.

    Raises
    ------
    InputError
        Where velocity or duration are missing or absurd, or the whole-body technique is no sweep (MSP).
    """
    # a value per pass or head, usually all the same
    technique = "\\".join(sorted(set(words_of(ds, "WholeBodyTechnique"))))
    seconds, length, velocity = (
        number(ds, name, where) or 0.0 for name in ("ActualFrameDuration", "ScanLength", "ScanVelocity")
    )
    seconds /= 1000
    if technique and technique not in SWEEPS:
        told = "\\".join(term(t, TECHNIQUES) for t in technique.split("\\"))
        raise InputError(
            where,
            f"WholeBodyTechnique {told} is no continuous sweep",
            f"one of {', '.join(SWEEPS)}",
            "give the images as NPZ + JSON with duration_s, one static field at a time",
        )
    passes = SWEEPS.get(technique, 1)
    if seconds_per_row is not None:
        field_mm = axial_field_mm(camera, where)
        known_mm = length if length >= SHORTEST * field_mm else _matrix_mm(ds, where)  # a shorter one may be in cm
        return _by_hand(seconds_per_row, passes * known_mm / field_mm, seconds)
    if not _is_swept(words_of(ds, "ImageType"), technique, velocity, passes * length, seconds):
        if seconds <= 0:
            raise InputError(
                where,
                "no ActualFrameDuration in the header",
                "the duration of the static image",
                "give the images as NPZ + JSON with duration_s",
            )
        unused = [f"ScanVelocity {velocity:g} mm/s of an image that the header calls STATIC is not used"]
        return Timing(seconds, seconds, tuple(unused if velocity > 0 else ()))
    if velocity <= 0:
        raise InputError(
            where,
            f"ScanVelocity {velocity:g} mm/s" if velocity else "a whole-body image without ScanVelocity",
            "the scan velocity in mm/s",
            decide(key, "seconds_per_row"),
        )
    return _sweep(velocity, length, seconds, passes, ds, camera, where, key)


def _is_swept(kind: list[str], technique: str, velocity: float, length: float, seconds: float) -> bool:
    """Whether the header tells of a sweep over `length` mm (of all passes) at `velocity` mm/s in `seconds`.

    A protocol may leave its velocity in the header of a still image: where ImageType says STATIC, the technique or the
    duration must tell of a sweep too.
    """
    if "STATIC" not in kind:
        return "WHOLE BODY" in kind or bool(technique) or velocity > 0
    return velocity > 0 and (bool(technique) or abs(length / velocity - seconds) <= AGREEMENT * seconds)


def _by_hand(seconds_per_row: float, fields: float, seconds: float) -> Timing:
    """Timing of a sweep over so many lengths of the field; `seconds` as the header tells the duration."""
    duration = fields * seconds_per_row
    notes = [f"seconds_per_row {seconds_per_row:g} by hand"]
    if _disagree(seconds, duration):
        notes.append(f"with it the sweep takes {duration:.0f} s, ActualFrameDuration says {seconds:.0f} s")
    return Timing(seconds_per_row, duration, tuple(notes))


def _disagree(seconds: float, duration: float) -> bool:
    """Whether the header's duration, where there is one, cannot be that of the sweep."""
    return seconds > 0 and not 1 / DISAGREEMENT <= seconds / duration <= DISAGREEMENT


def _matrix_mm(ds: Dataset, where: str) -> float:
    """Length of the image along the patient."""
    return int(ds.Rows) * spacing_of(ds, where)[0]


def _sweep(
    velocity: float,
    length: float,
    seconds: float,
    passes: int,
    ds: Dataset,
    camera: Camera | None,
    where: str,
    key: str,
) -> Timing:
    notes = []
    if seconds <= 0:
        notes.append(f"no ActualFrameDuration in the header: nothing checks ScanVelocity {velocity:g} mm/s")
    if velocity < SLOWEST_MM_S:
        notes.append(f"ScanVelocity {velocity:g} mm/s is slow: is it in cm/s?")
    if length <= 0:
        length = _matrix_mm(ds, where)
        notes.append(f"no ScanLength in the header: {length:g} mm taken from the matrix")
    duration = passes * length / velocity
    if _disagree(seconds, duration):
        raise InputError(
            where,
            f"ScanLength {length:g} mm at ScanVelocity {velocity:g} mm/s is {duration:.0f} s, ActualFrameDuration "
            f"says {seconds:.0f} s",
            "a velocity in mm/s",
            decide(key, "seconds_per_row"),
        )
    if seconds > 0 and not ODD[0] <= seconds / duration <= ODD[1]:
        told = f"ScanLength {length:g} mm at ScanVelocity {velocity:g} mm/s is {duration:.0f} s"
        notes.append(f"{told}, ActualFrameDuration says {seconds:.0f} s: check the velocity")
    if velocity > FASTEST_MM_S:
        raise InputError(
            where,
            f"ScanVelocity {velocity:g} mm/s",
            f"at most {FASTEST_MM_S:g} mm/s",
            f"it may be in cm/min: {decide(key, 'seconds_per_row')}",
        )
    field_mm = axial_field_mm(camera, where)
    if length < SHORTEST * field_mm:
        raise InputError(
            where,
            f"a sweep of {length:g} mm, less than {SHORTEST:g} of the camera's field of {field_mm:g} mm",
            "the length of the sweep in mm",
            f"it may be in cm: {decide(key, 'seconds_per_row')}",
        )
    return Timing(field_mm / velocity, duration, tuple(notes))
