"""One run: its config, its cohort, its results folder, and the sidecar that stands beside every output."""

import json
import sys
import zipfile
from dataclasses import dataclass
from pathlib import Path

import planardose
from planardose.cohort import Cohort
from planardose.config import Config
from planardose.errors import InputError
from planardose.io.files import sha256_of, write_text
from planardose.marks import Marks
from planardose.paths import STEP_VERSIONS, TEMPLATES
from planardose.sidecar import read_object, read_sidecar, sidecar_of


@dataclass(frozen=True)
class Run:
    """What every step gets: ``step(run, patient[, timepoint])``.

    `settings` is `marks.Marks.settings` of the job at work, for its sidecars; empty where a step is called without one.
    """

    config: Config
    cohort: Cohort
    results: Path
    settings: str = ""

    def path(self, key: str, **wildcards) -> Path:
        """Path of an output, e.g. ``run.path("planar", patient="P01", timepoint="t24")``."""
        return self.results / TEMPLATES[key].format(**wildcards)

    def need(self, key: str, step: str, **wildcards) -> Path:
        """Path of an output of an earlier step; missing or cut off raises `InputError` that names the step to run.

        So does one of other settings than the job at work has: its own output would tell these, and be a mixture.
        """
        path = self.path(key, **wildcards)
        where = place_of(key, **wildcards)
        if not path.exists():
            expected = "the output of an earlier step"
            raise InputError(where, "not there yet", expected, f"run 'planardose {step}' first")
        if not is_whole(path):
            raise _damaged(where, step)
        made = read_sidecar(path)
        if self.settings and "settings" in made:
            place = wildcards["patient"], wildcards.get("timepoint")
            if not Marks(self.config, self.cohort).hold(made, made["step"], *place):
                raise InputError(where, "made with other settings, for another sheet or by another version",
                                 "results of this sheet and config", f"run 'planardose {step}' again")  # fmt: skip
        return path

    def told(self, key: str, step: str, **wildcards) -> "Told":
        """What the sidecar of an output of an earlier step tells; missing or cut off raises as in `need`."""
        where = f"{place_of(key, **wildcards)} sidecar"
        found = read_sidecar(self.need(key, step, **wildcards))
        if not found:
            raise _damaged(where, step)
        return Told(found, where, step)

    def content(self, key: str, step: str, **wildcards) -> "Told":
        """Content of an output of an earlier step that is a JSON object; missing or cut off raises as in `need`."""
        found = read_object(self.need(key, step, **wildcards))
        return Told(found, place_of(key, **wildcards), step)

    def sheet_input(self, patient: str, column: str, timepoint: str | None = None) -> dict:
        """Sidecar entry of an input: sheet row, column and SHA-256, never the path."""
        row = self.cohort.row(patient, timepoint) if timepoint else self.cohort.rows_of(patient)[0]
        return {"row": row.where, "column": column, "sha256": sha256_of(row.paths[column])}

    def sidecar(
        self, output: Path, step: str, quantity: str, unit: str = "", inputs: list | None = None, **more
    ) -> None:
        """Write ``<output>.json``.

        Parameters
        ----------
        output : Path
            The file described.
        step : str
            Rule name, a key of `paths.STEP_VERSIONS`.
        quantity, unit : str
            What the values are.
        inputs : list
            Entries of `sheet_input`, and Paths of files in the results folder (hashed here).
        **more
            Anything else that a reader needs: seeds, camera, histories...
        """
        entries = [
            x if isinstance(x, dict) else {"output": str(x.relative_to(self.results)), "sha256": sha256_of(x)}
            for x in inputs or []
        ]
        meta = {
            "quantity": quantity,
            "unit": unit,
            "step": step,
            "step_version": STEP_VERSIONS[step],
            "planardose": planardose.__version__,
            "seed": self.config.seed,
            "sha256": sha256_of(output),
            "inputs": entries,
            **({"settings": self.settings} if self.settings else {}),
            **more,
            "command": command_line(),
        }
        write_text(sidecar_of(output), json.dumps(meta, indent=1, sort_keys=True) + "\n")


class Told(dict):
    """What a step wrote as JSON; a missing entry, as an older version had none, raises `InputError` with the step."""

    def __init__(self, entries: dict, where: str, step: str):
        super().__init__(entries)
        self.where, self.step = where, step

    def __missing__(self, entry: str):
        expected = "results of this version of planardose"
        raise InputError(self.where, f"no entry '{entry}'", expected, f"run 'planardose {self.step}' again")

    def check_made_from(self, sources: list[Path], results: Path) -> None:
        """Raise where a sidecar tells other inputs than these files of the results as they are now."""
        known = {e.get("output"): e.get("sha256") for e in self["inputs"]}
        for source in sources:
            name = str(source.relative_to(results))
            if known.get(name) != sha256_of(source):
                raise InputError(self.where.removesuffix(" sidecar"), f"not made from {name} as it is now",
                                 "results of one run", f"run 'planardose {self.step}' again")  # fmt: skip


def place_of(key: str, patient: str = "cohort", timepoint: str | None = None, **_) -> str:
    """How messages name an output: patient, time point where it has one, key."""
    return " ".join(x for x in (patient, timepoint, key) if x)


def _damaged(where: str, step: str) -> InputError:
    return InputError(where, "damaged", "a whole file", f"run 'planardose {step}' again")


def is_whole(path: Path) -> bool:
    """Whether a file of the results was not cut off, as far as its kind tells: an archive ends with its directory."""
    if path.suffix == ".npz":
        return zipfile.is_zipfile(path)
    if path.suffix == ".json":
        try:
            json.loads(path.read_bytes())
        except ValueError:
            return False
    return path.stat().st_size > 0


def command_line() -> str:
    """The command with every path replaced by its placeholder (paths may hold names)."""
    words = ["planardose", *sys.argv[1:]]
    words = [part for word in words for part in (word.split("=", 1) if word.startswith("--") else [word])]
    hidden = {"--cohort": "COHORT", "--results": "RESULTS", "--config": "CONFIG",
              "--activity": "ACTIVITY", "--ct": "CT", "--out": "OUT"}  # fmt: skip
    return " ".join(
        hidden.get(before, word) if not (before not in hidden and "/" in word) else "PATH"
        for before, word in zip(["", *words], words, strict=False)
    )
