"""A small patient for IO tests: CT, planar pair, and a sheet over their files. Every axis and side differs."""

from datetime import datetime, timedelta
from pathlib import Path

import numpy as np

from planardose import library
from planardose.config import parse_config
from planardose.image import Grid, Volume
from planardose.io.dicom_ct import write_ct
from planardose.io.dicom_new import Identity
from planardose.io.dicom_nm import write_planar
from planardose.io.nifti import write_volume
from planardose.planar import PlanarPair
from planardose.run import Run
from planardose.sheet import load_cohort

CAMERA = library.load_camera("siemens_symbia_melp")
LU = library.load_nuclide("177Lu")
WINDOWS = (LU.photopeak, *LU.scatter_windows)
INJECTED = datetime(2026, 3, 2, 9, 30)
PLANTED = Identity("Zebrowski^Quentin", "ID-774411", "19481231", "M", "Saint Obscure Hospital")


def ct_volume(seed: int = 0) -> Volume:
    """HU with air, fat, soft tissue, lung on one side, bone on the other; noise 15 HU; shape (36, 28, 22)."""
    grid = Grid.axis_aligned((36, 28, 22), (12.0, 10.0, 15.0), (-200.0, -120.0, 40.0))
    x, y, z = np.meshgrid(*[grid.axis_mm(a) for a in range(3)], indexing="ij")
    radius = np.hypot(x / 170, (y - 15) / 110)
    hu = np.select([radius < 0.85, radius < 1.0], [40.0, -100.0], -1000.0)
    hu[(np.hypot((x - 80) / 50, (y - 20) / 50) < 1) & (z > 200)] = -780.0
    hu[(np.hypot(x + 20, y + 50) < 25)] = 400.0
    return Volume(hu + np.random.default_rng(seed).normal(0, 15, hu.shape), grid, "CT number", "HU")


def planar_pair(hours: float = 24.0, swept: bool = True, seed: int = 1, windows=WINDOWS) -> PlanarPair:
    """Pair of (view, window, 80 rows, 38 columns): a body, an organ on the right, spots in front and behind."""
    ras = np.zeros((2, len(windows), 38, 80))
    ras[:, :, 6:31, 8:72] = 6.0
    ras[:, :, 22:30, 40:56] = 60.0
    ras[0, :, 9:13, 60:64] = 50.0
    ras[1, :, 8:11, 30:34] = 50.0
    counts = PlanarPair.counts_from_ras(np.random.default_rng(seed).poisson(ras).astype(np.float32))
    at = INJECTED + timedelta(hours=hours)
    return PlanarPair(counts, tuple(windows), (4.8, 5.2), 193.5, at, 900.0 if swept else 193.5, (210.0, 190.0))


def write_sheet(folder: Path, rows: list[dict], name: str = "cohort.tsv") -> Path:
    """Cohort sheet of rows over the defaults of one patient."""
    default = {
        "patient": "P01",
        "timepoint": "t24",
        "ct": "ct",
        "planar": "t24.dcm",
        "nuclide": "177Lu",
        "tracer": "177Lu-PSMA-617",
        "camera": CAMERA.name,
        "injected_mbq": "7400",
        "injected_at": INJECTED.isoformat(),
    }
    filled = [default | row for row in rows]
    columns = list(dict.fromkeys(c for row in filled for c in row))
    lines = ["\t".join(columns), *("\t".join(str(row.get(c, "")) for c in columns) for row in filled)]
    (folder / name).write_text("\n".join(lines) + "\n")
    return folder / name


def write_patient(
    folder: Path, identity: Identity = PLANTED, row: dict | None = None, config: dict | None = None
) -> Run:
    """CT series, one whole-body pair and a segmentation below `folder`, with a run over their sheet."""
    volume = ct_volume()
    write_ct(folder / "ct", volume, identity)
    write_planar(folder / "t24.dcm", planar_pair(), CAMERA, identity=identity)
    labels = np.zeros(volume.grid.shape, dtype=np.int16)
    labels[20:30, 8:18, 6:12] = 5
    write_volume(folder / "labels.nii.gz", Volume(labels, volume.grid, "label", "1"), dtype=np.int16)
    sheet = write_sheet(folder, [{"segmentation": "labels.nii.gz"} | (row or {})])
    return Run(parse_config(config or {}), load_cohort(sheet), folder / "results")
