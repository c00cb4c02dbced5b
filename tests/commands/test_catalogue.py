"""``planardose list``: the numbers of the files, one line an entry, and a bad file does not hide the others."""

import pytest

from planardose import library
from planardose.commands.catalogue import catalogue


def line_of(kind: str, name: str) -> str:
    (found,) = [x for x in catalogue(kind) if x.split()[0] == name]
    return found


@pytest.mark.parametrize(
    ("kind", "name", "words"),
    [
        ("cameras", "siemens_symbia_melp", ("MELP", "2.94 / 1.14 / 40.64", "9.5", "387 x 533", "4.6 us of 177Lu at")),
        ("cameras", "ge_670_hegp_16mm", ("GE", "HEGP", "4 / 1.8 / 66", "15.9", "400 x 540")),
        ("nuclides", "177Lu", ("6.647 d", "187.2-228.8", "166.4-187.2; 228.8-249.6", "208.4 (10.4)", "113.0 (6.2)")),
        ("nuclides", "99mTc", ("6.01 h", "126.5-154.6", "140.5 (88.5)")),
        ("tracers", "177Lu-PSMA-617", ("24", "kidneys 45.7", "parotids 57.4")),
    ],
)
def test_main_numbers(kind, name, words):
    for word in words:
        assert word in line_of(kind, name)


def test_heading_and_all_names():
    for kind in library.KINDS:
        first, *rest = catalogue(kind)
        assert first.startswith(kind[:-1])
        assert {x.split()[0] for x in rest} >= set(library.names(kind))


def test_what_cannot_be_imaged_stands_below_the_nuclides():
    lines = list(catalogue("nuclides"))
    below = lines[lines.index("not imaged with this package:") :]
    assert "  90Y: no photon line to image (bremsstrahlung only)" in below


def test_a_bad_file_is_named_and_the_rest_listed(tmp_path, monkeypatch):
    (tmp_path / "cameras").mkdir()
    (tmp_path / "cameras" / "bad.yaml").write_text("vendor: X\n")
    monkeypatch.setenv(library.USER_FOLDERS_VARIABLE, str(tmp_path))
    library._folders.cache_clear()
    try:
        lines = list(catalogue("cameras"))
    finally:
        library._folders.cache_clear()
    assert lines[-1].startswith("bad: camera file bad.yaml, collimator: missing")
    assert any("siemens_symbia_melp" in x for x in lines)
