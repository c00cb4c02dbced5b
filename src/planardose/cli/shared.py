"""What the commands of `planardose.cli` share: common options, faults as one line, the run that they work on."""

import errno
import json
import logging
import re
import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from enum import StrEnum
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from planardose.run import Run

BAD_INPUT, INTERNAL_FAULT = 2, 1
GPU_FULL = ("the GPU has too little free memory", "a GPU that no other program fills",
            "set a coarser grid_mm, train.batch: 1, or device: cpu")  # fmt: skip
NOT_PERMITTED = ("a file or folder may not be read or written", "inputs that you may read, results that you may write",
                 "ask their owner for the rights, or choose another results folder")  # fmt: skip
DISK_FULL = ("no space left on the disk, or the quota is reached", "space for the results and for temporary files",
             "free some and run again, or choose another results folder")  # fmt: skip


class Whose(StrEnum):
    """Whose name and id a DICOM output carries."""

    PSEUDONYM, FROM_CT = "pseudonym", "from-ct"


CohortOption = Annotated[
    Path | None, typer.Option("--cohort", envvar="PLANARDOSE_COHORT", show_envvar=True, help="Cohort sheet (TSV).")
]
ConfigOption = Annotated[Path | None, typer.Option("--config", help="Config (YAML); without it every default holds.")]
RunConfigOption = Annotated[
    Path | None,
    typer.Option("--config", help="Config (YAML); default: the config.yaml that the run wrote to --results."),
]
ResultsOption = Annotated[Path | None, typer.Option("--results", help="Results folder; default: the config's.")]
PatientOption = Annotated[str, typer.Option("--patient", help="Pseudonym in the sheet.")]
TimepointOption = Annotated[str, typer.Option("--timepoint", help="Time point in the sheet.")]
IdentityOption = Annotated[
    Whose,
    typer.Option("--identity", help="Whose name and id the DICOM carries: a pseudonym's, or those of a DICOM CT."),
]
DebugOption = Annotated[bool, typer.Option("--debug", help="Show the traceback of a fault.")]


@contextmanager
def faults(name: str, debug: bool, note: Callable[[str], None] = lambda message: None) -> Iterator[None]:
    """Turn each fault into one line on stderr, with the contract's exit code; `note` gets the first line as well."""
    from planardose.errors import InputError

    logging.basicConfig(level=logging.WARNING, stream=sys.stderr, format="%(levelname)s %(name)s: %(message)s")
    logging.getLogger("planardose").setLevel(logging.INFO)
    others: tuple[InputError, ...] = ()
    try:
        yield
    except InputError as fault:
        message, code, others = str(fault), BAD_INPUT, fault.others
    except BrokenPipeError:  # of 'planardose list cameras | head': typer ends quietly
        raise
    except Exception as fault:
        if type(fault).__name__ == "OutOfMemoryError":  # torch's, of a GPU; to import it takes seconds
            message, code = str(InputError(name, *GPU_FULL)), BAD_INPUT
        elif isinstance(fault, OSError) and fault.errno in (errno.ENOSPC, errno.EDQUOT):
            message, code = str(InputError(name, *DISK_FULL)), BAD_INPUT
        elif isinstance(fault, OSError) and fault.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
            message, code = str(InputError(name, *NOT_PERMITTED)), BAD_INPUT
        else:
            message, code = f"internal fault in {name}: {_described(fault)}; run again with --debug", INTERNAL_FAULT
    else:
        return
    if debug:
        traceback.print_exc()
    for told in (message, *others):
        typer.echo(f"planardose: {told}", err=True)
    note(message)
    raise typer.Exit(code)


@contextmanager
def warnings_counted() -> Iterator[list[logging.LogRecord]]:
    """The package's warnings while the block runs."""
    found: list[logging.LogRecord] = []
    handler, package = logging.Handler(logging.WARNING), logging.getLogger("planardose")
    handler.emit = found.append
    package.addHandler(handler)
    try:
        yield found
    finally:
        package.removeHandler(handler)


def _described(fault: Exception) -> str:
    """One line about an exception, without paths: they may hold names."""
    if isinstance(fault, OSError) and fault.strerror:
        return f"{type(fault).__name__}: {fault.strerror}"
    text = " ".join(str(fault).split())
    return f"{type(fault).__name__}: {re.sub(r'[^ =:(]*/[^/]+/.*', 'PATH', text)}"[:300]


def config_of_run(config: Path | None, results: Path | None) -> Path | None:
    """The config given, else the one that the run wrote to its results: a step repeated by hand must not mix two."""
    written = results / "config.yaml" if results and not config else None
    return written if written and written.is_file() else config


def load_run(cohort: Path | None, config: Path | None, results: Path | None, writes: bool = True) -> "Run":
    """`planardose.run.Run` of the common options; config, library folders, results folder and sheet are checked.

    The results folder need not be one that can be written by a command that only reads it (`writes`).

    Raises
    ------
    InputError
        On the first fault of any of them.
    """
    from planardose.config import load_config
    from planardose.run import Run
    from planardose.sheet import load_cohort
    from planardose.workflow import check_writable, use_library

    with _named(config, results):
        settings = load_config(config)
    use_library(settings)
    sheet = cohort or Path(settings.cohort)
    folder = results or Path(settings.results)
    if writes:
        check_writable(folder)
    rows = load_cohort(sheet)
    with _named(config, results):
        rows.check_decisions(settings.patients)
    return Run(settings, rows, folder)


@contextmanager
def _named(config: Path | None, results: Path | None) -> Iterator[None]:
    """Faults of a config that the user did not give say which it is: `config_of_run`'s, of an older version say."""
    from planardose.errors import InputError

    try:
        yield
    except InputError as fault:
        if results is None or config != results / "config.yaml":
            raise
        where = f"{fault.where} of config.yaml in the results"
        raise InputError(where, fault.problem, fault.expected, fault.do or "or give another with --config") from None


def run_step(name: str, options: dict, debug: bool, patient: str, timepoint: str | None = None, **more) -> None:
    """Run one step of a patient; a fault leaves a note in the results for the cohort page, success removes it.

    Not so a job that is none of the run's, called by hand: a chunk that there is not makes no patient fail.

    Parameters
    ----------
    name : str
        Module and function of `planardose.steps`.
    options : dict
        Arguments of `load_run`.
    debug : bool
        Whether a fault shows its traceback.
    patient, timepoint : str
        For the step; no time point where it is the patient's.
    **more
        What else the step takes: the `chunk` of `project`.

    Raises
    ------
    typer.Exit
        With the exit code of a fault, as `faults`.
    """
    from planardose.io.files import write_text
    from planardose.jobs import Job, jobs_of
    from planardose.marks import Marks

    place: list[Path] = []

    def note(message: str) -> None:
        if place:
            with suppress(OSError):  # the fault itself is what the user must see
                write_text(place[0], json.dumps({"step": name, "timepoint": timepoint, "message": message}) + "\n")

    with faults(name, debug, note):
        run = load_run(**options | {"config": config_of_run(options["config"], options["results"])})
        run = replace(run, settings=Marks(run.config, run.cohort).settings(name, patient, timepoint))
        if Job(name, patient, timepoint, **more) in jobs_of(run.config, run.cohort, patient):
            where = "_".join(str(x) for x in (name, timepoint, *more.values()) if x is not None)
            place.append(run.results / patient / "errors" / f"{where}.json")
        step = getattr(import_module(f"planardose.steps.{name}"), name)
        step(run, patient, *([timepoint] if timepoint else []), *more.values())
        for done in place:
            done.unlink(missing_ok=True)
