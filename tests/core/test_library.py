import pytest

from planardose import library
from planardose.errors import InputError


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("177Lu", "177Lu"),
        ("Lu-177", "177Lu"),
        ("Lu177", "177Lu"),
        ("lu 177", "177Lu"),
        ("Tc-99m", "99mTc"),
        ("99mTc", "99mTc"),
    ],
)
def test_nuclide_spellings(text, name):
    assert library.canonical_nuclide(text) == name


def test_lutetium_energy_budget():
    """Photon energy per decay summed over the lines agrees with the evaluation's mean (33.5 keV) within 5 %."""
    lu = library.load_nuclide("Lu-177")
    assert sum(x.energy_kev * x.per_decay for x in lu.lines) == pytest.approx(lu.photon_kev, rel=0.05)
    assert lu.imaged_line().energy_kev == 208.37
    assert all(w.high_kev <= lu.photopeak.low_kev or w.low_kev >= lu.photopeak.high_kev for w in lu.scatter_windows)


def test_unknown_entries_name_what_there_is():
    with pytest.raises(InputError, match="siemens_symbia_melp"):
        library.load_camera("nobody")
    with pytest.raises(InputError, match="177Lu"):
        library.load_nuclide("90Y")


@pytest.mark.parametrize("name", ["../secret", "/etc/passwd", "", "177Lu/../177Lu"])
def test_names_never_become_paths(name):
    with pytest.raises(InputError):
        library.entry_path("nuclides", name)


def test_users_folder_comes_first(tmp_path, monkeypatch):
    (tmp_path / "cameras").mkdir()
    text = (library.DATA / "cameras" / "siemens_symbia_melp.yaml").read_text()
    (tmp_path / "cameras" / "mine.yaml").write_text(text.replace("hole_mm: 2.94", "hole_mm: 3.5"))
    monkeypatch.setenv(library.USER_FOLDERS_VARIABLE, str(tmp_path))
    library._folders.cache_clear()
    try:
        assert library.load_camera("mine").hole_mm == 3.5
    finally:
        library._folders.cache_clear()
