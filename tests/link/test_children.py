"""Laws of the parent's end: who may connect, what a hostile child can do, what the handshake settles."""

from __future__ import annotations

from random import Random

import msgspec
import pytest
from tests.link.world import ChildNode, Clock, Pair, ParentNode, S, delivered_identities

from headland.blocks.block import seal
from headland.blocks.header import HeaderWriter, Run
from headland.journal.draft import Draft
from headland.link import protocol, sending
from headland.link import received as rx
from headland.link.actions import Close, Send
from headland.link.contract import EpochHello, StreamHello
from headland.link.frames import Deframer, Kind, put_frame
from headland.link.protocol import CloseReason, Closing, Hello, Welcome
from headland.vocabulary import NO_TIME, Account, Columns, Lane, Priority


class Wire:
    """One hand-made connection to a parent."""

    def __init__(self, parent: ParentNode, connection: int, peer: str | None = "child") -> None:
        self.parent = parent
        self.connection = connection
        self.deframer = Deframer()
        self.frames: list[tuple[int, bytes]] = []
        self.closed = False
        self.take(parent.children.opened(connection, peer, parent.now))

    def take(self, actions) -> None:
        for action in actions:
            if isinstance(action, Send) and action.connection == self.connection:
                self.frames += [(kind, bytes(payload)) for kind, payload in self.deframer.feed(action.data)]
            elif isinstance(action, Close) and action.connection == self.connection:
                self.closed = True
        self.parent.do([action for action in actions if not isinstance(action, Send | Close)])

    def send(self, *messages: object, raw: bytes = b"") -> Wire:
        out = bytearray()
        for message in messages:
            protocol.put(out, message)
        actions = self.parent.children.received(
            self.connection, bytes(out) + raw, self.parent.now, self.parent.draft
        )
        self.take(actions)
        return self

    def wake(self, *others: Wire) -> None:
        actions = self.parent.children.wake(self.parent.now, self.parent.draft)
        self.take(actions)
        for wire in others:
            wire.take([action for action in actions if isinstance(action, Send | Close)])

    def welcome(self) -> Welcome | None:
        for kind, payload in self.frames:
            if kind == Kind.WELCOME:
                return protocol.parse(memoryview(payload), Welcome)
        return None

    def closing(self) -> Closing | None:
        for kind, payload in self.frames:
            if kind == Kind.CLOSE:
                return protocol.parse(memoryview(payload), Closing)
        return None


def hello(epoch: bytes, predecessor: bytes = b"", *epochs: EpochHello, **more: object) -> Hello:
    base = Hello(protocol.MAGIC, 1, 1, "child", epoch, predecessor, epochs)
    return msgspec.structs.replace(base, **more)


E1, E2, E3 = b"1" * 16, b"2" * 16, b"3" * 16


@pytest.fixture
def parent() -> ParentNode:
    return ParentNode(Clock(), Random(1))


def test_the_newer_connection_of_the_same_epoch_takes_over_at_once(parent):
    first = Wire(parent, 1).send(hello(E1))
    second = Wire(parent, 2)
    actions = parent.children.received(2, _bytes(hello(E1)), parent.now, parent.draft)
    first.take(actions)
    second.take(actions)
    assert first.closed
    assert first.closing().reason == CloseReason.TAKEN_OVER
    assert second.welcome() is not None


def test_a_restart_is_welcomed_as_soon_as_the_old_connection_ends(parent):
    # Kills: a child that was restarted waits three seconds for a connection that its death has closed.
    first = Wire(parent, 1).send(hello(E1))
    second = Wire(parent, 2).send(hello(E2, E1))
    assert second.welcome() is None
    parent.do(parent.children.closed(1, "reset", parent.now))
    assert parent.children.next_wake() <= parent.now.monotonic_ns
    second.wake()
    assert second.welcome() is not None
    assert not first.frames[1:]
    assert parent.alarms == []


@pytest.mark.parametrize("predecessor", [E1, E2], ids=["of one ancestor", "of a copy of its disk"])
def test_another_epoch_while_the_connected_one_answers_is_a_clone_refused_and_alarmed(parent, predecessor):
    # Kills: newest connection always wins; who names the connected epoch as its predecessor is its restart.
    first = Wire(parent, 1).send(hello(E2, E1))
    second = Wire(parent, 2)
    actions = parent.children.received(2, _bytes(hello(E3, predecessor)), parent.now, parent.draft)
    first.take(actions)
    second.take(actions)
    assert second.welcome() is None
    assert (Kind.PROBE, b"") in first.frames
    parent.clock.advance(1.5)
    first.send(raw=b"\x01\x03")
    parent.clock.advance(1.6)
    first.wake(second)
    assert second.closing().reason == CloseReason.CLONE
    assert not first.closed
    assert [alarm.kind for alarm in parent.alarms] == ["clone"]


def test_another_epoch_takes_over_when_the_connected_one_does_not_answer_within_three_seconds(parent):
    first = Wire(parent, 1).send(hello(E2, E1))
    parent.clock.advance(0.2)
    second = Wire(parent, 2)
    actions = parent.children.received(2, _bytes(hello(E3, E1)), parent.now, parent.draft)
    second.take(actions)
    parent.clock.advance(3.01)
    second.wake(first)
    assert first.closed
    assert second.welcome() is not None


def test_what_was_under_way_when_the_connected_one_died_is_no_answer(parent):
    # Kills: a machine that lost its power is taken for alive, and its restart for a clone.
    first = Wire(parent, 1).send(hello(E1))
    second = Wire(parent, 2).send(hello(E2, E1))
    parent.clock.advance(0.4)
    first.send(raw=b"\x01\x03")
    parent.clock.advance(2.61)
    second.wake(first)
    assert first.closed
    assert second.welcome() is not None


def test_a_restart_that_dials_again_while_it_waits_is_no_clone_of_itself(parent):
    # Kills: a waiting connection that is judged by what was asked of another; two that wait for one place.
    first = Wire(parent, 1).send(hello(E1))
    half_open = Wire(parent, 2).send(hello(E2, E1))
    parent.clock.advance(1.0)
    again = Wire(parent, 3).send(hello(E2, E1))
    parent.clock.advance(2.01)
    again.wake(first, half_open)
    assert again.welcome() is None
    parent.clock.advance(1.0)
    again.wake(first, half_open)
    assert first.closed
    assert again.welcome() is not None
    assert parent.alarms == []


def test_who_waits_asks_whoever_has_taken_the_place_meanwhile(parent):
    first = Wire(parent, 1).send(hello(E1))
    clone = Wire(parent, 2).send(hello(E3, E1))
    parent.clock.advance(1.5)
    again = Wire(parent, 3)
    first.take(parent.children.received(3, _bytes(hello(E1)), parent.now, parent.draft))
    parent.clock.advance(1.6)
    again.wake(first, clone)
    assert clone.closing() is None
    parent.clock.advance(2.0)
    again.send(raw=b"\x01\x03")
    parent.clock.advance(1.1)
    again.wake(clone)
    assert clone.closing().reason == CloseReason.CLONE
    assert [alarm.kind for alarm in parent.alarms] == ["clone"]


def _bytes(message: object) -> bytes:
    out = bytearray()
    protocol.put(out, message)
    return bytes(out)


def test_a_name_that_the_certificate_does_not_say_is_refused(parent):
    wire = Wire(parent, 1, "somebody").send(hello(E1))
    assert wire.closing().reason == CloseReason.NAME
    assert wire.closed


def test_a_child_with_a_newer_range_of_versions_is_spoken_to_in_the_common_one(parent):
    assert Wire(parent, 1).send(hello(E1, version_max=9)).welcome().version == 1


def test_a_child_without_a_common_version_is_told_so(parent):
    wire = Wire(parent, 1).send(hello(E1, version_min=2, version_max=3))
    assert wire.closing().reason == CloseReason.VERSION


def test_a_newer_childs_extra_fields_and_skippable_messages_are_ignored(parent):
    fields = [*msgspec.msgpack.decode(msgspec.msgpack.encode(hello(E1))), "a field of version 2", {"and": 1}]
    raw = bytearray()
    put_frame(raw, Kind.HELLO, msgspec.msgpack.encode(fields))
    put_frame(raw, Kind.HEARTBEAT)
    wire = Wire(parent, 1).send(raw=bytes(raw))
    wire.send(raw=b"\x05\xf0abcd")
    assert wire.welcome() is not None
    assert not wire.closed


def test_an_unknown_message_that_may_not_be_skipped_ends_the_connection(parent):
    wire = Wire(parent, 1).send(hello(E1)).send(raw=b"\x05\x70abcd")
    assert wire.closing().reason == CloseReason.PROTOCOL


def test_a_hole_in_positions_ends_the_connection(parent):
    # Kills: a gap in positions accepted.
    wire = Wire(parent, 1).send(hello(E1, b"", EpochHello(E1)))
    out = bytearray()
    protocol.put_point(out, Kind.TURN, protocol.Point(2, 0, 0, 2))
    wire.send(raw=bytes(out))
    assert wire.closing().reason == CloseReason.PROTOCOL


def test_an_opening_balance_is_taken_only_where_there_is_no_history(parent):
    named = EpochHello(E1, b"", 0, (StreamHello(2, 0, 9, 5, b"c" * 16, 5, b"c" * 16),))
    wire = Wire(parent, 1).send(hello(E1, b"", named))
    assert wire.welcome().positions[0].p == -1
    wire.send(protocol.Open(4, 0, 5, b"c" * 16))
    assert not wire.closed
    wire.send(protocol.Open(4, 0, 7, b"c" * 16))
    assert wire.closing().reason == CloseReason.PROTOCOL


def test_a_child_that_does_not_know_its_newest_epoch_has_gone_back_and_is_reported():
    pair = Pair()
    pair.run(0.3)
    pair.child.keep()
    pair.run(0.5)
    frames = pair.child.frames[:]
    pair.restart_child()
    pair.child.keep()
    pair.run(0.5)
    pair.restart_child(frames)
    pair.run(1)
    assert "child_went_back" in [alarm.kind for alarm in pair.parent.alarms]


def test_a_child_restored_within_an_epoch_has_gone_back_and_keeps_what_it_has():
    pair = Pair()
    pair.run(0.3)
    for _ in range(4):
        pair.child.keep()
        pair.child.commit()
    frames = pair.child.frames[:-3]
    pair.run(1)
    pair.restart_child(frames)
    pair.run(1)
    assert "child_went_back" in [alarm.kind for alarm in pair.child.alarms + pair.parent.alarms]
    pair.child.keep()
    pair.run(1)
    assert len(delivered_identities(pair.parent)) == 5


def test_a_block_at_a_position_that_is_already_here_is_counted_and_dropped(parent):
    # Kills: a position taken twice.
    columns = Columns()
    columns.append(1, NO_TIME, 1.5)
    header, body = seal(
        columns, origin="child", epoch=E1, priority=Priority.HIGH, k=1, lane=Lane.LIVE, runs=(Run(1, 5, 1),)
    )
    writer, out = HeaderWriter(), bytearray()
    protocol.put(out, protocol.Define("child", E1, ((1, "s", ()),)))
    for _ in range(2):
        protocol.put_point(out, Kind.TURN, protocol.Point(1, 0, 0, 1))
        put_frame(out, Kind.BLOCK, writer.encode(header), body)
    wire = Wire(parent, 1).send(hello(E1, b"", EpochHello(E1))).send(raw=bytes(out))
    parent.commit()
    assert not wire.closed
    assert len(parent.delivered) == 1
    assert parent.ledger.total(Account.RECEIVED)[0] == 1


def test_exceptions_are_confirmed_only_when_they_are_durable_at_the_child():
    # Kills: a parent that forgets a `Later` which the child then loses in a crash.
    pair = Pair()
    pair.run(0.3)
    pair.parent.children.refusing = True
    pair.child.keep()
    pair.child.commit()
    pair.gather()
    pair.flow()
    pair.parent.commit()
    pair.gather()
    pair.child.keep(Priority.HIGH)
    pair.child.close_commit()
    pair.flow()
    pair.child.finish_commit()
    assert pair.child.outbox.state.waiting
    sent = Deframer().feed(b"".join(send.data for send in pair.child.to_send))
    assert [kind for kind, _ in sent if kind != Kind.TURN] == [Kind.BLOCK]
    pair.restart_child()
    pair.run(1.5)
    assert pair.child.outbox.state.waiting


@pytest.mark.parametrize("seed", range(60))
def test_garbage_costs_a_peer_its_connection_and_nothing_else(parent, seed):
    random = Random(seed)
    child = ChildNode(parent.clock, random)
    child.do(child.uplink.start(child.epoch, b"", parent.now))
    child.do(child.uplink.connected(1, parent.now))
    good = bytearray(b"".join(send.data for send in child.to_send))
    for _ in range(random.randrange(1, 6)):
        good[random.randrange(len(good))] = random.randrange(256)
    wire = Wire(parent, 1)
    wire.send(raw=bytes(good) + random.randbytes(random.randrange(200)))
    other = Wire(parent, 2, "other").send(msgspec.structs.replace(hello(E1), node="other"))
    assert other.welcome() is not None


@pytest.mark.parametrize("seed", range(60))
def test_garbage_from_a_parent_costs_the_connection_and_no_block(seed):
    pair = Pair(seed)
    pair.run(0.3)
    for _ in range(3):
        pair.child.keep()
    pair.child.commit()
    pair.gather()
    pair.flow()
    pair.parent.commit()
    pair.gather()
    for _ in range(1 + seed % 4):
        pair.south[pair.random.randrange(len(pair.south))] = pair.random.randrange(256)
    pair.flow()
    pair.cut()
    pair.run(3)
    assert len(delivered_identities(pair.parent)) == 3
    assert pair.child.ledger.total(Account.COMMITTED)[0] == 3


def test_a_block_that_does_not_decode_is_rejected_by_its_digest_and_its_lane_goes_on():
    # Kills: a poison block that blocks its lane for ever.
    pair = Pair()
    pair.run(0.3)
    pair.child.keep(body=b"\x00\x83rubbish")
    for _ in range(3):
        pair.child.keep()
    pair.run(4)
    assert [k for *_, k in delivered_identities(pair.parent)] == [2, 3, 4]
    assert "rejected" in [alarm.kind for alarm in pair.child.alarms]
    assert pair.child.ledger.total(Account.DEAD)[0] == 1
    gaps = [item for item in pair.parent.delivered if isinstance(item, rx.ReceivedGap)]
    assert [(gap.ranges[0].k_from, gap.ranges[0].k_to) for gap in gaps] == [(1, 1)]


def test_rows_that_are_not_what_their_digest_says_are_refused():
    pair = Pair()
    pair.run(0.3)
    other = pair.child.keep(rows=40)
    pair.child.draft = Draft(pair.child.n)
    pair.restart_child()
    pair.run(0.3)
    pair.child.keep(rows=40, body=other.body)
    pair.child.keep(Priority.HIGH)
    pair.run(3)
    assert [k for *_, k in delivered_identities(pair.parent)] == [1]
    assert pair.parent.ledger.total(Account.RECEIVED)[0] == 1


def test_every_series_is_named_before_its_first_block_and_once_a_connection():
    pair = Pair()
    pair.run(0.3)
    for _ in range(6):
        pair.child.keep()
        pair.step()
    assert {sid for _, _, sid in pair.parent.definitions} == {1, 2, 3}
    pair.gather()
    before = pair.bytes_north
    pair.child.keep()
    pair.step()
    pair.gather()
    assert pair.bytes_north - before <= 27


def test_a_full_parent_spends_no_attempt_and_gets_the_block_when_it_has_room():
    pair = Pair()
    pair.run(0.3)
    pair.parent.children.refusing = True
    pair.child.keep()
    pair.run(1)
    assert not pair.parent.delivered
    (item,) = pair.child.outbox.state.waiting.values()
    assert item.letter.row.tries == 0
    pair.parent.children.refusing = False
    pair.run(40, 0.5)
    assert [k for *_, k in delivered_identities(pair.parent)] == [1]


def test_more_epochs_than_a_hello_names_are_compared_on_later_connections(monkeypatch):
    # Kills: streams that no handshake compared; a child of thousands of restarts that can never connect.
    monkeypatch.setattr(sending, "HELLO_EPOCHS", 3)
    pair = Pair()
    pair.reachable = False
    for _ in range(8):
        pair.run(0.1)
        pair.child.keep()
        pair.child.keep(Priority.HIGH)
        pair.child.commit()
        pair.restart_child()
    pair.reachable = True
    pair.run(20)
    assert len(set(delivered_identities(pair.parent))) == len(pair.parent.delivered) == 16
    assert len({item.stream.epoch for item in pair.parent.delivered}) == 8
    assert all(stream.drained for stream in pair.child.outbox.state.streams())
    assert not pair.child.alarms + pair.parent.alarms


def test_an_answer_that_the_child_has_and_never_confirmed_is_confirmed_after_the_next_handshake():
    # Kills: a parent that keeps exceptions for ever.
    pair = Pair()
    pair.run(0.3)
    pair.parent.children.refusing = True
    pair.child.keep()
    pair.child.commit()
    pair.gather()
    pair.flow()
    pair.parent.commit()
    pair.gather()
    pair.flow()
    pair.child.commit()
    assert pair.child.outbox.state.waiting
    pair.child.to_send.clear()
    (stream,) = pair.parent.children.positions.children["child"].streams.values()
    assert stream.exceptions
    pair.cut()
    pair.run(3)
    assert not stream.exceptions


def test_a_silent_connection_is_dead_after_three_missed_heartbeats():
    pair = Pair()
    pair.run(1)
    assert pair.child.ups == 1
    start = pair.child.uplink._heard_at
    while pair.child.downs == 0:
        pair.clock.advance(0.1)
        pair.child.wake()
        pair.child.to_send.clear()
    assert 3 <= (pair.clock.ns - start) / S < 4


def test_intents_come_down_whole_once_and_again_until_they_are_applied():
    pair = Pair()
    pair.run(0.3)
    body = pair.random.randbytes(100_000)
    pair.parent.children.desire("child", "config", 7, body, pair.clock.now, pair.parent.draft)
    pair.run(1)
    assert [(i.kind, i.version, i.body) for i in pair.child.intents] == [("config", 7, body)]
    pair.restart_parent()
    pair.run(2)
    assert len(pair.child.intents) == 2
    status = protocol.IntentStatus("config", 7, "applied")
    pair.child.do(pair.child.uplink.report(status, pair.clock.now))
    pair.run(0.5)
    assert [(item.child, item.status.state) for item in pair.parent.reported] == [("child", "applied")]
    pair.cut()
    pair.run(2)
    assert len(pair.child.intents) == 2
    pair.parent.children.desire("child", "config", 8, b"", pair.clock.now, pair.parent.draft)
    pair.run(1)
    assert pair.child.intents[-1].version == 8


def test_the_welcome_waits_for_the_commit_of_what_the_last_connection_brought():
    # Kills: a welcome that names less than what was received; the child then buries what is here.
    pair = Pair()
    pair.run(0.3)
    pair.child.keep()
    pair.child.commit()
    pair.gather()
    pair.flow()
    pair.cut()
    pair.clock.advance(1.3)
    pair.child.wake()
    pair.gather()
    pair.flow()
    pair.gather()
    assert not pair.south
    pair.parent.commit()
    pair.gather()
    assert pair.south
    pair.run(1)
    assert len(pair.parent.delivered) == 1


@pytest.mark.parametrize("seed", range(5))
def test_the_next_deadline_is_the_nearest_of_all_connections_whatever_has_happened(parent, seed):
    """Kills: a deadline that is forgotten when it becomes nearer; a wake for a child that has been heard."""
    random = Random(seed)
    children, wires = parent.children, {}
    for step in range(300):
        parent.clock.advance(random.choice([0.0, 0.01, 0.4]))
        at = children.next_wake()
        if at is not None and at <= parent.clock.ns:
            actions = children.wake(parent.now, parent.draft)
            for wire in wires.values():
                wire.take([action for action in actions if isinstance(action, Send | Close)])
        match random.randrange(5):
            case 0:
                name = f"child{random.randrange(6)}"
                wires[step + 1] = Wire(parent, step + 1, name)
                if random.random() < 0.8:
                    epoch = random.choice([E1, E2, E3])
                    wires[step + 1].send(hello(epoch, node=name))
            case 1 if wires:
                random.choice(list(wires.values())).send(raw=b"\x01\x03")
            case 2 if wires:
                children.closed(wires.pop(random.choice(list(wires))).connection, "gone", parent.now)
            case 3:
                children.desire("child1", "config", step, b"x" * 70_000, parent.now, parent.draft)
            case _:
                parent.commit()
        nearest = min(map(children._wake_of, children._links.values()), default=None)
        assert children.next_wake() == nearest


def test_a_child_restored_to_before_a_later_that_it_had_confirmed_keeps_the_block():
    # Kills: a parent's position taken for an acknowledgement of what it had answered `Later`.
    pair = Pair()
    pair.run(0.3)
    pair.child.keep()
    pair.child.commit()
    frames = pair.child.frames[:]
    pair.parent.children.refusing = True
    pair.run(1)
    assert len(pair.child.outbox.state.waiting) == 1
    pair.parent.children.refusing = False
    pair.restart_child(frames)
    pair.run(2)
    assert "child_went_back" in [alarm.kind for alarm in pair.child.alarms]
    assert pair.child.ledger.total(Account.PENDING)[0] == 1
    assert pair.child.ledger.total(Account.COMMITTED)[0] == 0


def test_a_block_refused_behind_others_of_one_read_is_where_a_restart_stands(parent):
    """Kills: replaying the taken block, which stands behind the refusal in the commit, sets it back."""
    writer, data = HeaderWriter(), bytearray(_bytes(hello(E1, b"", EpochHello(E1))))
    protocol.put_point(data, Kind.TURN, protocol.Point(Priority.NORMAL, Lane.LIVE, 0, 1))
    for origin in ("child", "other"):
        protocol.put(data, protocol.Define(origin, E1, ((1, "a", ()),)))
        columns = Columns()
        columns.append(1, 5, 1.0, size=8)
        header, body = seal(
            columns,
            origin=origin,
            epoch=E1,
            priority=Priority.NORMAL,
            k=1,
            lane=Lane.LIVE,
            runs=(Run(1, 5, 1),),
        )
        put_frame(data, Kind.BLOCK, writer.encode(header), body)
    parent.unauthorised = {"other"}
    Wire(parent, 1).send(raw=bytes(data))
    parent.commit()
    again = ParentNode(parent.clock, Random(2), parent.frames)
    (stream,) = again.children.positions.children["child"].streams.values()
    (before,) = parent.children.positions.children["child"].streams.values()
    assert (stream.p, stream.chain, stream.exceptions) == (before.p, before.chain, before.exceptions)
    assert before.p == 2
