"""A YAML file of the catalogue, read key by key; a fault is one line with file, key, value and what was expected."""

import sys
from pathlib import Path

from planardose.errors import InputError, shown
from planardose.strict_yaml import NotYaml, parse_yaml

NEEDED = object()  # the default of a key that must be there


class CatalogueFile:
    """Mapping of a catalogue file with checked access.

    Parameters
    ----------
    kind : str
        Singular, e.g. ``"camera"``; with the file's name it says where a fault is.
    path : Path
    example : str
        File of the catalogue that shows the keys.

    Raises
    ------
    InputError
        When the file is no YAML mapping, a needed key is missing, or a value is not what was expected; from `done` on
        a key that nobody asked for, which is most often a misspelt optional one.
    """

    def __init__(self, kind: str, path: Path, example: str):
        self.where, self.example, self.asked = f"{kind} file {path.name}", example, set()
        try:
            self.content = parse_yaml(path.read_text(encoding="utf-8-sig"))
        except NotYaml as fault:
            line = f", line {fault.line}" if fault.line else ""
            do = f"compare with {example}"
            raise InputError(self.where + line, fault.problem, "'key: value' lines", do) from None
        except UnicodeDecodeError:
            raise InputError(self.where, "not UTF-8 text", "a YAML file", f"compare with {example}") from None
        if not isinstance(self.content, dict):
            raise InputError(self.where, "no keys", "'key: value' lines", f"compare with {example}")

    def fault(self, key: str, problem: str, expected: str) -> InputError:
        """The error of a key."""
        return InputError(f"{self.where}, {key}", problem, expected, f"see {self.example}")

    def raw(self, key: str, default: object = NEEDED) -> object:
        """Value as YAML gives it; the default stands for a missing key or null, without one they are refused."""
        self.asked.add(key)
        value = self.content.get(key)
        if value is None:
            if default is NEEDED:
                raise self.fault(key, "missing", "this key")
            return default
        return value

    def text(self, key: str, default: object = NEEDED) -> str:
        """Text, in one line; anything else, and empty text, is refused."""
        value = self.raw(key, default)
        if not isinstance(value, str) or not value.strip():
            raise self.fault(key, _seen(value), "text")
        return " ".join(value.split())

    def number(self, key: str, default: object = NEEDED, least: float | None = None) -> float | None:
        """A number above 0, or from `least`; the default as it is."""
        value = self.raw(key, default)
        return value if value is default else self._number(key, value, least)

    def _number(self, key: str, value: object, least: float | None) -> float:
        number = isinstance(value, int | float) and not isinstance(value, bool)
        good = number and abs(value) <= sys.float_info.max  # false for NaN, infinities, and integers beyond a float
        if not good or (value <= 0 if least is None else value < least):
            raise self.fault(key, _seen(value), "a number above 0" if least is None else f"a number from {least:g}")
        return float(value)

    def pairs(self, key: str, default: object = NEEDED) -> tuple[tuple[float, float], ...]:
        """List of pairs of numbers above 0; the default as it is, anything else refused."""
        value = self.raw(key, default)
        if value is default:
            return value
        if not isinstance(value, list):
            raise self.fault(key, _seen(value), "a list of pairs [a, b]")
        return tuple(self._pair(key, v) for v in value)

    def pairs_by_name(self, key: str) -> tuple[tuple[str, float, float], ...]:
        """(name, a, b) of a mapping ``name: [[a, b], ...]`` of pairs of numbers above 0; empty without the key."""
        value = self.raw(key, {})
        good = isinstance(value, dict) and all(isinstance(k, str) and isinstance(v, list) for k, v in value.items())
        if not good:
            raise self.fault(key, _seen(value), "'NAME: [[a, b], ...]', pairs by name")
        return tuple((name, *self._pair(key, v)) for name, values in value.items() for v in values)

    def pair(self, key: str) -> tuple[float, float]:
        """Two numbers above 0."""
        return self._pair(key, self.raw(key))

    def _pair(self, key: str, value: object) -> tuple[float, float]:
        if not isinstance(value, list) or len(value) != 2:
            raise self.fault(key, _seen(value), "two numbers, [a, b]")
        return self._number(key, value[0], None), self._number(key, value[1], None)

    def done(self) -> None:
        """Refuse keys that were not asked for."""
        if unknown := sorted(str(k) for k in self.content if k not in self.asked):
            raise InputError(
                f"{self.where}, {shown(unknown[0])}", "unknown key", f"only {', '.join(sorted(self.asked))}"
            )


def _seen(value: object) -> str:
    return shown(value) if isinstance(value, str) else f"value {str(value)[:60]}"
