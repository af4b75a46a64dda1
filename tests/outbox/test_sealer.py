"""When a class is sealed."""

from __future__ import annotations

import msgspec

from headland.line.outbox import DEFAULTS, OutboxSettings, Sealer, Sync
from headland.vocabulary import Instant, Priority

S = 1_000_000_000


def sealer(sync: Sync, every: float = 60.0) -> Sealer:
    row = msgspec.structs.replace(DEFAULTS[Priority.NORMAL], sync=sync, sync_every_s=every)
    return Sealer(OutboxSettings(classes=(row,) * 4))


def at(seconds: float) -> Instant:
    return Instant(int(seconds * S), 0)


def test_real_time_is_due_at_every_commit_with_rows():
    it = sealer(Sync.REAL_TIME)
    assert it.due(at(0)) == []
    it.rows(Priority.LOW, 1, at(0))
    it.rows(Priority.HIGH, 1, at(0))
    assert it.due(at(0)) == [Priority.HIGH, Priority.LOW]
    it.sealed(Priority.HIGH)
    assert it.due(at(0)) == [Priority.LOW]


def test_an_interval_counts_from_the_oldest_unsealed_row():
    it = sealer(Sync.EVERY)
    it.rows(Priority.LOW, 1, at(10))
    it.rows(Priority.LOW, 1, at(60))
    assert it.due(at(69.9)) == []
    assert it.next_wake() == 70 * S
    assert it.due(at(70)) == [Priority.LOW]


def test_a_thousand_rows_or_a_pressed_segment_are_due_in_every_mode():
    for sync in Sync:
        it = sealer(sync)
        it.rows(Priority.LOW, 999, at(0))
        assert it.due(at(0), pressed=True) == [Priority.LOW]
        it.rows(Priority.LOW, 1, at(0))
        assert it.due(at(0)) == [Priority.LOW]


def test_on_demand_is_due_when_asked_for_and_once():
    it = sealer(Sync.ON_DEMAND)
    it.rows(Priority.LOW, 1, at(0))
    assert it.due(at(1e6)) == []
    it.demand(Priority.LOW)
    assert it.due(at(0)) == [Priority.LOW]
    it.sealed(Priority.LOW)
    it.rows(Priority.LOW, 1, at(0))
    assert it.due(at(0)) == []
