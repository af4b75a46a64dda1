"""Laws of the child's end: newer parents, full buffers, live before backlog on one connection."""

from __future__ import annotations

import msgspec
from tests.link.world import Pair

from headland.blocks.header import decode_alone
from headland.blocks.wire import Reader
from headland.link import actions as act
from headland.link import protocol
from headland.link.contract import ParentName
from headland.link.frames import Deframer, Kind, put_frame
from headland.link.sending import BURST
from headland.link.uplink import Phase
from headland.vocabulary import Lane, Priority


def greeting() -> Pair:
    pair = Pair()
    pair.gather()
    assert pair.child.uplink.phase is Phase.GREETING
    return pair


def from_parent(pair: Pair, data: bytes) -> list[object]:
    child = pair.child
    child.open_epoch()
    return child.uplink.received(pair.connection, data, pair.clock.now, child.draft)


def welcome(**more: object) -> protocol.Welcome:
    base = protocol.Welcome(1, "parent", b"S" * 16, (), (1 << 20,) * 4)
    return msgspec.structs.replace(base, **more)


def test_an_older_child_works_with_a_newer_parents_longer_welcome_and_unknown_messages():
    pair = greeting()
    out = bytearray()
    fields = msgspec.msgpack.decode(msgspec.msgpack.encode(welcome()))
    put_frame(out, Kind.WELCOME, msgspec.msgpack.encode([*fields, {"of": "version 2"}, 7]))
    put_frame(out, 0xF3, b"a message of version 2 that may be skipped")
    put_frame(out, Kind.HEARTBEAT)
    actions = from_parent(pair, bytes(out))
    assert act.Up(ParentName("parent", b"S" * 16), 1) in actions
    assert pair.child.uplink.phase is Phase.UP


def test_a_parent_that_picks_a_version_which_was_not_offered_is_left():
    pair = greeting()
    out = bytearray()
    protocol.put(out, welcome(version=2))
    from_parent(pair, bytes(out))
    assert pair.child.uplink.phase is Phase.WAITING


def test_a_parent_that_does_not_welcome_is_given_up_and_dialled_again():
    pair = greeting()
    pair.clock.advance(10.1)
    pair.child.do(pair.child.uplink.wake(pair.clock.now))
    assert pair.child.uplink.phase is Phase.WAITING
    assert pair.child.uplink.next_wake() is not None


def test_a_clone_that_was_refused_dials_slowly():
    # Kills: a clone that knocks every second.
    pair = greeting()
    out = bytearray()
    protocol.put(out, protocol.Closing(protocol.CloseReason.CLONE, "a clone"))
    actions = from_parent(pair, bytes(out))
    assert any(getattr(action, "kind", "") == "refused_by_parent" for action in actions)
    at = pair.child.uplink.next_wake()
    assert at is not None
    assert at - pair.clock.ns >= 20_000_000_000


def draining(blocks: int) -> Pair:
    pair = Pair()
    pair.reachable = False
    pair.run(0.1)
    for _ in range(blocks):
        pair.child.keep(rows=200)
    pair.child.commit()
    pair.reachable = True
    pair.run(0.9)
    while pair.child.ups == 0:
        pair.step()
    return pair


def test_while_the_connections_buffer_is_full_nothing_is_added_and_live_goes_first_afterwards():
    pair = draining(60)
    child = pair.child
    child.do(child.uplink.pause(True, pair.clock.now))
    child.to_send.clear()
    for _ in range(3):
        child.keep(Priority.NORMAL)
        child.commit()
        child.wake()
    assert not child.to_send
    child.do(child.uplink.pause(False, pair.clock.now))
    sent = b"".join(send.data for send in child.to_send)
    kinds = [kind for kind, _ in Deframer().feed(sent)]
    assert Kind.BLOCK in kinds
    # The three live blocks are one turn, before any turn of the backlog.
    assert kinds.count(Kind.BLOCK) >= 3
    turns = [payload[0] & 1 for kind, payload in Deframer().feed(sent) if kind == Kind.TURN]
    assert turns[:1] == [Lane.LIVE]


def test_backlog_goes_in_bursts_and_asks_to_be_woken_for_the_next():
    pair = draining(400)
    child = pair.child
    child.to_send.clear()
    child.do(child.uplink.wake(pair.clock.now))
    assert sum(len(send.data) for send in child.to_send) < 2 * BURST


def test_after_a_stop_nothing_is_dialled_any_more():
    pair = Pair()
    pair.run(0.5)
    pair.child.do(pair.child.uplink.stop(pair.clock.now))
    assert pair.child.uplink.phase is Phase.IDLE
    assert pair.child.uplink.next_wake() is None
    pair.run(3)
    assert pair.child.ups == 1


def test_a_block_that_was_read_asks_for_no_other_block_so_that_a_cache_cannot_nest_calls():
    # Kills: a stack that grows with the number of blocks that wait.
    pair = draining(400)
    child = pair.child
    child.reads_paused = True
    pair.run(0.5)
    pending = [action for action in child.pending_reads if isinstance(action, act.ReadBlock)]
    assert pending
    entry = pending[0].entry
    head, body = child.body_of(entry.ref)
    header = decode_alone(Reader(head))
    actions = child.uplink.block_read(entry, header, body, {1, 2, 3}, pair.clock.now)
    assert not any(isinstance(action, act.ReadBlock | act.ReadPage) for action in actions)


def test_a_long_backlog_drains_though_every_read_ahead_is_cut_short():
    pair = draining(400)
    pair.run(20, 0.02)
    assert len(pair.parent.delivered) == 400


def test_while_bodies_of_live_blocks_are_read_nobody_asks_to_be_woken_for_more():
    # Kills: a loop that spins until the disk has answered.
    pair = Pair()
    pair.run(0.5)
    child = pair.child
    child.reads_paused = True
    for _ in range(200):
        child.keep()
    child.commit()
    child.wake()
    assert len(child.pending_reads) > 1
    wake = child.uplink.next_wake()
    assert wake is not None
    assert wake > pair.clock.ns


def test_a_younger_epoch_does_not_overtake_bodies_that_are_still_being_read():
    # Kills: what is ready is sent, whatever its lane still waits for.
    pair = Pair()
    pair.reachable = False
    pair.gather()
    for again in (True, False):
        for _ in range(2):
            pair.child.keep()
        pair.child.commit()
        if again:
            pair.restart_child()
    child = pair.child
    child.reads_paused = True
    pair.reachable = True
    pair.run(3)
    reads = [action for action in child.pending_reads if isinstance(action, act.ReadBlock)]
    assert len(reads) == 4
    child.pending_reads.clear()
    for action in reversed(reads):
        child.read_one(action)
    pair.run(1)
    epochs = [item.header.epoch for item in pair.parent.delivered]
    assert len(epochs) == 4
    assert epochs[2:] == [child.epoch] * 2
