"""Seconds and rates: the clock is replaced by one that tells what the test says."""

import pytest
import torch

from minigpt.scale import timing

CPU = torch.device("cpu")


def a_clock(monkeypatch, durations):
    """Each measured piece of work takes the next of `durations`."""
    readings = [0.0]
    for duration in durations:
        readings += [readings[-1], readings[-1] + duration]
    readings = iter(readings[1:])
    monkeypatch.setattr(timing.time, "perf_counter", lambda: next(readings))


def test_two_disturbed_measurements_of_five_do_not_count(monkeypatch):
    a_clock(monkeypatch, [1.0, 90.0, 1.5, 70.0, 1.2])
    assert timing.median_seconds(lambda: None, CPU) == pytest.approx(1.5), "the median of all five, not the mean"


def test_the_first_call_is_not_counted(monkeypatch):
    a_clock(monkeypatch, [1.0] * 5)
    calls = []
    timing.median_seconds(lambda: calls.append(1), CPU)
    assert len(calls) == 6, "one to warm up, five that count"


def test_a_product_of_n_rows_is_two_n_cubed_flops(monkeypatch):
    a_clock(monkeypatch, [0.5] * 5)
    assert timing.matrix_product_rate(CPU, torch.float32, side=10) == pytest.approx(2 * 10**3 / 0.5)
