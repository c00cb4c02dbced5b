"""What a run will do, before it does anything: `planardose plan`."""

from collections import Counter
from collections.abc import Iterator

from planardose.commands.columns import columns
from planardose.io.files import is_nifti
from planardose.jobs import jobs_of
from planardose.run import Run

HEADER = ("patient", "time points", "cycles", "nuclide", "tracer", "camera", "organs from", "besides", "jobs")


def plan(run: Run) -> list[str]:
    """A line for each patient with what stands in the sheet, the number of jobs by step, and what is computed."""
    config, cohort = run.config, run.cohort
    jobs = {patient: jobs_of(config, cohort, patient) for patient in cohort.patients}
    table = columns([HEADER, *(_line(run, patient, len(jobs[patient])) for patient in cohort.patients)])
    counts = Counter(job.step.replace("_", "-") for of_patient in jobs.values() for job in of_patient)
    there = sum(job.output(run.results).exists() for of_patient in jobs.values() for job in of_patient)
    counts["report-cohort"] = 1
    trained = "" if config.train.steps or config.train.minutes else "not "
    networks = f"; network from {config.train.start}, {trained}trained on each patient" if config.networks else ""
    return [
        *table,
        "",
        f"jobs: {sum(counts.values())} ({', '.join(f'{step} {n}' for step, n in counts.items())})",
        f"methods: {', '.join(config.methods)}; dose map by {config.map_method}{networks}",
        f"voxels: {config.grid_mm:g} mm; seed {config.seed}; device {config.device}",
        f"results: {there} outputs are there; 'snakemake -n' tells which of them are up to date",
    ]


def _line(run: Run, patient: str, jobs: int) -> tuple[str, ...]:
    rows = run.cohort.rows_of(patient)
    first = rows[0]
    drawn = "segmentation" in first.paths and run.config.segmentation.backend != "totalsegmentator"
    return (
        patient,
        ", ".join(row.timepoint for row in rows),
        str(len({row.injected_at for row in rows})),
        first.nuclide,
        first.tracer,
        ", ".join(dict.fromkeys(row.camera for row in rows)),
        ("label map" if is_nifti(first.paths["segmentation"]) else "DICOM") if drawn else "TotalSegmentator",
        ", ".join(_besides(run, patient)) or "-",
        str(jobs),
    )


def _besides(run: Run, patient: str) -> Iterator[str]:
    rows = run.cohort.rows_of(patient)
    if "lesions" in rows[0].paths:
        yield "lesions"
    if run.cohort.has_prior(patient):
        yield "prior image"
    if spects := sum("spect" in row.paths for row in rows):
        yield f"SPECT x {spects}"
    planar = [row for row in rows if not row.from_spect]
    if len(planar) < len(rows):
        yield f"{len(rows) - len(planar)} from SPECT alone"
    if missing := sum(row.calibration_cps_per_mbq is None for row in planar):
        yield "not calibrated" if missing == len(planar) else f"{missing} not calibrated"
    if patient in run.config.patients:
        yield "decisions by hand"
