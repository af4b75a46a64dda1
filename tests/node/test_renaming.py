"""A child that gives a series of stored rows another name."""

from __future__ import annotations

from tests.node.test_forks import START, started

from headland.blocks.block import seal
from headland.blocks.header import HeaderWriter, Run
from headland.link import protocol
from headland.link.contract import EpochHello
from headland.link.frames import Kind, put_frame
from headland.link.protocol import Hello
from headland.node import events as ev
from headland.node.core import Node
from headland.simulation.disk import SimulatedDisk
from headland.vocabulary import Columns, Lane, Priority

E1 = b"1" * 16


class Child:
    """Connects anew for each block."""

    def __init__(self, node: Node, disk: SimulatedDisk) -> None:
        self._node = node
        self._disk = disk
        self._k = 0
        self._now = START

    def send(self, name: str) -> None:
        self._k += 1
        hello = Hello(protocol.MAGIC, 1, 1, "s/a", E1, b"", (EpochHello(E1, b"", 0, ()),))
        columns = Columns()
        columns.append(1, START.wall_ns, float(self._k), size=8)
        header, body = seal(
            columns, origin="s/a", epoch=E1, priority=Priority.HIGH, k=self._k, lane=Lane.LIVE,
            runs=(Run(self._k, START.wall_ns, 1),),
        )  # fmt: skip
        first, then = bytearray(), bytearray()
        protocol.put(first, hello)
        protocol.put(then, protocol.Define("s/a", E1, ((1, name, ()),)))
        protocol.put_point(then, Kind.TURN, protocol.Point(Priority.HIGH, Lane.LIVE, 0, self._k))
        put_frame(then, Kind.BLOCK, HeaderWriter().encode(header), body)
        self._handle(ev.Opened(self._k, "link", "a", True, "s/a"))
        self._handle(ev.Received([(self._k, bytes(first))]))
        self._commit()
        self._handle(ev.Received([(self._k, bytes(then))]))
        self._commit()
        self._handle(ev.Closed(self._k, "gone"))
        self._commit()

    def _handle(self, event: ev.Event) -> list[ev.Action]:
        self._now = self._now.later(0.05)
        return self._node.handle(event, self._now)

    def _commit(self) -> None:
        for action in self._handle(ev.Tick()):
            if isinstance(action, ev.Commit):
                for op in action.ops:
                    self._disk.apply(op)
                self._handle(ev.Committed(action.n))


def test_the_first_name_stays_the_other_is_alarmed_and_the_rows_are_taken() -> None:
    """Kills: names of stored rows that change; an alarm for a name that is only repeated."""
    disk = SimulatedDisk()
    node = started(disk)
    child = Child(node, disk)
    child.send("t")
    child.send("t")
    assert [kind for _, kind, _ in node.alarms] == []
    child.send("u")
    assert [kind for _, kind, _ in node.alarms] == ["series_renamed"]
    for one in (node, started(disk)):
        assert one.parts.names.key("s/a", E1, 1).name == "t"
    assert len(list(node.parts.shelving.shelf.resting)) == 3
