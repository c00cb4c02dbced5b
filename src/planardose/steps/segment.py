"""Organs of the CT and the patient model: labels of the user or of TotalSegmentator, lesions on top."""

from pathlib import Path

import numpy as np

from planardose.anatomy.build import build_model
from planardose.anatomy.label_checks import check_own_labels
from planardose.anatomy.labels import add_lesions, labels_table, read_segmentation
from planardose.errors import InputError
from planardose.image import Volume
from planardose.io.dicom_regions import regions_file
from planardose.io.files import companions, sha256_of, write_text
from planardose.io.nifti import read_volume, write_volume
from planardose.run import Run


def _labels(run: Run, patient: str, ct: Volume, notes: list[str]) -> tuple[Volume, list, dict]:
    """Labels on the CT's grid, the inputs that they come from, and what the sidecar says of them."""
    paths = run.cohort.rows_of(patient)[0].paths
    choice = run.config.segmentation
    given = paths.get("segmentation")
    if choice.backend == "labels" and given is None:
        raise InputError(f"{patient} segmentation", "empty cell", "labels, as segmentation.backend is 'labels'")
    if given is not None and choice.backend != "totalsegmentator":
        labels = read_segmentation(given, ct.grid, f"{patient} segmentation", paths.get("ct"), notes)
        table = next(iter(companions(given)), None)
        named = {"names_table_sha256": sha256_of(table)} if table else {}
        told = {"backend": "labels", "given_as": _kind(given, f"{patient} segmentation"), **named}
        return labels, [run.sheet_input(patient, "segmentation")], told
    from planardose.anatomy.totalseg import segment_ct  # torch and nnU-Net: not for runs with given labels

    labels, description = segment_ct(ct, choice.weights, choice.fastest, run.config.device, f"{patient} ct")
    return labels, [], {"backend": "totalsegmentator", **description}


def _kind(given: Path, where: str) -> str:
    dicom = regions_file(given, where)
    return dicom[1] if dicom else "label map"


def segment(run: Run, patient: str) -> None:
    """Write the patient's labels, their table and the patient model.

    Raises
    ------
    InputError
        No segmentation, faults in the label map or the lesion map, missing TotalSegmentator weights; as
        `check_own_labels`.
    """
    source = run.need("ct", "import-ct", patient=patient)
    ct = read_volume(source, "CT number", "HU", f"{patient} ct", dtype=np.int16)
    notes: list[str] = []
    labels, inputs, description = _labels(run, patient, ct, notes)
    row = run.cohort.rows_of(patient)[0]
    check_own_labels(run.config, row, ct, labels)
    lesions = row.paths.get("lesions")
    if lesions is not None:
        labels = add_lesions(labels, lesions, f"{patient} lesions", row.paths.get("ct"), notes)
        inputs.append(run.sheet_input(patient, "lesions"))
    model = build_model(ct, labels, run.config.grid_mm, patient, notes)
    out = {key: run.path(key, patient=patient) for key in ("labels", "labels_table", "model")}
    write_volume(out["labels"], labels, dtype=np.int16)
    write_text(out["labels_table"], labels_table(labels))
    model.save(out["model"])
    inputs = [source, *inputs]
    run.sidecar(out["labels"], "segment", "organ label", "1", inputs, notes=notes, **description)
    run.sidecar(out["labels_table"], "segment", "labels present and their volumes", "mL", [out["labels"]])
    run.sidecar(out["model"], "segment", "patient model: organ fractions, partial densities", "1, g/mL",
                [source, out["labels"]], grid_mm=run.config.grid_mm, organs=model.organs, margin=model.margin)
