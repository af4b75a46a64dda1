"""Laws of the forwarding stage: each answered block is measured once, from its own commit, in its class."""

from __future__ import annotations

from itertools import pairwise
from random import Random
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest
from tests.node.chain import Chain

from headland.line.stages import FORWARD, Cause, Histogram, StageName
from headland.node import forwarding
from headland.node.forwarding import _Marks
from headland.node.metrics import exposition
from headland.simulation.wire import Weather
from headland.vocabulary import Account, Priority


@pytest.mark.parametrize("seed", range(40))
def test_every_position_is_measured_once_from_the_commit_that_made_it_durable(seed: int) -> None:
    """Kills: an answer in the middle of a commit that measures it whole, or its rest never."""
    random = Random(seed)
    marks, made, measured, now = _Marks(0), dict[int, int](), list[tuple[int, int]](), 0
    for _ in range(random.randrange(1, 60)):
        now += random.randrange(1, 10)
        if random.random() < 0.6:
            p = marks.noted + random.randrange(1, 5)
            made.update(dict.fromkeys(range(marks.noted + 1, p + 1), now))
            marks.put(p, now)
        else:
            measured += marks.take(random.randrange(marks.answered, marks.noted + 1))
    measured += marks.take(marks.noted)
    assert [at for times, at in measured for _ in range(times)] == [made[p] for p in sorted(made)]


def test_in_a_long_outage_the_error_stays_small_beside_the_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    """Kills: marks without a bound, and a bound that gives the newest block the oldest moment."""
    monkeypatch.setattr(forwarding, "MARKS_MAX", 64)
    marks, count = _Marks(0), 5000
    for p in range(1, count + 1):
        marks.put(p, p)
    assert len(marks.marks) <= 64
    taken = [at for times, at in marks.take(count) for _ in range(times)]
    assert len(taken) == count
    assert all(before <= after for before, after in pairwise(taken))
    assert all(0 <= p - at <= count // 16 for p, at in enumerate(taken, start=1))


def test_many_of_one_duration_are_as_many_observations() -> None:
    one, many = Histogram(), Histogram()
    for ns in (10, 5_000, 70_000, 10**12):
        many.observe(ns, 3)
        for _ in range(3):
            one.observe(ns)
    assert (one.counts, one.count, one.sum_ns, one.max_ns) == (
        many.counts,
        many.count,
        many.sum_ns,
        many.max_ns,
    )


def _stages(chain: Chain) -> dict[str, Any]:
    assert chain.local.node is not None
    assert chain.local.node.stages is not None
    return chain.local.node.stages.report()


def test_metrics_count_the_misses_of_a_stage_by_cause() -> None:
    """Kills: a total that does not say whether the link or the parent was slow."""
    chain = Chain(1, devices=0)
    chain.run_s(1)
    node = chain.local.node
    assert node is not None
    assert node.stages is not None
    node.stages[StageName.FORWARD_HIGH].observe(10**12, Cause.LINK, 3)
    runner: Any = SimpleNamespace(node=node, clock=chain.local, stages=node.stages)
    text = exposition(runner).decode()
    assert 'headland_stage_misses_total{stage="forward_high",cause="link"} 3' in text


def test_blocks_that_a_cut_held_up_miss_the_budget_of_their_class_because_of_the_link() -> None:
    """Kills: a latency from the moment of sending, an outage that is no miss, a class with another's."""
    chain = Chain(1, devices=1, readings=1500, start=False)
    outbox = chain.local.settings.outbox
    rows = [msgspec.structs.replace(row, initial_timeout_s=2.0) for row in outbox.classes]
    rows[Priority.LOW] = msgspec.structs.replace(rows[Priority.LOW], initial_timeout_s=7.0)
    told = msgspec.structs.replace(outbox, classes=tuple(rows))
    chain.local.settings = msgspec.structs.replace(chain.local.settings, outbox=told)
    chain.begin()
    chain.run_s(2)
    before = _stages(chain)[StageName.FORWARD_NORMAL]
    assert before["count"] > 0
    assert before["misses"] == 0
    assert before["max"] < 2_000
    chain.world.cut("s/local", "s/regional", Weather.REFUSED)
    chain.run_s(8)
    chain.world.cut("s/local", "s/regional", Weather.UP)
    chain.run_s(60)
    assert chain.total(chain.local, Account.PENDING) == 0
    found = _stages(chain)
    normal = found[StageName.FORWARD_NORMAL]
    assert 5_000 < normal["max"] < 30_000
    assert 0 < normal["misses"] < normal["count"]
    assert normal["causes"][Cause.LINK] >= normal["misses"] * 0.9
    assert (normal["budget_ms"], found[StageName.FORWARD_LOW]["budget_ms"]) == (2_000, 7_000)
    assert all(found[name]["count"] == 0 for name in FORWARD if name != StageName.FORWARD_NORMAL)
    assert chain.local.node is not None
    sealed = sum(
        stream.tail
        for stream in chain.local.node.parts.north.outbox.state.streams()  # type: ignore[union-attr]
    )
    assert normal["count"] == sealed
