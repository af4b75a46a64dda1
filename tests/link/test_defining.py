"""Names of series and frames: what a child may make its parent remember, and work for."""

from __future__ import annotations

import tracemalloc
from random import Random

import pytest
from tests.link.test_children import Wire, hello
from tests.link.world import Clock, ParentNode

from headland.blocks.block import seal
from headland.blocks.header import HeaderWriter, Run
from headland.link import downlink, protocol
from headland.link.actions import Definitions, Deliver
from headland.link.contract import DraftLike, EpochHello
from headland.link.frames import Deframer, Kind, put_frame
from headland.node.names import Names
from headland.vocabulary import Columns, Lane, Priority, SeriesKey, SeriesTable

E1 = b"1" * 16


class Parent(ParentNode):
    """Remembers the names that came with each block."""

    def __init__(self) -> None:
        super().__init__(Clock(), Random(1))
        self.names: list[tuple[Definitions, ...]] = []

    def deliver(self, action: Deliver, draft: DraftLike) -> None:
        self.names.append(action.definitions)
        super().deliver(action, draft)


class Child:
    """Defines and sends on one connection by hand."""

    def __init__(self) -> None:
        self.parent = Parent()
        self.wire = Wire(self.parent, 1).send(hello(E1, b"", EpochHello(E1)))
        self._writer = HeaderWriter()
        self._k = 0

    def define(self, *sids: int, name: str = "s") -> bool:
        """Whether the parent stands it."""
        series = tuple((sid, f"{name}{sid}", ()) for sid in sids)
        self.wire.send(protocol.Define("child", E1, series))
        return not self.wire.closed

    def block(self, *sids: int) -> list[tuple[int, SeriesKey]]:
        """Send one of these series; the names that are delivered with it."""
        columns = Columns()
        for sid in sids:
            columns.append(sid, 7, 1.5)
        self._k += 1
        header, body = seal(
            columns, origin="child", epoch=E1, priority=Priority.HIGH, k=self._k, lane=Lane.LIVE,
            runs=(Run(1, 5, len(sids)),),
        )  # fmt: skip
        out = bytearray()
        protocol.put_point(out, Kind.TURN, protocol.Point(Priority.HIGH, Lane.LIVE, 0, self._k))
        put_frame(out, Kind.BLOCK, self._writer.encode(header), body)
        self.wire.send(raw=bytes(out))
        assert not self.wire.closed
        return [pair for item in self.parent.names[-1] for pair in item.series]


def test_a_name_is_kept_when_a_block_uses_it_and_not_before() -> None:
    # Kills: 100,000 names without one block, in memory and in every checkpoint of the parent.
    child = Child()
    assert child.define(1, 2, 3)
    assert child.block(1, 3) == [(1, SeriesKey("s1", ())), (3, SeriesKey("s3", ()))]
    assert child.block(1, 2) == [(2, SeriesKey("s2", ()))]
    assert child.block(1, 2) == []


@pytest.mark.parametrize("bound", ["MAX_DEFINED_AHEAD", "MAX_DEFINED_AHEAD_BYTES"])
def test_a_child_that_defines_and_sends_nothing_is_disconnected_one_that_sends_is_not(
    bound: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(downlink, bound, 4 if bound == "MAX_DEFINED_AHEAD" else 4 * 220)
    child = Child()
    for sid in range(1, 40):
        assert child.define(sid)
        child.block(sid)
    assert child.define(41, 42, 43)
    assert not child.define(44, 45)


def test_a_definition_of_nothing_is_refused() -> None:
    # Kills: origins of a child's choice, remembered one by one, at no cost.
    assert not Child().define()


@pytest.mark.parametrize("used", [False, True])
def test_a_series_is_defined_once_on_a_connection(used: bool) -> None:
    child = Child()
    assert child.define(1)
    if used:
        child.block(1)
    assert not child.define(1, name="t")


def test_the_first_name_of_a_series_is_final() -> None:
    # Kills: a child that renames what is stored already.
    names = Names("root", SeriesTable())
    child = Child()
    assert child.define(1, 2)
    child.block(1, 2)
    (first,) = child.parent.names[-1]
    assert names.learn(first)
    other = Child()
    assert other.define(2, 3, name="t")
    other.block(2, 3)
    (second,) = other.parent.names[-1]
    assert names.renamed(first) == []
    assert names.renamed(second) == [2]
    assert names.learn(second)
    assert [names.key("child", E1, sid).name for sid in (1, 2, 3)] == ["s1", "s2", "t3"]


def test_a_frame_that_is_not_whole_is_not_copied_at_each_read() -> None:
    # Kills: half a gigabyte copied for a frame of 8 MiB in pieces of 64 KiB.
    size = 4 << 20
    out = bytearray()
    put_frame(out, 0xFE, bytes(size))
    put_frame(out, Kind.HEARTBEAT)
    deframer, frames, most = Deframer(), [], 0
    tracemalloc.start()
    try:
        for at in range(0, len(out), 1 << 16):
            tracemalloc.reset_peak()
            before = tracemalloc.get_traced_memory()[0]
            frames += deframer.feed(bytes(out[at : at + (1 << 16)]))
            if not frames:
                most = max(most, tracemalloc.get_traced_memory()[1] - before)
    finally:
        tracemalloc.stop()
    assert [(kind, len(payload)) for kind, payload in frames] == [(0xFE, size), (Kind.HEARTBEAT, 0)]
    assert most < size  # the buffer grows; nothing beside it


@pytest.mark.parametrize("piece", [1, 2, 3, 7, 200, 10_000])
def test_frames_come_out_whole_however_they_were_cut(piece: int) -> None:
    out = bytearray()
    sizes = [0, 1, 126, 127, 128, 5000, 0, 0, 3]
    for size in sizes:
        put_frame(out, Kind.BLOCK, bytes(range(256)) * 20 if size == 5000 else bytes(size))
    deframer, got = Deframer(), []
    for at in range(0, len(out), piece):
        got += [(kind, bytes(payload)) for kind, payload in deframer.feed(bytes(out[at : at + piece]))]
    assert [len(payload) for _, payload in got] == [5120 if size == 5000 else size for size in sizes]
    assert got[5][1] == bytes(range(256)) * 20
