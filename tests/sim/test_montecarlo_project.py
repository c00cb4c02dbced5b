"""The project step on a small patient: chunks, seeds, sidecar, faults; and the virtual acquisition."""

import json
from datetime import datetime

import numpy as np
import pytest

from planardose.cohort import Cohort, Row
from planardose.config import parse_config
from planardose.errors import InputError
from planardose.frames import PlanarPose
from planardose.image import Grid
from planardose.patient_model import PatientModel
from planardose.planar import EnergyWindow, PlanarPair
from planardose.run import Run
from planardose.sim.acquire import acquire, rates_on_pixels
from planardose.steps.project import project
from planardose.steps.sample_uptake import sample_uptake


def small_patient():
    grid = Grid.axis_aligned((12, 8, 10), 20.0, (-110.0, -70.0, -90.0))
    x, y, z = np.meshgrid(*(grid.axis_mm(a) for a in range(3)), indexing="ij")
    body = ((x / 100) ** 2 + (y / 65) ** 2 < 1).astype(np.float32)
    liver = body * ((x > 20) & (z > 20))
    kidney = body * ((x < -20) & (y < 0) & (np.abs(z) < 40))
    density = np.zeros((3, *grid.shape), dtype=np.float32)
    density[1] = body
    fractions = np.array([liver, kidney, body - liver - kidney], dtype=np.float32)
    return PatientModel(grid, ("liver", "kidney_left", "remainder"), fractions, density)


def make_run(folder, chunk):
    row = Row("P01", "t24", "177Lu", "177Lu-PSMA-617", "siemens_symbia_melp", 7400.0, datetime(2026, 3, 2, 9, 30), {})
    config = parse_config(
        {"sampling": {"samples": 3, "validation": 1}, "projection": {"histories": 1e4, "chunk": chunk}, "device": "cpu"}
    )
    run = Run(config, Cohort((row,)), folder)
    small_patient().save(run.path("model", patient="P01"))
    sample_uptake(run, "P01")
    return run


def test_chunks_hold_the_same_samples_whatever_their_size(tmp_path):
    whole, split = make_run(tmp_path / "a", 3), make_run(tmp_path / "b", 2)
    project(whole, "P01", 0)
    project(split, "P01", 0)
    project(split, "P01", 1)
    one = np.load(whole.path("projections", patient="P01", chunk=0))
    two = [np.load(split.path("projections", patient="P01", chunk=n)) for n in range(2)]
    for key, shape in (("samples", (3,)), ("activity", (3, 12, 8, 10)), ("views", (3, 2, 3, 12, 10))):
        assert one[key].shape == shape
        assert np.array_equal(one[key], np.concatenate([z[key] for z in two]))
    assert (one["views"].sum(axis=(1, 2, 3, 4)) > 0).all()
    assert one["windows_kev"].tolist() == [[187.2, 228.8], [166.4, 187.2], [228.8, 249.6]]
    sidecar = json.loads((whole.path("projections", patient="P01", chunk=0).parent / "chunk_0.npz.json").read_text())
    balance = sidecar["photon_balance"]
    assert balance["emitted"] == pytest.approx(1.0)
    assert 0 < sidecar["relative_error"] < 0.2


def test_a_repeated_chunk_has_the_same_bytes(tmp_path):
    run = make_run(tmp_path, 1)
    path = run.path("projections", patient="P01", chunk=1)
    project(run, "P01", 1)
    before = path.read_bytes()
    project(run, "P01", 1)
    assert path.read_bytes() == before


def test_a_chunk_beyond_the_table_is_refused(tmp_path):
    run = make_run(tmp_path, 2)
    with pytest.raises(InputError, match="P01 chunk 2: the table has 3 samples"):
        project(run, "P01", 2)
    with pytest.raises(InputError, match="planardose sample-uptake"):
        run.path("samples", patient="P01").unlink()
        project(run, "P01", 0)


def smooth_rates(grid):
    x, z = grid.axis_mm(0)[:, None], grid.axis_mm(2)[None, :]
    spot = np.exp(-((x - 30) ** 2 + (z - 620) ** 2) / (2 * 12.0**2))
    return np.stack([[spot], [2 * spot]])


def test_acquired_counts_come_back_where_they_were():
    """Round trip through camera order and `PlanarPair.rebinned`, with shift and rotation and unequal sizes."""
    grid = Grid.axis_aligned((31, 5, 40), (5.0, 6.0, 4.0), (-60.0, 0.0, 530.0))
    rates, pose = smooth_rates(grid), PlanarPose(12.0, 600.0, 2.0)
    counts = acquire(rates, grid, (2.4, 2.2), (120, 110), pose, 100.0, None)
    assert counts.shape == (2, 1, 120, 110)
    assert counts.sum(axis=(1, 2, 3)) == pytest.approx(100 * rates.sum(axis=(1, 2, 3)), rel=2e-3)
    time = datetime(2026, 3, 2)
    pair = PlanarPair(counts, (EnergyWindow(187.2, 228.8),), (2.4, 2.2), 100.0, time, 100.0)
    back = pair.rebinned(grid, pose)
    assert np.abs(back - 100 * rates).max() < 0.02 * 100 * rates.max()


def test_the_anterior_camera_sees_the_right_of_the_patient_on_its_left():
    grid = Grid.axis_aligned((31, 5, 40), (5.0, 6.0, 4.0), (-60.0, 0.0, 530.0))
    counts = acquire(smooth_rates(grid), grid, (2.4, 2.2), (120, 110), PlanarPose(0.0, 600.0), 1.0, None)
    rows, columns = np.indices((120, 110))
    for view, column in ((0, 54.5 - 30 / 2.2), (1, 54.5 + 30 / 2.2)):
        image = counts[view, 0]
        assert (columns * image).sum() / image.sum() == pytest.approx(column, abs=0.1)
        assert (rows * image).sum() / image.sum() == pytest.approx(59.5 - 20 / 2.4, abs=0.1)


def test_noise_is_poisson():
    grid = Grid.axis_aligned((31, 5, 40), (5.0, 6.0, 4.0), (-60.0, 0.0, 530.0))
    setting = (grid, (2.4, 2.2), (120, 110), PlanarPose(12.0, 600.0), 5000.0)
    expected = acquire(smooth_rates(grid), *setting, None).astype(np.float64)
    noisy = acquire(smooth_rates(grid), *setting, np.random.default_rng(3))
    seen = expected > 20
    z = (noisy - expected)[seen] / np.sqrt(expected[seen])
    assert seen.sum() > 1000
    assert abs(z.mean()) < 4 / np.sqrt(z.size)
    assert z.var() == pytest.approx(1.0, abs=6 * np.sqrt(2 / z.size))
    assert rates_on_pixels(smooth_rates(grid), *setting[:4]).shape == (2, 1, 110, 120)
