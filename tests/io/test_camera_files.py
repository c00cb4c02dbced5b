"""Odd but legal NM files of other writers: each is read to the count, or refused by one line without the patient."""

from datetime import datetime
from pathlib import Path

import numpy as np
import pytest
from camera_files import (
    PIXEL_MM,
    SECRETS,
    VELOCITY_MM_S,
    WINDOWS,
    counts,
    fill,
    multi_frame,
    name_heads,
    name_windows,
    save,
    single_frames,
)
from imaging_scene import CAMERA
from pydicom.dataset import Dataset
from pydicom.uid import DeflatedExplicitVRLittleEndian, ImplicitVRLittleEndian

from planardose.errors import InputError
from planardose.io.planar_in import read_planar
from planardose.planar import EnergyWindow

SEEN = counts()


def edited(change, make=multi_frame, **how):
    """A file, or each of several, after a change."""
    made = make(SEEN, **how)
    for ds in [made] if isinstance(made, Dataset) else made:
        change(ds)
    return made


def tags(**values):
    """A change that sets attributes; None takes one away."""

    def change(ds):
        for name, value in values.items():
            if value is not None:
                setattr(ds, name, value)
            elif name in ds:
                delattr(ds, name)

    return change


def _coded(ds, codes=("G-5215", "G-5216")):
    for item, value in zip(ds.DetectorInformationSequence, codes, strict=True):
        code = Dataset()
        code.CodeValue, code.CodingSchemeDesignator, code.CodeMeaning = value, "SNM3", ""
        item.ViewCodeSequence = [code]
        del item.StartAngle


def _other_order(ds):
    name_windows(ds, [WINDOWS[2], *WINDOWS[:2]])
    ds.EnergyWindowVector = [w % 3 + 1 for w in ds.EnergyWindowVector]


def _overlay_in_the_high_bit(ds):
    stored = ds.pixel_array.astype("<u2")
    stored[:, 20:30, :20] |= 0x8000
    ds.PixelData, ds.BitsStored, ds.HighBit = stored.tobytes(), 12, 11


READ = {
    "heads first": multi_frame(SEEN), "windows first": multi_frame(SEEN, windows_first=True),
    "static": multi_frame(SEEN, "STATIC"), "windows in another order": edited(_other_order),
    "a file per view and window": single_frames(SEEN), "all windows in each": single_frames(SEEN, every_window=True),
    "angles and words": single_frames(SEEN, angles=(180, 0)), "one angle": single_frames(SEEN, angles=(0, 0)),
    "German": single_frames(SEEN, words=("vorne", "hinten")), "French": single_frames(SEEN, words=("AVANT", "ARRIERE")),
    "view codes": edited(_coded), "angle below zero": edited(lambda ds: name_heads(ds, (-180, 360))),
    "8 bit": multi_frame(SEEN, dtype="<u1"), "signed 16 bit": multi_frame(SEEN, dtype="<i2"),
    "32 bit": multi_frame(SEEN, dtype="<u4"), "12 of 16 bits": edited(tags(BitsStored=12, HighBit=11)),
    "an overlay in the high bit": edited(_overlay_in_the_high_bit), "a unit of counts": edited(tags(Units="CNTS")),
    "no NumberOfFrames": edited(tags(NumberOfFrames=None), single_frames),
    "scale of 1": edited(tags(RescaleSlope="1.000000", RescaleIntercept="0")),
    "no ScanLength": edited(tags(ScanLength=None)),
    "two passes": edited(lambda ds: tags(WholeBodyTechnique="2PS", ActualFrameDuration=2 * ds.ActualFrameDuration)(ds)),
    "velocity for each head": edited(tags(ScanVelocity=["2.0", "2.00"])),
    "time with a fraction": edited(tags(AcquisitionTime="101500.000000")),
    "time as in old files": edited(tags(AcquisitionTime="10:15:00")),
    "date and time in one": edited(tags(AcquisitionDateTime="20260303101500.000000")),
    "activity in mCi": edited(tags(RadiopharmaceuticalInformationSequence=[Dataset()])),
    "implicit": edited(lambda ds: setattr(ds.file_meta, "TransferSyntaxUID", ImplicitVRLittleEndian)),
    "deflated": edited(lambda ds: setattr(ds.file_meta, "TransferSyntaxUID", DeflatedExplicitVRLittleEndian)),
}  # fmt: skip


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", READ)
def test_what_is_read(name: str, tmp_path: Path):
    found = read_planar(save(tmp_path, READ[name]), CAMERA, "P01 t24 planar", key="patients.P01.t24")
    np.testing.assert_array_equal(found.pair.counts, SEEN)
    assert found.pair.windows == tuple(EnergyWindow(*w) for w in WINDOWS)
    assert found.pair.pixel_mm == (PIXEL_MM, PIXEL_MM) and found.pair.acquired_at == datetime(2026, 3, 3, 10, 15)
    assert found.pair.exposure_s == (600.0 if name == "static" else CAMERA.field_mm[0] / VELOCITY_MM_S)
    assert found.pair.is_swept == (name != "static")
    assert not any(secret in " ".join(found.notes).lower() for secret in SECRETS)


def _two_beds(ds):
    fill(ds, np.concatenate([SEEN[:, 0], SEEN[:, 0, ::-1]]))
    ds.DetectorVector, ds.EnergyWindowVector = [1, 2, 1, 2], [1] * 4


def _over_midnight(ds):
    ds.AcquisitionTime = "000300" if ds.ImageID.startswith("POST") else "235800"


REFUSED = {
    "dynamic": (edited(tags(ImageType=["ORIGINAL", "PRIMARY", "DYNAMIC", "EMISSION"])), "image type DYNAMIC"),
    "two beds in one file": (edited(_two_beds, kind="STATIC"), "several anterior frames in the window"),
    "two static beds": ([multi_frame(SEEN, "STATIC"), multi_frame(SEEN[:, :, ::-1], "STATIC")], "bed positions are"),
    "a sweep and a spot": ([multi_frame(SEEN), multi_frame(SEEN[:, :, ::-1], "STATIC")], "several anterior frames"),
    "original and derived": ([multi_frame(SEEN), multi_frame(2 * SEEN)], "several anterior frames"),
    "heads that nobody names": (single_frames(SEEN, words=("A", "P")), "which head is anterior.*head_order"),
    "heads by their sides": (edited(lambda ds: name_heads(ds, (90, 270))), "no pair from front and back"),
    "edges exchanged": (edited(lambda ds: name_windows(ds, [WINDOWS[0][::-1], *WINDOWS[1:]])), "0 < low < high"),
    "fewer frames than told": (edited(tags(NumberOfFrames=12)), "cannot be decoded"),
    "cut pixels": (edited(lambda ds: setattr(ds, "PixelData", ds.PixelData[:-4000])), "cannot be decoded"),
    "pixels in cm": (edited(tags(PixelSpacing=["0.48", "0.48"])), r"pixels of 0.48 mm make an image of"),
    "no pixel size": (edited(tags(PixelSpacing=None)), "no PixelSpacing in the header"),
    "velocity in cm/min": (edited(tags(ScanVelocity="12")), "ScanVelocity 12 mm/s is 51 s"),
    "no velocity": (edited(tags(ScanVelocity=None)), r"without ScanVelocity.*seconds_per_row"),
    "length in cm": (edited(tags(ScanLength=61.4)), "ScanLength 61.4 mm at ScanVelocity 2 mm/s is 31 s"),
    "several stops": (edited(tags(WholeBodyTechnique="MSP")), "MSP is no continuous sweep"),
    "counts below zero": (edited(tags(RescaleSlope="1", RescaleIntercept="-10")), "negative counts"),
    "rates": (edited(tags(Units="PROPCPS")), "Units of another kind than counts"),
    "a date that only one field has": (edited(tags(AcquisitionDateTime="20260404101500")), "is 768 h from"),
    "midnight between the views": (edited(_over_midnight, single_frames), "files acquired 1435 min apart"),
    "no time": (
        edited(lambda ds: [setattr(ds, f"{stem}Date", "") for stem in ("Acquisition", "Series", "Content")]),
        "no acquisition date and time.*acquired_at",
    ),
    "counts in one head only": (single_frames(SEEN)[::2], "which head is anterior|posterior view is missing"),
}


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", REFUSED)
def test_what_is_refused(name: str, tmp_path: Path):
    made, says = REFUSED[name]
    with pytest.raises(InputError, match=says) as fault:
        read_planar(save(tmp_path, made), CAMERA, "P01 t24 planar", key="patients.P01.t24")
    told = str(fault.value)
    assert told.startswith("P01 t24 planar") and "\n" not in told and "expected" in told
    assert not any(secret in told.lower() for secret in (*SECRETS, str(tmp_path)))
