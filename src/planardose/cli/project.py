"""The command `project`: a chunk of a patient's virtual uptakes, or any activity map and CT with options of its own."""

import re
from importlib import import_module
from pathlib import Path
from typing import Annotated

import typer

from planardose.cli.shared import (
    CohortOption,
    DebugOption,
    IdentityOption,
    ResultsOption,
    RunConfigOption,
    Whose,
    faults,
    run_step,
)


def _pair_of_mm(text: str | None) -> tuple[float, float] | None:
    """``120,190`` as two distances."""
    from planardose.errors import InputError

    if text is None:
        return None
    parts = re.fullmatch(r"\s*(\d+(?:\.\d*)?)\s*,\s*(\d+(?:\.\d*)?)\s*", text)
    if not parts:
        raise InputError("--distance-mm", f"'{text[:40]}'", "two distances in mm, e.g. 140,180")
    return float(parts[1]), float(parts[2])


def project(
    patient: Annotated[str | None, typer.Option(help="Pseudonym in the sheet (virtual uptakes).")] = None,
    chunk: Annotated[int | None, typer.Option(min=0, help="Number of the chunk of samples, from 0.")] = None,
    cohort: CohortOption = None,
    config: RunConfigOption = None,
    results: ResultsOption = None,
    activity: Annotated[Path | None, typer.Option(help="Activity map: NIfTI in Bq/mL at mid-time.")] = None,
    ct: Annotated[Path | None, typer.Option(help="CT: DICOM folder or NIfTI in HU.")] = None,
    out: Annotated[Path | None, typer.Option(help="File to write: .dcm (NM DICOM) or .npz (with JSON).")] = None,
    nuclide: Annotated[str, typer.Option(help="Nuclide of 'planardose list nuclides'.")] = "177Lu",
    camera: Annotated[str, typer.Option(help="Camera of 'planardose list cameras'.")] = "siemens_symbia_melp",
    windows: Annotated[
        list[str] | None, typer.Option(help="LOW-HIGH in keV, several times or with commas; default: the nuclide's.")
    ] = None,
    seconds_per_row: Annotated[float | None, typer.Option(help="Sweep: seconds that a row is in the field.")] = None,
    duration_s: Annotated[float | None, typer.Option(help="Static image: its duration.")] = None,
    histories: Annotated[float, typer.Option(help="Photons followed; with --relative-error at most.")] = 1e7,
    relative_error: Annotated[
        float | None, typer.Option(help="Stop at this median relative error of bright photopeak pixels.")
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Root of all random draws.")] = 2026,
    grid_mm: Annotated[float, typer.Option(help="Voxels of the transport, mm (1 to 20).")] = 4.0,
    distance_mm: Annotated[
        str | None, typer.Option(help="ANTERIOR,POSTERIOR face from the body's axis; default: close to the body.")
    ] = None,
    noise: Annotated[bool, typer.Option(help="Poisson noise.")] = True,
    penetration: Annotated[bool, typer.Option(help="Photons that go through the collimator's lead.")] = True,
    couch: Annotated[bool, typer.Option(help="The gamma camera's couch before the posterior head.")] = True,
    dead_time: Annotated[bool, typer.Option(help="Dead time, where the camera's file has it.")] = True,
    acquired_at: Annotated[str, typer.Option(metavar="TIME", help="Start of the acquisition.")] = "2000-01-01T00:00",
    threads: Annotated[int, typer.Option(min=1, help="CPU threads; they do not change a bit.")] = 1,
    identity: IdentityOption = Whose.PSEUDONYM,
    debug: DebugOption = False,
) -> None:
    if activity is None and ct is None:
        if patient is None or chunk is None:
            raise typer.BadParameter("give --patient and --chunk, or --activity, --ct and --out")
        run_step("project", {"cohort": cohort, "config": config, "results": results}, debug, patient, chunk=chunk)
        return
    if activity is None or ct is None or out is None:
        raise typer.BadParameter("an activity map needs --activity, --ct and --out")
    with faults("project", debug):
        from planardose.config import load_config
        from planardose.times import parse_time
        from planardose.workflow import check_writable, use_library

        check_writable(out.parent, "--out")
        settings, start = load_config(config), parse_time(acquired_at, "project --acquired-at")
        use_library(settings)
        step = import_module("planardose.commands.project_map")
        step.project_map(activity, ct, out, step.Wish(
            nuclide=nuclide,
            camera=camera,
            windows=tuple(windows or ()),
            seconds_per_row=seconds_per_row,
            duration_s=duration_s,
            histories=histories,
            relative_error=relative_error,
            seed=seed,
            grid_mm=grid_mm,
            distance_mm=_pair_of_mm(distance_mm),
            noise=noise,
            penetration=penetration,
            couch=couch,
            dead_time=dead_time,
            acquired_at=start,
            device=settings.device,
            threads=threads,
            from_ct=identity is Whose.FROM_CT,
        ))  # fmt: skip
