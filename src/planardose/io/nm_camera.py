"""Whether the header of a planar image names the camera that the user names."""

import re

from pydicom.dataset import Dataset

from planardose.io.dicom_terms import COLLIMATOR_TYPES, term
from planardose.library import Camera

COLLIMATORS = ("LEHR", "LEHS", "LEAP", "LEGP", "LEUHR", "MELP", "MEGP", "MEAP", "HEGP", "HEAP", "HE", "PINH")
PARALLEL = "PARA"  # CollimatorType of PS3.3 C.8.4.8: others magnify, or are tilted


def camera_notes(files: list[Dataset], camera: Camera | None) -> list[str]:
    """Notes on a manufacturer, collimator or axial field other than the camera's, and on lossy compression.

    Names are free text, so that a disagreement is told and not refused.
    """
    notes = []
    for ds in files:
        if str(ds.get("LossyImageCompression") or "") == "01":
            notes.append("the images were compressed with loss: counts are not exact")
        heads = ds.get("DetectorInformationSequence") or []
        kinds = {str(x.get("CollimatorType") or PARALLEL).upper() for x in heads} - {PARALLEL, "UNKN", "NONE"}
        told = sorted(term(kind, COLLIMATOR_TYPES) for kind in kinds)
        notes += [f"CollimatorType {kind}: only parallel holes are modelled" for kind in told]
        if camera is not None:
            notes += _disagreements(ds, heads, camera)
    return list(dict.fromkeys(notes))


def _disagreements(ds: Dataset, heads: list[Dataset], camera: Camera) -> list[str]:
    """What this object says otherwise than the camera's file."""
    notes, maker = [], _words(ds.get("Manufacturer"))
    if maker and not maker & _words(camera.vendor):
        notes.append(f"the header's manufacturer is not that of the camera named ({camera.vendor})")
    own = {word for word in COLLIMATORS if word in _words(camera.collimator)}
    told = {word for x in heads for word in COLLIMATORS if word in _words(x.get("CollimatorGridName"))}
    if own and told and not own & told:
        found = ", ".join(sorted(told))
        notes.append(f"the header's collimator is {found}; the camera named has {camera.collimator}")
    return notes


def _words(text: object) -> set[str]:
    return set(re.findall(r"[A-Z]+", str(text or "").upper()))
