"""How long an NM image was acquired: static duration, or the exposure of each point in a whole-body sweep."""

from dataclasses import dataclass

from pydicom.dataset import Dataset

from planardose.errors import InputError
from planardose.io.by_hand import decide
from planardose.io.dicom_read import number, words_of
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


@dataclass(frozen=True)
class _Scan:
    """What a header tells of a scan: ActualFrameDuration, ScanLength and ScanVelocity, 0 where it does not.

    `passes` over the patient are those of the whole-body technique, one where it names none (`has_technique`).
    """

    duration_s: float
    length_mm: float
    velocity_mm_s: float
    passes: int
    has_technique: bool

    def disagrees(self, duration_s: float) -> bool:
        """Whether the header's duration, where there is one, cannot be that of a sweep."""
        return self.duration_s > 0 and not 1 / DISAGREEMENT <= self.duration_s / duration_s <= DISAGREEMENT


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
    scan = _scan_of(ds, where)
    if seconds_per_row is not None:
        field_mm = axial_field_mm(camera, where)
        # a shorter one may be in cm
        known_mm = scan.length_mm if scan.length_mm >= SHORTEST * field_mm else _matrix_mm(ds, where)
        return _by_hand(scan, seconds_per_row, scan.passes * known_mm / field_mm)
    if not _is_swept(words_of(ds, "ImageType"), scan):
        return _still(scan, where)
    if (velocity := scan.velocity_mm_s) <= 0:
        told = f"ScanVelocity {velocity:g} mm/s" if velocity else "a whole-body image without ScanVelocity"
        raise InputError(where, told, "the scan velocity in mm/s", decide(key, "seconds_per_row"))
    return _sweep(scan, ds, camera, where, key)


def _scan_of(ds: Dataset, where: str) -> _Scan:
    # a value per pass or head, usually all the same
    technique = "\\".join(sorted(set(words_of(ds, "WholeBodyTechnique"))))
    duration_ms, length, velocity = (
        number(ds, name, where) or 0.0 for name in ("ActualFrameDuration", "ScanLength", "ScanVelocity")
    )
    if technique and technique not in SWEEPS:
        told = "\\".join(term(t, TECHNIQUES) for t in technique.split("\\"))
        raise InputError(
            where,
            f"WholeBodyTechnique {told} is no continuous sweep",
            f"one of {', '.join(SWEEPS)}",
            "give the images as NPZ + JSON with duration_s, one static field at a time",
        )
    return _Scan(duration_ms / 1000, length, velocity, SWEEPS.get(technique, 1), bool(technique))


def _is_swept(kind: list[str], scan: _Scan) -> bool:
    """Whether the header tells of a sweep.

    A protocol may leave its velocity in the header of a still image: where ImageType says STATIC, the technique or the
    duration must tell of a sweep too.
    """
    velocity = scan.velocity_mm_s
    if "STATIC" not in kind:
        return "WHOLE BODY" in kind or scan.has_technique or velocity > 0
    if velocity <= 0:
        return False
    off_s = abs(scan.passes * scan.length_mm / velocity - scan.duration_s)
    return scan.has_technique or off_s <= AGREEMENT * scan.duration_s


def _still(scan: _Scan, where: str) -> Timing:
    """Timing of a static image."""
    if scan.duration_s <= 0:
        raise InputError(
            where,
            "no ActualFrameDuration in the header",
            "the duration of the static image",
            "give the images as NPZ + JSON with duration_s",
        )
    unused = f"ScanVelocity {scan.velocity_mm_s:g} mm/s of an image that the header calls STATIC is not used"
    return Timing(scan.duration_s, scan.duration_s, (unused,) if scan.velocity_mm_s > 0 else ())


def _by_hand(scan: _Scan, seconds_per_row: float, fields: float) -> Timing:
    """Timing of a sweep over so many lengths of the field."""
    duration = fields * seconds_per_row
    notes = [f"seconds_per_row {seconds_per_row:g} by hand"]
    if scan.disagrees(duration):
        notes.append(f"with it the sweep takes {duration:.0f} s, ActualFrameDuration says {scan.duration_s:.0f} s")
    return Timing(seconds_per_row, duration, tuple(notes))


def _matrix_mm(ds: Dataset, where: str) -> float:
    """Length of the image along the patient."""
    return int(ds.Rows) * spacing_of(ds, where)[0]


def _sweep(scan: _Scan, ds: Dataset, camera: Camera | None, where: str, key: str) -> Timing:
    """Timing of a sweep by its velocity, which is above 0."""
    velocity, length, notes = scan.velocity_mm_s, scan.length_mm, []
    do = decide(key, "seconds_per_row")
    if scan.duration_s <= 0:
        notes.append(f"no ActualFrameDuration in the header: nothing checks ScanVelocity {velocity:g} mm/s")
    if velocity < SLOWEST_MM_S:
        notes.append(f"ScanVelocity {velocity:g} mm/s is slow: is it in cm/s?")
    if length <= 0:
        length = _matrix_mm(ds, where)
        notes.append(f"no ScanLength in the header: {length:g} mm taken from the matrix")
    duration = scan.passes * length / velocity
    told = f"ScanLength {length:g} mm at ScanVelocity {velocity:g} mm/s is {duration:.0f} s, ActualFrameDuration says "
    told += f"{scan.duration_s:.0f} s"
    if scan.disagrees(duration):
        raise InputError(where, told, "a velocity in mm/s", do)
    if scan.duration_s > 0 and not ODD[0] <= scan.duration_s / duration <= ODD[1]:
        notes.append(f"{told}: check the velocity")
    if velocity > FASTEST_MM_S:
        problem, expected = f"ScanVelocity {velocity:g} mm/s", f"at most {FASTEST_MM_S:g} mm/s"
        raise InputError(where, problem, expected, f"it may be in cm/min: {do}")
    field_mm = axial_field_mm(camera, where)
    if length < SHORTEST * field_mm:
        problem = f"a sweep of {length:g} mm, less than {SHORTEST:g} of the camera's field of {field_mm:g} mm"
        raise InputError(where, problem, "the length of the sweep in mm", f"it may be in cm: {do}")
    return Timing(field_mm / velocity, duration, tuple(notes))
