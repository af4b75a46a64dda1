"""A node that was a root gets a parent, or loses it: what it left open is sealed under a name of its own."""

from __future__ import annotations

import random

import msgspec
import pytest
from tests.node.test_forks import START

from headland.journal import JournalConfig, checkpoint
from headland.line.outbox.settings import Sync
from headland.node import events as ev
from headland.node.core import Node
from headland.node.opening import open_node
from headland.node.settings import NodeSettings
from headland.simulation.disk import SimulatedDisk
from headland.simulation.world import Everybody
from headland.vocabulary import Batch, Priority, SeriesKey


class Machine:
    """A node on a disk, whose commits and checkpoints are done at once."""

    def __init__(self, disk: SimulatedDisk, *, has_parent: bool, log_bytes: int, start_s: int) -> None:
        self.disk = disk
        self.now = START.later(start_s)
        settings = NodeSettings(
            name="s/n",
            has_parent=has_parent,
            journal=JournalConfig(segment_bytes=1 << 16, checkpoint_log_bytes=log_bytes),
            journal_bytes=1 << 18,
        )
        rare = [
            msgspec.structs.replace(one, sync=Sync.EVERY, sync_every_s=1e6) for one in settings.outbox.classes
        ]
        outbox = msgspec.structs.replace(settings.outbox, classes=tuple(rare))
        opening = open_node(
            disk,
            msgspec.structs.replace(settings, outbox=outbox),
            Everybody(),
            random.Random(start_s),
            self.now,
        )
        for op in opening.ops:
            disk.apply(op)
        self.node: Node = opening.node
        self.left = [block.of for block in self.node.parts.sealing.open if len(block)]
        self.do(self.node.start(self.now))

    def do(self, actions: list[ev.Action]) -> None:
        left = list(actions)
        while left:
            match left.pop(0):
                case ev.Commit(n, ops):
                    self._apply(ops)
                    left += self.node.handle(ev.Committed(n), self.now)
                case ev.Beside(token, ops):
                    self._apply(ops)
                    left += self.node.handle(ev.SideWorkDone(token, ""), self.now)
                case ev.Pack(token, info, snapshot):
                    packed = checkpoint.encode_file(info, snapshot)
                    left += self.node.handle(ev.Packed(token, packed), self.now)
                case _:
                    pass

    def _apply(self, ops: object) -> None:
        for op in ops:  # type: ignore[attr-defined]
            self.disk.apply(op)

    def commit(self, rows: int, *, seal: bool = False) -> None:
        """Rows of one client, made durable."""
        self.now = self.now.later(1)
        node = self.node
        self.do(node.handle(ev.Tick(), self.now))
        node.begin(self.now)
        if rows:
            sid = node.parts.names.table.intern(SeriesKey("x", ()))
            times = [self.now.wall_ns + i for i in range(rows)]
            batch = Batch(
                [sid] * rows,
                times,
                [float(100 * node.draft.n + i) for i in range(rows)],
                [8] * rows,
                message_ends=list(range(1, rows + 1)),
            )
            node.parts.intake.line.offer("c", batch, self.now, node.draft)
        if seal:
            node.parts.sealing.ask(Priority.NORMAL)
        node.commits.touched(self.now)
        for _ in range(3):
            self.now = self.now.later(1)
            self.do(node.handle(ev.Tick(), self.now))


@pytest.mark.parametrize("log_bytes", [1, 1 << 20], ids=["checkpoints", "log"])
@pytest.mark.parametrize("tail", [0, 1], ids=["at the end", "with a block behind"])
@pytest.mark.parametrize("child_first", [False, True])
def test_rows_that_were_left_open_in_another_role_are_sealed_under_a_name_that_is_free(
    child_first: bool, tail: int, log_bytes: int
) -> None:
    """Kills: a node that gets a parent and does not start; one that loses it and names a block anew."""
    disk = SimulatedDisk()
    first = Machine(disk, has_parent=child_first, log_bytes=log_bytes, start_s=0)
    for _ in range(3):
        first.commit(3, seal=True)
    if tail:  # a block and open rows that no checkpoint holds
        first.node.parts.journal.resize(JournalConfig(segment_bytes=1 << 16, checkpoint_log_bytes=1 << 20))
        first.commit(3, seal=True)
    first.commit(2)
    then = Machine(disk, has_parent=not child_first, log_bytes=log_bytes, start_s=10_000)
    assert then.left == [(first.node.parts.epoch, 3 + tail + 1)]
    then.commit(1)
    assert then.node.parts.ledger.check() == []
    again = Machine(disk, has_parent=child_first, log_bytes=log_bytes, start_s=20_000)
    again.commit(1)
    assert again.node.alarms == []
    assert again.node.parts.ledger.check() == []
