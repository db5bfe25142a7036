"""The cost of a stage is measured, and written only when it has finished."""

import json
import sys

import pytest

from minigpt.runs.log import usage
from minigpt.runs.log.usage import measure_usage, peak_rss_mb


def test_seconds_and_memory_are_written_beside_the_results(tmp_path, monkeypatch):
    clock = iter([100.0, 103.5])
    monkeypatch.setattr(usage.time, "monotonic", lambda: next(clock))
    with measure_usage(tmp_path / "sft"):
        assert not (tmp_path / "sft").exists(), "nothing is written before the stage has finished"
    written = json.loads((tmp_path / "sft" / "usage.json").read_text(encoding="utf-8"))
    assert written == {"seconds": 3.5, "peak_rss_mb": pytest.approx(peak_rss_mb(), rel=0.2)}


@pytest.mark.parametrize("error", [RuntimeError("bug"), KeyboardInterrupt()])
def test_a_stage_that_fails_has_no_usage(tmp_path, error):
    with pytest.raises(type(error)), measure_usage(tmp_path):
        raise error
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no resource module")
def test_memory_is_in_megabytes(monkeypatch):
    import resource

    class Used:
        ru_maxrss = 2_000_000

    monkeypatch.setattr(resource, "getrusage", lambda who: Used)
    monkeypatch.setattr(sys, "platform", "linux")
    assert peak_rss_mb() == pytest.approx(2048), "Linux counts in KiB"
    monkeypatch.setattr(sys, "platform", "darwin")
    assert peak_rss_mb() == pytest.approx(2), "macOS counts in bytes"


def test_this_process_holds_a_plausible_amount():
    peak = peak_rss_mb()
    assert peak is None or 20 < peak < 100_000, f"{peak} MB: the unit is wrong"


def test_without_the_resource_module_there_is_no_figure(monkeypatch):
    monkeypatch.setitem(sys.modules, "resource", None)
    assert peak_rss_mb() is None
