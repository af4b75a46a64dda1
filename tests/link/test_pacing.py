"""Laws of a draining backlog: what is live does not wait for it, on either side."""

from __future__ import annotations

from random import Random

import pytest
from tests.link.test_children import E1, Wire, hello
from tests.link.world import Clock, Pair, ParentNode, delivered_identities

from headland.blocks.block import seal
from headland.blocks.header import HeaderWriter, Run
from headland.link import arrivals, pacing, protocol
from headland.link.actions import ReadBlock
from headland.link.contract import EpochHello, GapRange, StreamHello
from headland.link.frames import Kind, put_frame
from headland.link.pacing import (
    LEAST,
    READ_URGENT,
    REST,
    REST_MAX_NS,
    REST_URGENT,
    REST_URGENT_MAX_NS,
    URGENT_NS,
    Pacing,
    Rests,
    weight_of,
)
from headland.link.received import ReceivedBlock, ReceivedGap
from headland.vocabulary import Columns, Lane, Priority, Reason

MS = 1_000_000
S = 1_000_000_000


def drained(pacer: Pacing, rate: float, path_ns: int, blocks: int, size: int) -> tuple[int, int]:
    """Send blocks over a path that carries `rate` bytes a ns; (time it took, longest wait for an answer)."""
    now, free, p, longest = 0, 0, 0, 0
    answers: list[tuple[int, int, int]] = []
    while p < blocks or answers:
        while p < blocks and not pacer.full:
            p += 1
            pacer.sent("s", p, size, now)
            free = max(free, now) + int(size / rate)
            answers.append((free + path_ns, p, now))
        now, answered, sent = answers.pop(0)
        longest = max(longest, now - sent)
        pacer.answered("s", answered, now)
    return now, longest


@pytest.mark.parametrize("path_ms", [1, 20, 200])
def test_a_path_is_filled_whatever_its_length_and_nothing_waits_much_longer_than_it_takes(
    path_ms: int,
) -> None:
    """Kills: a fixed window, which starves a long path or makes live data queue on a short one."""
    size, rate, path_ns = 4096, 0.002, path_ms * MS
    blocks = 4000
    took, longest = drained(Pacing(), rate, path_ns, blocks, size)
    least = blocks * size / rate
    assert took < least * 1.25 + 20 * path_ns
    assert longest < 2.2 * (path_ns + LEAST / rate)


def test_a_window_shrinks_when_the_path_gets_slower() -> None:
    """Kills: the best that was ever measured, kept for good."""
    pacer = Pacing()
    drained(pacer, 0.1, 50 * MS, 3000, 4096)
    wide = pacer.window
    now, p = 100 * S, 10_000
    for _ in range(40):
        pacer.sent("t", p, 4096, now)
        now += S
        pacer.answered("t", p, now)
        p += 1
    assert wide > 10 * LEAST
    assert pacer.window == LEAST


def test_what_is_sent_is_taken_back_by_its_own_stream_only_and_once() -> None:
    """Kills: weight that never comes back, and with it a backlog that stops for good."""
    pacer = Pacing()
    for p in range(1, 6):
        pacer.sent("a", p, 10_000, p)
    pacer.sent("b", 1, 7, 9)
    assert pacer.full
    pacer.answered("c", 9, 10)
    pacer.answered("a", 3, 10)
    pacer.answered("a", 3, 11)
    assert pacer.unanswered == 20_007
    pacer.answered("a", 9, 12)
    pacer.answered("b", 1, 13)
    assert pacer.unanswered == 0
    assert not pacer.full


def test_after_reading_it_rests_a_multiple_of_the_time_that_took_but_not_for_long() -> None:
    """Kills: a backlog that takes a whole processor from decisions; one that stops after a stalled disk."""
    rests = Rests(REST)
    rests.worked(100 * MS, 103 * MS)
    assert rests.until_ns == (103 + 3 * REST) * MS
    rests.worked(100 * MS, 103 * MS)
    assert rests.until_ns == (103 + 3 * REST) * MS
    rests.worked(0, 10 * S)
    assert rests.until_ns == 10 * S + REST_MAX_NS


def test_while_urgent_live_blocks_pass_it_rests_longer_and_no_longer_when_they_have_ceased() -> None:
    """Kills: a drain that every third urgent reading meets; one that is slow for good after an alarm."""
    rests = Rests(REST)
    rests.urgent(S)
    rests.worked(S, S + MS)
    assert rests.until_ns == S + MS + REST_URGENT * MS
    rests.worked(S, 2 * S)
    assert rests.until_ns == 2 * S + REST_URGENT_MAX_NS
    later_ns = S + URGENT_NS
    rests.worked(later_ns, later_ns + MS)
    assert rests.until_ns == later_ns + MS + REST * MS


def test_a_turn_lasts_until_it_is_asked_whether_there_may_be_another() -> None:
    """Kills: turns that count as nothing, because no time passes while one event is handled."""
    rests = Rests(0)
    rests.begin(S)
    assert not rests.measuring
    assert rests.over(S + MS)
    rests.urgent(2 * S)
    rests.begin(2 * S)
    assert rests.measuring
    assert rests.until_ns == 0
    assert not rests.over(2 * S + MS)
    assert rests.until_ns == 2 * S + MS + REST_URGENT * MS
    assert not rests.over(rests.until_ns - 1)
    assert rests.over(rests.until_ns)


def test_many_rows_in_few_bytes_weigh_more_than_few() -> None:
    """Kills: pacing by bytes alone, under which ten thousand rows are nothing."""
    assert weight_of(1000, 10_000) > 10 * weight_of(1000, 10)
    assert weight_of(10, 1) >= pacing.BLOCK_WEIGHT


def test_a_child_leaves_no_more_than_a_window_unanswered_and_live_blocks_do_not_count() -> None:
    pair = Pair()
    pair.reachable = False
    pair.run(0.1)
    child = pair.child
    for _ in range(400):
        child.keep(rows=200)
    child.commit()
    pair.reachable = True
    while child.ups == 0:
        pair.step()
    sending = child.uplink._sending
    for _ in range(50):
        child.wake()
        child.commit()
    assert LEAST <= sending.pacing.unanswered < LEAST + weight_of(4096, 200)
    before = child.uplink.blocks_sent
    child.keep(Priority.NORMAL)
    child.commit()
    child.wake()
    assert child.uplink.blocks_sent == before + 1
    pair.run(20, 0.02)
    assert len(delivered_identities(pair.parent)) == 401
    assert sending.pacing.unanswered == 0


@pytest.mark.parametrize("priority", [Priority.HIGH, Priority.NORMAL])
def test_beside_urgent_live_blocks_a_child_reads_little_backlog_at_a_time(priority: Priority) -> None:
    """Kills: a hundred blocks read at once, and every live block of that time behind them."""
    pair = Pair()
    pair.reachable = False
    pair.run(0.1)
    child = pair.child
    for _ in range(100):
        child.keep(rows=2000)
    child.commit()
    pair.reachable = True
    while child.ups == 0:
        pair.step()
    child.keep(priority)
    child.commit()
    pair.run(0.2)
    child.reads_paused = True
    most = size = 0
    for _ in range(8):
        pair.run(0.3)
        sizes = [action.entry.size for action in child.pending_reads if isinstance(action, ReadBlock)]
        most, size = max(most, sum(sizes)), max(sizes, default=size)
        waiting, child.pending_reads = child.pending_reads, []
        for action in waiting:
            child.read_one(action)
    if priority == Priority.HIGH:
        assert 0 < most < READ_URGENT + size
    else:
        assert most > READ_URGENT + size


# ── the parent ──────────────────────────────────────────────────────────────────────────────────────────────


class Child:
    """Writes blocks on one connection by hand."""

    def __init__(self, parent: ParentNode, connection: int, name: str) -> None:
        self.name = name
        self.writer = HeaderWriter()
        self.k = 0
        self.p = [0, 0]
        self.out = bytearray()
        self.wire = Wire(parent, connection, name)
        self.wire.send(hello(E1, b"", EpochHello(E1), node=name))
        protocol.put(self.out, protocol.Define(name, E1, ((1, "s", ()),)))

    def block(self, lane: Lane, rows: int = 1, *, spoiled: bool = False) -> Child:
        columns = Columns()
        for row in range(rows):
            columns.append(1, row, 1.5)
        self.k += 1
        header, body = seal(
            columns,
            origin=self.name,
            epoch=E1,
            priority=Priority.HIGH,
            k=self.k,
            lane=lane,
            runs=(Run(1, 5, rows),),
        )
        self.p[lane] += 1
        if self.p[lane] == 1:
            protocol.put_point(self.out, Kind.TURN, protocol.Point(1, lane, 0, 1))
        put_frame(
            self.out,
            Kind.BLOCK,
            self.writer.encode(header, with_digest=not spoiled),
            b"\x07" if spoiled else body,
        )
        return self

    def gap(self) -> Child:
        self.k += 1
        self.p[Lane.BACKLOG] += 1
        p = self.p[Lane.BACKLOG]
        lost = GapRange(self.name, E1, 1, self.k, self.k, Reason.EXPIRED, 1, 8, 0, 0)
        protocol.put(self.out, protocol.Gap(1 << 1 | Lane.BACKLOG, 0, p, p, bytes(16), (lost,)))
        return self

    def send(self) -> Child:
        self.wire.send(raw=bytes(self.out))
        self.out.clear()
        return self


@pytest.fixture
def parent() -> ParentNode:
    return ParentNode(Clock(), Random(1))


def lanes(parent: ParentNode) -> list[Lane]:
    parent.commit()
    return [Lane(item.stream.lane) for item in parent.delivered]


def wake(parent: ParentNode, *children: Child) -> None:
    children[0].wire.wake(*(one.wire for one in children[1:]))


def test_a_live_block_is_taken_at_once_whatever_backlog_came_before_it(parent: ParentNode) -> None:
    """Kills: a live reading that waits until a window of backlog is unfolded and hashed."""
    child = Child(parent, 1, "child")
    for _ in range(5):
        child.block(Lane.BACKLOG, 3000)
    child.block(Lane.LIVE).send()
    assert lanes(parent) == [Lane.LIVE]
    assert parent.children.next_wake() == 0
    for taken in range(1, 6):
        wake(parent, child)
        assert lanes(parent).count(Lane.BACKLOG) == taken
    wake(parent, child)
    assert parent.children.next_wake() != 0


def test_beside_urgent_live_blocks_a_parent_rests_between_turns_and_takes_what_is_live_meanwhile(
    parent: ParentNode,
) -> None:
    """Kills: every live reading behind a block that is being checked; rests that live blocks wait for."""
    child = Child(parent, 1, "child")
    child.block(Lane.LIVE)
    for _ in range(3):
        child.block(Lane.BACKLOG, 3000)
    child.send()
    wake(parent, child)
    assert parent.children.next_wake() == 0
    parent.clock.advance(0.003)
    wake(parent, child)
    due_ns = parent.children.next_wake()
    assert due_ns == parent.clock.ns + REST_URGENT * 3 * MS
    parent.clock.ns = due_ns - 1
    child.block(Lane.LIVE).send()
    wake(parent, child)
    assert lanes(parent) == [Lane.LIVE, Lane.BACKLOG, Lane.LIVE]
    parent.clock.ns = due_ns
    wake(parent, child)
    assert lanes(parent).count(Lane.BACKLOG) == 2


def test_a_parent_without_urgent_live_blocks_checks_backlog_without_a_rest(parent: ParentNode) -> None:
    """Kills: a drain at night, slow for the sake of nobody."""
    child = Child(parent, 1, "child")
    for _ in range(3):
        child.block(Lane.BACKLOG, 3000)
    child.send()
    for taken in range(1, 4):
        assert parent.children.next_wake() == 0
        wake(parent, child)
        parent.clock.advance(0.003)
        assert lanes(parent).count(Lane.BACKLOG) == taken


def test_a_turn_is_one_large_block_or_some_small_ones(parent: ParentNode) -> None:
    """Kills: a thousand small blocks at a block a turn; a turn that takes them all."""
    child = Child(parent, 1, "child")
    for _ in range(100):
        child.block(Lane.BACKLOG)
    child.send()
    wake(parent, child)
    assert len(lanes(parent)) == -(-arrivals.TURN_WEIGHT // (arrivals.BLOCK_WEIGHT + 1))


def test_children_that_drain_take_turns(parent: ParentNode) -> None:
    """Kills: a child that waits until another has drained; a wake that takes a turn of everybody."""
    one, two = Child(parent, 1, "one"), Child(parent, 2, "two")
    for child in (one, two):
        for _ in range(2):
            child.block(Lane.BACKLOG, 3000)
        child.send()
    names = []
    for _ in range(4):
        wake(parent, one, two)
        parent.commit()
        names.append(parent.delivered[-1].child)
    assert len(parent.delivered) == 4
    assert names == ["one", "two", "one", "two"]


def test_tombstones_keep_their_place_behind_backlog_that_waits(parent: ParentNode) -> None:
    """Kills: a stream that moves past blocks that were not looked at."""
    child = Child(parent, 1, "child")
    child.block(Lane.BACKLOG, 3000).gap().block(Lane.BACKLOG, 3000).send()
    assert lanes(parent) == []
    for _ in range(3):
        wake(parent, child)
    parent.commit()
    kinds = [type(item) for item in parent.delivered]
    assert kinds == [ReceivedBlock, ReceivedGap, ReceivedBlock]
    assert [item.p for item in parent.delivered] == [1, 2, 3]


def test_backlog_that_breaks_the_protocol_costs_the_connection_not_what_was_taken_before(
    parent: ParentNode,
) -> None:
    """Kills: blocks whose position has moved and whose rows were thrown away with the error behind them."""
    child = Child(parent, 1, "child")
    child.block(Lane.BACKLOG).block(Lane.BACKLOG, spoiled=True).block(Lane.BACKLOG).send()
    assert not child.wire.closed
    wake(parent, child)
    assert child.wire.closed
    assert len(lanes(parent)) == 1
    assert parent.children.next_wake() != 0


def test_what_waits_when_a_connection_ends_is_not_taken_and_a_newer_connection_is_told_so(
    parent: ParentNode,
) -> None:
    """Kills: blocks of a dead connection taken after its successor was told where the stream stands."""
    child = Child(parent, 1, "child")
    child.block(Lane.BACKLOG, 3000).block(Lane.BACKLOG, 3000).send()
    wake(parent, child)
    parent.commit()
    second = Wire(parent, 2)
    actions = parent.children.received(2, _hello_naming(E1), parent.now, parent.draft)
    child.wire.take(actions)
    second.take(actions)
    for _ in range(3):
        wake(parent, child)
    assert len(lanes(parent)) == 1
    welcome = second.welcome()
    assert welcome is not None
    assert [item.p for item in welcome.positions] == [1]


def _hello_naming(epoch: bytes) -> bytes:
    out = bytearray()
    stream = StreamHello(1, Lane.BACKLOG, 2, 0, bytes(16))
    protocol.put(out, hello(epoch, b"", EpochHello(epoch, streams=(stream,))))
    return bytes(out)
