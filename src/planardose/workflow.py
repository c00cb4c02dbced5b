"""What the Snakefile needs to know: the validated run, its targets, and the mark that says what each job depends on.

Light: parsed again in every cluster job, so no torch, no image library.

A user's inputs are no Snakemake ``input:``: their paths may hold names, and Snakemake writes paths into its logs and
metadata. Each job carries a *mark* instead, a hash of everything outside the results folder that its numbers depend on
(`DEPENDS`); Snakemake reruns the job when the mark changes (rerun trigger ``params``).
"""

import fcntl
import hashlib
import json
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

import yaml

from planardose import library
from planardose.cohort import Cohort, Row
from planardose.config import Config, parse_config
from planardose.errors import InputError
from planardose.io.files import fingerprint, write_text
from planardose.paths import LOCK, STEP_VERSIONS, TEMPLATES
from planardose.sheet import load_cohort

COHORT_VARIABLE = "PLANARDOSE_COHORT"
PLACES = ("cohort", "results", "library")  # config keys that hold the user's paths


@dataclass(frozen=True)
class Depends:
    """What a step depends on besides the outputs of earlier steps.

    Parameters
    ----------
    config : tuple of str
        Keys of `Config`, whole sections or ``section.key``.
    hand : tuple of str
        Keys of `config.Hand`, of the job's own time point; of any of the patient's where the job has none.
    files, cells : tuple of str
        File columns, and other fields, of the sheet's rows.
    catalogues : tuple of str
        Kinds of `library`: the content of the entries that the rows name.
    all_rows : bool
        Whether a step without a time point looks at all rows of the patient, or only at the row of the first injection
        (the steps before the planar images, which a new time point must not rerun).
    """

    config: tuple[str, ...] = ()
    hand: tuple[str, ...] = ()
    files: tuple[str, ...] = ()
    cells: tuple[str, ...] = ()
    catalogues: tuple[str, ...] = ()
    all_rows: bool = False


DEVICES = Path("/dev")
POPULATION = Path(__file__).parent / "data/population/unet.yaml"  # holds the hash of the weights

INJECTED = ("injected_mbq", "residual_mbq")
INJECTION = (*INJECTED, "injected_at")
IMAGING = ("nuclides", "cameras")
HEAD = ("projection.penetration", "projection.couch")  # what the analytic projector shares with the Monte Carlo
LOOP = ("train.threads", "train.batch", "train.segmentations", "train.learning_rate", "train.checkpoint_every")
DEPENDS = {
    "import_ct": Depends(files=("ct",)),
    "import_planar": Depends(
        hand=("flip_posterior", "upside_down", "head_order", "windows_kev", "seconds_per_row", "same_patient"),
        files=("planar",),
        cells=("acquired_at", *INJECTION, "utc_offset", "calibration_cps_per_mbq"),
        catalogues=IMAGING,
    ),
    "segment": Depends(
        config=("segmentation", "grid_mm"), hand=("accept_segmentation",), files=("segmentation", "lesions")
    ),
    "import_prior": Depends(files=("prior_image", "prior_ct")),
    "sample_uptake": Depends(config=("seed", "sampling"), cells=INJECTED, catalogues=("nuclides", "tracers")),
    "project": Depends(config=("seed", "projection"), catalogues=IMAGING),
    "train": Depends(config=("seed", "train", "sampling", *HEAD), catalogues=IMAGING),
    "train_diffusion": Depends(config=("seed", "diffusion", "sampling", *LOOP, *HEAD), catalogues=IMAGING),
    "reinforce": Depends(
        config=("seed", "reinforce", "train.batch", "train.segmentations", "train.threads", "sampling", *HEAD),
        catalogues=(*IMAGING, "tracers"),
    ),
    "register": Depends(
        config=("registration", *HEAD),
        hand=("shift_mm", "rotation_deg", "same_patient"),
        cells=("calibration_cps_per_mbq",),
        catalogues=IMAGING,
    ),
    "reconstruct": Depends(
        config=("methods", "dose_method", "reconstruction", "diffusion", "reinforce.steps", *HEAD),
        hand=("accept_gate",),
        cells=("calibration_cps_per_mbq", "calibration_cps_per_mbq_u"),
        catalogues=IMAGING,
    ),
    "compare_spect": Depends(
        config=("methods", "spect", *HEAD),
        hand=("same_patient",),
        files=("spect", "spect_ct"),
        cells=(*INJECTION, "spect_bqml_per_count", "spect_at", "calibration_cps_per_mbq"),
        catalogues=IMAGING,
    ),
    "spect_activity": Depends(
        config=("methods", "dose_method", "spect"),
        hand=("same_patient",),
        files=("spect", "spect_ct"),
        cells=(*INJECTION, "utc_offset", "spect_bqml_per_count", "spect_at"),
        catalogues=("nuclides",),
    ),
    "fit_kinetics": Depends(cells=INJECTION, catalogues=("nuclides",), all_rows=True),
    "absorbed_dose": Depends(config=("seed", "dose"), cells=INJECTION, catalogues=("nuclides",), all_rows=True),
    "report": Depends(
        config=("methods", "dose_method", "patients", "dose", *HEAD),
        cells=(*INJECTION, "calibration_cps_per_mbq", "calibration_cps_per_mbq_u", "weight_kg", "tracer"),
        catalogues=IMAGING,
        all_rows=True,
    ),
    "report_cohort": Depends(),
}
COLUMN_OF_KIND = {"nuclides": "nuclide", "cameras": "camera", "tracers": "tracer"}


def _is_there(path: Path) -> bool:
    try:
        return path.exists()
    except OSError:  # below a folder that may not be entered
        return False


def check_writable(results: Path) -> None:
    """Refuse a results folder that cannot be made or written, before any work."""
    nearest = next(p for p in (results.absolute(), *results.absolute().parents) if _is_there(p))
    if not nearest.is_dir() or not os.access(nearest, os.W_OK | os.X_OK):
        raise InputError("results", "not a folder that can be written", "a writable folder", "choose another one")


@dataclass(frozen=True)
class Plan:
    """A validated run as the Snakefile sees it."""

    config: Config
    cohort: Cohort
    sheet: Path
    results: str
    _marks: dict = field(default_factory=dict, repr=False)

    @classmethod
    def load(cls, mapping: dict) -> "Plan":
        """Validate Snakemake's `config` and the sheet it names; relative paths are relative to the working folder.

        Sets the environment through which the jobs' commands find the sheet and the library folders.

        Raises
        ------
        InputError
            On the first fault of the config or the sheet.
        """
        config = parse_config(mapping)
        if "{" in config.results:
            raise InputError("config results", "'{' in the folder's name", "a name without braces")
        check_writable(Path(config.results))
        sheet = Path(config.cohort).absolute()
        os.environ[COHORT_VARIABLE] = str(sheet)
        use_library(config)
        cohort = load_cohort(sheet)
        cohort.check_decisions(config.patients)
        return cls(config, cohort, sheet, config.results.rstrip("/"))

    def path(self, key: str) -> str:
        """Path pattern of an output, wildcards open."""
        return f"{self.results}/{TEMPLATES[key]}"

    @property
    def timepoints(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(r.timepoint for r in self.cohort.rows))

    @property
    def gpu_jobs(self) -> int:
        """How many jobs of a machine's GPU a job on it counts as: 1 where it may use one, 0 where there is none.

        NVIDIA's driver has a device file for each; to ask torch would take seconds of every job.
        """
        return int(self.config.device != "cpu" and any(DEVICES.glob("nvidia[0-9]*")))

    def write_config(self) -> None:
        """Put the validated config, without the user's paths, into the results folder, where the commands read it."""
        target = Path(self.results) / "config.yaml"
        text = yaml.safe_dump(self.config.model_dump(mode="json", exclude=set(PLACES)), sort_keys=False)
        if not target.exists() or target.read_text() != text:
            write_text(target, text)

    def lock(self) -> IO:
        """Claim the results folder for this run, until the returned file is closed or the process dies in any way.

        Snakemake's own lock outlives a killed run and must be removed by hand; the kernel drops this one.

        Raises
        ------
        InputError
            When another run holds it.
        """
        path = Path(self.results) / LOCK
        path.parent.mkdir(parents=True, exist_ok=True)
        file = path.open("w")
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            file.close()
            raise InputError("results", "another run is working in this folder", "one run at a time") from None
        return file

    def forget_errors(self) -> None:
        """Remove the error notes of an earlier run: whatever failed then is tried again now."""
        for patient in self.cohort.patients:
            for note in (Path(self.results) / patient / "errors").glob("*.json"):
                note.unlink(missing_ok=True)

    def mark(self, step: str, patient: str | None = None, timepoint: str | None = None) -> str:
        """Hash of all that a job depends on outside the results folder; see `Depends`."""
        key = (step, patient, timepoint)
        if key not in self._marks:
            facts = json.dumps(self._facts(step, patient, timepoint), sort_keys=True, default=str)
            self._marks[key] = hashlib.sha256(facts.encode()).hexdigest()[:16]
        return self._marks[key]

    def _facts(self, step: str, patient: str | None, timepoint: str | None) -> list:
        needs = DEPENDS[step]
        settings = self.config.model_dump(mode="json", include=_included(set(needs.config) - {"patients"}))
        if "patients" in needs.config and patient in self.config.patients:
            settings["patients"] = {t: h.model_dump(mode="json") for t, h in self.config.patients[patient].items()}
        if timepoint:
            hand = self.config.hand(patient, timepoint).model_dump(mode="json", include=set(needs.hand))
        else:
            shared = {k: self.config.shared_decision(patient, k) for k in needs.hand}
            hand = {k: v for k, v in shared.items() if v is not None}
        start = [POPULATION.read_text()] if settings.get("train", {}).get("start") == "population" else []
        return [
            STEP_VERSIONS[step],
            settings,
            hand,
            [self._row_facts(r, needs) for r in self._rows(needs, patient, timepoint)],
            *start,
        ]

    def _rows(self, needs: Depends, patient: str | None, timepoint: str | None) -> tuple[Row, ...]:
        if patient is None:
            return self.cohort.rows
        if timepoint is not None:
            return (self.cohort.row(patient, timepoint),)
        return self.cohort.rows_of(patient) if needs.all_rows else (self.cohort.first_row(patient),)

    @staticmethod
    def _row_facts(row: Row, needs: Depends) -> list:
        entries = {k: getattr(row, COLUMN_OF_KIND[k]) for k in needs.catalogues}
        return [
            row.where if needs.all_rows else row.patient,
            {c: str(getattr(row, c)) for c in needs.cells},
            {c: fingerprint(row.paths.get(c)) for c in needs.files},
            {k: [name, library.entry_path(k, name).read_text()] for k, name in entries.items()},
        ]


def _included(keys: set[str]) -> dict:
    """Keys of the config, of its top level or ``section.key``, as pydantic's `include`."""
    out: dict = {}
    for key in keys:
        section, _, part = key.partition(".")
        out[section] = True if not part or out.get(section) is True else {*out.get(section, ()), part}
    return out


def use_library(config: Config) -> None:
    """Let `library` and all child processes see the config's library folders, before those of the environment.

    A folder that is not there is refused with `InputError`.
    """
    if config.library:
        if not all(Path(f).is_dir() for f in config.library):
            raise InputError("config library", "a folder that is not there", "folders with nuclides/, tracers/")
        before = os.environ.get(library.USER_FOLDERS_VARIABLE, "").split(os.pathsep)
        folders = [str(Path(f).absolute()) for f in config.library]
        os.environ[library.USER_FOLDERS_VARIABLE] = os.pathsep.join(dict.fromkeys([*folders, *filter(None, before)]))
