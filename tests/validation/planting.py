"""How a fault is planted: a function of the package is replaced wherever it is used, Warp functions included."""

import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
import warp as wp
import yaml

from planardose import library


def package_modules() -> list:
    return [m for name, m in list(sys.modules.items()) if name.split(".")[0] == "planardose"]


def forget() -> None:
    """Empty every functools cache of the package."""
    for module in package_modules():
        for value in list(vars(module).values()):
            if hasattr(value, "cache_clear"):
                value.cache_clear()


def rebuild_kernels() -> None:
    """Let Warp look at every kernel again at its next launch: what has not changed comes from its cache."""
    for module in package_modules():
        if any(isinstance(v, wp.Kernel) for v in vars(module).values()):
            wp.get_module(module.__name__).mark_modified()


@dataclass
class Garden:
    """Plants faults for the length of a test."""

    monkeypatch: pytest.MonkeyPatch
    folder: Path

    def replace(self, original: Callable, faulty: Callable) -> None:
        """Put `faulty` in place of a function in every module that holds it."""
        for module in package_modules():
            for name, value in list(vars(module).items()):
                if value is original:
                    self.monkeypatch.setattr(module, name, faulty)

    def change(self, original: Callable, how: Callable) -> None:
        """Replace a function by one that returns ``how(result, *arguments)``."""
        self.replace(original, lambda *a, **k: how(original(*a, **k), *a))

    def catalogue(self, kind: str, name: str, **keys) -> None:
        """Change keys of an entry of the catalogue, by a file in a user's library."""
        content = library.read_entry(kind, name) | keys
        folder = self.folder / "library"
        (folder / kind).mkdir(parents=True, exist_ok=True)
        (folder / kind / f"{name}.yaml").write_text(yaml.safe_dump(content))
        self.monkeypatch.setenv(library.USER_FOLDERS_VARIABLE, str(folder))

    def own_tables(self) -> None:
        """Costly tables are computed anew and kept apart."""
        self.monkeypatch.setenv("PLANARDOSE_CACHE", str(self.folder / "tables"))
