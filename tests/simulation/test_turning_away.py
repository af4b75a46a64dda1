"""Laws of rules on a disk without room, in a tree whose line is short of it while its links are cut.

What is critical may not be given up, so nothing is left but to refuse.
"""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from headland.line.deciding import Act, EventRule, Threshold
from headland.simulation.room import RoomRun, sizes_of
from headland.simulation.scenario import Scenario, load

HOT = EventRule(
    name="hot",
    match="oven*/**",
    when=Threshold(above=20.5),
    max_age_s=60.0,
    act=(Act(kind="http", target="http://127.0.0.1/vent"),),
)
BUDGET_BYTES = 128 << 10
SEED = 3


@pytest.fixture(scope="module")
def scenario() -> Scenario:
    read = load(Path(__file__).parent / "short_of_room.toml")
    calm = msgspec.structs.replace(read.faults.crash, share=0.0)
    full = msgspec.structs.replace(calm, share=1.0, times=3)
    faults = msgspec.structs.replace(
        read.faults, crash=calm, crash_at_step=calm, crash_in_spill=calm, disk_full=full
    )
    nodes = tuple(
        msgspec.structs.replace(
            node, rule=(HOT,), default=msgspec.structs.replace(node.default, priority="critical")
        )
        if node.name == "works/line"
        else node
        for node in read.node
    )
    return msgspec.structs.replace(read, node=nodes, faults=faults, sizes=sizes_of(BUDGET_BYTES))


class Ran(msgspec.Struct):
    """One run.

    Attributes:
        broken: Laws.
        keys: Of actuations.
        late: Events that were told late.
        turned_away: Publishes.
    """

    broken: list[str]
    keys: list[str]
    late: int
    turned_away: int


def _run(scenario: Scenario) -> Ran:
    run = RoomRun(scenario, SEED)
    broken = [one.law for one in run.go().violations]
    host = run.world.hosts["works/line"]
    assert host.node is not None
    parts = host.node.parts
    return Ran(
        broken,
        [one.actuation.key.text() for one in host.actuated],
        parts.intake.line.late_events,
        parts.broker.counters.publishes_turned_away,
    )


def test_rules_act_while_there_is_no_room_once_a_reading_and_everything_arrives(scenario: Scenario) -> None:
    """Kills: a node that is deaf without room; an actuation, or an event, each time it is sent."""
    ran = _run(scenario)
    assert ran.broken == []
    assert ran.turned_away > 0
    assert len(ran.keys) > 100
    assert len(ran.keys) == len(set(ran.keys))
