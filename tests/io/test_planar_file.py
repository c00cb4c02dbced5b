"""Planar NPZ: the package's own and the user's with its JSON."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from imaging_scene import CAMERA, planar_pair

from planardose.config import Hand
from planardose.errors import InputError
from planardose.io.files import companions, fingerprint
from planardose.io.planar_file import load_pair, read_user_pair, save_pair, write_user_pair
from planardose.io.planar_in import read_planar

WHERE = "P01 t24 planar"


def _write_user(folder: Path, counts: np.ndarray | None = None, **change) -> Path:
    pair = planar_pair()
    meta = {
        "views": ["anterior", "posterior"],
        "windows_kev": [[w.low_kev, w.high_kev] for w in pair.windows],
        "pixel_mm": list(pair.pixel_mm),
        "duration_s": 600,
        "acquired_at": pair.acquired_at.isoformat(),
        "detector_distance_mm": [170, 190],
    } | change
    meta = {k: v for k, v in meta.items() if v is not ...}
    np.savez(folder / "t24.npz", counts=pair.counts if counts is None else counts)
    (folder / "t24.json").write_text(json.dumps(meta))
    return folder / "t24.npz"


def test_own_file_round_trip(tmp_path: Path):
    for pair in (planar_pair(), replace(planar_pair(), detector_distance_mm=None)):
        save_pair(tmp_path / "t24.npz", pair)
        back = load_pair(tmp_path / "t24.npz")
        np.testing.assert_array_equal(back.counts, pair.counts)
        assert replace(back, counts=pair.counts) == pair
    first = (tmp_path / "t24.npz").read_bytes()
    save_pair(tmp_path / "t24.npz", pair)
    assert (tmp_path / "t24.npz").read_bytes() == first


def test_static_user_file(tmp_path: Path):
    pair = read_planar(_write_user(tmp_path), CAMERA, WHERE).pair
    np.testing.assert_array_equal(pair.counts, planar_pair().counts)
    assert (pair.exposure_s, pair.duration_s, pair.detector_distance_mm) == (600.0, 600.0, (170.0, 190.0))


@pytest.mark.parametrize("names", [("T24.NPZ", "T24.JSON"), ("T24.NPZ", "T24.json"), ("t24.Npz", "t24.Json")])
def test_endings_in_upper_case_are_read_as_in_lower_case(tmp_path: Path, names: tuple[str, str]):
    whole = _write_user(tmp_path)
    npz, meta = (tmp_path / "upper" / name for name in names)
    npz.parent.mkdir()
    whole.rename(npz)
    whole.with_suffix(".json").rename(meta)
    for named, other in ((npz, meta), (meta, npz)):
        np.testing.assert_array_equal(read_planar(named, CAMERA, WHERE).pair.counts, planar_pair().counts)
        assert companions(named) == [other]
    before = fingerprint(npz)
    meta.write_text(meta.read_text() + " ")
    assert fingerprint(npz) != before


def test_a_pair_is_written_under_a_name_in_upper_case(tmp_path: Path):
    write_user_pair(tmp_path / "V.NPZ", planar_pair())
    assert sorted(f.name for f in tmp_path.iterdir()) == ["V.NPZ", "V.json"]
    np.testing.assert_array_equal(read_planar(tmp_path / "V.NPZ", CAMERA, WHERE).pair.counts, planar_pair().counts)


def test_swept_user_file(tmp_path: Path):
    pair = read_planar(_write_user(tmp_path, duration_s=..., seconds_per_row=200), CAMERA, WHERE).pair
    assert pair.exposure_s == 200.0
    assert pair.duration_s == pytest.approx(80 * 4.8 / (387.0 / 200.0))


def test_views_in_the_other_order(tmp_path: Path):
    order = _write_user(tmp_path, planar_pair().counts[::-1], views=["posterior", "anterior"])
    pair = read_planar(order, CAMERA, WHERE).pair
    np.testing.assert_array_equal(pair.counts, planar_pair().counts)
    assert pair.detector_distance_mm == (190.0, 170.0)


def test_flip_by_hand(tmp_path: Path):
    found = read_planar(_write_user(tmp_path), CAMERA, WHERE, Hand(flip_posterior=True))
    np.testing.assert_array_equal(found.pair.counts[1], planar_pair().counts[1, :, :, ::-1])
    np.testing.assert_array_equal(found.pair.counts[0], planar_pair().counts[0])


@pytest.mark.parametrize("key", ["views", "windows_kev", "pixel_mm", "acquired_at", "duration_s"])
def test_a_missing_key_is_named(key: str, tmp_path: Path):
    with pytest.raises(InputError, match=f"P01 t24 planar: key '{key}'"):
        read_planar(_write_user(tmp_path, **{key: ...}), CAMERA, WHERE)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"views": ["anterior"]}, "the posterior view is missing"),
        ({"windows_kev": [[187.2, 228.8]]}, r"counts have shape \(2, 3, 80, 38\)"),
        ({"windows_kev": [[228.8, 187.2]] * 3}, "windows_kev"),
        ({"pixel_mm": [4.8]}, "pixel_mm: .*2 positive numbers"),
        ({"pixel_mm": [4.8, -1]}, "2 positive numbers"),
        ({"duration_s": 0}, "duration_s: 0; expected a positive"),
        ({"acquired_at": "yesterday"}, "ISO 8601"),
    ],
)
def test_bad_values_are_told(change: dict, says: str, tmp_path: Path):
    with pytest.raises(InputError, match=says):
        read_planar(_write_user(tmp_path, **change), CAMERA, WHERE)


def test_pickles_are_never_read(tmp_path: Path):
    path = _write_user(tmp_path)
    np.savez(path, counts=np.array([{"a": 1}], dtype=object))
    with pytest.raises(InputError, match="without pickled objects"):
        read_planar(path, CAMERA, WHERE)


def test_no_counts_no_json_not_npz(tmp_path: Path):
    path = _write_user(tmp_path)
    np.savez(path, image=np.zeros(3))
    with pytest.raises(InputError, match="key 'counts' is missing in the NPZ"):
        read_planar(path, CAMERA, WHERE)
    path.write_bytes(b"PK")
    with pytest.raises(InputError, match="not a readable NPZ"):
        read_planar(path, CAMERA, WHERE)
    path.with_suffix(".json").unlink()
    with pytest.raises(InputError, match="JSON beside the NPZ is missing"):
        read_planar(path, CAMERA, WHERE)


def test_views_at_other_angles(tmp_path: Path):
    counts = np.random.default_rng(3).poisson(20.0, (4, 1, 60, 50)).astype(np.float32)
    meta = {
        "views": [45, "posterior", "anterior", -135.0], "windows_kev": [[187.2, 228.8]], "pixel_mm": [5, 5],
        "duration_s": 600, "acquired_at": "2026-03-03T10:15:00", "detector_distance_mm": [210, 190, 170, 220],
    }  # fmt: skip
    np.savez(tmp_path / "v.npz", counts=counts)
    (tmp_path / "v.json").write_text(json.dumps(meta))
    pair = read_user_pair(tmp_path / "v.npz", None, "P01 t24 planar")
    assert np.array_equal(pair.counts, counts[[2, 1]]) and pair.detector_distance_mm == (170.0, 190.0)
    assert pair.more.angles_deg == (45.0, 225.0) and pair.more.distance_mm == (210.0, 220.0)
    assert np.array_equal(pair.more.counts, counts[[0, 3]])
    save_pair(tmp_path / "own.npz", pair)
    again = load_pair(tmp_path / "own.npz")
    assert np.array_equal(again.more.counts, pair.more.counts) and again.more.angles_deg == (45.0, 225.0)
    assert again.more.distance_mm == (210.0, 220.0)
    for views in ([45, "anterior", 135, 225], ["left", "posterior", "anterior", 0], [True, "posterior", "anterior", 0]):
        (tmp_path / "v.json").write_text(json.dumps(meta | {"views": views}))
        with pytest.raises(InputError, match="views"):
            read_user_pair(tmp_path / "v.npz", None, "P01 t24 planar")
