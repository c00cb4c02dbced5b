"""Reconstructed emission images in DICOM: PET series, and SPECT as NM multi-frame objects."""

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import numpy as np
from pydicom.dataset import Dataset

from planardose.errors import InputError
from planardose.frames import ras_from_lps
from planardose.image import Grid, Volume
from planardose.io.dicom_headers import check_one_patient
from planardose.io.dicom_read import is_picture, listed, numbers, pixels, read_datasets, rescale, understood, words_of
from planardose.io.dicom_slices import volume_of_slices
from planardose.io.dicom_terms import IMAGE_TYPES, modalities_of, term
from planardose.io.dicom_times import earliest, odd_source_of_start

QUANTITY, ARBITRARY, BQ_ML = "activity concentration", "arbitrary", "Bq/mL"
IN_BQ_ML = {"bq/ml": 1.0, "kbq/ml": 1e3}  # UCUM
STILL_SERIES = ("STATIC", "WHOLE BODY")  # PS3.3 C.8.9.1 SeriesType, value 1
SECONDS_PER_MS = 1e-3


@dataclass(frozen=True)
class ActivityImage:
    """An emission image with what its header says about when it was taken.

    Parameters
    ----------
    volume : Volume
        Unit ``"Bq/mL"`` where the header says so, else ``"arbitrary"``: then only ratios mean anything.
    modality : str
        ``"PT"``, ``"NM"``, or ``""`` for NIfTI.
    acquired_at : datetime or None
        Start of the acquisition (the earliest of its files) on the camera's clock.
    duration_s : float or None
        Of the whole acquisition, where the header has it (SPECT).
    decayed_to : str
        DecayCorrection of the header: ``"START"`` of the acquisition, ``"ADMIN"`` of the activity, or empty.
    odd_start : str
        Where `acquired_at` was read from, if not from the acquisition's own date and time: it may be of the processing.
    """

    volume: Volume
    modality: str = ""
    acquired_at: datetime | None = None
    duration_s: float | None = None
    decayed_to: str = ""
    odd_start: str = ""


def read_tomographic_dicom(path: Path, where: str) -> ActivityImage:
    """Read the one PET series or reconstructed SPECT of a file or folder; other objects beside it are left out.

    Parameters
    ----------
    path : Path
    where : str
        Sheet row and column, for errors.

    Raises
    ------
    InputError
        Neither or both in the folder, several series, gated or dynamic images, projections, broken files.
    """
    datasets = read_datasets(path, where)
    with understood(where):
        images = [ds for ds in datasets if "PixelData" in ds and not is_picture(ds)]
        pet, nm = ([ds for ds in images if str(ds.get("Modality") or "") == m] for m in ("PT", "NM"))
        if bool(pet) == bool(nm):
            seen = f"no PET or SPECT image (modalities {modalities_of(datasets)})"
            problem = "PET and SPECT in one folder" if pet else seen
            raise InputError(where, problem, "one PET series (PT) or one reconstructed SPECT (NM)")
        check_one_patient(pet or nm, where)
        return _pet(pet, where) if pet else _spect(nm, where)


def _pet(slices: list[Dataset], where: str) -> ActivityImage:
    units = {str(ds.get("Units") or "") for ds in slices}
    if len(units) > 1:
        raise InputError(where, f"slices in {len(units)} different Units", "one PET series", "keep one in the folder")
    for ds in slices:
        kind = (words_of(ds, "SeriesType") or [""])[0]
        if kind and kind not in STILL_SERIES:
            problem = f"SeriesType {term(kind, IMAGE_TYPES)}"
            raise InputError(where, problem, "a STATIC or WHOLE BODY series", "give one summed image")
        if ds.get("RescaleSlope") in (None, ""):
            raise InputError(where, "a PET slice has no RescaleSlope", "a slope on every slice", "export it again")
    unit = BQ_ML if units == {"BQML"} else ARBITRARY
    volume = volume_of_slices(slices, "PET", QUANTITY, unit, 0.0, where)
    first = slices[0]
    return ActivityImage(volume, "PT", earliest(slices), None, _decayed_to(first), odd_source_of_start(first))


def _spect(objects: list[Dataset], where: str) -> ActivityImage:
    kinds = [(words_of(ds, "ImageType") + [""] * 3)[2] for ds in objects]
    chosen = [ds for ds, kind in zip(objects, kinds, strict=True) if kind == "RECON TOMO"]
    if len(chosen) != 1:
        found = ", ".join(sorted({k if k in IMAGE_TYPES else "?" for k in kinds}))
        raise InputError(
            where,
            f"{len(chosen)} reconstructed SPECT images among {len(objects)} NM files (image types {found})",
            "one object of type RECON TOMO",
            "give the reconstructed, ungated volume, not the projections, in a folder of its own",
        )
    ds = chosen[0]
    stored = pixels(ds, where)
    stored = stored[None] if stored.ndim == 2 else stored
    slope, intercept, unit = _scale(ds, where)
    data = (stored[_order(ds, len(stored), where)] * slope + intercept).astype(np.float32).transpose(2, 1, 0)
    grid = Grid(data.shape, ras_from_lps @ _lps_affine(ds, where))
    volume = Volume(data, grid, QUANTITY, unit)
    return ActivityImage(volume, "NM", earliest([ds]), _duration_s(ds), _decayed_to(ds), odd_source_of_start(ds))


def _decayed_to(ds: Dataset) -> str:
    """DecayCorrection (PS3.3 C.8.9.1), empty for NONE."""
    return "".join(words_of(ds, "DecayCorrection")).replace("NONE", "")


def _order(ds: Dataset, frames: int, where: str) -> np.ndarray:
    """Indices of the frames in the order of their slice numbers (SliceVector, from 1)."""
    vector = [int(x) for x in listed(ds.get("SliceVector"))]
    if not vector and int(ds.get("NumberOfSlices") or 0) == frames:
        vector = list(range(1, frames + 1))
    if frames < 2 or sorted(vector) != list(range(1, frames + 1)):
        raise InputError(
            where,
            f"{frames} frames whose SliceVector does not list the slices 1 to {frames}",
            "one frame per slice",
            "export one volume: one energy window, one time",
        )
    return np.argsort(vector)


def _scale(ds: Dataset, where: str) -> tuple[float, float, str]:
    """Slope, intercept and unit: a real-world mapping to Bq/mL where there is one, else the rescale attributes."""
    for item in ds.get("RealWorldValueMappingSequence") or []:
        codes = [str(c.get("CodeValue") or "") for c in item.get("MeasurementUnitsCodeSequence") or []]
        factor = IN_BQ_ML.get("".join(codes).casefold())
        if factor is not None:
            slope = numbers(item, "RealWorldValueSlope", 1, where)[0]
            if slope <= 0:
                raise InputError(where, f"RealWorldValueSlope {slope:g}", "a number above 0")
            return factor * slope, factor * numbers(item, "RealWorldValueIntercept", 1, where)[0], BQ_ML
    return *rescale(ds, where), BQ_ML if str(ds.get("Units") or "") == "BQML" else ARBITRARY


def _lps_affine(ds: Dataset, where: str) -> np.ndarray:
    """Affine of the slices, in LPS.

    The position of the first slice and the orientation stand in the detector's item, where they must be equal for all
    detectors; some write them at the top. Slices lie along the normal (row x column) for a positive
    SpacingBetweenSlices and against it for a negative one (PS3.3 C.8.4.15): without it the volume may be upside down.
    """
    items = list(ds.get("DetectorInformationSequence") or []) or [ds]
    holder = next((x for x in (*items, ds) if x.get("ImageOrientationPatient")), None)
    if holder is None or not holder.get("ImagePositionPatient"):
        raise InputError(
            where,
            "no ImagePositionPatient and ImageOrientationPatient: the header does not say where the volume lies",
            "a SPECT with its place in the patient",
            "or give it as NIfTI",
        )
    position = np.array(numbers(holder, "ImagePositionPatient", 3, where))
    row, column = np.array(numbers(holder, "ImageOrientationPatient", 6, where)).reshape(2, 3)
    normal = np.cross(row, column)
    if abs(np.linalg.norm(normal) - 1) > 1e-2:
        raise InputError(where, "ImageOrientationPatient is not two perpendicular unit vectors", "a valid orientation")
    rows_mm, columns_mm = numbers(ds, "PixelSpacing", 2, where)
    if ds.get("SpacingBetweenSlices") in (None, ""):
        raise InputError(
            where,
            "no SpacingBetweenSlices: the header does not say whether the slices run to the head or to the feet",
            "the step between slices with its sign",
            "export it again, or give it as NIfTI",
        )
    step = numbers(ds, "SpacingBetweenSlices", 1, where)[0]
    if min(rows_mm, columns_mm) <= 0 or step == 0:
        raise InputError(where, f"voxels of {columns_mm:g} x {rows_mm:g} x {step:g} mm", "sizes above 0")
    lps = np.eye(4)
    lps[:3, :] = np.stack([row * columns_mm, column * rows_mm, normal * step, position], axis=1)
    return lps


def _duration_s(ds: Dataset) -> float | None:
    """Time of the whole rotation: frames of each head times their duration, over all rotations."""
    total = 0.0
    for item in ds.get("RotationInformationSequence") or []:
        frames, ms = item.get("NumberOfFramesInRotation"), item.get("ActualFrameDuration")
        if not frames or not ms:
            return None
        total += int(frames) * float(ms) * SECONDS_PER_MS
    return total or None
