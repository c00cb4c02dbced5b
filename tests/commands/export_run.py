"""Results as the export reads them: a small patient whose every voxel has another value."""

import json
import shutil
from pathlib import Path

import numpy as np
from imaging_scene import ct_volume, write_patient

from planardose.image import Grid, Volume
from planardose.io.files import write_text
from planardose.io.nifti import read_volume, write_volume
from planardose.run import Run
from planardose.steps.import_ct import import_ct
from planardose.steps.import_planar import import_planar

GRID = Grid.axis_aligned((11, 9, 8), (10.0, 12.5, 15.0), (-41.25, -33.0, 51.5))
SUMMARY = {
    "method": "qplanar_mlem", "gate": "passed", "calibrated": True,
    "nuclide": "177Lu", "tracer": "177Lu-PSMA-617",
    "cycles": {"1": {"administered_mbq": 7400.0, "injected_at": "2026-03-02T09:30:00", "timepoints": ["t24"]}},
}  # fmt: skip
DOSE, ACTIVITY, LABELS = "P01_dose.dcm", "P01_t24_activity.dcm", "P01_labels.dcm"
WHERE = {"patient": "P01", "timepoint": "t24", "method": "qplanar_mlem"}


def field_of(grid: Grid) -> np.ndarray:
    """A different value at every voxel: mixing up or turning any axis shows."""
    x, y, z = np.meshgrid(*(grid.axis_mm(a) for a in range(3)), indexing="ij")
    return 5.0 + 0.03 * x - 0.02 * y + 0.011 * z + 1e-4 * x * z


def labels_of(grid: Grid) -> Volume:
    """Liver, right kidney, a gland and two lesions, each of a shape that has no symmetry."""
    data = np.zeros(grid.shape, dtype=np.int16)
    data[20:30, 8:18, 6:12], data[3:8, 8:18, 6:12], data[10:14, 4:9, 3:19] = 5, 2, 207
    data[20:22, 8:11, 6], data[22:24, 9:12, 7:9], data[5, 9, 8] = 0, 1002, 1001
    return Volume(data, grid, "label", "1")


def write_map(
    run: Run, key: str, step: str, unit: str, scale: float, inputs: list, grid: Grid, timepoint: str = "t24", **more
) -> Path:
    path = run.path(key, **WHERE | {"timepoint": timepoint})
    write_volume(path, Volume(field_of(grid) * scale, grid, key, unit))
    run.sidecar(path, step, key, unit, inputs, **more)
    return path


def fill_results(run: Run, grid: Grid = GRID, scale: float = 1.0, hidden: tuple[str, ...] = (), **summary) -> None:
    """What the steps from reconstruct to report leave, as far as the export reads it; images without `hidden`.

    The map of the second time point of a sheet holds half of the first, and so on.
    """
    import_ct(run, "P01")
    maps = []
    for n, row in enumerate(run.cohort.rows):
        import_planar(run, "P01", row.timepoint)
        told, per_ml = {"timepoint": row.timepoint}, 1e5 * scale / (n + 1)
        maps.append(write_map(run, "map", "reconstruct", "Bq/mL", per_ml, [], grid, **told))
        organs = run.path("organs", **WHERE | told)
        write_text(organs, "organ\n")
        shares = {**dict.fromkeys(hidden, 0.0), "liver": 0.8}
        run.sidecar(organs, "reconstruct", "organs", share_in_images=shares)
    tia = write_map(run, "tia", "fit_kinetics", "MBq.h/mL", 3.0 * scale, maps, grid, method="qplanar_mlem")
    dose = write_map(run, "dose", "absorbed_dose", "Gy", scale, [tia], grid)
    labels, organ_doses = run.path("labels", **WHERE), run.path("organ_doses", **WHERE)
    ct = read_volume(run.path("ct", **WHERE), "CT number", "HU", "ct")
    write_volume(labels, labels_of(ct.grid), np.int16)
    run.sidecar(labels, "segment", "organ label", backend="labels")
    write_text(organ_doses, "organ\n")
    run.sidecar(organ_doses, "absorbed_dose", "doses", inputs=[labels])
    rows = ["organ,method,points", "liver,qplanar_mlem,1", *(f"{o},qplanar_mlem,0" for o in hidden), "brain,mlem,0"]
    write_text(run.path("kinetics", **WHERE), "\n".join(rows) + "\n")
    run.sidecar(run.path("kinetics", **WHERE), "fit_kinetics", "kinetics")
    write_text(run.path("summary", **WHERE), json.dumps(SUMMARY | summary))
    run.sidecar(run.path("summary", **WHERE), "report", "summary", inputs=[dose, organ_doses])


def nifti_ct_run(folder: Path) -> Run:
    """A patient whose CT is a NIfTI, without results."""
    run = write_patient(folder, row={"ct": "ct.nii.gz"})
    write_volume(folder / "ct.nii.gz", ct_volume(), np.int16)
    shutil.rmtree(folder / "ct")
    return run
