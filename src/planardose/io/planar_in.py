"""The planar images of the cohort sheet, whatever their format."""

from dataclasses import replace
from datetime import datetime
from pathlib import Path

from planardose.config import Hand
from planardose.errors import no_such_file, readable
from planardose.io.dicom_nm import PlanarImport, flipped, read_planar_dicom, turned
from planardose.io.files import with_ending
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
            raise no_such_file(where, "an NM DICOM file or folder, or an NPZ with its JSON")
        if path.suffix.lower() in (".npz", ".json"):
            found = _user_import(with_ending(path, ".npz"), camera, where, hand)
        else:
            found = read_planar_dicom(path, camera, where, hand, key, acquired_at)
    if hand.upside_down:
        return replace(found, pair=turned(found.pair), notes=(*found.notes, "upside_down true by hand"))
    return found


def _user_import(path: Path, camera: Camera | None, where: str, hand: Hand) -> PlanarImport:
    """The user's NPZ as read, the posterior view mirrored where the user says so."""
    pair = read_user_pair(path, camera, where)
    unused = [name for name in ("head_order", "windows_kev", "seconds_per_row") if getattr(hand, name) is not None]
    notes = [f"{name} by hand has no effect: the JSON names views, windows and times" for name in unused]
    if hand.flip_posterior:
        return PlanarImport(flipped(pair), (*notes, "flip_posterior true by hand"))
    return PlanarImport(pair, tuple(notes))
