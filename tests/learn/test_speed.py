import pytest

from planardose.config import Train
from planardose.learn.speed import speed_table, steps_per_minute, training_steps


def test_steps_end_training_unless_minutes_are_given():
    assert training_steps(Train(steps=77), "cpu", 10**5) == 77
    row = next(r for r in speed_table() if r.device == "cpu")
    train = Train(minutes=2.0, width=row.width, batch=row.batch)
    assert training_steps(train, "cpu", row.voxels) == round(2 * row.steps_per_minute)


def test_speed_scales_with_the_work():
    row = next(r for r in speed_table() if r.device == "cpu")
    half = steps_per_minute("cpu", 2 * row.voxels, row.width, row.batch)
    assert half == pytest.approx(row.steps_per_minute / 2, rel=0.3)


def test_device_without_a_measurement_trains_the_steps_of_a_cpu_and_is_told(caplog):
    train = Train(minutes=1.0)
    assert training_steps(train, "abacus", 10**5) == training_steps(train, "cpu", 10**5)
    (told,) = caplog.messages
    assert "train.minutes: no speed of device abacus" in told
