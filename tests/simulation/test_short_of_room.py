"""Laws of a disk budget that is too small for what an outage brings, on a whole tree with faults."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from headland.line.outbox.outbox import Outbox
from headland.node.budget import Budget
from headland.node.core import Node
from headland.node.refusing import BUDGET
from headland.simulation.room import RoomRun, sizes_of
from headland.simulation.scenario import Scenario, load

BUDGET_BYTES = 160 << 10
"""40 of the smallest segments: what 40 MiB are to a real node."""


@pytest.fixture(scope="module")
def scenario() -> Scenario:
    read = load(Path(__file__).parent / "short_of_room.toml")
    return msgspec.structs.replace(read, sizes=sizes_of(BUDGET_BYTES))


def test_the_lowest_class_goes_first_input_is_refused_last_and_comes_back(scenario: Scenario) -> None:
    """Kills: refusing while low waits; a node that takes nothing in after all has drained."""
    hits: Counter[str] = Counter()
    for seed in (2, 3, 4):
        outcome = RoomRun(scenario, seed).go()
        assert not outcome.violations, (seed, outcome.violations[0].law, outcome.violations[0].story[:3])
        hits.update(outcome.hits)
    assert hits["shed_low"] > hits["shed_normal"] > 0
    assert hits["refused_for_want_of_room"] == hits["room_again"] > 0


def laws(scenario: Scenario, seeds: tuple[int, ...] = (2, 4)) -> Iterator[str]:
    for seed in seeds:
        yield from (one.law for one in RoomRun(scenario, seed).go().violations)


def test_a_journal_that_is_only_emptied_above_its_share_is_found_out(
    scenario: Scenario, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The defect itself: a share of the journal that the budget cannot hold, and nothing else empties it."""
    monkeypatch.setattr(Budget, "empties", lambda _self, _node: False)
    assert scenario.sizes.budget_bytes
    sizes = msgspec.structs.replace(scenario.sizes, journal_bytes=scenario.sizes.budget_bytes)
    found = set(laws(msgspec.structs.replace(scenario, sizes=sizes, settle_s=30.0)))
    assert found & {"everything_arrives", "what_may_go_goes_before_input_is_refused"}


def test_giving_up_the_highest_first_is_found_out(
    scenario: Scenario, monkeypatch: pytest.MonkeyPatch
) -> None:
    shed = Outbox.shed

    def other(self: Outbox, *arguments: object) -> list[int]:
        return shed(self, *arguments[:2])  # type: ignore[arg-type]

    monkeypatch.setattr(Outbox, "shed", other)
    assert "the_lowest_class_first" in laws(scenario)


def test_a_node_that_refuses_for_ever_is_found_out(
    scenario: Scenario, monkeypatch: pytest.MonkeyPatch
) -> None:
    refuse = Node.refuse_input

    def for_ever(self: Node, full: bool, why: object = BUDGET) -> None:
        refuse(self, full or self.full, why)  # type: ignore[arg-type]

    monkeypatch.setattr(Node, "refuse_input", for_ever)
    found = set(laws(msgspec.structs.replace(scenario, settle_s=30.0), seeds=(4,)))
    assert found & {"everything_arrives", "what_may_go_goes_before_input_is_refused"}
