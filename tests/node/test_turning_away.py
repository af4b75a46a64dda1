"""Laws of a node without room: the local decision never waits, nothing is kept, nothing is done twice."""

from __future__ import annotations

import random

import msgspec
from tests.node.test_disk_full import CONNECT, START, _acts, _commit, _node, _publish, _sends

from headland.line.deciding import EventRule, Expression
from headland.mqtt import MqttConfig
from headland.mqtt.encoding import encode
from headland.mqtt.packets import V5, Connect, Disconnect, Publish
from headland.mqtt.reasons import Reason
from headland.node import events as ev
from headland.node.core import EVENT_BYTES_MAX, Node
from headland.node.turning_away import PATIENCE_NS
from headland.vocabulary import Account, Instant, RowClass

FAN = ["http://127.0.0.1/fan"]
PATIENCE_S = PATIENCE_NS / 1e9


def _said(value: int, ms: int, qos: int = 1, packet_id: int = 1, *, dup: bool = False) -> bytes:
    """A reading with device time."""
    payload = b'{"ts":%d,"value":%d}' % (START.wall_ns // 1_000_000 + 4_000 + ms, value)
    return encode(Publish("t", payload, qos, dup=dup, packet_id=packet_id if qos else 0), 4)


def _full() -> tuple[Node, Instant]:
    """A node whose budget has been used up for longer than its patience."""
    node = _node()
    node.parts.shelving.budget._due_ns = 1 << 62  # the test says when there is room
    now = _settle(node, START)
    node.refuse_input(True)
    assert node.next_wake() is not None
    now = now.later(PATIENCE_S + 0.01)
    assert ev.Pause(1, False) in node.handle(ev.Tick(), now)
    return node, now


def _settle(node: Node, now: Instant) -> Instant:
    """Commit whatever there is."""
    for _ in range(4):
        now = now.later(1.1)
        for action in node.handle(ev.Tick(), now):
            if isinstance(action, ev.Commit):
                node.handle(ev.Committed(action.n), now)
    return now


def _take_again(node: Node, now: Instant) -> list[ev.Action]:
    """There is room, as the look at the disk says it."""
    before = len(node._out)
    node.refuse_input(False)
    return node._out[before:]


def test_a_want_of_room_that_is_soon_over_throttles_and_closes_nobody() -> None:
    """Kills: clients that connect again for every moment of a full disk."""
    node = _node()
    now = _settle(node, START)
    node.handle(ev.Tick(), now)
    node.refuse_input(True)
    assert ev.Pause(1, True) in node._out
    actions = _take_again(node, now)
    assert ev.Pause(1, False) in actions
    assert not [one for one in actions if isinstance(one, ev.Close)]
    assert not node.turning_away.on
    node.handle(ev.Tick(), now.later(1))
    assert not node.turning_away.on


def test_while_the_budget_is_used_up_rules_act_and_nothing_is_kept_or_answered() -> None:
    """Kills: a node that is deaf while its disk is full; an acknowledgement of what nobody has."""
    node, now = _full()
    assert _acts(node.handle(ev.Received([(1, _said(70, 1))]), now)) == []
    actions = node.handle(ev.Received([(1, _said(90, 2, packet_id=2) + _said(91, 3, packet_id=3))]), now)
    assert _acts(actions) == FAN
    assert isinstance(actions[0], ev.Actuate)
    assert _sends(actions) == []
    now = _settle(node, now)
    assert node.parts.ledger.total(Account.KEPT)[0] == 0
    assert node.parts.ledger.total(Account.REFUSED)[0] == 0
    assert node.parts.ledger.total(Account.DERIVED)[0] == 1
    assert node.parts.ledger.check() == []
    actions = _take_again(node, now)
    assert ev.Close(1, "turned_away") in actions


def test_what_nobody_sends_again_is_decided_on_and_booked_refused() -> None:
    """Kills: a reading that is in no account; QoS 1 beside it that is in one already."""
    node, now = _full()
    both = _said(90, 1, 0) + _said(91, 2, 1, 5) + _said(92, 3, 0)
    assert _acts(node.handle(ev.Received([(1, both)]), now)) == FAN
    now = _settle(node, now)
    assert node.parts.ledger.total(Account.REFUSED)[0] == 2
    assert node.parts.ledger.total(Account.OFFERED)[0] == 2
    assert node.parts.ledger.check() == []


def test_what_is_sent_again_is_stored_once_and_does_nothing_a_second_time() -> None:
    """Kills: an actuation for each time that a client connects again."""
    node, now = _full()
    sent = [(90, 1, 1), (10, 2, 2), (95, 3, 3)]
    acts = [_acts(node.handle(ev.Received([(1, _said(v, t, 1, i))]), now)) for v, t, i in sent]
    assert acts == [FAN, [], FAN]
    again = b"".join(_said(v, t, 1, i, dup=True) for v, t, i in sent)
    node.handle(ev.Closed(1, "gone"), now)
    node.handle(ev.Opened(2, "mqtt", "here"), now)
    assert _sends(node.handle(ev.Received([(2, CONNECT)]), now)) == [b"\x20\x02\x00\x00"]
    assert _acts(node.handle(ev.Received([(2, again)]), now)) == []
    assert ev.Close(2, "turned_away") in _take_again(node, now)
    node.handle(ev.Closed(2, "turned_away"), now)
    node.handle(ev.Opened(3, "mqtt", "here"), now)
    node.handle(ev.Received([(3, CONNECT)]), now)
    actions = node.handle(ev.Received([(3, again)]), now)
    assert _acts(actions) == []
    commit = _commit(node, now.later(0.1))
    assert _sends(node.handle(ev.Committed(commit.n), now.later(0.2))) == [
        b"\x40\x02\x00\x01\x40\x02\x00\x02\x40\x02\x00\x03"
    ]
    assert node.parts.ledger.total(Account.KEPT)[0] == 3
    assert node.parts.ledger.total(Account.DERIVED)[0] == 3
    assert node.parts.ledger.check() == []


def test_an_mqtt_5_client_is_told_that_there_was_no_room() -> None:
    """Kills: a client that waits for ever for an answer: it sends again on a new connection only."""
    node, now = _full()
    node.handle(ev.Opened(2, "mqtt", "here"), now)
    node.handle(ev.Received([(2, encode(Connect("five", V5, True), V5))]), now)
    node.handle(ev.Received([(2, encode(Publish("t", b"1", 1, packet_id=9), V5))]), now)
    actions = _take_again(node, now)
    assert ev.Close(2, "turned_away") in actions
    assert ev.Close(1, "turned_away") not in actions, "who was not turned away stays"
    (farewell,) = (one.data for one in actions if isinstance(one, ev.Send) and one.connection == 2)
    assert farewell[:1] == encode(Disconnect(Reason.QUOTA_EXCEEDED), V5)[:1]
    assert farewell[2] == Reason.QUOTA_EXCEEDED == 0x97


def test_a_push_is_decided_on_before_it_is_answered_503_and_not_again_when_it_is_repeated() -> None:
    """Kills: a rule that does not see what came over HTTP while the disk was full."""
    node, now = _full()
    body = msgspec.json.encode([{"series": "t", "ts": "2026-01-01T00:00:00Z", "value": 90}])
    headers = {"content-type": "application/json", "idempotency-key": "k"}
    acts: list[list[str]] = []
    for token in (1, 2):
        actions = node.handle(ev.Pushed(token, "who", "POST", "/v1/readings", headers, body), now)
        acts.append(_acts(actions))
        (reply,) = (one for one in actions if isinstance(one, ev.Reply))
        assert (reply.status, dict(reply.headers).get("retry-after") is not None) == (503, True)
    _take_again(node, now)
    acts.append(_acts(node.handle(ev.Pushed(3, "who", "POST", "/v1/readings", headers, body), now)))
    assert acts == [FAN, [], []]
    commit = _commit(node, now.later(0.1))
    (reply,) = (a for a in node.handle(ev.Committed(commit.n), now) if isinstance(a, ev.Reply))
    assert reply.status == 200
    assert node.parts.ledger.total(Account.KEPT)[0] == 1


def test_memory_does_not_grow_with_what_is_turned_away_and_clients_are_never_throttled() -> None:
    """Kills: publishes that are held for an answer; a client of 3.1.1 that is paused at its maximum."""
    node, now = _full()
    draw = random.Random(5)
    told = 0
    for n in range(300):
        one = b"".join(_said(draw.choice((10, 90)), n * 100 + i, 1, i + 1) for i in range(100))
        actions = node.handle(ev.Received([(1, one)]), now)
        assert not [a for a in actions if isinstance(a, ev.Pause | ev.Close)]
        told += len(_acts(actions))
    assert MqttConfig().receive_maximum < 300 * 100
    assert told > 5_000
    link = node.parts.broker._state.connections[1]
    assert (len(link.owed), link.unacknowledged, len(link.rest)) == (0, 0, 0)
    assert node.draft.section_count <= 24_576 + 100
    assert node.draft.section_bytes < 8 << 20


def test_beyond_its_room_a_rule_acts_and_its_event_is_told_when_there_is_room() -> None:
    """Kills: an interlock that stops for want of room for its event; an event that nobody ever hears of."""
    node, now = _full()
    node.parts.shelving.budget.room = 0
    assert _acts(node.handle(ev.Received([(1, _said(90, 1))]), now)) == FAN
    now = _settle(node, now)
    assert node.parts.ledger.total(Account.DERIVED)[0] == 0
    node.parts.shelving.budget.room = None
    assert _acts(node.handle(ev.Received([(1, _said(90, 1))]), now)) == [], "it is known when it comes again"
    now = _settle(node, now)
    assert node.parts.ledger.total(Account.DERIVED)[0] == 1
    assert node.turning_away.untold == 0
    assert node.parts.ledger.check() == []


def test_events_of_long_texts_fill_the_open_commit_no_further_than_others() -> None:
    """Kills: events counted as if they had no bytes; a frame that outgrows itself."""
    node, now = _full()
    long = EventRule(name="long", when=Expression(expression="size(value) > 9"), match="log")
    rules = msgspec.structs.replace(node.parts.intake.line.rules, events=(long,))
    node.parts.intake.line.reconfigure(rules, now, node.draft)
    for i in range(400):
        for payload in (b'"%d%s"' % (i, b"x" * 60_000), b'"short"'):
            node.handle(ev.Received([(1, encode(Publish("log", payload, 0), 4))]), now)
    assert not node.room_for_events
    assert sum(map(len, node.draft.rows(RowClass.HIGH).value)) <= EVENT_BYTES_MAX + 61_000
    _settle(node, now)
    assert node.parts.ledger.total(Account.DERIVED)[0] > 2 * 250


def test_events_that_found_no_room_are_told_when_nothing_more_comes() -> None:
    """Kills: what a rule did while the disk was full is known only if the device speaks again."""
    node, now = _full()
    node.parts.shelving.budget.room = 0
    assert _acts(node.handle(ev.Received([(1, _said(90, 1, 0))]), now)) == FAN
    node.parts.shelving.budget.room = None
    node.draft.state("node", node.parts.store_id)
    _settle(node, now)
    assert node.parts.ledger.total(Account.DERIVED)[0] == 1
    assert not node.parts.intake.line.untold


def test_when_the_disk_itself_is_full_and_the_commit_is_too_rules_go_on_acting() -> None:
    """Kills: a bound on what is unstored that makes the node deaf until somebody clears the disk."""
    node = _node()
    node.settings = msgspec.structs.replace(node.settings, unstored_bytes_max=200)
    now = START.later(0.1)
    node.handle(ev.Received([(1, _said(1, 1))]), now)
    commit = _commit(node, now)
    node.handle(ev.NoSpace(commit.n), now)
    for i in range(2, 12):
        actions = node.handle(ev.Received([(1, _said(1, i, 1, i))]), now)
        assert not [a for a in actions if isinstance(a, ev.Pause) and a.paused]
    assert node.turning_away.on
    assert _acts(node.handle(ev.Received([(1, _said(90, 50, 1, 50))]), now)) == FAN
    again = _commit(node, now.later(1.5))
    actions = node.handle(ev.Committed(again.n), now.later(1.5))
    assert _sends(actions) == [b"\x40\x02\x00\x01"]
    assert node.turning_away.on, "the next commit still holds all that it may"
    rest = _commit(node, now.later(1.6))
    actions = node.handle(ev.Committed(rest.n), now.later(1.7))
    assert ev.Close(1, "turned_away") in actions
    acknowledged = b"".join(_sends(actions))
    assert acknowledged.startswith(b"\x40\x02\x00\x02")
    assert b"\x40\x02\x00\x32" not in acknowledged
    assert not node.turning_away.on


def test_who_comes_while_there_is_no_room_is_let_in_and_decided_on() -> None:
    """Kills: a device that cannot even connect until somebody clears the disk."""
    node, now = _full()
    actions = node.handle(ev.Opened(2, "mqtt", "here"), now)
    assert not [a for a in actions if isinstance(a, ev.Pause)]
    node.handle(ev.Received([(2, CONNECT[:10] + b"\x00\x02\x00\x02it")]), now)
    assert _acts(node.handle(ev.Received([(2, _publish(90, 1))]), now)) == FAN
