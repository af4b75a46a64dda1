"""A law of holes: what a reader would hold on to must not be what was given up."""

from __future__ import annotations

import random

from headland.line.filtering import DeadBand
from headland.line.rules import LineRules, SeriesRule
from headland.node import events as ev
from headland.node.opening import open_node
from headland.node.settings import NodeSettings
from headland.simulation.disk import SimulatedDisk
from headland.simulation.world import Everybody
from headland.vocabulary import Account, Instant, Priority

START = Instant(1_000_000_000, 1_767_225_600_000_000_000)
CONNECT = b"\x10\x0e\x00\x04MQTT\x04\x02\x00\x00\x00\x02me"


def test_after_blocks_were_given_up_the_next_reading_is_a_fresh_reference() -> None:
    """Kills: a dead band that goes on leaving out what is near a value that never arrives."""
    rules = LineRules(default=SeriesRule(name="band", filter=DeadBand(ratio=0.05, floor=1.0)))
    settings = NodeSettings(name="s/n", has_parent=True, line=rules)
    node = open_node(SimulatedDisk(), settings, Everybody(), random.Random(1), START).node
    node.start(START)
    node.handle(ev.Opened(1, "mqtt", "here"), START)
    node.handle(ev.Received([(1, CONNECT)]), START)
    moment = 0.0

    def publish(value: bytes) -> None:
        nonlocal moment
        moment += 2.0
        now = START.later(moment)
        body = b"\x00\x01t\x00\x01" + value
        node.handle(ev.Received([(1, bytes((0x32, len(body))) + body)]), now)
        node.next_wake()
        for later in (0.1, 1.5):
            for action in node.handle(ev.Tick(), now.later(later)):
                if isinstance(action, ev.Commit):
                    node.handle(ev.Committed(action.n), now.later(later))

    publish(b"20.0")
    publish(b"20.1")
    ledger = node.parts.ledger
    assert (ledger.total(Account.KEPT)[0], ledger.total(Account.DROPPED)[0]) == (1, 1)
    node.draft.book(Account.PENDING, "", Priority.NORMAL, "", -1, -4)
    node.draft.book(Account.EXPIRED, "", Priority.NORMAL, "", 1, 4)
    for _ in range(4):
        publish(b"20.1")
    assert (ledger.total(Account.KEPT)[0], ledger.total(Account.DROPPED)[0]) == (2, 4)
    assert ledger.check() == []
