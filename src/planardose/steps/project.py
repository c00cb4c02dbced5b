"""Step `project`: Monte Carlo views of one chunk of the patient's virtual uptakes."""

import logging
from pathlib import Path

import numpy as np
import pandas as pd

from planardose.errors import InputError
from planardose.heads import face_positions_mm, opposed_heads
from planardose.io.files import atomic
from planardose.io.samples import read_samples
from planardose.library import load_camera, load_nuclide
from planardose.patient_model import PatientModel
from planardose.physics.warp_runtime import warp_device
from planardose.recon.prior_samples import shapes_for_samples
from planardose.run import Run
from planardose.seeds import seed_for
from planardose.sim.activity import activity_map
from planardose.sim.montecarlo import Options, Views, simulate

BATCHES = 4  # for the error estimate
log = logging.getLogger("planardose.project")


def project(run: Run, patient: str, chunk: int) -> None:
    """Write ``projection/chunk_{n}.npz``: maps (S, I, J, K) in MBq per voxel and noise-free cps (S, 2, W, I, K).

    Samples n * size to (n + 1) * size of the table; windows are the photopeak, then the nuclide's scatter windows;
    heads stand at their default distance. Each sample has its own seed: chunks of any size give the same images.

    Raises
    ------
    InputError
        If the chunk lies beyond the table, or an earlier output is missing.
    """
    sources = [run.need("model", "segment", patient=patient), run.need("samples", "sample-uptake", patient=patient)]
    model, table = PatientModel.load(sources[0]), read_samples(sources[1])
    rows = _rows(table, chunk, run.config.projection.chunk, patient)
    first = run.cohort.first_row(patient)
    camera, nuclide = load_camera(first.camera), load_nuclide(first.nuclide)
    windows = (nuclide.photopeak, *nuclide.scatter_windows)
    device, faces = warp_device(run.config.device), face_positions_mm(model, None)
    wanted = run.config.projection
    heads = opposed_heads(faces, camera.couch_mm if wanted.couch else 0.0)
    options = Options(device, batches=BATCHES, penetration=wanted.penetration)
    shapes = shapes_for_samples(run, patient, model)
    given = (None, None) if shapes is None else (shapes.ratio, shapes.foci)
    maps, views = [], []
    for row in rows:
        maps.append(activity_map(model, row, *given))
        seed = seed_for(run.config.seed, "project", patient, int(row["sample"]))
        setting = (model.partial_density, maps[-1], model.grid, camera, nuclide, windows, heads)
        views.append(simulate(*setting, wanted.histories, seed, options))
        log.info("%s sample %d of %d", patient, int(row["sample"]) + 1, len(table))
    output = run.path("projections", patient=patient, chunk=chunk)
    edges = [[w.low_kev, w.high_kev] for w in windows]
    _save(output, rows, maps, views, edges)
    run.sidecar(
        output,
        "project",
        "expected count rates",
        "cps",
        sources,
        camera=first.camera,
        nuclide=nuclide.name,
        windows_kev=edges,
        face_mm=list(faces),
        penetration=wanted.penetration,
        couch_mm_aluminium=heads[1].aluminium_mm,
        histories=wanted.histories,
        device=device.split(":")[0],
        relative_error=float(np.mean([v.clear_error for v in views])),
        photon_balance={k: float(np.mean([v.balance[k] for v in views])) for k in views[0].balance},
    )


def _save(path: Path, rows: list[dict], maps: list[np.ndarray], views: list[Views], edges: list[list[float]]) -> None:
    with atomic(path) as temporary:
        np.savez(
            temporary,
            samples=np.array([int(r["sample"]) for r in rows]),
            activity=np.array(maps, dtype=np.float32),
            views=np.array([v.rate for v in views], dtype=np.float32),
            windows_kev=np.array(edges),
        )


def _rows(table: pd.DataFrame, chunk: int, size: int, patient: str) -> list[dict]:
    """The samples of a chunk; refuses one beyond the table."""
    rows = table.iloc[chunk * size : (chunk + 1) * size].to_dict("records")
    if chunk < 0 or not rows:
        last = -(-len(table) // size) - 1
        raise InputError(f"{patient} chunk {chunk}", f"the table has {len(table)} samples", f"a chunk from 0 to {last}")
    return rows
