"""The stages say what was measured, of readings and of nothing else, and a miss says where its time went."""

from __future__ import annotations

import json
import re
import urllib.request
from pathlib import Path

import pytest
from tests.node.running import KEEP_ALL, RunningNode, eventually

from headland.line.pace import Pace
from headland.line.stages import MS, Cause, Stage, StageName, Stages
from headland.node.measuring import SPELLS_MAX, Measuring, Spells
from headland.vocabulary import Tier


class Hand:
    """A clock that is moved by hand, ms."""

    def __init__(self) -> None:
        self.ns = 1000 * MS

    def __call__(self) -> int:
        return self.ns

    def pass_ms(self, ms: float) -> None:
        self.ns += int(ms * MS)


class Event:
    """One event with readings whose phases take so long, measured with a budget of 10 ms."""

    def __init__(self) -> None:
        self.clock = Hand()
        self.stages = Stages(Tier.LOCAL)
        self.measuring = Measuring(self.stages, self.clock)

    def run(self, **took_ms: float) -> None:
        pace, clock = self.measuring.pace, self.clock
        arrived = clock()
        clock.pass_ms(took_ms.get("waited", 0))
        begun = clock()
        pace.begin(begun)
        for phase, done in (("link", pace.linked), ("decoding", pace.decoded), ("rules", pace.decided)):
            clock.pass_ms(took_ms.get(phase, 0))
            done()
        clock.pass_ms(took_ms.get("filters", 0))
        pace.filtered(3)
        pace.settled()
        clock.pass_ms(took_ms.get("pump", 0))
        left = clock()
        clock.pass_ms(took_ms.get("actuating", 0))
        self.measuring.acted(arrived, begun, left)

    def causes(self, name: StageName = StageName.DECIDE) -> dict[Cause, int]:
        return self.stages[name].causes


@pytest.mark.parametrize(
    ("phase", "cause"),
    [
        ("waited", Cause.WAITED),
        ("link", Cause.LINK),
        ("decoding", Cause.DECODING),
        ("rules", Cause.RULES),
        ("filters", Cause.FILTERS),
        ("pump", Cause.LINK),
        ("actuating", Cause.ACTUATING),
    ],
)
def test_a_miss_is_booked_under_the_phase_that_took_most_of_its_time(phase: str, cause: Cause) -> None:
    """Kills: an all-or-nothing guess between two causes."""
    event = Event()
    event.run(**{"waited": 2, "rules": 2, "filters": 2, phase: 9})
    assert event.causes() == {cause: 3}
    judged_ms = 4 if phase not in ("rules", "filters") else 11
    assert event.stages[StageName.FILTER].histogram.max_ns == judged_ms * MS
    assert event.causes(StageName.FILTER) == ({cause: 3} if judged_ms > 10 else {})


@pytest.mark.parametrize("cause", [Cause.LINK, Cause.DISK, Cause.GARBAGE])
def test_who_waited_says_what_for(cause: Cause) -> None:
    event = Event()
    now = event.clock()
    event.measuring.spells.add(now - 50 * MS, now + 8 * MS, cause)
    event.run(waited=12)
    assert event.causes() == {cause: 3}


def test_a_connection_that_was_not_read_until_commits_had_caught_up_waited_for_the_disk() -> None:
    event = Event()
    event.measuring.held(True, event.clock())
    event.run(waited=30)
    assert event.causes() == {Cause.DISK: 3}
    event.measuring.held(False, event.clock())
    event.clock.pass_ms(1)
    event.run(waited=30)
    assert event.causes() == {Cause.DISK: 3, Cause.WAITED: 3}


def test_garbage_in_the_middle_of_a_phase_is_to_blame_for_it() -> None:
    event = Event()
    now = event.clock()
    event.measuring.spells.add(now + MS, now + 11 * MS, Cause.GARBAGE)
    event.run(filters=12)
    assert event.causes() == {Cause.GARBAGE: 3}
    assert event.causes(StageName.FILTER) == {Cause.GARBAGE: 3}


def test_what_is_in_time_has_no_cause_and_spells_are_bounded() -> None:
    event = Event()
    event.run(filters=9)
    assert event.causes() == {}
    assert event.stages[StageName.DECIDE].histogram.count == 3
    spells = Spells()
    for i in range(2 * SPELLS_MAX):
        spells.add(i * MS, (i + 1) * MS, Cause.DISK)
    assert spells.between(0, 10_000 * MS) == {Cause.DISK: SPELLS_MAX * MS}


def test_without_a_clock_nothing_takes_any_time() -> None:
    pace = Pace()
    pace.begin(0)
    pace.decoded()
    pace.filtered(1)
    assert (pace.readings, pace.decoding_ns, pace.filters_ns) == (1, 0, 0)


def test_the_buckets_of_a_histogram_are_cumulative() -> None:
    stage = Stage(None)
    for ns in (1, 40_000, 40_000, 1 << 20, 1 << 50):
        stage.observe(ns)
    sums = stage.histogram.cumulative()
    assert [count for _, count in sums] == sorted(count for _, count in sums)
    assert dict(sums)[1 << 15] == 1
    assert dict(sums)[1 << 16] == 3
    assert sums[-1] == (1 << 35, 4)


def test_readings_are_measured_however_they_come_and_nothing_else_is(tmp_path: Path) -> None:
    """Kills: a stage filled with heartbeats; readings by HTTP that are measured nowhere."""
    with RunningNode(tmp_path / "n", KEEP_ALL, tier="device") as node:
        base = f"http://127.0.0.1:{node.ports['http']}"

        def stages() -> dict[str, dict[str, object]]:
            with urllib.request.urlopen(f"{base}/v1/status", timeout=10) as answer:
                found: dict[str, dict[str, object]] = json.load(answer)["stages"]
            return found

        assert stages()["decide"]["count"] == 0
        body = json.dumps([{"series": "a", "value": i} for i in range(5)]).encode()
        ask = urllib.request.Request(
            f"{base}/v1/readings", body, {"Content-Type": "application/json"}, method="POST"
        )
        with urllib.request.urlopen(ask, timeout=10) as answer:
            assert answer.status == 200
        eventually(lambda: stages()["commit"]["count"])
        assert (stages()["decide"]["count"], stages()["filter"]["count"]) == (5, 5)
        with urllib.request.urlopen(f"{base}/metrics", timeout=10) as answer:
            metrics = answer.read().decode()
    assert "# TYPE headland_stage_seconds histogram\n" in metrics
    found = re.findall(r'headland_stage_seconds_bucket\{stage="decide",le="([^"]+)"\} (\d+)', metrics)
    assert [int(count) for _, count in found] == sorted(int(count) for _, count in found)
    assert found[-1] == ("+Inf", "5")
    assert 'headland_stage_seconds_count{stage="decide"} 5\n' in metrics
    assert 'headland_stage_misses_total{stage="decide",cause="garbage"} 0\n' in metrics
    assert "# TYPE headland_stage_misses_total counter\n" in metrics
