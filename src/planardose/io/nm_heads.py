"""The heads of an NM acquisition: frames, energy windows and what the header says about where each head stood."""

from dataclasses import dataclass, field, replace

import numpy as np
from pydicom.dataset import Dataset

from planardose.config import Hand
from planardose.errors import InputError
from planardose.io.by_hand import decide
from planardose.io.dicom_read import listed, number
from planardose.io.nm_pixels import counts_of
from planardose.io.nm_vectors import heads_and_windows
from planardose.io.nm_words import view_of_text
from planardose.planar import EnergyWindow

VIEW_CODES = {  # PS3.16 CID 26, SNOMED CT and the older SNOMED-RT values
    "399321004": "anterior", "G-5215": "anterior",
    "399001007": "posterior", "G-5216": "posterior",
}  # fmt: skip
DESCRIPTIONS = ("ImageID", "SeriesDescription")  # of one-head files: what may name their view in words
ANGLE_TOLERANCE_DEG = 30.0
SAME_EDGE_KEV = 0.1  # edges of one window: heads round them, or set them by their own energy calibration
BESIDE = "beside"  # the view of a head that is neither anterior nor posterior
PATIENT_AXES = {  # LPS
    "L": (1, 0, 0), "R": (-1, 0, 0), "P": (0, 1, 0), "A": (0, -1, 0), "F": (0, 0, -1), "H": (0, 0, 1),
}  # fmt: skip


@dataclass(frozen=True)
class Head:
    """One head of one file.

    `angle` and `code` are the view (``anterior`` or ``posterior``, by its angle also `BESIDE`) that StartAngle and
    ViewCodeSequence name, None where they do not; `words` holds `view_of_text` of each of `DESCRIPTIONS` in a one-head
    file. `angle_deg` is 0 in front, 90 at the right side. `along_row` and `down` are unit vectors in LPS of growing
    column and row.
    `frames` are (window, image) with (rows, columns) counts.
    """

    file: int
    detector: int
    angle: str | None
    angle_deg: float | None
    code: str | None
    words: tuple[tuple[str | None, bool], ...]
    along_row: np.ndarray | None
    down: np.ndarray | None
    radial_mm: float | None
    frames: list[tuple[EnergyWindow, np.ndarray]] = field(repr=False)

    @property
    def start_angle(self) -> float:
        """As DICOM counts it; NaN where the header does not say."""
        return float("nan") if self.angle_deg is None else (self.angle_deg + 180.0) % 360.0

    @property
    def off_axis_deg(self) -> float:
        """Degrees from the nearer of front and back."""
        off_anterior = abs((self.angle_deg + 180.0) % 360.0 - 180.0)
        return min(off_anterior, 180.0 - off_anterior)

    @property
    def seen_from(self) -> str | None:
        """The view from which the image is as the camera sees it, whatever its rotation in the plane."""
        if self.along_row is None:
            return None
        depth = np.cross(self.along_row, self.down)[1]  # LPS y points to the back: an anterior camera looks along +y
        return None if abs(depth) < 0.9 else ("anterior" if depth > 0 else "posterior")


def heads_of(ds: Dataset, file: int, hand: Hand, where: str, key: str) -> list[Head]:
    """Heads of one NM object in the order of its detectors.

    Parameters
    ----------
    ds : Dataset
    file : int
        Number of the file in the acquisition.
    hand : Hand
        The user's decisions: energy windows and order of the heads, where the header does not tell.
    where, key : str
        Sheet row and column; config key of this time point's decisions.

    Raises
    ------
    InputError
        Where the header does not say to which head or window a frame belongs.
    """
    images = counts_of(ds, where)
    n = len(images)
    detector, told = heads_and_windows(ds, n, hand, where, key)
    window = told or [1] * n
    windows = _windows(ds, told, hand.windows_kev, where, key)
    if told is None and len(set(windows.values())) > 1:
        raise InputError(
            where,
            f"{len(windows)} energy windows and no EnergyWindowVector: the header does not say which frame is of which",
            "EnergyWindowVector, or one window",
            f"{decide(key, 'windows_kev')}: one for every frame of a head, in their order",
        )
    single = len(set(detector)) == 1
    return [_head(ds, file, d, single,
                  [(windows[w], image) for x, w, image in zip(detector, window, images, strict=True) if x == d],
                  where)
            for d in sorted(set(detector))]  # fmt: skip


def with_common_windows(heads: list[Head]) -> list[Head]:
    """The heads, their windows rounded; one whose edges are within `SAME_EDGE_KEV` of an earlier one's is that one."""
    known: list[EnergyWindow] = []

    def common(window: EnergyWindow) -> EnergyWindow:
        for w in known:
            if max(abs(w.low_kev - window.low_kev), abs(w.high_kev - window.high_kev)) <= SAME_EDGE_KEV:
                return w
        known.append(EnergyWindow(round(window.low_kev, 3), round(window.high_kev, 3)))
        return known[-1]

    return [replace(h, frames=[(common(window), image) for window, image in h.frames]) for h in heads]


def _windows(
    ds: Dataset, told: list[int] | None, by_hand: tuple | None, where: str, key: str
) -> dict[int, EnergyWindow]:
    """Windows by their number in the file: those that EnergyWindowVector (`told`) names, without it all there are."""
    do = decide(key, "windows_kev")
    edges = (
        [
            [(x.get("EnergyWindowLowerLimit"), x.get("EnergyWindowUpperLimit"))
             for x in item.get("EnergyWindowRangeSequence") or []]
            for item in ds.get("EnergyWindowInformationSequence") or []
        ]
        if by_hand is None
        else [[tuple(w)] for w in by_hand]
    )  # fmt: skip
    numbers = sorted(set(told or range(1, max(len(edges), 1) + 1)))
    if by_hand is not None and len(by_hand) < numbers[-1]:
        raise InputError(
            where,
            f"{len(by_hand)} energy windows by hand for {numbers[-1]} in the file",
            "edges in keV for every window",
            do,
        )
    windows = {}
    for n in numbers:
        ranges = edges[n - 1] if n <= len(edges) else []
        if not ranges or any(None in r for r in ranges):
            problem = f"the edges of energy window {n} are not in the header"
            raise InputError(where, problem, "edges in keV for every window", do)
        windows[n] = _one_window(n, ranges, where, do)
    return windows


def _one_window(n: int, ranges: list[tuple], where: str, do: str) -> EnergyWindow:
    """Window number `n` of its ranges, joined where they touch; counts of several windows in one image are refused."""
    try:
        edges = sorted((float(low), float(high)) for low, high in ranges)
    except (ValueError, TypeError):
        raise InputError(where, f"the edges of energy window {n} are no numbers", "keV", do) from None
    try:
        parts = [EnergyWindow(*pair) for pair in edges]
    except ValueError as fault:
        raise InputError(where, str(fault), "0 < low < high in keV", do) from None
    found = parts[0]
    for part in parts[1:]:
        if part.low_kev > found.high_kev + SAME_EDGE_KEV:
            listed_kev = " and ".join(f"{w.low_kev:g}-{w.high_kev:g}" for w in parts)
            raise InputError(
                where,
                f"an image of energy window {n} holds the counts of {len(parts)} windows, {listed_kev} keV",
                "one window in every image",
                "export each window as an image of its own",
            )
        found = EnergyWindow(found.low_kev, max(found.high_kev, part.high_kev))
    return found


def _head(ds: Dataset, file: int, detector: int, single: bool, frames: list, where: str) -> Head:
    items = ds.get("DetectorInformationSequence") or []
    item = items[detector - 1] if len(items) >= detector else (items[0] if single and items else Dataset())
    along_row, down = _orientation(item, ds if single else Dataset())
    radial = [float(x) for x in listed(item.get("RadialPosition")) if x]
    words = tuple(view_of_text(str(ds.get(name) or "")) for name in DESCRIPTIONS if single)
    degrees = _degrees(item, where)
    return Head(file, detector, _view_of_angle(degrees), degrees, _view_of_code(item), words, along_row, down,
                float(np.mean(radial)) if radial else None, frames)  # fmt: skip


def _orientation(item: Dataset, ds: Dataset) -> tuple[np.ndarray | None, np.ndarray | None]:
    """LPS directions of growing column and row: ImageOrientationPatient, else PatientOrientation of a one-head file."""
    cosines = item.get("ImageOrientationPatient") or ds.get("ImageOrientationPatient")
    if cosines is not None and len(cosines) == 6:
        along_row, down = np.array(cosines, dtype=float).reshape(2, 3)
        return along_row, down
    values = [str(x) for x in listed(ds.get("PatientOrientation"))]
    if len(values) == 2 and all(x and set(x) <= set(PATIENT_AXES) for x in values):
        return _towards(values[0]), _towards(values[1])
    return None, None


def _towards(letters: str) -> np.ndarray:
    """Unit vector of a PatientOrientation such as L or LA."""
    total = np.sum([PATIENT_AXES[x] for x in letters], axis=0, dtype=float)
    return total / max(float(np.linalg.norm(total)), 1e-9)


def _degrees(item: Dataset, where: str) -> float | None:
    """StartAngle (PS3.3 C.8.4.11: 0 at the patient's back, then to the left side) as 0 in front, 90 at the right."""
    start_angle = number(item, "StartAngle", where)
    return None if start_angle is None else (start_angle + 180.0) % 360.0


def _view_of_angle(degrees: float | None) -> str | None:
    if degrees is None:
        return None
    off_anterior = abs((degrees + 180.0) % 360.0 - 180.0)
    if off_anterior <= ANGLE_TOLERANCE_DEG:
        return "anterior"
    return "posterior" if off_anterior >= 180.0 - ANGLE_TOLERANCE_DEG else BESIDE


def _view_of_code(item: Dataset) -> str | None:
    codes = item.get("ViewCodeSequence") or []
    if not codes:
        return None
    value, meaning = (str(codes[0].get(name) or "") for name in ("CodeValue", "CodeMeaning"))
    if value in VIEW_CODES:
        return VIEW_CODES[value]
    named = (view for view, by_projection in map(view_of_text, (meaning, value)) if not by_projection)
    return next(filter(None, named), None)
