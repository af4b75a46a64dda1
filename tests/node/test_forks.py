"""Two blocks of one identity at a root: the first is applied, another is kept beside it, once, and told."""

from __future__ import annotations

import json
import random

import msgspec
import pytest

from headland.blocks.block import seal
from headland.blocks.header import Run
from headland.journal import JournalConfig, SectionType
from headland.link.actions import Definitions, Deliver
from headland.link.contract import Ref, StreamKey
from headland.link.received import ReceivedBlock
from headland.node import events as ev
from headland.node import query
from headland.node.blocks_on_disk import block_at, read_block
from headland.node.core import Node
from headland.node.opening import open_node
from headland.node.settings import NodeSettings
from headland.node.shelf import Stored
from headland.simulation.disk import SimulatedDisk
from headland.simulation.world import Everybody
from headland.vocabulary import Account, Columns, Instant, Lane, Priority, SeriesKey

START = Instant(1_000_000_000, 1_767_225_600_000_000_000)
EPOCH = b"E" * 16
NAMES = Definitions("s/device", EPOCH, ((1, SeriesKey("t", ())),))
SETTINGS = NodeSettings(
    name="s/root", has_parent=False, journal=JournalConfig(segment_bytes=1 << 16), journal_bytes=1 << 18
)


def started(disk: SimulatedDisk) -> Node:
    opening = open_node(disk, SETTINGS, Everybody(), random.Random(1), START)
    for op in opening.ops:
        disk.apply(op)
    opening.node.start(START)
    return opening.node


def brought(k: int, value: float | list[float], child: str, p: int) -> Deliver:
    columns, given = Columns(), value if isinstance(value, list) else [value]
    for one in given:
        columns.append(1, START.wall_ns + k, one, size=8)
    header, body = seal(
        columns, origin="s/device", epoch=EPOCH, priority=Priority.NORMAL, k=k, lane=Lane.LIVE,
        runs=(Run(k, START.wall_ns, len(given)),),
    )  # fmt: skip
    key = StreamKey(child.encode().ljust(16)[:16], Priority.NORMAL, Lane.LIVE)
    return Deliver(ReceivedBlock(child, key, p, header, body), columns, (NAMES,))


def take(node: Node, disk: SimulatedDisk, *items: Deliver) -> None:
    """Receive blocks in one commit, and make it durable."""
    now = START.later(10 + node.draft.n)
    node.begin(now)
    for item in items:
        for definitions in item.definitions:
            section = node.parts.names.learn(definitions)
            if section is not None:
                node.draft.section(SectionType.SERIES, section)
        node.parts.shelving.receive(node, item, now)
    node.commits.touched(now)
    for action in node.handle(ev.Tick(), now.later(1)):
        if isinstance(action, ev.Commit):
            for op in action.ops:
                disk.apply(op)
            node.handle(ev.Committed(action.n), now.later(1))


def values(node: Node, disk: SimulatedDisk, *, forked: bool) -> list[float]:
    where = query.plan(node)
    assert where is not None
    question = query.Question(origin="s/device", forked=forked)
    found = json.loads(query.answer(disk, where, node.parts.names, question))
    return [row["value"] for row in found["rows"]]


@pytest.mark.parametrize("restart", [False, True])
def test_another_block_of_an_identity_is_kept_beside_listed_and_alarmed_and_a_repeat_is_a_duplicate(
    restart: bool,
) -> None:
    """Kills: a fork that is counted as a duplicate and thrown away; one that replaces what was applied."""
    disk = SimulatedDisk()
    node = started(disk)
    take(node, disk, brought(1, 1.0, "s/a", 1), brought(2, 2.0, "s/a", 2))
    if restart:
        node = started(disk)
    take(node, disk, brought(1, 1.0, "s/b", 1), brought(2, 2.5, "s/b", 2))
    assert [kind for _, kind, _ in node.alarms] == ["fork"]
    if restart:
        node = started(disk)
    take(node, disk, brought(2, 2.5, "s/c", 1))
    assert values(node, disk, forked=False) == [1.0, 2.0]
    assert values(node, disk, forked=True) == [2.5]
    total = {account: node.parts.ledger.total(account)[0] for account in Account}
    assert (total[Account.APPLIED], total[Account.UNAPPLIED], total[Account.DUPLICATE_RECEIVED]) == (2, 1, 2)
    assert total[Account.RECEIVED] == 5
    assert node.parts.ledger.check() == []


@pytest.mark.parametrize("restart", [False, True])
def test_a_longer_block_of_an_identity_is_applied_from_where_the_shorter_one_ended(restart: bool) -> None:
    """A copy of a node that ran seals what its original went on filling, and comes first.

    Kills: readings of the original that nobody sees; readings of the copy that are there twice.
    """
    disk = SimulatedDisk()
    node = started(disk)
    take(node, disk, brought(1, [1.0, 2.0], "s/copy", 1))
    take(node, disk, brought(1, [1.0, 2.0, 3.0], "s/original", 1))
    assert node.alarms == []
    if restart:
        node = started(disk)
    take(node, disk, brought(1, [1.0, 2.0], "s/copy", 2), brought(1, [1.0, 2.0, 3.0], "s/original", 2))
    assert values(node, disk, forked=False)[:3] == [1.0, 2.0, 3.0]
    assert values(node, disk, forked=True) == []
    total = {account: node.parts.ledger.total(account) for account in Account}
    assert total[Account.DUPLICATE_RECEIVED] == (2 + 5, 8 * 7)
    assert total[Account.APPLIED][0] == total[Account.RECEIVED][0] - 7
    assert node.parts.ledger.check() == []
    shelf = node.parts.shelving.shelf
    place = block_at(node.parts.places, Ref(shelf.resting[1].n, shelf.resting[1].index), Priority.NORMAL)
    assert place is not None
    _, record = shelf.record(shelf.resting[1], read_block(disk, place), node.parts.names)
    assert msgspec.msgpack.decode(record, type=Stored).known == 2


def test_a_shorter_block_that_comes_later_and_one_that_begins_otherwise_are_kept_beside() -> None:
    """Kills: a longer block that is taken for a continuation without looking."""
    disk = SimulatedDisk()
    node = started(disk)
    take(node, disk, brought(1, [1.0, 2.0, 3.0], "s/original", 1), brought(2, [1.0, 2.0], "s/original", 2))
    take(node, disk, brought(1, [1.0, 2.0], "s/copy", 1), brought(2, [1.0, 2.5, 3.0], "s/copy", 2))
    assert [kind for _, kind, _ in node.alarms] == ["fork", "fork"]
    assert values(node, disk, forked=False) == [1.0, 2.0, 3.0, 1.0, 2.0]
    assert values(node, disk, forked=True) == [1.0, 2.0, 1.0, 2.5, 3.0]
