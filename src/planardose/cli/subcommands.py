"""The command line: parse, call, exit code; nothing else. Heavy modules are imported when a command runs."""

import gc
import json
import os
from collections.abc import Callable
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from typing import Annotated

import typer

import planardose
from planardose.cli.help import Commands
from planardose.cli.project import project
from planardose.cli.shared import (
    BAD_INPUT,
    CohortOption,
    ConfigOption,
    DebugOption,
    IdentityOption,
    PatientOption,
    ResultsOption,
    RunConfigOption,
    TimepointOption,
    Whose,
    config_of_run,
    faults,
    load_run,
    run_step,
    warnings_counted,
)
from planardose.units import rounded_all

# One thread per numeric library, whatever the machine: sums in another order would differ in the last digits.
for _variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(_variable, "1")

app = typer.Typer(
    cls=Commands,
    epilog="Snakemake runs a cohort and calls the steps: see README.md. 'planardose COMMAND --help' has an example.",
    help="From CT and planar gamma-camera images to 3D activity, absorbed dose with uncertainty, and a report.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)

# Objects made between two searches for garbage: at Python's 700 the imports of torch and MONAI spend a seventh of their
# time on searches that find nothing.
GARBAGE_THRESHOLD = 50_000

PATIENT, TIMEPOINT, CHUNK = "patient", "timepoint", "chunk"
STEPS = {  # in the order of the chain: what one job of the step covers, and what it does
    "import_ct": (PATIENT, "Read a patient's CT (DICOM folder or NIfTI in HU)."),
    "segment": (PATIENT, "Find organs in the CT and build the patient model."),
    "import_prior": (PATIENT, "Lay a prior PET or SPECT on the CT, where the sheet names one."),
    "sample_uptake": (PATIENT, "Draw virtual uptakes from the tracer's priors."),
    "project": (CHUNK, "Form Monte Carlo planar images of virtual uptakes."),
    "train": (PATIENT, "Check the population network on the patient's virtual data, or train it; resumes."),
    "reinforce": (PATIENT, "Fine-tune the patient's network on a reward; resumes from its checkpoint."),
    "train_diffusion": (PATIENT, "Train the patient's diffusion model; resumes from its checkpoint."),
    "import_planar": (TIMEPOINT, "Read the planar images of a time point."),
    "register": (TIMEPOINT, "Lay the planar images of a time point on the CT."),
    "reconstruct": (TIMEPOINT, "Make 3D activity with every method of the config."),
    "compare_spect": (TIMEPOINT, "Compare the maps of a time point with the patient's SPECT."),
    "spect_activity": (TIMEPOINT, "Take a time point's activity from its SPECT, where there are no planar images."),
    "fit_kinetics": (PATIENT, "Fit organs and voxels over the time points."),
    "absorbed_dose": (PATIENT, "Compute absorbed dose of voxels and organs."),
    "report": (PATIENT, "Write the patient's report and summary."),
}


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"planardose {planardose.__version__}")
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    """Options of planardose itself; its help stands in `app`."""


def main() -> None:
    """Entry point of ``planardose``."""
    gc.set_threshold(GARBAGE_THRESHOLD)
    app()


def _command(name: str, summary: str, example: str) -> Callable:
    text = f"{summary}\n\n\b\nExample:\n  planardose {name.replace('_', '-')} {example}".rstrip()
    return app.command(name.replace("_", "-"), help=text)


def _add_step(name: str, scope: str, summary: str) -> None:
    example = "--cohort cohort.tsv --results results --patient P01"

    def options(cohort: Path | None, config: Path | None, results: Path | None) -> dict:
        return {"cohort": cohort, "config": config, "results": results}

    def of_patient(
        patient: PatientOption,
        cohort: CohortOption = None,
        config: RunConfigOption = None,
        results: ResultsOption = None,
        debug: DebugOption = False,
    ) -> None:
        run_step(name, options(cohort, config, results), debug, patient)

    def of_timepoint(
        patient: PatientOption,
        timepoint: TimepointOption,
        cohort: CohortOption = None,
        config: RunConfigOption = None,
        results: ResultsOption = None,
        debug: DebugOption = False,
    ) -> None:
        run_step(name, options(cohort, config, results), debug, patient, timepoint)

    function, more = {
        PATIENT: (of_patient, ""),
        TIMEPOINT: (of_timepoint, " --timepoint t24"),
    }[scope]
    _command(name, summary, example + more)(function)


for _name, (_scope, _summary) in STEPS.items():
    if _scope != CHUNK:
        _add_step(_name, _scope, _summary)


_command(
    "project",
    "Form Monte Carlo planar images: of a patient's virtual uptakes, or of any activity map and CT.",
    "--cohort cohort.tsv --results results --patient P01 --chunk 0\n"
    "  planardose project --activity act.nii.gz --ct CT --nuclide 177Lu --camera siemens_symbia_melp "
    "--seconds-per-row 145 --out view.dcm",
)(project)


@_command("report_cohort", "Write the cohort's page and table.", "--cohort cohort.tsv --results results")
def report_cohort(
    cohort: CohortOption = None,
    config: RunConfigOption = None,
    results: ResultsOption = None,
    debug: DebugOption = False,
) -> None:
    with faults("report-cohort", debug):
        run = load_run(cohort, config_of_run(config, results), results)
        import_module("planardose.steps.report_cohort").report_cohort(run)


@_command("make_demo", "Write a synthetic cohort: DICOM inputs, sheet, and the truth.", "demo --patients 3 --seed 7")
def make_demo(
    out: Annotated[Path, typer.Argument(help="Folder to write; must not hold a cohort yet.")],
    patients: Annotated[int, typer.Option(min=1, help="Number of patients.")] = 3,
    seed: Annotated[int, typer.Option(min=0, help="Root of all random draws.")] = 7,
    nuclide: Annotated[str, typer.Option(help="Nuclide of 'planardose list nuclides'.")] = "177Lu",
    tracer: Annotated[str, typer.Option(help="Tracer of 'planardose list tracers'.")] = "177Lu-PSMA-617",
    camera: Annotated[str, typer.Option(help="Camera of 'planardose list cameras'.")] = "siemens_symbia_melp",
    injected_gbq: Annotated[
        float | None, typer.Option(min=0.01, max=20.0, help="Injected activity, GBq; default: usual with the nuclide.")
    ] = None,
    spect: Annotated[bool, typer.Option("--spect", help="Each patient also has a SPECT/CT at about 24 h.")] = False,
    config: ConfigOption = None,
    debug: DebugOption = False,
) -> None:
    with faults("make-demo", debug):
        from planardose.config import load_config
        from planardose.workflow import check_writable, use_library

        check_writable(out, "make-demo OUT")
        use_library(load_config(config))
        given = import_module("planardose.demo.procedure").procedure_of(nuclide, tracer, camera, injected_gbq)
        settings = import_module("planardose.demo.spect").SpectSettings() if spect else None
        import_module("planardose.commands.make_demo").make_demo(out, patients, seed, spect=settings, procedure=given)


@_command("check", "Read every input of the sheet and tell each fault.", "--cohort cohort.tsv")
def check(
    cohort: CohortOption = None, config: ConfigOption = None, results: ResultsOption = None, debug: DebugOption = False
) -> None:
    with faults("check", debug), warnings_counted() as warnings:
        found = import_module("planardose.commands.check").check(load_run(cohort, config, results))
    for line in found:
        typer.echo(line)
    if found:
        raise typer.Exit(BAD_INPUT)
    told = f"every input is readable; mind the warnings above: {len(warnings)}"
    typer.echo(told if warnings else "every input is readable and plausible")


@_command("plan", "Tell what a run will do, job by job in numbers; nothing is computed.", "--cohort cohort.tsv")
def plan(
    cohort: CohortOption = None, config: ConfigOption = None, results: ResultsOption = None, debug: DebugOption = False
) -> None:
    with faults("plan", debug):
        for line in import_module("planardose.commands.plan").plan(load_run(cohort, config, results)):
            typer.echo(line)


@_command("status", "Tell how far a run is: jobs done, faults, reports.", "--cohort cohort.tsv --results results")
def status(
    cohort: CohortOption = None,
    config: RunConfigOption = None,
    results: ResultsOption = None,
    debug: DebugOption = False,
) -> None:
    with faults("status", debug):
        run = load_run(cohort, config_of_run(config, results), results, writes=False)
        for line in import_module("planardose.commands.status").status(run):
            typer.echo(line)


@_command(
    "export_dicom",
    "Write a patient's dose, activity maps and outlines as DICOM, in the CT's frame.",
    "--cohort cohort.tsv --results results --patient P01 --out dicom/P01",
)
def export_dicom(
    patient: PatientOption,
    out: Annotated[Path, typer.Option(help="Folder to write; must hold no other files.")],
    identity: IdentityOption = Whose.PSEUDONYM,
    cohort: CohortOption = None,
    config: RunConfigOption = None,
    results: ResultsOption = None,
    debug: DebugOption = False,
) -> None:
    with faults("export-dicom", debug):
        run = load_run(cohort, config_of_run(config, results), results, writes=False)
        step = import_module("planardose.commands.export_dicom").export_dicom
        written = step(run, patient, out, identity is Whose.FROM_CT)
    for name in written:
        typer.echo(name)


@_command(
    "list", "Show what there is: nuclides, cameras, tracers, methods, organs, the config's keys or schema.", "cameras"
)
def list_(
    what: Annotated[str, typer.Argument(help="nuclides | cameras | tracers | methods | organs | config | schema")],
    config: ConfigOption = None,
    debug: DebugOption = False,
) -> None:
    with faults("list", debug):
        from planardose.commands.catalogue import catalogue
        from planardose.config import load_config
        from planardose.workflow import use_library

        use_library(load_config(config))
        for line in catalogue(what):
            typer.echo(line)


@_command(
    "calibrate",
    "Sensitivity of each head from a source of known activity in air.",
    "--planar source.dcm --activity-mbq 500 --at 2026-03-02T09:00 --camera siemens_symbia_melp",
)
def calibrate(
    planar: Annotated[Path, typer.Option(help="Acquisition of both heads: NM DICOM, or NPZ with JSON.")],
    activity_mbq: Annotated[float, typer.Option(help="Activity of the source, MBq.")],
    at: Annotated[
        str,
        typer.Option(
            metavar="TIME", help="Time to which the activity refers, before or after the acquisition, on its clock."
        ),
    ],
    camera: Annotated[
        str | None, typer.Option(help="Camera of 'planardose list cameras'; needed for a sweep, and to compare.")
    ] = None,
    nuclide: Annotated[str, typer.Option(help="Nuclide of 'planardose list nuclides'.")] = "177Lu",
    activity_uncertainty: Annotated[float, typer.Option(help="Relative standard uncertainty of the activity.")] = 0.05,
    head_order: Annotated[str | None, typer.Option(help="anterior_first | posterior_first, where unknown.")] = None,
    debug: DebugOption = False,
) -> None:
    with faults("calibrate", debug):
        from planardose.times import parse_time

        run = import_module("planardose.commands.calibrate").calibrate
        time = parse_time(at, "calibrate --at")
        found = run(planar, activity_mbq, time, camera, nuclide, activity_uncertainty, head_order)
        typer.echo(json.dumps(rounded_all(found), indent=1))


@_command(
    "evaluate",
    "Compare a finished run with the truth of a synthetic cohort.",
    "--cohort demo/cohort.tsv --results demo/results --truth demo/truth",
)
def evaluate(
    truth: Annotated[Path, typer.Option(help="Folder with {patient}/{timepoint}_activity.nii.gz, organs.csv...")],
    cohort: CohortOption = None,
    config: RunConfigOption = None,
    results: ResultsOption = None,
    debug: DebugOption = False,
) -> None:
    with faults("evaluate", debug):
        run = load_run(cohort, config_of_run(config, results), results)
        table = import_module("planardose.commands.evaluate").evaluate(run, truth)
        typer.echo(table.to_string(index=False, float_format="%.4g", na_rep="-"))


@_command(
    "verify",
    "Compare two results folders: equal numbers wherever the contract promises them.",
    "results --against results2",
)
def verify(
    a: Annotated[Path, typer.Argument(help="Results folder.")],
    against: Annotated[Path, typer.Option(help="The other results folder.")],
    debug: DebugOption = False,
) -> None:
    with faults("verify", debug):
        compared, differences = import_module("planardose.commands.verify").verify(a, against)
    for line in differences:
        typer.echo(line)
    typer.echo(f"{compared} files compared, {len(differences)} differences")
    if differences:
        raise typer.Exit(1)


@_command(
    "validate_physics",
    "Check the physics against closed forms, published tables and other codes; exit 1 if a row fails.",
    "--output docs/validation",
)
def validate_physics(
    output: Annotated[Path | None, typer.Option(help="Folder for a page with the table and figures.")] = None,
    only: Annotated[
        list[str] | None, typer.Option(help="A row, a group or a pattern such as 'mu_*'; can be given again.")
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Root of all random draws.")] = 1,
    quick: Annotated[bool, typer.Option("--quick", help="A tenth of the histories: wider statistical errors.")] = False,
    threads: Annotated[int, typer.Option(min=1, help="CPU threads; they do not change a number.")] = 2,
    debug: DebugOption = False,
) -> None:
    with faults("validate-physics", debug):
        from planardose.validation.check import FULL, QUICK

        effort = replace(QUICK if quick else FULL, seed=seed, threads=threads)
        words = ["planardose validate-physics", f"--output {output}", *(f"--only '{x}'" for x in only or [])]
        command = " ".join([*words, f"--seed {seed}", *(["--quick"] if quick else [])])
        step = import_module("planardose.commands.validate_physics").validate_physics
        checks = step(only or [], effort, output, typer.echo, command)
    if not all(c.passed for c in checks):
        raise typer.Exit(1)


@_command("benchmark", "Time every step on this machine with one synthetic patient (some minutes).", "")
def benchmark(config: ConfigOption = None, debug: DebugOption = False) -> None:
    with faults("benchmark", debug):
        from planardose.config import load_config
        from planardose.workflow import use_library

        settings = load_config(config)
        use_library(settings)
        import_module("planardose.commands.benchmark").benchmark(settings, typer.echo)


@_command("doctor", "Tell what this machine has for planardose, what is missing, and how to get it.", "")
def doctor(config: ConfigOption = None, debug: DebugOption = False) -> None:
    with faults("doctor", debug):
        from planardose.config import load_config

        findings = import_module("planardose.commands.doctor").doctor(load_config(config))
    for finding in findings:
        typer.echo(finding)
    if any(f.status == "missing" for f in findings):
        raise typer.Exit(1)
