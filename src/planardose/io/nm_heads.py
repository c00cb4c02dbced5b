"""The heads of an NM acquisition: frames, energy windows and what the header says about where each head stood."""

import re
from dataclasses import dataclass, field, replace

import numpy as np
from pydicom.dataset import Dataset

from planardose.errors import InputError
from planardose.io.by_hand import decide
from planardose.io.dicom_common import listed, number, pixels, rescale
from planardose.planar import EnergyWindow

VIEW_CODES = {  # PS3.16 CID 26, SNOMED CT and the older SNOMED-RT values
    "399321004": "anterior", "G-5215": "anterior",
    "399001007": "posterior", "G-5216": "posterior",
}  # fmt: skip
VIEW_WORD = re.compile(r"(?<![A-Z])(ANT|POST|VENTRAL|DORSAL)(?:ER(?:IOR|IEUR)E?)?(?![A-Z])")
WORDS_OF = {"ANT": "anterior", "VENTRAL": "anterior", "POST": "posterior", "DORSAL": "posterior"}
NO_VIEW = re.compile(r"OBL|(?<![A-Z])(ANTERO|POSTERO)")  # "postero-anterior" is a beam's direction: PA
AFTER = re.compile(  # Latin "post": after
    r"(?<![A-Z])POST[ -]*((THERAP|TREAT|PROC|INJ|INFUS|ADMIN|OPERAT)[A-Z]*|(TX|RX|OP|P\.?I)(?![A-Z]))"
)
ANGLE_TOLERANCE_DEG = 30.0
SAME_EDGE_KEV = 0.1  # edges of one window: heads round them, or set them by their own energy calibration
BESIDE = "beside"  # the view of a head that is neither anterior nor posterior
PATIENT_AXES = {  # LPS
    "L": (1, 0, 0), "R": (-1, 0, 0), "P": (0, 1, 0), "A": (0, -1, 0), "F": (0, 0, -1), "H": (0, 0, 1),
}  # fmt: skip


@dataclass(frozen=True)
class Head:
    """One head of one file.

    `angle`, `code` and `text` are the view (``anterior`` or ``posterior``, by its angle also `BESIDE`) that StartAngle,
    ViewCodeSequence and the descriptions name, None where they do not; `angle_deg` is 0 in front, 90 at the patient's
    right. `along_row` and `down` are unit vectors in LPS of growing column and row.
    `frames` are (window, image) with (rows, columns) counts.
    """

    file: int
    detector: int
    angle: str | None
    angle_deg: float | None
    code: str | None
    text: str | None
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


def heads_of(ds: Dataset, file: int, windows_kev: tuple | None, where: str, key: str) -> list[Head]:
    """Heads of one NM object in the order of its detectors.

    Parameters
    ----------
    ds : Dataset
    file : int
        Number of the file in the acquisition.
    windows_kev : tuple or None
        The user's energy windows, where the header has none.
    where, key : str
        Sheet row and column; config key of this time point's decisions.

    Raises
    ------
    InputError
        Where the header does not say to which head or window a frame belongs.
    """
    images = _images(ds, where)
    n = len(images)
    detector, window = (_vector(ds, name, n, where) for name in ("DetectorVector", "EnergyWindowVector"))
    if detector is None and n > 1:
        raise InputError(
            where,
            f"{n} frames and no DetectorVector: the header does not say which head took which frame",
            "DetectorVector, or one head per file",
            "or give the images as NPZ + JSON",
        )
    detector, told = detector or [1] * n, window
    window = told or [1] * n
    windows = _windows(ds, told, windows_kev, where, key)
    if told is None and len(set(windows.values())) > 1:
        raise InputError(
            where,
            f"{len(windows)} energy windows and no EnergyWindowVector: the header does not say which frame is of which",
            "EnergyWindowVector, or one window",
            decide(key, "windows_kev"),
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


def _images(ds: Dataset, where: str) -> np.ndarray:
    """(frames, rows, columns) float32 counts."""
    images = pixels(ds, where)
    if int(ds.get("SamplesPerPixel") or 1) != 1:
        raise InputError(where, "a colour image", "counts", "export the acquired images, not a screen shot")
    images = images.reshape(-1, *images.shape[-2:]).astype(np.float32)
    slope, intercept = rescale(ds, where)
    return images * slope + intercept


def _vector(ds: Dataset, name: str, n: int, where: str) -> list[int] | None:
    vector = [int(x) for x in listed(ds.get(name))]
    if not vector:
        return None
    if len(vector) != n or min(vector) < 1:
        raise InputError(where, f"{name} has {len(vector)} values for {n} frames", "one positive value per frame")
    return vector


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
        parts = sorted((EnergyWindow(*map(float, r)) for r in ranges), key=lambda w: w.low_kev)
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
    texts = (_view_of_text(str(ds.get(name) or "")) for name in ("ImageID", "SeriesDescription") if single)
    degrees = _degrees(item, where)
    return Head(file, detector, _view_of_angle(degrees), degrees, _view_of_code(item), next(filter(None, texts), None),
                along_row, down, float(np.mean(radial)) if radial else None, frames)  # fmt: skip


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
    return VIEW_CODES.get(value) or _view_of_text(meaning) or _view_of_text(value)


def _view_of_text(text: str) -> str | None:
    plain = AFTER.sub("", text.upper().replace("_", " "))
    views = set() if NO_VIEW.search(plain) else {WORDS_OF[word] for word in VIEW_WORD.findall(plain)}
    return views.pop() if len(views) == 1 else None
