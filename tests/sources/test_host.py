"""Laws of the host source."""

from __future__ import annotations

import random

import psutil
import pytest

from headland.sources.contract import SourceContext
from headland.sources.host import HostConfig, HostSource
from headland.vocabulary import Instant

START = Instant(10**9, 1_700_000_000 * 10**9)


def source(**settings: object) -> HostSource:
    return HostSource(HostConfig(**settings), SourceContext("host", random.Random(1), START))


def test_the_host_gives_its_memory_and_processor_at_the_interval() -> None:
    host = source(every_s=10)
    assert len(host.poll(START)) == 0
    later = START.later(1)
    assert host.next_poll(START) == later.monotonic_ns
    batch = host.poll(later)
    names = {batch.series[row].name for row in batch.row}
    assert {"host/cpu_percent", "host/memory_percent", "host/uptime_s", "host/process_count"} <= names
    assert set(batch.ts) == {later.wall_ns}
    assert len(host.poll(later)) == 0
    assert host.next_poll(later) == START.later(11).monotonic_ns


def test_intervals_that_were_slept_through_are_not_made_up_for() -> None:
    host = source(every_s=10)
    assert len(host.poll(START.later(100))) > 0
    assert len(host.poll(START.later(100))) == 0
    assert host.next_poll(START.later(100)) == START.later(101).monotonic_ns


def test_a_sensor_that_fails_is_counted_and_the_others_are_read(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken() -> None:
        raise OSError("no such bus")

    monkeypatch.setattr(psutil, "virtual_memory", broken)
    host = source(every_s=1, sensors=("memory", "cpu"))
    batch = host.poll(START.later(1))
    assert host.counters == {"memory": 1}
    assert {batch.series[row].name for row in batch.row} == {"host/cpu_percent"}
    host.poll(START.later(2))
    assert host.counters == {"memory": 1}, "it is left alone for a while"
