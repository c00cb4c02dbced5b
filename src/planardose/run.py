"""One run: its config, its cohort, its results folder, and the sidecar that stands beside every output."""

import json
import sys
from dataclasses import dataclass
from pathlib import Path

import planardose
from planardose.cohort import Cohort
from planardose.config import Config
from planardose.errors import InputError
from planardose.io.files import sha256_of, write_text
from planardose.paths import STEP_VERSIONS, TEMPLATES


@dataclass(frozen=True)
class Run:
    """What every step gets: ``step(run, patient[, timepoint])``."""

    config: Config
    cohort: Cohort
    results: Path

    def path(self, key: str, **wildcards) -> Path:
        """Path of an output, e.g. ``run.path("planar", patient="P01", timepoint="t24")``."""
        return self.results / TEMPLATES[key].format(**wildcards)

    def need(self, key: str, step: str, **wildcards) -> Path:
        """Path of an output of an earlier step; missing raises `InputError` that names the step to run."""
        path = self.path(key, **wildcards)
        if not path.exists():
            raise InputError(
                f"{wildcards.get('patient', 'cohort')} {key}",
                "not there yet",
                "the output of an earlier step",
                f"run 'planardose {step}' first",
            )
        return path

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
            **more,
            "command": command_line(),
        }
        write_text(output.with_name(output.name + ".json"), json.dumps(meta, indent=1, sort_keys=True) + "\n")


def command_line() -> str:
    """The command with every path replaced by its placeholder (paths may hold names)."""
    words = ["planardose", *sys.argv[1:]]
    hidden = {"--cohort": "COHORT", "--results": "RESULTS", "--config": "CONFIG",
              "--activity": "ACTIVITY", "--ct": "CT", "--out": "OUT"}  # fmt: skip
    return " ".join(
        hidden.get(before, word) if not (before not in hidden and "/" in word) else "PATH"
        for before, word in zip(["", *words], words, strict=False)
    )
