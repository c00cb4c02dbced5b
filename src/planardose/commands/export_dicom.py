"""Command `export-dicom`: a patient's dose map, activity maps and labels in DICOM, in the CT's frame of reference."""

import json
import logging
from collections.abc import Collection
from pathlib import Path

import numpy as np

import planardose
from planardose.errors import InputError
from planardose.image import Volume
from planardose.io.dicom_new import Identity
from planardose.io.dicom_results_write import write_activity, write_dose
from planardose.io.dicom_seg_write import Author, write_segments
from planardose.io.dicom_study import study_of
from planardose.io.nifti import read_volume
from planardose.io.planar_file import load_pair
from planardose.io.result_table import read_rows
from planardose.library import load_nuclide
from planardose.origin import check_patient, check_settings
from planardose.run import Run, Told
from planardose.steps.cycle_points import made_by, unmeasured

log = logging.getLogger(__name__)
LONGEST_COMMENT = 64  # of DoseComment, PS3.5 LO


def export_dicom(run: Run, patient: str, out: Path, from_ct: bool = False) -> list[str]:
    """Write the dose of all cycles as RT Dose, the activity at each time point by the summary's method as NM image, and
    the labels of organs and lesions as SEG.

    A time point with a SPECT alone has none: its activity is the SPECT's.

    Parameters
    ----------
    run : Run
    patient : str
        Pseudonym; also the name and id in the files, unless `from_ct`.
    out : Path
        Folder; made where it is not there, and holding no other files than those written.
    from_ct : bool
        Copy name and id of the CT's header, which must be DICOM.

    Returns
    -------
    list of str
        Names of the files written.

    Raises
    ------
    InputError
        Results that are not there, failed, do not belong together or to the sheet; a folder with other files.
    """
    rows = run.cohort.rows_of(patient)
    _check_finished(run, patient)
    summary = run.content("summary", "report", patient=patient)
    check_patient(run.cohort, run.results, patient)
    check_settings(run.config, run.cohort, run.results, patient)
    method, points = summary["method"], [t for c in summary["cycles"].values() for t in c["timepoints"]]
    if set(points) != {r.timepoint for r in rows}:
        raise InputError(f"{patient} summary", f"made of the time points {', '.join(points)}",
                         f"those of the sheet: {', '.join(r.timepoint for r in rows)}", "run again")  # fmt: skip
    doses, maps = _sources(run, patient, method, points)
    from_spect = {r.timepoint for r in rows if r.from_spect}
    points = [t for t in points if t not in from_spect]
    names = {t: f"{patient}_{t}_activity.dcm" for t in points}
    written = [f"{patient}_dose.dcm", *names.values(), f"{patient}_labels.dcm"]
    _check_folder(out, written)

    pairs = {t: load_pair(run.need("planar", "import-planar", patient=patient, timepoint=t)) for t in points}
    starts = [p.acquired_at.replace(tzinfo=None) for p in pairs.values()]
    study = study_of(rows[0].paths["ct"], Identity(patient, patient), from_ct, min(starts), f"{patient} ct")
    by = f"planardose {planardose.__version__}, {method}{_warning(patient, summary)}"
    never = _never_measured(run, patient, method)
    nuclide = load_nuclide(rows[0].nuclide).name
    dose = _read(doses, "absorbed dose", "Gy", f"{patient} dose")
    activities = {t: _read(maps[t], "activity concentration", "Bq/mL", f"{patient} {t} map") for t in points}
    labels, author = _labels(run, patient)
    try:
        out.mkdir(parents=True, exist_ok=True)
        short = _at_most(f"{by}, ORGANS NOT MEASURED" if never else by)
        write_dose(out / written[0], dose, study, max(starts), short, f"{by}{_not_measured(never, 'Gy')}")
        told = f"{by}; Bq/mL at the middle of the acquisition"
        for n, (t, at) in enumerate(zip(points, starts, strict=True)):
            facts = run.told("organs", "reconstruct", patient=patient, timepoint=t)
            comment = told + _not_measured(unmeasured(run.cohort.row(patient, t), facts), "Bq/mL")
            write_activity(out / names[t], activities[t], study, at, pairs[t].duration_s, nuclide, comment, t, n)
        write_segments(out / written[-1], labels, study, min(starts), author)
    except OSError as fault:
        raise InputError("--out", fault.strerror or type(fault).__name__, "a folder that can be written") from fault
    return written


def _check_finished(run: Run, patient: str) -> None:
    """Refuse a patient of whom a step failed."""
    notes = sorted((run.results / patient / "errors").glob("*.json"))
    if notes:
        try:
            step = json.loads(notes[0].read_text())["step"].replace("_", "-")
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            step = "a step"
        raise InputError(f"{patient} results", f"{step} failed", "a patient whose run ended well",
                         "see 'planardose status', mend the fault and run again")  # fmt: skip


def _sources(run: Run, patient: str, method: str, points: list[str]) -> tuple[Path, dict[str, Path]]:
    """Dose map and activity maps, which must be those of the summary: each was made from the files before it."""
    dose = run.need("dose", "absorbed-dose", patient=patient)
    tia = run.need("tia", "fit-kinetics", patient=patient)
    rows = [run.cohort.row(patient, t) for t in points]
    maps = [run.need("map", made_by(r), patient=patient, timepoint=r.timepoint, method=method) for r in rows]
    organ_doses = run.need("organ_doses", "absorbed-dose", patient=patient)
    labels = run.need("labels", "segment", patient=patient)
    run.told("summary", "report", patient=patient).check_made_from([dose, organ_doses], run.results)
    run.told("organ_doses", "absorbed-dose", patient=patient).check_made_from([labels], run.results)
    run.told("dose", "absorbed-dose", patient=patient).check_made_from([tia], run.results)
    run.told("tia", "fit-kinetics", patient=patient).check_made_from(maps, run.results)
    return dose, dict(zip(points, maps, strict=True))


def _labels(run: Run, patient: str) -> tuple[Volume, Author]:
    """Labels on the CT's grid, and who drew them."""
    path, told = run.need("labels", "segment", patient=patient), run.told("labels", "segment", patient=patient)
    version = told.get("totalsegmentator")
    by = f"TotalSegmentator {version}" if version else ""
    author = Author(by, f"outlines of planardose {planardose.__version__}")
    return read_volume(path, "label", "1", f"{patient} labels", dtype=np.int16), author


def _check_folder(out: Path, written: list[str]) -> None:
    """Refuse a folder that holds anything else: all of it may be sent on."""
    if out.exists() and not out.is_dir():
        raise InputError("--out", "a file", "a folder")
    others = [f for f in out.iterdir() if f.name not in written] if out.is_dir() else []
    if others:
        many = "other files or folders" if len(others) > 1 else "other file or folder"
        raise InputError("--out", f"the folder holds {len(others)} {many}", "a new or empty folder")


def _warning(patient: str, summary: Told) -> str:
    """What whoever opens a file must know, as the report's first screen tells it."""
    if summary["gate"] == "failed":
        log.warning("%s: the re-projection gate failed; the files' comments say so", patient)
    told = {"gate failed": summary["gate"] == "failed", "not calibrated": not summary["calibrated"]}
    return "".join(f", {text.upper()}" for text, holds in told.items() if holds)


def _never_measured(run: Run, patient: str, method: str) -> set[str]:
    """Organs that no time point of a cycle shows: the dose map holds 0 there for that cycle, and it says nothing."""
    kinetics = read_rows(run, "kinetics", "fit-kinetics", patient=patient)
    return set(kinetics[(kinetics.method == method) & (kinetics.points == 0)].organ)


def _not_measured(organs: Collection[str], unit: str) -> str:
    """For a comment: where what a map holds was not measured; nothing where all was."""
    return f"; NOT MEASURED, whatever {unit} stand there: {', '.join(sorted(organs))}" if organs else ""


def _at_most(comment: str) -> str:
    """The comment without the program, which SoftwareVersions names, where it is too long for DoseComment."""
    return comment if len(comment) <= LONGEST_COMMENT else comment.split(", ", 1)[1]


def _read(path: Path, quantity: str, unit: str, where: str) -> Volume:
    """A map of the results that DICOM can hold as it is."""
    volume = read_volume(path, quantity, unit, where)
    if not volume.grid.is_ras_aligned:
        raise InputError(where, "a grid that is turned against the patient's axes", "the grid of the reconstruction")
    bad = np.count_nonzero(~(np.isfinite(volume.data) & (volume.data >= 0)))
    if bad:
        raise InputError(where, f"{bad} voxels are negative or no numbers", "a map of 0 and more")
    return volume
