"""The JSON file that stands beside every output and tells what it is; `Run.sidecar` writes it."""

import json
from pathlib import Path


def sidecar_of(output: Path) -> Path:
    """Path of the sidecar of an output."""
    return output.with_name(output.name + ".json")


def read_sidecar(output: Path) -> dict:
    """What the sidecar of an output tells; nothing as `read_object` has it."""
    return read_object(sidecar_of(output))


def read_object(path: Path) -> dict:
    """A JSON of the results; nothing where it is missing, cut off, or another program's."""
    try:
        found = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}
