"""Laws of a start: what a checkpoint alone must carry over."""

from __future__ import annotations

import random

import pytest
from tests.node.chain import Chain

from headland.node import events as ev
from headland.node.checkpointing import Checkpointing
from headland.node.opening import open_node
from headland.node.settings import NodeSettings
from headland.node.status import status_of
from headland.simulation.disk import SimulatedDisk
from headland.simulation.world import Everybody
from headland.vocabulary import Instant


def test_running_time_goes_on_when_nothing_follows_the_checkpoint() -> None:
    """Kills: an age clock that starts from zero, so that everything on disk seems to be from the future."""
    chain = Chain(7, readings=400, interval_ns=2_000_000)
    chain.run_s(30)
    node = chain.local.node
    assert node is not None
    checkpointing: Checkpointing = node.parts.shelving.checkpointing
    before = node.running_ms(chain.local.now())
    checkpointing._newest_segment = -1  # the next commit takes a checkpoint
    node.parts.journal._log_bytes = 1 << 40
    node.draft.state("node", node.parts.store_id)
    chain.run_s(40)
    assert node.parts.journal._checkpoints[-1].mark == node.parts.journal.last
    opening = open_node(
        chain.local.disk.power_cut(), chain.local.settings, Everybody(), random.Random(1), Instant(1, 1)
    )
    assert opening.frames == 0
    assert opening.node.parts.running_ms >= before > 0


def test_a_child_may_not_speak_for_its_own_parent() -> None:
    """Kills: a forged block that is taken for the root's own, whose reading is then nowhere."""
    settings = NodeSettings(name="s/cloud", has_parent=False)
    opening = open_node(SimulatedDisk(), settings, Everybody(), random.Random(1), Instant(1, 1))
    authorised = opening.node.parts.south.children._authorised
    assert authorised("s/local", "s/local")
    assert authorised("s/local", "s/device")
    assert not authorised("s/local", "s/cloud")


HOUR_S = 3600


def _at_work(disk: SimulatedDisk, now: Instant) -> None:
    """A node that makes one commit at this moment, and is gone."""
    opening = open_node(disk, NodeSettings(name="s/n"), Everybody(), random.Random(1), now)
    for op in opening.ops:
        disk.apply(op)
    node = opening.node
    node.start(now)
    node.begin(now)
    for action in node.handle(ev.Tick(), now.later(1)):
        if isinstance(action, ev.Commit):
            for op in action.ops:
                disk.apply(op)


def _age_ms(disk: SimulatedDisk, now: Instant) -> int:
    """What a start at this moment makes of the age clock."""
    opening = open_node(disk, NodeSettings(name="s/n"), Everybody(), random.Random(1), now)
    assert opening.node.parts.north.outbox is not None
    age = opening.node.running_ms(now)
    assert opening.node.parts.north.outbox.age_clock(now) == age
    return age


@pytest.mark.parametrize(
    ("then_trusted", "now_trusted", "off_s", "counts"),
    [
        (True, True, HOUR_S, True),
        (True, True, 399 * 86_400, True),
        (True, True, 401 * 86_400, False),
        (True, True, -HOUR_S, False),
        (False, True, HOUR_S, False),
        (True, False, HOUR_S, False),
    ],
)
def test_time_off_is_age_where_both_clocks_can_be_believed_and_the_step_is_plausible(
    then_trusted: bool, now_trusted: bool, off_s: int, counts: bool
) -> None:
    """Kills: time off that never counts, one by the clock of a board without a battery, and a leap."""
    disk = SimulatedDisk()
    then = Instant(10**9, 1_767_225_600 * 10**9, then_trusted)
    _at_work(disk, then)
    again = Instant(5 * 10**9, then.wall_ns + off_s * 10**9, now_trusted)
    age = _age_ms(disk, again)
    assert age == pytest.approx(off_s * 1000 if counts else 0, abs=2000)


def test_time_off_is_counted_once_however_often_a_node_starts_and_not_as_running_time() -> None:
    """Kills: an hour for each crash before the first commit; running time that includes it."""
    disk = SimulatedDisk()
    then = Instant(10**9, 1_767_225_600 * 10**9)
    _at_work(disk, then)
    again = Instant(10**9, then.wall_ns + HOUR_S * 10**9)
    for _ in range(3):
        assert _age_ms(disk, again) == pytest.approx(HOUR_S * 1000, abs=2000)
    _at_work(disk, again)
    third = Instant(10**9, again.wall_ns + HOUR_S * 10**9)
    assert _age_ms(disk, third) == pytest.approx(2 * HOUR_S * 1000, abs=4000)
    opening = open_node(disk, NodeSettings(name="s/n"), Everybody(), random.Random(1), third)
    assert status_of(opening.node, third).running_s < 5
