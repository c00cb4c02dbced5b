"""Whether results that are already there are those of this sheet, where Snakemake cannot tell.

Snakemake reruns a job whose mark changed (`marks`), but it remembers marks in the working folder. From another one,
or without its memory, it takes whatever stands in the results for done: another cohort's, with the same ids, too.
"""

from base64 import urlsafe_b64decode
from collections.abc import Iterator
from pathlib import Path

from planardose.cohort import Cohort
from planardose.config import Config
from planardose.errors import InputError
from planardose.io.files import sha256_of
from planardose.jobs import jobs_of
from planardose.library import canonical_nuclide
from planardose.marks import Marks
from planardose.paths import STEP_VERSIONS, TEMPLATES
from planardose.sidecar import read_object, read_sidecar

MEMORY = Path(".snakemake/metadata")  # of the working folder
WITH_INPUTS = ("ct", "labels", "planar", "organs", "prior")  # outputs whose sidecars hold hashes of the sheet's files
DO = "choose another results folder, or delete the patient's folder there to compute it anew"
OTHER_SETTINGS = "the results folder holds results of other settings, or of another version of planardose"
DO_OTHERWISE = f"run in the working folder of before, which computes anew what changed, {DO}"


def check_origin(config: Config, cohort: Cohort, results: str, work: Path = Path()) -> None:
    """Compare results of patients that the working folder does not remember with the sheet and the config.

    Raises
    ------
    InputError
        If results of a patient were made from another CT, other images, another administration, with other settings or
        by another version.
    """
    known = _remembered(work / MEMORY, results)
    marks = Marks(config, cohort)
    for patient in (p for p in cohort.patients if p not in known):
        check_patient(cohort, Path(results), patient)
        for job in jobs_of(config, cohort, patient):
            found = read_sidecar(job.output(Path(results)))
            if not marks.hold(found, job.step, patient, job.timepoint):
                do = DO_OTHERWISE if "settings" in found else DO  # an older version's sidecars have none
                raise InputError(f"{patient} {job}", OTHER_SETTINGS, "results of this sheet and config", do)


def check_patient(cohort: Cohort, results: Path, patient: str) -> None:
    """Refuse a patient's results that were made from another CT, other images, or another administration."""
    for where, problem in _differences(cohort, results, patient):
        raise InputError(where, problem, "results of this sheet", DO)


def check_settings(config: Config, cohort: Cohort, results: Path, patient: str) -> None:
    """Refuse a patient's results of this version that were made with other cells of the sheet or another config.

    An older version's may be right, and cannot be compared.
    """
    marks = Marks(config, cohort)
    for job in jobs_of(config, cohort, patient):
        told = read_sidecar(job.output(results))
        comparable = "settings" in told and told.get("step_version") == STEP_VERSIONS[job.step]
        if comparable and not marks.hold(told, job.step, patient, job.timepoint):
            problem, do = "made of other cells of the sheet, or with another config", "run again, or give that sheet"
            raise InputError(f"{patient} {job}", problem, "results of this sheet and config", do)


def _remembered(memory: Path, results: str) -> set[str]:
    """Patients of whom Snakemake's memory, files named by their output's path in base 64, holds an output."""
    start = f"{results}/".encode()
    paths = [_beginning(f.name.lstrip("@")) for f in memory.iterdir()] if memory.is_dir() else []
    return {p[len(start) :].split(b"/")[0].decode(errors="replace") for p in paths if p.startswith(start)}


def _beginning(name: str) -> bytes:
    """What a name in base 64 stands for, as far as it goes: long ones go on in a folder."""
    try:
        return urlsafe_b64decode(name[: len(name) // 4 * 4])
    except ValueError:
        return b""


def _differences(cohort: Cohort, results: Path, patient: str) -> Iterator[tuple[str, str]]:
    """(where, what) of all that a patient's results were made from and the sheet does not have."""
    rows = {r.timepoint: r for r in cohort.rows_of(patient)}
    first = cohort.rows_of(patient)[0]
    for key in WITH_INPUTS:
        for timepoint in rows if "{timepoint}" in TEMPLATES[key] else (first.timepoint,):
            path = results / TEMPLATES[key].format(patient=patient, timepoint=timepoint)
            for entry in read_sidecar(path).get("inputs", ()):
                column = entry.get("column")
                file = rows[timepoint].paths.get(column)
                if column and file is not None and file.exists() and sha256_of(file) != entry["sha256"]:
                    yield f"{patient} {column}", f"the results folder holds results of another {column}"
    told = read_object(results / TEMPLATES["summary"].format(patient=patient))
    ours = {
        "nuclide": canonical_nuclide(first.nuclide), "tracer": first.tracer,
        "injections": sorted({(r.injected_at.isoformat(), round(r.administered_mbq, 6)) for r in rows.values()}),
    }  # fmt: skip
    theirs = told | {"injections": _injections(told)}
    for key in (k for k in ours if told and ours[k] != theirs.get(k)):
        yield f"{patient} {key}", f"the results folder holds results with other {key}"


def _injections(summary: dict) -> list:
    """(time, MBq) of the injections; nothing in a summary that another program wrote."""
    try:
        return sorted((c["injected_at"], round(c["administered_mbq"], 6)) for c in summary["cycles"].values())
    except (AttributeError, KeyError, TypeError):
        return []
