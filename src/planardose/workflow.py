"""What the Snakefile needs to know: the validated run, its targets, and the lock of its results.

Light: parsed again in every cluster job, so no torch, no image library.
"""

import fcntl
import logging
import os
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import yaml

from planardose import library
from planardose.cohort import Cohort
from planardose.config import Config, load_config, parse_config
from planardose.errors import InputError
from planardose.io.files import write_text
from planardose.jobs import Job, follow, jobs_of
from planardose.marks import Marks
from planardose.paths import LOCK, TEMPLATES
from planardose.sheet import load_cohort

COHORT_VARIABLE, RESULTS_VARIABLE = "PLANARDOSE_COHORT", "PLANARDOSE_RESULTS"
PLACES = ("cohort", "results", "library")  # config keys that hold the user's paths
WRITTEN = "config.yaml"  # in the results: the config that a run used
DEVICES = Path("/dev")
log = logging.getLogger(__name__)


def _is_there(path: Path) -> bool:
    try:
        return path.exists()
    except OSError:  # below a folder that may not be entered
        return False


def check_writable(folder: Path, where: str = "results") -> None:
    """Refuse a folder of results that cannot be made or written, before any work."""
    nearest = next(p for p in (folder.absolute(), *folder.absolute().parents) if _is_there(p))
    if not nearest.is_dir() or not os.access(nearest, os.W_OK | os.X_OK):
        raise InputError(where, "not a folder that can be written", "a writable folder", "choose another one")


def one_spelling(folder: str) -> str:
    """One text for ``out``, ``./out`` and an absolute path to it: Snakemake remembers outputs by their path as text."""
    path = Path(os.path.abspath(folder))
    return str(path.relative_to(Path.cwd())) if path.is_relative_to(Path.cwd()) else os.path.normpath(folder)


def config_of_job() -> dict:
    """What `Plan.load` takes in a job on a cluster: the config that the run wrote, and the places that it told.

    Raises
    ------
    InputError
        Without the environment of the run that sent the job.
    """
    sheet, results = (os.environ.get(variable) for variable in (COHORT_VARIABLE, RESULTS_VARIABLE))
    if not sheet or not results:
        raise InputError(
            "environment of a job", f"no {COHORT_VARIABLE} or {RESULTS_VARIABLE}", "those of the run that sent it",
            "let the cluster pass the environment on, as Slurm does with 'sbatch --export=ALL'",
        )  # fmt: skip
    return load_config(Path(results) / WRITTEN).model_dump() | {"cohort": sheet, "results": results}


@dataclass(frozen=True)
class Plan:
    """A validated run as the Snakefile sees it."""

    config: Config
    cohort: Cohort
    sheet: Path
    results: str
    marks: Marks

    @classmethod
    def load(cls, mapping: dict) -> "Plan":
        """Validate Snakemake's `config` and the sheet it names; relative paths are relative to the working folder.

        Sets the environment through which jobs find the sheet, the results and the library folders.

        Raises
        ------
        InputError
            On the first fault of the config or the sheet.
        """
        config = parse_config(mapping)
        if "{" in config.results:
            raise InputError("config results", "'{' in the folder's name", "a name without braces")
        if config.results.startswith("~"):  # as in a config file, where no shell replaces it
            raise InputError("config results", "'~' at the start", "the folder's whole path, or one from here")
        check_writable(Path(config.results))
        sheet = Path(config.cohort).absolute()
        os.environ |= {COHORT_VARIABLE: str(sheet), RESULTS_VARIABLE: config.results}
        use_library(config)
        cohort = load_cohort(sheet)
        cohort.check_decisions(config.patients)
        for patient in cohort.patients:  # may be another user's
            check_writable(Path(config.results) / patient, f"results of {patient}")
        return cls(config, cohort, sheet, one_spelling(config.results), Marks(config, cohort))

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
        target = Path(self.results) / WRITTEN
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
        try:
            file = path.open("w")
        except OSError as fault:  # another user's file, without the right to write it
            raise InputError(
                "results", f"{LOCK} in the folder cannot be opened ({fault.strerror})", "files that you may write",
                "ask who ran it before for the rights, or choose another results folder",
            ) from None  # fmt: skip
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.close()
            raise InputError("results", "another run is working in this folder", "one run at a time") from None
        except OSError as fault:  # a file system without locks, as Lustre mounted without 'flock'
            log.warning("results: this file system has no locks (%s): see to it that one run works here at a time",
                        fault.strerror)  # fmt: skip
        return file

    def forget_errors(self) -> None:
        """Remove the error notes of an earlier run: whatever failed then is tried again now."""
        for patient in self.cohort.patients:
            for note in (Path(self.results) / patient / "errors").glob("*.json"):
                note.unlink(missing_ok=True)

    def forget_old(self, work: Collection[Job]) -> None:
        """Remove maps, tables, doses and reports that a run makes anew, and the cohort's with them.

        Whatever stops the run, old ones must not stay beside new results, nor in place of what failed. Labels, virtual
        data and networks stay: they cost hours, and a run that was not meant must not take them.

        Parameters
        ----------
        work : collection of Job
            All that the run does. Where it stops before a patient's report, what is left to do afterwards goes as well.
        """
        for patient in {job.patient for job in work}:
            jobs = [job for job in jobs_of(self.config, self.cohort, patient) if job in work]
            if Job("report", patient) not in work:
                jobs = follow(jobs_of(self.config, self.cohort, patient), work)
            for file in (file for job in jobs for file in job.read(Path(self.results))):
                file.unlink(missing_ok=True)
        for key in ("cohort_report", "cohort_table") if work else ():
            Path(self.path(key)).unlink(missing_ok=True)


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
