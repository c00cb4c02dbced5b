"""The planar images of the cohort sheet, whatever their format."""

from datetime import datetime
from pathlib import Path

from planardose.config import Hand
from planardose.errors import InputError, readable
from planardose.io.dicom_nm import PlanarImport, flipped, read_planar_dicom
from planardose.io.planar_file import read_user_pair
from planardose.library import Camera


def read_planar(
    path: Path,
    camera: Camera | None,
    where: str,
    hand: Hand | None = None,
    key: str = "",
    acquired_at: datetime | None = None,
) -> PlanarImport:
    """Read an NM DICOM file or folder, or the user's NPZ + JSON; arguments and errors as `read_planar_dicom`."""
    hand = hand or Hand()
    with readable(where):
        if not path.exists():
            raise InputError(where, "no such file or folder", "an NM DICOM file or folder, or an NPZ with its JSON")
        if path.suffix.lower() not in (".npz", ".json"):
            return read_planar_dicom(path, camera, where, hand, key, acquired_at)
        pair = read_user_pair(path.with_suffix(".npz"), camera, where)
    unused = [name for name in ("head_order", "windows_kev", "seconds_per_row") if getattr(hand, name) is not None]
    notes = [f"{name} by hand has no effect: the JSON names views, windows and times" for name in unused]
    if hand.flip_posterior:
        return PlanarImport(flipped(pair), (*notes, "flip_posterior true by hand"))
    return PlanarImport(pair, tuple(notes))
