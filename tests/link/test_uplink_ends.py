"""Laws of how a child's connection ends, of intents that come down it, and of blocks that cannot be read."""

from __future__ import annotations

import msgspec
import pytest
from tests.link.test_uplink import draining, from_parent, greeting, welcome
from tests.link.world import Pair

from headland.link import actions as act
from headland.link import intents, protocol
from headland.link.contract import Alarm
from headland.link.frames import Deframer, Kind, put_frame
from headland.link.sending import READ_WEIGHT_MIN
from headland.link.uplink import Phase
from headland.vocabulary import Priority


def messages(actions: list[object], kind: Kind) -> list[memoryview]:
    """Payloads of the frames of a kind that were sent."""
    sent = b"".join(action.data for action in actions if isinstance(action, act.Send))
    return [payload for one, payload in Deframer().feed(sent) if one == kind]


def told(message: object) -> bytes:
    out = bytearray()
    protocol.put(out, message)
    return bytes(out)


def up() -> Pair:
    pair = greeting()
    from_parent(pair, told(welcome()))
    assert pair.child.uplink.phase is Phase.UP
    return pair


@pytest.mark.parametrize("welcomed", [False, True], ids=["greeting", "up"])
def test_a_node_that_stops_says_so_and_then_closes(welcomed: bool) -> None:
    """Kills: a parent that waits for a node which has gone; a goodbye behind the close."""
    pair = up() if welcomed else greeting()
    actions = pair.child.uplink.stop(pair.clock.now)
    (closing,) = messages(actions, Kind.CLOSE)
    assert protocol.parse(closing, protocol.Closing) == protocol.Closing(
        protocol.CloseReason.GOING, "this node stops"
    )
    ends = [action for action in actions if isinstance(action, act.Close)]
    assert ends == [act.Close(pair.connection, "this node stops")]
    assert actions.index(ends[0]) > actions.index(next(a for a in actions if isinstance(a, act.Send)))
    assert [action.reason for action in actions if isinstance(action, act.Down)] == (
        ["this node stops"] if welcomed else []
    )
    assert pair.child.uplink.stop(pair.clock.now) == []


def test_a_node_without_a_connection_stops_without_a_word() -> None:
    pair = Pair()
    assert pair.child.uplink.stop(pair.clock.now) == []
    assert pair.child.uplink.next_wake() is None


@pytest.mark.parametrize(
    ("reason", "alarmed"),
    [
        (protocol.CloseReason.GOING, False),
        (protocol.CloseReason.SILENT, False),
        (protocol.CloseReason.FULL, False),
        (protocol.CloseReason.PROTOCOL, True),
        (protocol.CloseReason.VERSION, True),
        (protocol.CloseReason.NAME, True),
        (protocol.CloseReason.CLONE, True),
    ],
)
def test_a_parent_that_closes_is_left_and_a_refusal_is_an_alarm(
    reason: protocol.CloseReason, alarmed: bool
) -> None:
    """Kills: a refusal that nobody hears of; an alarm for every restart of a parent."""
    pair = up()
    actions = from_parent(pair, told(protocol.Closing(reason, "because")))
    alarms = [action for action in actions if isinstance(action, Alarm)]
    assert alarms == ([Alarm("refused_by_parent", f"reason {int(reason)}: because")] if alarmed else [])
    assert act.Close(pair.connection, "because") in actions
    assert act.Down("the parent closed: because") in actions
    assert pair.child.uplink.phase is Phase.WAITING


def test_a_parent_that_breaks_the_protocol_is_told_why_and_left() -> None:
    pair = up()
    actions = from_parent(pair, told(welcome()))
    (alarm,) = [action for action in actions if isinstance(action, Alarm)]
    assert alarm == Alarm("peer_error", "the parent: a second welcome")
    (closing,) = messages(actions, Kind.CLOSE)
    assert protocol.parse(closing, protocol.Closing) == protocol.Closing(
        protocol.CloseReason.PROTOCOL, "a second welcome"
    )


def intent(pair: Pair, kind: str, version: int) -> list[act.Intent]:
    got: list[act.Intent] = []
    for part in intents.split(kind, version, b"x" * (intents.PART + 1), b"signed"):
        got += [action for action in from_parent(pair, told(part)) if isinstance(action, act.Intent)]
    return got


def test_an_intent_is_handed_over_whole_with_its_signature_unless_it_is_in_force() -> None:
    """Kills: an intent applied twice; a newer one passed over; one kind's version taken for another's."""
    pair = up()
    body = b"x" * (intents.PART + 1)
    assert intent(pair, "rules", 0) == [act.Intent("rules", 0, body, b"signed")]
    pair.child.uplink.applied("rules", 5)
    assert intent(pair, "rules", 5) == []
    assert intent(pair, "rules", 4) == []
    assert intent(pair, "config", 5) == [act.Intent("config", 5, body, b"signed")]
    assert intent(pair, "rules", 6) == [act.Intent("rules", 6, body, b"signed")]


def test_what_became_of_an_intent_is_told_at_once_and_an_older_report_takes_nothing_back() -> None:
    pair = up()
    uplink = pair.child.uplink
    for version in (3, 2):
        status = protocol.IntentStatus("rules", version, "applied")
        (sent,) = messages(uplink.report(status, pair.clock.now), Kind.STATUS)
        assert protocol.parse(sent, protocol.IntentStatus) == status
    assert intent(pair, "rules", 3) == []
    uplink.report(protocol.IntentStatus("config", 0, "applied"), pair.clock.now)
    assert len(intent(pair, "config", 1)) == 1
    uplink.report(protocol.IntentStatus("rules", 9, "refused"), pair.clock.now)
    assert len(intent(pair, "rules", 4)) == 1, "what was refused is not in force"


def test_a_report_without_a_connection_waits_for_the_next_hello() -> None:
    pair = Pair()
    assert pair.child.uplink.report(protocol.IntentStatus("rules", 3, "applied"), pair.clock.now) == []
    pair.child.uplink.applied("config", 1)
    pair.gather()
    (hello,) = [protocol.parse(body, protocol.Hello) for kind, body in Deframer().feed(bytes(pair.north))]
    assert hello.intents == (("config", 1), ("rules", 3))


def test_while_paused_nothing_is_pumped() -> None:
    pair = draining(3)
    assert pair.child.uplink.pause(True, pair.clock.now) == []
    assert pair.child.uplink.paused is True
    pair.child.uplink.pause(False, pair.clock.now)
    assert pair.child.uplink.paused is False


def test_a_block_that_cannot_be_read_is_a_tombstone_and_those_behind_it_follow_in_order() -> None:
    """Kills: what was read ahead behind it sent too early, or forgotten; room that is never given back."""
    pair = Pair()
    pair.run(0.5)
    child = pair.child
    child.reads_paused = True
    for rows in range(1, 6):
        child.keep(rows=rows)
    child.commit()
    child.wake()
    entries = [action.entry for action in child.pending_reads if isinstance(action, act.ReadBlock)]
    assert [entry.p for entry in entries] == [1, 2, 3, 4, 5]
    lost = entries[2]
    child.pending_reads = [action for action in child.pending_reads if action.entry.p < 3]
    assert child.uplink.block_lost(lost, pair.clock.now) == []
    assert child.outbox.unreadable(lost.stream, lost.p, child.draft)
    child.reads_paused = False
    child.commit()
    pair.run(2)
    items = [(type(item).__name__, item.p) for item in pair.parent.delivered if hasattr(item, "p")]
    blocks = [p for name, p in items if name == "ReceivedBlock"]
    assert blocks == [1, 2, 4, 5]
    assert child.outbox.state.find(lost.stream).acked == 5


def test_a_block_that_cannot_be_read_after_the_link_went_down_changes_nothing() -> None:
    pair = Pair()
    pair.run(0.5)
    child = pair.child
    child.reads_paused = True
    child.keep()
    child.commit()
    child.wake()
    (entry,) = [action.entry for action in child.pending_reads if isinstance(action, act.ReadBlock)]
    child.uplink.closed(pair.connection, "cut", pair.clock.now)
    assert child.uplink.block_lost(entry, pair.clock.now) == []
    assert child.uplink.phase is Phase.WAITING


def test_a_parent_knows_which_intents_its_child_named_as_applied() -> None:
    pair = Pair()
    pair.child.uplink.applied("rules", 3)
    children = pair.parent.children
    assert children.applied("child") == ()
    pair.run(0.5)
    assert children.applied("child") == (("rules", 3),)
    assert children.applied("stranger") == ()


def test_intents_that_are_wanted_at_once_all_arrive_and_one_of_just_the_bound_is_taken() -> None:
    """Kills: an intent that pushes another out of the queue."""
    pair = Pair()
    pair.run(0.5)
    children, now = pair.parent.children, pair.clock.now
    children.desire("child", "rules", 1, b"r" * (3 * intents.PART), now, pair.parent.draft)
    children.desire("child", "config", 1, b"c" * intents.MAX_BODY, now, pair.parent.draft)
    with pytest.raises(ValueError, match="bytes"):
        children.desire("child", "more", 1, b"m" * (intents.MAX_BODY + 1), now, pair.parent.draft)
    pair.run(3)
    assert {(one.kind, len(one.body)) for one in pair.child.intents} == {
        ("rules", 3 * intents.PART),
        ("config", intents.MAX_BODY),
    }


def test_a_block_arrives_with_everything_that_its_header_said_when_it_was_sealed() -> None:
    """Kills: groups, times, runs or amounts left out on the way."""
    pair = Pair()
    pair.reachable = False
    pair.run(0.2)
    sealed = [pair.child.keep(Priority.HIGH, rows=3), pair.child.keep(Priority.LOW, rows=300)]
    pair.child.commit()
    pair.reachable = True
    pair.run(3)
    sealed.append(pair.child.keep(Priority.CRITICAL, rows=1))
    pair.run(2)
    arrived = {item.header.priority: item for item in pair.parent.delivered}
    for one in sealed:
        got = arrived[one.header.priority].header
        assert got.backlog_hops == got.lane
        changed = {"lane": got.lane, "age_ms": got.age_ms, "backlog_hops": got.backlog_hops}
        assert msgspec.structs.replace(one.header, **changed) == got
        assert got.lane == arrived[one.header.priority].stream.lane
    assert arrived[Priority.LOW].header.age_ms > 0


def test_no_more_is_read_ahead_than_is_allowed_and_what_was_read_makes_room() -> None:
    """Kills: bodies of a whole backlog in memory; room that is never given back, or twice."""
    pair = Pair()
    child = pair.child
    child.uplink.settings = msgspec.structs.replace(child.uplink.settings, read_ahead_bytes=20_000)
    pair.run(0.5)
    child.reads_paused = True
    for _ in range(60):
        child.keep(rows=200)
    child.commit()
    child.wake()

    def asked() -> int:
        entries = [one.entry for one in child.pending_reads if isinstance(one, act.ReadBlock)]
        return sum(max(entry.size, READ_WEIGHT_MIN) for entry in entries)

    largest = max(max(one.entry.size, READ_WEIGHT_MIN) for one in child.pending_reads)
    assert 20_000 <= asked() < 20_000 + largest
    for _ in range(30):
        before = len(child.pending_reads)
        child.read_one(child.pending_reads.pop(0))
        child.wake()
        assert asked() < 20_000 + largest
        assert len(child.pending_reads) >= min(before - 1, 1)
    child.reads_paused = False
    child.read_all()
    pair.run(5)
    assert len(pair.parent.delivered) == 60


def test_a_child_that_breaks_the_protocol_is_named_in_the_alarm_and_told_why() -> None:
    pair = Pair()
    pair.run(0.5)
    out = bytearray()
    put_frame(out, 0x7F, b"what is this")
    actions = pair.parent.children.received(pair.connection, bytes(out), pair.clock.now, pair.parent.draft)
    (alarm,) = [action for action in actions if isinstance(action, Alarm)]
    assert (alarm.kind, alarm.detail.split(":")[0]) == ("peer_error", "child")
    (closing,) = messages(actions, Kind.CLOSE)
    assert protocol.parse(closing, protocol.Closing).reason == protocol.CloseReason.PROTOCOL
