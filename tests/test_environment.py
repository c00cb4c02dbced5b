"""One set of versions: lock, environments, package metadata and the interpreter that runs the tests."""

import tomllib
from importlib.metadata import version
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[1]


def lock() -> dict[str, str]:
    lines = [x for x in (ROOT / "requirements.lock").read_text().splitlines() if x and not x.startswith("#")]
    return {canonicalize_name(name): pin for name, pin in (x.split("==") for x in lines)}


def test_the_lock_holds_versions_only():
    lines = (ROOT / "requirements.lock").read_text().splitlines()
    text = "\n".join(x for x in lines if not x.startswith("#"))
    assert not any(word in text for word in ("--", "://", "+cpu", " @ "))


@pytest.mark.parametrize("path", sorted((ROOT / "envs").glob("*.yaml")), ids=lambda p: p.stem)
def test_software_stacks_agree_with_the_lock(path):
    pins = next(d["pip"] for d in yaml.safe_load(path.read_text())["dependencies"] if isinstance(d, dict))
    for pin in pins:
        name, wanted = pin.split("==")
        assert lock()[canonicalize_name(name)] == wanted


def test_every_declared_dependency_is_locked_and_in_range():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    declared = [*project["dependencies"], *(r for group in project["optional-dependencies"].values() for r in group)]
    for requirement in map(Requirement, declared):
        pin = lock()[canonicalize_name(requirement.name)]
        assert requirement.specifier.contains(pin, prereleases=True), requirement


@pytest.mark.parametrize("name", ["torch", "monai", "snakemake", "warp-lang", "totalsegmentator", "numpy", "pydicom"])
def test_the_tests_run_on_the_locked_versions(name):
    assert version(name).split("+")[0] == lock()[name]
