"""Photopeak counts and triple-energy-window scatter."""

from dataclasses import replace
from datetime import datetime

import numpy as np
import pytest

from planardose.errors import InputError
from planardose.frames import PlanarPose
from planardose.image import Grid
from planardose.library import load_camera, load_nuclide
from planardose.physics.scatter_windows import neighbours, primary_weights, triple_energy_window
from planardose.planar import EnergyWindow, PlanarPair
from planardose.recon.acquired import acquired_from, within_field, without_dead_time
from planardose.recon.scatter import parameters
from planardose.sim.acquire import DeadTime, acquire

PEAK, LOW, HIGH = EnergyWindow(187.2, 228.8), EnergyWindow(166.4, 187.2), EnergyWindow(228.8, 249.6)


def test_trapezoid_closed_form_and_window_order():
    counts = np.array([900.0, 300.0, 40.0])[None, :, None, None] * np.ones((2, 3, 4, 5))
    expected = (300 / 20.8 + 40 / 20.8) * 41.6 / 2
    assert triple_energy_window(counts, (PEAK, LOW, HIGH), 0, [1, 2]) == pytest.approx(expected)
    assert triple_energy_window(counts[:, ::-1], (HIGH, LOW, PEAK), 2, [1, 0]) == pytest.approx(expected)
    assert triple_energy_window(counts[:, :2], (PEAK, LOW), 0, [1]) == pytest.approx(300 / 20.8 * 41.6 / 2)


def test_smoothing_keeps_the_scatter_total(nuclide):
    rng = np.random.default_rng(1)
    counts = np.zeros((2, 3, 40, 60))
    counts[:, :, 15:25, 20:40] = rng.poisson(5.0, (2, 3, 10, 20))
    got = acquired_from(counts, (PEAK, LOW, HIGH), 20.0, nuclide, 10.0)
    raw = parameters().energy_window_share["177Lu"] * triple_energy_window(counts, (PEAK, LOW, HIGH), 0, [1, 2])
    assert got.scatter.sum() == pytest.approx(raw.sum(), rel=1e-6)
    assert got.scatter.max() < raw.max()
    assert np.array_equal(got.counts, counts[:, 0])


def test_windows_of_another_nuclide_are_refused(nuclide):
    with pytest.raises(InputError, match="windows_kev"):
        acquired_from(np.ones((2, 2, 4, 4)), (EnergyWindow(126.0, 154.0), LOW), 20.0, nuclide, 10.0, "P01 t24 planar")


def test_without_a_window_beside_the_photopeak_there_is_no_scatter_estimate(nuclide):
    counts = np.ones((2, 1, 4, 4))
    got = acquired_from(counts, (PEAK,), 20.0, nuclide, 10.0)
    assert got.scatter is None
    assert np.array_equal(got.counts, counts[:, 0])


@pytest.mark.parametrize(
    ("name", "edges", "beside"),
    [
        ("177Lu", [(187.2, 228.8), (166.4, 187.2), (228.8, 249.6), (101.7, 124.3)], [1, 2]),
        ("177Lu", [(192.7, 224.0), (166.4, 187.2), (228.8, 249.6)], [1, 2]),  # 15 % photopeak: gaps of 5 keV
        ("177Lu", [(187.2, 228.8), (101.7, 124.3)], []),  # the other photopeak
        ("177Lu", [(187.2, 228.8), (101.7, 124.3), (89.0, 101.7), (124.3, 137.0)], []),  # and its scatter windows
        ("177Lu", [(187.2, 228.8), (101.7, 124.3), (228.8, 249.6)], [2]),
        ("177Lu", [(187.2, 228.8), (50.0, 60.0)], []),
        ("111In", [(220.8, 269.9), (154.2, 188.4)], []),
        ("111In", [(220.8, 269.9), (154.2, 218.0)], []),  # touches, and holds 171 keV
        ("161Tb", [(67.5, 82.5), (43.0, 67.5)], []),
        ("99mTc", [(126.5, 154.6), (60.0, 80.0)], []),
    ],
)
def test_scatter_windows_touch_the_photopeak_and_hold_no_line_of_their_own(name: str, edges: list, beside: list):
    windows = tuple(EnergyWindow(*e) for e in edges)
    assert neighbours(windows, 0, load_nuclide(name)) == beside
    got = acquired_from(np.ones((2, len(windows), 4, 4)), windows, 20.0, load_nuclide(name), 10.0)
    assert (got.scatter is None) == (not beside)


@pytest.mark.parametrize("name", ["111In", "123I", "131I", "161Tb", "177Lu", "99mTc"])
def test_scatter_windows_of_the_catalogue_serve(name: str):
    nuclide = load_nuclide(name)
    windows = (nuclide.photopeak, *nuclide.scatter_windows)
    assert neighbours(windows, 0, nuclide) == [1, 2]
    # 0.778 times the trapezoid is 2.1 times the true scatter of 131I (Symbia HE), 0.84 of 99mTc's (LEHR)
    got = acquired_from(np.ones((2, 3, 4, 4)), windows, 20.0, nuclide, 10.0)
    assert (got.scatter is None) == (name != "177Lu")


def test_dead_time_belongs_to_the_rate_of_primary_photons():
    """The tau of Uribe et al. 2017 is that of photons less their triple-energy-window scatter; scatter beside them, in
    the same proportion in all windows, changes nothing."""
    lutetium, camera = load_nuclide("177Lu"), load_camera("siemens_symbia_melp")
    windows = (EnergyWindow(187.2, 228.8), EnergyWindow(166.4, 187.2), EnergyWindow(228.8, 249.6))
    counts = np.zeros((2, 3, 40, 30), dtype=np.float32)
    counts[:, 0], counts[:, 1], counts[:, 2] = 9000.0, 2500.0, 300.0
    pair = PlanarPair(counts, windows, (4.8, 4.8), 400.0, datetime(2026, 3, 2), 400.0)
    back = without_dead_time(pair, camera, lutetium)
    lost = 1.0 - (counts / back.counts)
    primary = (9000.0 - 2500.0 - 300.0) * 1200 / 400.0  # cps; both neighbours are half as wide as the photopeak
    n = primary / (1.0 - lost.mean())
    assert n * np.exp(-n * 4.6e-6) == pytest.approx(primary, rel=1e-5)
    alone = replace(pair, counts=counts[:, :1], windows=windows[:1])
    n = 9000.0 * 1200 / 400.0 / (9000.0 / without_dead_time(alone, camera, lutetium).counts.mean())
    assert n * np.exp(-n * 4.6e-6) == pytest.approx(9000.0 * 1200 / 400.0, rel=1e-5)


def test_primary_weights_take_the_triple_energy_window_off():
    rng, lutetium = np.random.default_rng(5), load_nuclide("177Lu")
    windows = (HIGH, EnergyWindow(101.7, 124.3), PEAK, LOW)
    counts = rng.random((4, 3, 2))
    beside = neighbours(windows, 2, lutetium)
    expected = counts[2] - triple_energy_window(counts, windows, 2, beside)
    assert np.tensordot(primary_weights(windows, 2, lutetium), counts, axes=1) == pytest.approx(expected)
    assert primary_weights((PEAK,), 0, lutetium) == pytest.approx([1.0])


def test_dead_time_of_a_sweep_is_undone():
    """Counts of `sim.acquire` with dead time come back to those without, in both views, and raw ones are lower."""
    grid = Grid.axis_aligned((21, 3, 80), 10.0, (-100.0, -10.0, -400.0))
    x, z = grid.axis_mm(0)[:, None], grid.axis_mm(2)[None, :]
    spot = np.exp(-((x / 60) ** 2) - ((z + 100) / 80) ** 2)
    rate = np.stack([[spot, 0.2 * spot], [1.5 * spot, 0.3 * spot]]) * 12e3 / spot.sum()
    camera, lutetium = load_camera("siemens_symbia_melp"), load_nuclide("177Lu")
    setting = (grid, (4.8, 4.8), (160, 60), PlanarPose(0.0, 0.0), 150.0, None)
    windows = (EnergyWindow(187.2, 228.8), EnergyWindow(166.4, 187.2))
    weights = tuple(primary_weights(windows, 0, lutetium))
    ideal, lossy = (
        PlanarPair(acquire(rate, *setting, loss), windows, (4.8, 4.8), 150.0, datetime(2026, 3, 2), 500.0)
        for loss in (None, DeadTime(4.6, weights, camera.field_mm[0]))
    )
    back = without_dead_time(lossy, camera, lutetium)
    assert lossy.counts.sum() < 0.97 * ideal.counts.sum()
    assert back.counts == pytest.approx(ideal.counts, rel=2e-3, abs=1e-3)
    assert without_dead_time(lossy, replace(camera, tau_us=None, tau_by_kev=()), lutetium) is lossy


def test_a_static_image_ends_where_the_cameras_field_does(camera):
    """A matrix of 614 mm on a field of 387 by 533 mm: its empty margin is no measurement of zero, nor are the pixels
    on the field's edge, of which a part sees nothing."""
    seen = [np.clip(0.5 * f / 2.398 + 0.5 - np.abs(np.arange(256) - 127.5), 0.0, 1.0) for f in camera.field_mm]
    counts = np.broadcast_to(3.0 * np.outer(*seen), (2, 1, 256, 256)).astype(np.float32)
    still = PlanarPair(counts, (PEAK,), (2.398, 2.398), 600.0, datetime(2026, 1, 5, 9), 600.0)
    kept = within_field(still, camera)
    size = np.array(kept.counts.shape[2:]) * 2.398
    assert (size <= camera.field_mm).all() and (size > np.array(camera.field_mm) - 2 * 2.398).all()
    assert kept.counts == pytest.approx(3.0) and kept.ras().shape[2:] == kept.counts.shape[:1:-1]
    turned = within_field(replace(still, counts=counts.transpose(0, 1, 3, 2).copy()), camera)  # heads turned by 90
    assert turned.counts.shape == kept.counts.transpose(0, 1, 3, 2).shape
    beyond = counts.copy()
    beyond[..., 5, 100:120] = 500.0
    for other in (replace(still, counts=beyond), replace(still, duration_s=1500.0)):  # a zoom, a sweep
        assert within_field(other, camera) is other
