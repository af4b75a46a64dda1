"""A node in the middle: identity is unchanged, tombstones travel, and what it holds survives it."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import pairwise
from random import Random

import msgspec
from tests.link.world import Clock, Frame, Pair, ParentNode

from headland.blocks.header import decode_alone
from headland.blocks.wire import Reader
from headland.line.outbox import Outbox, OutboxSettings
from headland.link import actions as act
from headland.link import received
from headland.link.contract import Answer, BlockEntry, GapEntry, ParentName, Ref, StreamWelcome
from headland.vocabulary import Account, Lane, Priority

PLENTY = (1 << 30,) * 4


class RelayNode(ParentNode):
    """A parent with a parent of its own, which the test plays."""

    def __init__(
        self, clock: Clock, random: Random, frames: list[Frame] | None = None, **more: object
    ) -> None:
        self.outbox = Outbox("relay", OutboxSettings(), random)
        super().__init__(clock, random, frames, **more)  # type: ignore[arg-type]
        predecessor, n = b"", 0
        for frame in self.frames:
            predecessor, n = frame.epoch, frame.n
            for index, section in enumerate(frame.sections):
                self.outbox.replay_section(section.type, section.data, frame.n, index, frame.running_ms)
        self.outbox.recovered()
        self.outbox.boot(clock.ns // 1_000_000, self.now)
        self.outbox.open_epoch(self.epoch, predecessor, n, self.draft)

    def deliver(self, action: act.Deliver, draft) -> None:
        lane = self.outbox.lane_of_seal(
            Priority(action.item.stream.priority), self.now, Lane(action.item.stream.lane)
        )
        item = msgspec.structs.replace(action.item, lane=lane)
        index = draft.section(received.SECTION, received.encode(item))
        if isinstance(item, received.ReceivedGap):
            self.outbox.relay_gap(item.ranges, lane, draft)
        else:
            self.outbox.relay(item.header, Ref(draft.n, index, len(item.body)), lane, self.now, draft)

    def on_committed(self, n: int) -> None:
        self.outbox.committed(n, self.now)
        super().on_committed(n)

    def north_up(self) -> None:
        positions = [
            StreamWelcome(stream.key, stream.acked, stream.acked_chain)
            for stream in self.outbox.state.streams()
        ]
        self.outbox.link_up(ParentName("cloud", b"C" * 16), positions, self.now, self.draft)
        self.commit()

    def send(self) -> list:
        out, idle = [], 0
        while idle < 3:
            entry = self.outbox.next_to_send(PLENTY, self.now)
            if entry is None:
                idle += 1
                self.outbox.wake(self.now, self.draft)
                self.commit()
            else:
                self.outbox.sent(entry.stream, entry.p_to if isinstance(entry, GapEntry) else entry.p)
                out.append(entry)
        return out


def middle() -> Pair:
    pair = Pair()
    pair.parent = RelayNode(pair.clock, pair.random)
    pair.run(0.5)
    return pair


def test_a_relayed_block_keeps_its_identity_and_digest_and_gets_the_relays_own_position():
    pair = middle()
    sealed = [pair.child.keep() for _ in range(3)]
    pair.run(0.5)
    pair.parent.north_up()
    entries = pair.parent.send()
    assert [entry.origin for entry in entries] == ["child"] * 3
    assert [entry.digest for entry in entries] == [block.header.digest for block in sealed]
    assert {entry.stream.epoch for entry in entries} == {pair.parent.epoch}
    assert pair.parent.ledger.total(Account.PENDING) == pair.parent.ledger.total(Account.RECEIVED) == (3, 24)


def test_a_block_that_arrived_as_backlog_goes_on_as_backlog_and_a_live_one_live():
    # Kills: a lane chosen anew at every hop.
    pair = middle()
    pair.parent.north_up()
    pair.child.keep()
    pair.cut()
    pair.child.keep(Priority.HIGH)
    pair.run(2)
    lanes = {entry.stream.priority: entry.stream.lane for entry in pair.parent.send()}
    assert lanes == {Priority.NORMAL: Lane.LIVE, Priority.HIGH: Lane.BACKLOG}


def test_hops_as_backlog_are_counted_by_whoever_receives():
    # Kills: a block demoted at a relay that is told from nothing that came as backlog before it.
    pair = middle()
    pair.child.keep()
    pair.run(0.5)
    pair.cut()
    pair.child.keep()
    pair.run(2)
    live, backlog = (item.header for item in pair.parent.delivered)
    assert (live.lane, live.backlog_hops) == (Lane.LIVE, 0)
    assert (backlog.lane, backlog.backlog_hops) == (Lane.BACKLOG, 1)
    assert {entry.stream.lane for entry in onward(pair)} == {Lane.BACKLOG}  # the relay's own link was down
    cloud = Pair()
    for p, header in enumerate((live, backlog), start=1):
        cloud.reachable, cloud.child.reads_paused = False, True
        cloud.cut()
        cloud.child.keep()
        cloud.child.commit()
        cloud.reachable = True
        cloud.run(3)
        (read,) = cloud.child.pending_reads
        head, body = cloud.child.body_of(read.entry.ref)
        own = decode_alone(Reader(head))
        relayed = msgspec.structs.replace(own, lane=header.lane, backlog_hops=header.backlog_hops)
        cloud.child.pending_reads.clear()
        cloud.child.do(cloud.child.uplink.block_read(read.entry, relayed, body, {1, 2, 3}, cloud.clock.now))
        cloud.run(1)
        assert cloud.parent.delivered[-1].header.path == p


def test_a_block_demoted_at_a_relay_is_told_from_the_backlog_that_it_overtook():
    # Kills: one lane "backlog" for all: its order cannot be kept when both links of a path were down at once.
    pair = middle()
    pair.reachable = False
    pair.cut()
    for _ in range(300):
        pair.child.keep(rows=100)
        pair.child.commit()
    pair.reachable = True
    for _ in range(400):
        pair.gather()
        pair.flow(1000)
        if pair.child.ups > 1 and pair.child.values < 30_020:
            pair.child.keep()
        pair.child.commit()
        pair.parent.commit()
        pair.clock.advance(0.01)
        pair.child.wake()
        pair.parent.wake()
    pair.run(2)
    assert len(pair.parent.delivered) == 320
    assert {entry.stream.lane for entry in onward(pair)} == {Lane.BACKLOG}
    headers = [item.header for item in pair.parent.delivered]
    assert inversions(header.k for header in headers) > 0
    for hops in (0, 1):
        assert inversions(header.k for header in headers if header.backlog_hops == hops) == 0


def inversions(numbers: Iterable[int]) -> int:
    return sum(after < before for before, after in pairwise(numbers))


def onward(pair: Pair) -> list[BlockEntry]:
    pair.parent.north_up()
    return pair.parent.send()


def test_what_a_relay_acknowledged_is_still_there_after_a_crash_with_the_same_position():
    pair = middle()
    for _ in range(3):
        pair.child.keep()
        pair.step()
    pair.run(0.5)
    before = pair.parent
    pair.parent = RelayNode(pair.clock, pair.random, before.frames)
    streams = [(s.key, s.tail, s.tail_chain) for s in before.outbox.state.streams()]
    after = [(s.key, s.tail, s.tail_chain) for s in pair.parent.outbox.state.streams() if s.tail]
    assert after == streams
    pair.parent.commit()
    pair.parent.north_up()
    assert [entry.p for entry in pair.parent.send()] == [1, 2, 3]


def test_a_childs_tombstone_travels_on_at_a_position_of_its_own():
    # Kills: a tombstone that ends at the first hop.
    pair = middle()
    pair.reachable = False
    pair.cut()
    for _ in range(3):
        pair.child.keep(Priority.HIGH)
    pair.child.commit()
    pair.clock.advance(90_000)
    pair.reachable = True
    pair.run(3)
    pair.parent.north_up()
    (gap,) = pair.parent.send()
    (named,) = gap.ranges
    assert (named.origin, named.k_from, named.k_to, named.readings) == ("child", 1, 3, 3)
    assert pair.parent.ledger.total(Account.PENDING) == (0, 0)
    answer = Answer(gap.stream, gap.p_to, gap.chain[:8])
    assert pair.parent.outbox.answered([answer], pair.clock.now, pair.parent.draft) == []
    crashed = RelayNode(pair.clock, pair.random, pair.parent.frames)
    assert any(s.tail_chain == gap.chain for s in crashed.outbox.state.streams())
