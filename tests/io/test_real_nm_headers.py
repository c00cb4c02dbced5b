"""Real cameras' headers (tag trees of the shared data) with synthetic pixels."""

import json
import os
from pathlib import Path

import numpy as np
import pytest
from imaging_scene import CAMERA
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.sequence import Sequence
from pydicom.uid import ExplicitVRLittleEndian

from planardose.config import Hand
from planardose.errors import InputError
from planardose.io.dicom_new import save_dataset
from planardose.io.planar_in import read_planar

HEADERS = Path(os.environ.get("PLANARDOSE_SHARED", "../shared")) / "data" / "nm_headers"
pytestmark = pytest.mark.skipif(not HEADERS.is_dir(), reason="no shared data")
WHERE, KEY = "P01 t24 planar", "patients.P01.t24"
LU_WINDOW = Hand(windows_kev=((187.2, 228.8),))


def _fill(ds: Dataset, tree: dict) -> Dataset:
    """Tags of a tree, without what was removed or is set by the test."""
    for keyword, tag in tree.items():
        if keyword.startswith("_") or keyword in ("PixelData", "DataSetTrailingPadding", "FrameIncrementPointer"):
            continue
        if tag["VR"] == "SQ":
            setattr(ds, keyword, Sequence([_fill(Dataset(), item) for item in tag["items"]]))
        elif tag["value"] not in ("<removed>", "None") and keyword != "_":
            value = tag["value"]
            if tag["VR"] in ("US", "SS", "UL"):
                value = [int(v) for v in value] if isinstance(value, list) else int(value)
            setattr(ds, keyword, value)
    return ds


def _write(path: Path, name: str, pixels: np.ndarray, instance: int = 1) -> None:
    tree = json.loads((HEADERS / f"{name}.json").read_text())
    meta = FileMetaDataset()
    ds = _fill(FileDataset(None, Dataset(), file_meta=meta, preamble=b"\0" * 128), tree)
    meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID = ds.SOPClassUID, f"2.25.{instance}"
    meta.TransferSyntaxUID, ds.SOPInstanceUID, ds.InstanceNumber = ExplicitVRLittleEndian, f"2.25.{instance}", instance
    ds.AcquisitionDate, ds.AcquisitionTime = "20260303", "101500"
    ds.CountsAccumulated = int(pixels.sum())
    ds.PixelData = pixels.tobytes()
    save_dataset(path, ds)


def _views(rows: int, columns: int, dtype: str) -> np.ndarray:
    """Anterior and posterior images: a body, and a bright organ on the patient's right."""
    images = np.zeros((2, rows, columns), dtype=dtype)
    images[:, rows // 8 : -rows // 8, columns // 4 : -columns // 4] = 3
    images[0, rows // 3 : rows // 2, columns // 3 : columns // 2 - 4] = 40
    images[1] = images[0, :, ::-1]
    images[1, rows // 2 : rows // 2 + 9, columns // 2 + 4 : columns // 2 + 12] = 90
    return images


def test_siemens_two_detector_static_gets_its_views_from_the_angles(tmp_path: Path):
    pixels = _views(256, 256, "<u2")
    _write(tmp_path / "nm.dcm", "siemens_symbia_static_ant_post_2frame", pixels)
    found = read_planar(tmp_path / "nm.dcm", CAMERA, WHERE, key=KEY)
    np.testing.assert_array_equal(found.pair.counts[:, 0], pixels)
    assert found.pair.exposure_s == found.pair.duration_s == pytest.approx(120.001)
    assert found.pair.detector_distance_mm == pytest.approx((287.300018, 147.100006))
    assert found.pair.windows[0].low_kev == pytest.approx(128.575)
    assert any("flip_posterior" in note for note in found.notes)


def test_siemens_single_frame_lacks_its_posterior_view(tmp_path: Path):
    _write(tmp_path / "nm.dcm", "siemens_symbia_static_1frame", _views(256, 256, "<u2")[0])
    with pytest.raises(InputError, match="the posterior view is missing"):
        read_planar(tmp_path / "nm.dcm", CAMERA, WHERE, key=KEY)


def test_ge_whole_body_as_secondary_capture_needs_the_user_for_windows_and_heads(tmp_path: Path):
    pixels = _views(1024, 256, "<i2")
    for n in (0, 1):
        _write(tmp_path / f"{n}.dcm", "ge_millennium_wholebody_1frame_secondarycapture", pixels[n], n + 1)
    with pytest.raises(InputError, match=rf"{KEY}\.windows_kev"):
        read_planar(tmp_path, CAMERA, WHERE, key=KEY)
    with pytest.raises(InputError, match=rf"{KEY}\.head_order"):
        read_planar(tmp_path, CAMERA, WHERE, LU_WINDOW, KEY)
    both = LU_WINDOW.model_copy(update={"head_order": "anterior_first"})
    pair = read_planar(tmp_path, CAMERA, WHERE, both, KEY).pair
    np.testing.assert_array_equal(pair.counts[:, 0], pixels)
    assert pair.duration_s == pytest.approx(1136.04, abs=0.01)
    assert pair.exposure_s == pytest.approx(CAMERA.field_mm[0] / 1.671598)


def test_ge_tomographic_study_is_refused(tmp_path: Path):
    tree = json.loads((HEADERS / "ge_discovery670_recon_tomo_datscan.json").read_text())
    rows, columns, frames = (int(tree[k]["value"]) for k in ("Rows", "Columns", "NumberOfFrames"))
    _write(tmp_path / "nm.dcm", "ge_discovery670_recon_tomo_datscan", np.ones((frames, rows, columns), "<i2"))
    with pytest.raises(InputError, match="image type RECON TOMO"):
        read_planar(tmp_path / "nm.dcm", CAMERA, WHERE, key=KEY)
