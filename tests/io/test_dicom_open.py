"""DICOM files as old archives keep them: without preamble, file meta or transfer syntax, and in another encoding."""

import subprocess
import sys
from pathlib import Path

import gdcm
import numpy as np
import pydicom
import pytest
from imaging_scene import CAMERA, PLANTED, ct_volume, planar_pair
from pydicom.dataset import Dataset
from pydicom.filebase import DicomFileLike
from pydicom.filewriter import write_dataset

from planardose.errors import InputError
from planardose.io.ct import read_ct
from planardose.io.dicom_ct import write_ct
from planardose.io.dicom_headers import header_of
from planardose.io.dicom_nm import write_planar
from planardose.io.dicom_open import looks_like_dicom
from planardose.io.planar_in import read_planar


def _strip(path: Path, kind: str) -> Path:
    """The same file without its preamble, or as the bare data set; and without a suffix."""
    ds, bare = pydicom.dcmread(path), path.with_suffix("")
    if kind == "no preamble":
        bare.write_bytes(path.read_bytes()[132:])
    else:
        with bare.open("wb") as file:
            to = DicomFileLike(file)
            to.is_little_endian, to.is_implicit_VR = True, kind == "implicit"
            write_dataset(to, Dataset(ds))
    path.unlink()
    return bare


@pytest.mark.parametrize("kind", ["no preamble", "explicit", "implicit"])
def test_bare_files_are_read_alone_and_in_a_folder(kind: str, tmp_path: Path):
    pair, volume = planar_pair(), ct_volume()
    write_planar(tmp_path / "nm.dcm", pair, CAMERA, identity=PLANTED)
    write_ct(tmp_path / "ct", volume, PLANTED)
    image = _strip(tmp_path / "nm.dcm", kind)
    for n, file in enumerate(sorted((tmp_path / "ct").iterdir())):
        if n % 2:
            _strip(file, kind)
    np.testing.assert_array_equal(read_planar(image, CAMERA, "P01 t24 planar").pair.counts, pair.counts)
    np.testing.assert_array_equal(read_ct(tmp_path / "ct", "P01 ct").data.shape, volume.data.shape)
    assert header_of(image, "NM").patient_id  # so that the person of a bare file is compared too


def test_other_files_do_not_look_like_bare_dicom(tmp_path: Path):
    contents = [b"MZ\x90\x00" + b"\0" * 200, b"PK\x03\x04" * 50, b"\x08\x00\x05\x01CS", b"\x08\0" * 3]
    for n, content in enumerate(contents):
        (tmp_path / f"f{n}").write_bytes(content)
        assert not looks_like_dicom(tmp_path / f"f{n}")


def test_what_systems_and_people_leave_beside_images_is_left_out(tmp_path: Path, caplog):
    pair, volume = planar_pair(), ct_volume()
    write_planar(tmp_path / "nm" / "nm.dcm", pair, CAMERA)
    write_ct(tmp_path / "ct", volume)
    image = (tmp_path / "ct" / "CT0005.dcm").read_bytes()
    left = {
        ".DS_Store": b"\0\0\0\1Bud1" + b"\0" * 300, "Thumbs.db": b"\xd0\xcf\x11\xe0" + b"\0" * 600,
        "DICOMDIR": b"\0" * 128 + b"DICM", "report.pdf": b"%PDF-1.4" + b"x" * 300, "a.jpg": b"\xff\xd8\xff\xe0" * 99,
        "._CT0001.dcm": b"\0\5\x16\7" * 50, ".AppleDouble/CT0001.dcm": b"\0\5\x16\7" * 50,
        ".Trash/CT0001.dcm": image[:700], "Icon\r": b"", "empty.txt": b"", "DONE": b"", "CT0001.dcm.part2": b"",
    }  # fmt: skip
    for folder in ("nm", "ct"):
        for name, content in left.items():
            (tmp_path / folder / name).parent.mkdir(exist_ok=True)
            (tmp_path / folder / name).write_bytes(content)
    np.testing.assert_array_equal(read_planar(tmp_path / "nm", CAMERA, "P01 t24 planar").pair.counts, pair.counts)
    assert read_ct(tmp_path / "ct", "P01 ct").data.shape == volume.data.shape
    assert caplog.text.count("4 empty files, by name no images, left out") == 2


@pytest.mark.parametrize("name", ["CT0023.dcm", "IM0023", "1.2.840.113.5.77"])
def test_an_empty_file_that_is_called_as_images_are_is_refused(name: str, tmp_path: Path):
    write_ct(tmp_path, ct_volume())
    (tmp_path / name).touch()
    with pytest.raises(InputError, match=r"P01 ct: an empty DICOM file \(0 bytes\).* or remove the file"):
        read_ct(tmp_path, "P01 ct")


@pytest.mark.parametrize("kind", ["JPEGLosslessProcess14_1", "JPEGLSLossless", "JPEG2000Lossless", "RLELossless"])
def test_what_archives_compress_without_loss_comes_back(kind: str, tmp_path: Path):
    pair = planar_pair()
    write_planar(tmp_path / "nm.dcm", pair, CAMERA)
    reader, change, writer = gdcm.ImageReader(), gdcm.ImageChangeTransferSyntax(), gdcm.ImageWriter()
    reader.SetFileName(str(tmp_path / "nm.dcm"))
    assert reader.Read()
    change.SetTransferSyntax(gdcm.TransferSyntax(getattr(gdcm.TransferSyntax, kind)))
    change.SetInput(reader.GetImage())
    assert change.Change()
    writer.SetFileName(str(tmp_path / "small.dcm"))
    writer.SetFile(reader.GetFile())
    writer.SetImage(change.GetOutput())
    assert writer.Write()
    assert pydicom.dcmread(tmp_path / "small.dcm").file_meta.TransferSyntaxUID.is_compressed
    found = read_planar(tmp_path / "small.dcm", CAMERA, "P01 t24 planar").pair
    np.testing.assert_array_equal(found.counts, pair.counts)


@pytest.mark.parametrize("module", ["dicom_open", "dicom_new", "dicom_headers"])
def test_whoever_reads_or_writes_dicom_has_silenced_pydicom(module: str):
    """Its warnings repeat odd values, a name or a birth date."""
    code = (
        f"import logging, planardose.io.{module}; from pydicom import config;"
        "print(config.settings.reading_validation_mode == config.IGNORE, logging.getLogger('pydicom').level > 50)"
    )
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert done.stdout.split() == ["True", "True"]
