"""Which head and which energy window took each frame of an NM object."""

from collections import Counter

from pydicom.dataset import Dataset

from planardose.config import Hand
from planardose.errors import InputError
from planardose.io.by_hand import decide
from planardose.io.dicom_read import listed

ITEMS = {  # vector -> the sequence whose items it numbers, and their number
    "DetectorVector": ("DetectorInformationSequence", "NumberOfDetectors"),
    "EnergyWindowVector": ("EnergyWindowInformationSequence", "NumberOfEnergyWindows"),
}


def heads_and_windows(ds: Dataset, n: int, hand: Hand, where: str, key: str) -> tuple[list[int], list[int] | None]:
    """Numbers (from 1) of the detector and of the energy window of each of `n` frames; None where no window is told.

    Without DetectorVector frames of different windows are of one head; else `head_order` says that the frames of each
    window stand in the order of two heads. Without EnergyWindowVector a `windows_kev` for every frame of a head says
    that they stand in its order.

    Raises
    ------
    InputError
        Vectors of another length or with impossible numbers; frames of which the header does not tell the head.
    """
    detector, window = (_vector(ds, name, n, where) for name in ITEMS)
    if detector is None:
        detector = _in_order_of_heads(ds, window or [1] * n, hand, where, key)
    if window is None and hand.windows_kev is not None:
        frames = Counter(detector)
        if set(frames.values()) == {len(hand.windows_kev)}:
            window = _occurrence(detector)
    return detector, window


def vector_notes(files: list[Dataset]) -> list[str]:
    """Notes on vectors that count from 0, where DICOM counts from 1."""
    odd = [name for ds in files for name in ITEMS if 0 in _numbers(ds, name)]
    return [f"{name} counts from 0: taken as if it did from 1" for name in dict.fromkeys(odd)]


def _numbers(ds: Dataset, name: str) -> list[int]:
    return [int(x) for x in listed(ds.get(name))]


def _vector(ds: Dataset, name: str, n: int, where: str) -> list[int] | None:
    """One number, from 1, for each of `n` frames; a vector that counts from 0 is counted on by one."""
    vector = _numbers(ds, name)
    if not vector:
        return None
    if len(vector) != n or min(vector) < 0:
        raise InputError(where, f"{name} has {len(vector)} values for {n} frames", "one positive value per frame")
    if min(vector) > 0:
        return vector
    items = _items(ds, name)
    if items and max(vector) >= items:
        raise InputError(where, f"{name} counts from 0 to {max(vector)}, and {ITEMS[name][0]} has {items} items",
                         "numbers from 1", "export the images again")  # fmt: skip
    return [x + 1 for x in vector]


def _items(ds: Dataset, name: str) -> int:
    """How many detectors or windows the header describes, else how many it says there are; 0 where it does neither."""
    sequence, count = ITEMS[name]
    return len(ds.get(sequence) or []) or int(ds.get(count) or 0)


def _in_order_of_heads(ds: Dataset, window: list[int], hand: Hand, where: str, key: str) -> list[int]:
    """Detector of each frame of an object without DetectorVector, by the window of each frame."""
    frames = Counter(window)
    if len(frames) == len(window) and _items(ds, "DetectorVector") <= 1:
        return [1] * len(window)
    if set(frames.values()) == {2} and hand.head_order is not None:
        return _occurrence(window)
    raise InputError(
        where,
        f"{len(window)} frames and no DetectorVector: the header does not say which head took which frame",
        "DetectorVector, or one head per file",
        decide(key, "head_order") if set(frames.values()) == {2} else "or give the images as NPZ + JSON",
    )


def _occurrence(values: list[int]) -> list[int]:
    """For each value how often it has stood there, itself included."""
    seen: Counter[int] = Counter()
    found = []
    for value in values:
        seen[value] += 1
        found.append(seen[value])
    return found
