"""YAML of users: a key twice, values that cannot be, and what stays as YAML has it."""

import pytest

from planardose.catalogue_file import CatalogueFile
from planardose.config import load_config
from planardose.errors import InputError
from planardose.strict_yaml import NotYaml, parse_yaml


@pytest.mark.parametrize(
    ("text", "problem", "line"),
    [
        ("a: 1\nb: 2\na: 3\n", "key 'a' stands twice", 3),
        ("patients:\n  P02:\n    t24: 1\n  P02:\n    t4: 1\n", "key 'P02' stands twice", 4),
        ("a: [1, 2", "not YAML", 1),
        ("when: 2026-02-30\n", "a value that cannot be read", None),
        ("a: " + 5000 * "9", "a value that cannot be read", None),
        ("a: 0x_\n", "a value that cannot be read", None),
        (3000 * "[" + 3000 * "]", "a value that cannot be read", None),
        ("a: !!python/object:os.system {}\n", "not YAML", 1),
    ],
)
def test_what_is_no_yaml_is_told_with_its_line(text: str, problem: str, line: int | None, tmp_path):
    with pytest.raises(NotYaml) as fault:
        parse_yaml(text)
    assert fault.value.problem.startswith(problem) and fault.value.line == line
    (tmp_path / "x.yaml").write_text(text)
    with pytest.raises(InputError, match="config file: "):
        load_config(tmp_path / "x.yaml")
    with pytest.raises(InputError, match=r"camera file x\.yaml"):
        CatalogueFile("camera", tmp_path / "x.yaml", "siemens_symbia_melp.yaml")


def test_the_rest_is_as_yaml_has_it():
    text = "base: &b {a: 1}\nmore: {<<: *b, c: [1.5, null, yes]}\n1: x\n"
    assert parse_yaml(text) == {"base": {"a": 1}, "more": {"a": 1, "c": [1.5, None, True]}, 1: "x"}
    assert parse_yaml("") is None


def test_merged_keys_are_not_doubled_ones():
    """The anchor x stands deeper than its use, and is merged itself."""
    text = "b: &b {a: 1, c: 3}\nouter: {x: &x {<<: *b, a: 2}}\ny: {<<: *x}\nz: {<<: [*x, *b], c: 4}\n"
    merged = {"a": 2, "c": 3}
    assert parse_yaml(text) == {"b": {"a": 1, "c": 3}, "outer": {"x": merged}, "y": merged, "z": {"a": 2, "c": 4}}
    with pytest.raises(NotYaml, match="key 'a' stands twice"):
        parse_yaml("b: &b {a: 1}\ny: {<<: *b, a: 2, a: 3}\n")
    assert parse_yaml("a: &a [*a]\n")["a"][0] is not None, "an anchor that holds itself ends"


def test_numbers_beyond_a_float_are_refused(tmp_path):
    (tmp_path / "x.yaml").write_text("a: " + 400 * "9" + "\nb: .nan\nc: 2\n")
    entry = CatalogueFile("camera", tmp_path / "x.yaml", "siemens_symbia_melp.yaml")
    assert entry.number("c") == 2.0
    for key in ("a", "b"):
        with pytest.raises(InputError, match="a number above 0"):
            entry.number(key)
