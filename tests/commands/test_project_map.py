"""`planardose project` on any activity map and CT: images, totals, sidecar, and one clear line for every fault."""

import json
from dataclasses import replace
from datetime import datetime

import numpy as np
import pydicom
import pytest
from typer.testing import CliRunner

from planardose.anatomy.scene import read_scene
from planardose.cli import app
from planardose.commands import project_map as module
from planardose.commands.project_map import Wish, project_map
from planardose.commands.project_map import _windows as windows_of
from planardose.errors import InputError
from planardose.image import Grid, Volume
from planardose.io.dicom_ct import write_ct
from planardose.io.dicom_new import Identity
from planardose.io.nifti import read_volume, write_volume
from planardose.io.planar_in import read_planar
from planardose.library import load_camera, load_nuclide

CAMERA = load_camera("siemens_symbia_melp")
WISH = Wish("177Lu", CAMERA.name, seconds_per_row=145.0, histories=2e4, grid_mm=10.0, penetration=False, noise=False)


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """CT of an elliptical body with its couch, 6 mm voxels; activity on 9 mm voxels, shifted, x running to the left."""
    folder = tmp_path_factory.mktemp("any")
    grid = Grid.axis_aligned((60, 44, 36), 6.0, (-177.0, -129.0, -105.0))
    x, y, _ = np.meshgrid(*(grid.axis_mm(a) for a in range(3)), indexing="ij")
    hu = np.full(grid.shape, -1000.0)
    hu[(x / 150) ** 2 + (y / 95) ** 2 < 1] = 40.0
    hu[(np.abs(x) < 170) & (np.abs(y + 115) < 4)] = 200.0  # the CT's own couch
    hu[28:31, 20:23, 10:13] = 3071.0  # metal
    write_volume(folder / "ct.nii.gz", Volume(hu, grid, "CT number", "HU"), np.int16)
    affine = np.diag([-9.0, 9.0, 9.0, 1.0])
    affine[:3, 3] = (108.0, -60.0, -90.0)
    map_grid = Grid((24, 12, 20), affine)
    bq = np.zeros(map_grid.shape)
    bq[16:19, 4:7, 12:15] = 3e5  # at x = -45, y = -15, z = 27 mm
    write_volume(folder / "act.nii.gz", Volume(bq, map_grid, "activity", "Bq/mL"))
    return folder, bq.sum() * map_grid.voxel_ml / 1e6


def test_mass_and_activity_are_kept_and_the_cts_couch_is_not(files, caplog):
    folder, mbq = files
    scene = read_scene(folder / "act.nii.gz", folder / "ct.nii.gz", 10.0)
    assert scene.activity_mbq.sum() == pytest.approx(mbq, rel=1e-5)
    assert (scene.outside_ct, scene.outside_body) == (0.0, 0.0)
    body_ml = np.pi * 150 * 95 * 216 / 1000
    mass = scene.partial_density.sum(dtype=np.float64) * scene.grid.voxel_ml
    assert mass == pytest.approx(1.05 * body_ml, rel=0.02)  # 40 HU; the couch would add 9 %
    assert scene.grid.bounds_mm()[0][1] > -130
    assert "27 voxels above 2500 HU taken as metal" in caplog.text


def test_the_image_shows_the_source_where_it_is_in_both_formats(files, tmp_path):
    folder, mbq = files
    pairs = []
    for name in ("view.dcm", "view.npz"):
        project_map(folder / "act.nii.gz", folder / "ct.nii.gz", tmp_path / name, WISH)
        pairs.append(read_planar(tmp_path / name, CAMERA, "test").pair)
    dicom, npz = pairs
    assert dicom.counts == pytest.approx(np.rint(npz.counts), abs=0.5)
    assert dicom.exposure_s == pytest.approx(145.0) and dicom.windows == npz.windows
    assert npz.exposure_s == 145.0 and dicom.is_swept
    grid = read_scene(folder / "act.nii.gz", folder / "ct.nii.gz", 10.0).grid
    for image in npz.ras()[:, 0]:
        u = (np.arange(image.shape[0]) - (image.shape[0] - 1) / 2) * CAMERA.pixel_mm + grid.axis_mm(0).mean()
        v = (np.arange(image.shape[1]) - (image.shape[1] - 1) / 2) * CAMERA.pixel_mm + grid.axis_mm(2).mean()
        peak = np.unravel_index(image.argmax(), image.shape)
        assert (u[peak[0]], v[peak[1]]) == pytest.approx((-45.0, 27.0), abs=6.0)
    sidecar = json.loads((tmp_path / "view.npz.json").read_text())
    assert sidecar["activity_mbq"] == pytest.approx(mbq, rel=1e-5)
    balance = sidecar["photon_balance"]
    lost = balance["absorbed"] + balance["escaped"] + balance["cut_off"] + balance["roulette_lost"]
    assert balance["emitted"] + balance["roulette_gained"] == pytest.approx(lost, abs=1e-6)
    rate = npz.counts[:, 0].sum(axis=(1, 2)) / 145.0
    assert rate == pytest.approx(np.array(sidecar["rate_cps"])[:, 0], rel=0.03)  # less dead time, 1 %
    assert str(folder) not in (tmp_path / "view.npz.json").read_text()


def test_noise_seed_and_static_field(files, tmp_path):
    folder, _ = files
    static = replace(WISH, seconds_per_row=None, duration_s=60.0, noise=True, windows=("187.2-228.8",), dead_time=False)
    for name in ("a.npz", "b.npz"):
        project_map(folder / "act.nii.gz", folder / "ct.nii.gz", tmp_path / name, static)
    assert (tmp_path / "a.npz").read_bytes() == (tmp_path / "b.npz").read_bytes()
    pair = read_planar(tmp_path / "a.npz", CAMERA, "test").pair
    assert not pair.is_swept and pair.exposure_s == 60.0
    assert pair.counts.shape == (2, 1, 162, 223) and (pair.counts == np.rint(pair.counts)).all()


def test_the_windows_of_a_nuclide_are_taken_above_its_highest_line_too(files, tmp_path):
    """The upper scatter window of 111In (270 to 285 keV) lies above its line at 245 keV."""
    folder, _ = files
    project_map(folder / "act.nii.gz", folder / "ct.nii.gz", tmp_path / "in.npz", replace(WISH, nuclide="111In"))
    pair = read_planar(tmp_path / "in.npz", CAMERA, "test").pair
    nuclide = load_nuclide("111In")
    assert pair.windows == (nuclide.photopeak, *nuclide.scatter_windows)
    peak, _, above = pair.counts.sum(axis=(0, 2, 3))
    assert above < 0.01 * peak


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"nuclide": "999Xx"}, "nuclide '999Xx': not in the catalogue"),
        ({"camera": "nowhere"}, "camera 'nowhere': not in the catalogue"),
        ({"windows": ("600-700",)}, "--windows 600-700: no photon of 177Lu reaches it"),
        ({"windows": ("1200-1300",)}, "--windows 1200-1300: no photon of 177Lu reaches it"),
        ({"windows": ("5-8",)}, "--windows 5-8: photons of up to 40 keV are not followed"),
        ({"windows": ("187.2-228.8", "10-40")}, "--windows 10-40: photons of up to 40 keV are not followed"),
        (
            {"nuclide": "123I", "camera": "siemens_symbia_lehr", "windows": ("20-60",)},
            "--windows 20-60: 98% of its counts are of 123I's lines below 40 keV; expected a window that counts lines",
        ),
        ({"windows": ("228.8-187.2",)}, "--windows: '228.8-187.2'; expected LOW-HIGH in keV"),
        ({"seconds_per_row": None}, "no time; expected one of --seconds-per-row"),
        ({"duration_s": 5.0}, "--seconds-per-row and --duration-s; expected one of"),
        ({"relative_error": -1.0}, "--relative-error: -1; expected a positive number"),
        ({"distance_mm": (40.0, 40.0)}, "project detector_distance_mm: 40 and 40 mm put the collimators inside"),
    ],
)
def test_wrong_options_are_one_line(files, tmp_path, change, message):
    folder, _ = files
    with pytest.raises(InputError) as fault:
        project_map(folder / "act.nii.gz", folder / "ct.nii.gz", tmp_path / "x.npz", replace(WISH, **change))
    assert message in str(fault.value)
    assert not (tmp_path / "x.npz").exists()


def test_memory_that_does_not_suffice_is_one_line(files, tmp_path, monkeypatch):
    def refused(*shape, **options):
        raise MemoryError("Unable to allocate 1.34 GiB")

    folder, _ = files
    for name in ("read_scene", "simulate"):
        with monkeypatch.context() as patched, pytest.raises(InputError) as fault:
            patched.setattr(module, name, refused)
            project_map(folder / "act.nii.gz", folder / "ct.nii.gz", tmp_path / "x.npz", WISH)
        assert str(fault.value) == "device cpu: not enough memory; expected a larger --grid-mm"


@pytest.fixture(scope="module")
def dicom_ct(files):
    """The CT of `files` as a DICOM series of a patient with a name."""
    folder, _ = files
    ct = read_volume(folder / "ct.nii.gz", "CT number", "HU", "test")
    write_ct(folder / "ct", ct, Identity("Zebrowski^Quentin", "ID-774411", "19481231", "M", "Saint Obscure Hospital"))
    return folder / "ct"


def test_the_view_of_a_dicom_ct_joins_its_study_and_lies_in_its_frame(files, dicom_ct, tmp_path):
    folder, _ = files
    for name, from_ct in (("anon.dcm", False), ("again.dcm", False), ("named.dcm", True)):
        project_map(folder / "act.nii.gz", dicom_ct, tmp_path / name, replace(WISH, from_ct=from_ct))
    anon, named = (pydicom.dcmread(tmp_path / f"{n}.dcm") for n in ("anon", "named"))
    ct = pydicom.dcmread(dicom_ct / "CT0001.dcm")
    for ds in (anon, named):
        for tag in ("StudyInstanceUID", "FrameOfReferenceUID", "StudyDate", "StudyTime"):
            assert ds[tag].value == ct[tag].value
        assert len(ds.ReferencedImageSequence) == 36
    assert (tmp_path / "anon.dcm").read_bytes() == (tmp_path / "again.dcm").read_bytes()
    assert (str(anon.PatientName), anon.PatientID) == ("Anonymous", "ANON")
    assert (str(named.PatientName), named.PatientID) == ("Zebrowski^Quentin", "ID-774411")
    assert not any(w in (tmp_path / "anon.dcm").read_bytes() for w in (b"Zebrowski", b"ID-774411", b"Obscure"))
    assert not any(w in (tmp_path / "named.dcm").read_bytes() for w in (b"19481231", b"Obscure"))
    assert "Zebrowski" not in (tmp_path / "named.dcm.json").read_text()
    for frame, head in zip(anon.pixel_array[:2], anon.DetectorInformationSequence, strict=False):
        row, column = np.unravel_index(frame.argmax(), frame.shape)
        x, y = np.array(head.ImageOrientationPatient, dtype=float).reshape(2, 3)
        spacing = [float(s) for s in anon.PixelSpacing]
        lps = np.array(head.ImagePositionPatient, dtype=float) + x * column * spacing[1] + y * row * spacing[0]
        assert lps[[0, 2]] == pytest.approx((45.0, 27.0), abs=6.0)  # the source, 45 mm to the left


def test_a_name_that_is_not_there_or_has_no_place_is_refused(files, dicom_ct, tmp_path):
    folder, _ = files
    wish = replace(WISH, from_ct=True)
    with pytest.raises(InputError, match="--identity from-ct: --ct is a NIfTI, which names nobody"):
        project_map(folder / "act.nii.gz", folder / "ct.nii.gz", tmp_path / "x.dcm", wish)
    with pytest.raises(InputError, match=r"--identity from-ct: an \.npz names nobody; expected --out with \.dcm"):
        project_map(folder / "act.nii.gz", dicom_ct, tmp_path / "x.npz", wish)


def changed(files, tmp_path, change):
    folder, _ = files
    affine = np.diag([9.0, 9.0, 9.0, 1.0])
    affine[:3, 3] = (-108.0, -60.0, -90.0)
    bq = np.zeros((24, 12, 20))
    bq[5:8, 4:7, 12:15] = 3e5
    change(bq, affine)
    write_volume(tmp_path / "bad.nii.gz", Volume(bq, Grid(bq.shape, affine), "activity", "Bq/mL"))
    return tmp_path / "bad.nii.gz", folder / "ct.nii.gz"


def put(index, value):
    return lambda bq, affine: bq.__setitem__(index, value)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (put((0, 0, 0), np.nan), "1 of 5760 voxels are NaN"),
        (put((0, 0, slice(0, 3)), -2.0), "3 negative voxels, lowest -2"),
        (put(..., 0.0), "every voxel is 0"),
        (lambda bq, affine: affine.__setitem__((2, 3), 900.0), "CT and activity do not overlap"),
        (lambda bq, affine: affine.__setitem__((2, 3), -10.0), "33.3% of the activity is out of the CT"),
    ],
)
def test_wrong_maps_are_one_line(files, tmp_path, change, message):
    with pytest.raises(InputError) as fault:
        read_scene(*changed(files, tmp_path, change), 10.0)
    assert message in str(fault.value)


def test_a_window_that_begins_below_the_followed_photons_is_told(caplog):
    camera, nuclide = load_camera("siemens_symbia_melp"), load_nuclide("177Lu")
    for text, told in (("40-400", False), ("20-400", True)):
        caplog.clear()
        windows_of((text,), camera, nuclide, False)
        assert ("--windows 20-400: what photons of less than 40 keV would count is left out" in caplog.text) == told


def test_a_map_in_another_unit_is_one_line(files, tmp_path):
    """27 voxels of 0.729 mL with 3e5 Bq/mL are 5.9 MBq; a thousand million times that leaves no counts of dead time."""
    activity, ct = changed(files, tmp_path, lambda bq, affine: bq.__imul__(1e9))
    with pytest.raises(InputError, match=r"--activity: 5\.9e\+09 MBq in all; expected at most 50000 MBq; give Bq/mL"):
        project_map(activity, ct, tmp_path / "x.npz", WISH)


def test_a_little_activity_outside_is_told_and_left_out(files, tmp_path, caplog):
    """One voxel of 1e5 beyond the CT's last slice beside 27 of 3e5 is 1.2 %: too much; of 1e4 it is 0.12 %."""

    def stray(value):
        def change(bq, affine):
            affine[2, 3] = -60.0
            bq[5, 4, 19] = value

        return change

    with pytest.raises(InputError, match=r"1\.2% of the activity is out of the CT"):
        read_scene(*changed(files, tmp_path, stray(1e5)), 10.0)
    scene = read_scene(*changed(files, tmp_path, stray(1e4)), 10.0)
    assert scene.outside_ct == pytest.approx(1e4 / (27 * 3e5 + 1e4))
    assert scene.activity_mbq.sum() == pytest.approx(27 * 3e5 * 0.729 / 1e6, rel=1e-5)
    assert "lies outside the CT and is left out" in caplog.text


def test_the_command(files, tmp_path):
    folder, _ = files
    words = ["project", "--activity", str(folder / "act.nii.gz"), "--ct", str(folder / "ct.nii.gz"),
             "--no-penetration", "--grid-mm", "15", "--histories", "1e4", "--duration-s", "30",
             "--acquired-at", "2026-03-02T10:00"]  # fmt: skip
    named = CliRunner().invoke(app, [*words, "--out", str(tmp_path / "v.dcm"), "--identity", "from-ct"])
    assert named.exit_code == 2 and "--ct is a NIfTI" in named.stderr
    result = CliRunner().invoke(app, [*words, "--out", str(tmp_path / "v.npz"), "--windows", "187.2-228.8,166.4-187.2"])
    assert result.exit_code == 0, result.output
    pair = read_planar(tmp_path / "v.npz", CAMERA, "test").pair
    assert pair.acquired_at == datetime(2026, 3, 2, 10) and len(pair.windows) == 2
    assert CliRunner().invoke(app, [*words, "--out", str(tmp_path / "v.tif")]).exit_code == 2
    assert CliRunner().invoke(app, ["project", "--activity", str(folder / "act.nii.gz")]).exit_code == 2
    assert CliRunner().invoke(app, ["project"]).exit_code == 2
