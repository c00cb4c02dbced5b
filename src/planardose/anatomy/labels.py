"""Labels given by the user, with lesions: a label map, by TotalSegmentator's numbers or a names table, or DICOM."""

import csv
import difflib
from pathlib import Path

import numpy as np

from planardose.anatomy.label_checks import check_labels, note_odd_lesions
from planardose.anatomy.orient import onto
from planardose.anatomy.regions import lesion_numbers, organ_labels, read_regions
from planardose.errors import InputError, readable, shown
from planardose.image import Grid, Volume
from planardose.io.dicom_regions import regions_file
from planardose.io.files import NIFTI_SUFFIX, beside
from planardose.io.nifti import read_volume
from planardose.organs import LESION_BASE, label_of_name, lesion_name, name_of_label, source_name

LARGEST_LESION = 9999
MISNAMED = (".csv", ".txt", ".json", ".nii.tsv", ".nii.gz.tsv")  # endings of tables that are not read


def _table_of(path: Path, where: str) -> Path | None:
    """The names table ``<stem>.tsv``, if any; refuses one under another name, without which organs are exchanged."""
    with readable(where):
        tables, misnamed = beside(path, ".tsv"), beside(path, *MISNAMED)
    if len(tables) > 1:
        raise InputError(f"{where} names table", f"{len(tables)} files <stem>.tsv", "one", "keep the right one")
    if not tables and misnamed:
        ending = misnamed[0].name[len(NIFTI_SUFFIX.sub("", path.name)) :].lower()
        raise InputError(f"{where} names table", f"a file <stem>{ending} beside the label map, which is not read",
                         "<stem>.tsv with the tab-separated columns 'label' and 'name'",
                         "convert and rename it, or move it away if the numbers are TotalSegmentator's")  # fmt: skip
    return tables[0] if tables else None


def _read_names(table: Path, where: str) -> dict[int, str]:
    """Names of labels from a tab-separated table with the columns ``label`` and ``name``.

    Raises
    ------
    InputError
        When the table cannot be read so, or holds a label twice; it names `where`, never the path.
    """
    expected = "tab-separated columns 'label' and 'name', one row per label"
    try:
        with table.open(newline="", encoding="utf-8-sig") as f:
            reader = csv.DictReader(f, delimiter="\t")
            lines = [r for r in reader if any(cell and cell.strip() for cell in r.values() if isinstance(cell, str))]
    except (OSError, UnicodeDecodeError, csv.Error) as fault:
        raise InputError(f"{where} names table", f"{type(fault).__name__}: not readable", expected) from None
    missing = [c for c in ("label", "name") if c not in (reader.fieldnames or ())]
    if missing:
        columns = ", ".join(map(shown, (reader.fieldnames or ())[:6])) or "none"
        raise InputError(f"{where} names table", f"no column '{missing[0]}' (its columns: {columns})", expected,
                         "rename its columns, and separate them by tabs")  # fmt: skip
    rows = []
    for r in lines:
        number = (r["label"] or "").strip()
        if not number.isdecimal():
            raise InputError(f"{where} names table", f"label {shown(number)}", "a whole number on every row")
        rows.append((int(number), (r["name"] or "").strip()))
    if len({label for label, _ in rows}) != len(rows):
        raise InputError(f"{where} names table", "a label stands twice", expected)
    return dict(rows)


def _label_of(name: str, where: str) -> int:
    """Our label of an organ's or lesion's name; an unknown one raises `InputError` with the nearest known names."""
    if name in ("", "background"):
        return 0
    known = label_of_name()
    if name in known:
        return known[name]
    number = name.removeprefix("lesion_")
    if number != name and number.isdecimal() and 1 <= int(number) <= LARGEST_LESION:
        return LESION_BASE + int(number)
    sorted_words = {" ".join(sorted(n.split("_"))): n for n in known}  # "left kidney" is near to kidney_left
    words = " ".join(sorted(name.lower().replace("_", " ").split()))
    near = [sorted_words[n] for n in difflib.get_close_matches(words, sorted_words, n=3, cutoff=0.5)]
    expected = f"a name of TotalSegmentator's; nearest: {', '.join(near) or 'none'}"
    raise InputError(f"{where} names table", f"organ '{name}' is not known", expected,
                     "rename it, or leave its name empty to have it counted to the rest of the body")


def _integers(volume: Volume, where: str) -> Volume:
    """Whole numbers from 0, as int32."""
    data = volume.data
    if not np.isfinite(data).all() or data.min() < 0 or data.max() > 1e6 or (data != np.rint(data)).any():
        raise InputError(where, f"values from {data.min():g} to {data.max():g}", "whole numbers from 0: a label map")
    return Volume(data.astype(np.int32), volume.grid, "label", "1")


def _on_grid(volume: Volume, grid: Grid, where: str) -> Volume:
    """The label map on the CT's grid; another axis order or direction is turned, another grid refused."""
    found = onto(volume, grid)
    if found is None:
        ours, theirs = (
            f"{g.shape}, {'x'.join(f'{s:.3g}' for s in g.spacing_mm)} mm, from "
            f"{', '.join(f'{x:.2f}' for x in g.bounds_mm()[0])} mm"
            for g in (grid, volume.grid)
        )
        raise InputError(where, f"another grid than the CT's: {theirs}", f"the CT's grid ({ours})",
                         "resample the label map onto the CT (nearest neighbour)")
    return Volume(np.asfortranarray(found.data), grid, "label", "1")


def _read_on_grid(path: Path, quantity: str, grid: Grid, where: str) -> Volume:
    return _on_grid(_integers(read_volume(path, quantity, "1", where), where), grid, where)


def _renumbered(labels: np.ndarray, names: dict[int, str] | None, where: str) -> np.ndarray:
    """Our numbers (int16) for the labels of a map with a names table, or without one."""
    number = np.zeros(int(labels.max()) + 1, dtype=np.int16)
    known = name_of_label()
    for label in np.flatnonzero(np.bincount(labels.ravel(order="K"))):
        if label == 0:
            continue
        if names is None and not (label in known or LESION_BASE < label <= LESION_BASE + LARGEST_LESION):
            raise InputError(where, f"label {label} is not known", "TotalSegmentator's numbers of task 'total' (1-117)",
                             "name other numbers in a table <stem>.tsv (label, name) beside the label map")
        if names is not None and label not in names:
            raise InputError(f"{where} names table", f"label {label} has no row", "a row for every label in the map")
        number[label] = label if names is None else _label_of(names[int(label)], where)
    return number[labels]


def read_segmentation(
    path: Path, grid: Grid, where: str, ct: Path | None = None, notes: list[str] | None = None
) -> Volume:
    """Organs in our numbering on the CT's grid.

    Parameters
    ----------
    path : Path
        NIfTI label map; beside it, where there is one, the names table ``<stem>.tsv``. Or a DICOM segmentation or
        structure set, or the folder of one.
    grid : Grid
        The CT's.
    where : str
        Pseudonymous place, for errors.
    ct : Path or None
        The sheet's CT, for its frame of reference; None: not compared.
    notes : list of str or None
        Takes what is told of regions that are no organ, empty, or overlap.

    Returns
    -------
    Volume
        int16 labels of `organs`.

    Raises
    ------
    InputError
        Unreadable, not a label map, on another grid, unknown labels or names, a names table under another file name,
        empty, or no person's (`label_checks`); as `read_regions` and `organ_labels`.
    """
    dicom = regions_file(path, where)
    if dicom:
        notes = [] if notes is None else notes
        data = organ_labels(read_regions(*dicom, grid, ct, where, notes), notes)
        labels = Volume(np.asfortranarray(data), grid, "label", "1")
        check_labels(labels, False, where)
        return labels
    raw = _read_on_grid(path, "label", grid, where)
    if not raw.data.any():
        raise InputError(where, "empty: all labels are 0", "organ labels")
    table = _table_of(path, where)
    names = _read_names(table, where) if table else None
    labels = Volume(_renumbered(raw.data, names, where), grid, "label", "1")
    check_labels(labels, names is None, where)
    return labels


def add_lesions(
    labels: Volume, path: Path, where: str, ct: Path | None = None, notes: list[str] | None = None
) -> Volume:
    """Labels with lesions, of a map with one number each or of DICOM regions, put over the organs as 1000 + number.

    Parameters are those of `read_segmentation`.

    Raises
    ------
    InputError
        Unreadable, no label map, on another grid than the labels, a number above `LARGEST_LESION`, or one that the
        labels hold already; as `read_regions` and `lesion_numbers`.
    """
    dicom = regions_file(path, where)
    if dicom:
        notes = [] if notes is None else notes
        lesions = lesion_numbers(read_regions(*dicom, labels.grid, ct, where, notes), notes)
    else:
        lesions = _read_on_grid(path, "lesion", labels.grid, where).data
    if lesions.max() > LARGEST_LESION:
        raise InputError(where, f"lesion number {lesions.max()}", f"numbers from 1 to {LARGEST_LESION}, 0 elsewhere")
    twice = sorted(set(np.unique(lesions[lesions > 0])) & set(np.unique(labels.data) - LESION_BASE))
    if twice:
        raise InputError(where, f"lesion {twice[0]} stands in the segmentation too", "each lesion in one of the maps",
                         "leave lesions out of the segmentation, or number these on")  # fmt: skip
    note_odd_lesions(lesions, labels.grid.voxel_ml, where)
    data = np.where(lesions > 0, LESION_BASE + lesions, labels.data).astype(np.int16)
    return Volume(data, labels.grid, "label", "1")


def labels_table(labels: Volume) -> str:
    """Tab-separated table of the labels present: label, name, source, volume_ml."""
    voxels = np.bincount(labels.data.ravel(order="K"))
    names = name_of_label()
    lines = ["label\tname\tsource\tvolume_ml"]
    for label in map(int, np.flatnonzero(voxels[1:]) + 1):
        name = lesion_name(label - LESION_BASE) if label > LESION_BASE else names[label]
        lines.append(f"{label}\t{name}\t{source_name(label)}\t{voxels[label] * labels.grid.voxel_ml:.8g}")
    return "\n".join(lines) + "\n"
