"""Actuations of the composed node: before all else, to the address that was meant or to none, and counted."""

from __future__ import annotations

import random

import msgspec

from headland.line.deciding import Act, EventRule, Outcome, Threshold
from headland.line.filtering.keep import Keep
from headland.line.rules import LineRules, SeriesRule
from headland.node import events as ev
from headland.node.acting import Acts
from headland.node.core import Node
from headland.node.opening import open_node
from headland.node.settings import NodeSettings
from headland.node.status import status_of
from headland.simulation.disk import SimulatedDisk
from headland.simulation.world import Everybody
from headland.sources.contract import SourceBatch
from headland.vocabulary import NO_TIME, Instant, RowClass, RowFlag, RowKind, SeriesKey

START = Instant(1_000_000_000, 1_767_225_600_000_000_000)
CONNECT_5 = b"\x10\x0f\x00\x04MQTT\x05\x02\x00\x00\x00\x00\x02me"
SUBSCRIBE = b"\x82\x07\x00\x01\x00\x00\x01#\x00"


def _node(*acts: Act) -> Node:
    hot = EventRule(name="hot", when=Threshold(above=80), priority="critical", act=acts)
    rules = LineRules(default=SeriesRule(name="all", filter=Keep()), events=(hot,))
    settings = NodeSettings(name="s/n", has_parent=False, line=rules)
    node = open_node(SimulatedDisk(), settings, Everybody(), random.Random(1), START).node
    node.start(START)
    return node


def _hot(node: Node, machine: str | None = "press", value: float = 90.0) -> list[ev.Action]:
    key = SeriesKey("t", (("machine", machine),) if machine is not None else ())
    return node.handle(
        ev.Offered(f"source {machine}", SourceBatch([key], [0], [NO_TIME], [value], [8])), START
    )


def _not_done(node: Node) -> list[dict[str, object]]:
    columns = node.draft.rows(RowClass.CRITICAL)
    rows = zip(columns.kind or [], columns.value, strict=True)
    told = [msgspec.msgpack.decode(value) for kind, value in rows if kind == RowKind.EVENT]
    return [one for one in told if one["state"] == "not_done"]


def _figures(node: Node) -> Acts:
    return status_of(node, START).actuations["hot"]


def test_an_actuation_is_the_first_action_of_its_event() -> None:
    """Kills: an actuation behind acknowledgements and other sends."""
    node = _node(
        Act(kind="mqtt", target="stop/{label.machine}", payload="{key}"),
        Act(kind="http", target="http://plc/stop?v={value}&m={label.machine}"),
    )
    node.handle(ev.Opened(1, "mqtt", "here"), START)
    node.handle(ev.Received([(1, CONNECT_5)]), START)
    node.handle(ev.Received([(1, SUBSCRIBE)]), START)
    actions = _hot(node)
    assert isinstance(actions[0], ev.Send)
    key = b"hot:t:t%d" % START.wall_ns
    assert b"stop/press" in actions[0].data
    assert actions[0].data.count(key) == 2, "in the payload, and as a user property"
    assert b"headland-key" in actions[0].data
    assert isinstance(actions[1], ev.Actuate)
    assert actions[1].actuation.target == "http://plc/stop?v=90.0&m=press"
    assert (_figures(node).wanted, _figures(node).done) == (2, 1)


def test_what_a_device_calls_itself_cannot_send_an_actuation_elsewhere() -> None:
    """Kills: `cmd//stop`, `cmd/#/stop`, `cmd/a/b/stop`, and a redirect of a POST by a value."""
    node = _node(
        Act(kind="mqtt", target="cmd/{label.machine}/stop"),
        Act(kind="http", target="http://plc/{label.machine}/set"),
        Act(kind="command", target="/bin/stop", arguments=("{label.machine}",)),
    )
    done = {}
    for machine in (None, "", "#", "a/b", "..", "-rf", "-5", "x?force=true&y"):
        done[machine] = [_place(one) for one in _hot(node, machine) if isinstance(one, ev.Actuate)]
    assert done == {
        None: [],
        "": ["http://plc//set", "/bin/stop "],
        "#": ["http://plc/%23/set", "/bin/stop #"],
        "a/b": ["http://plc/a%2Fb/set", "/bin/stop a/b"],
        "..": ["/bin/stop .."],
        "-rf": ["http://plc/-rf/set"],
        "-5": ["http://plc/-5/set", "/bin/stop -5"],
        "x?force=true&y": ["http://plc/x%3Fforce%3Dtrue%26y/set", "/bin/stop x?force=true&y"],
    }
    assert (_figures(node).wanted, _figures(node).failed) == (24, 8)
    reasons = [one["value"] for one in _not_done(node)]
    assert reasons.count("failed: the series has no label.machine") == 3
    assert "failed: label.machine is no level of a topic: 'a/b'" in reasons


def _place(action: ev.Actuate) -> str:
    return " ".join((action.actuation.target, *action.actuation.arguments))


def test_a_topic_that_no_broker_takes_is_a_failed_actuation_and_not_the_end_of_the_process() -> None:
    """Kills: a value of 65,536 bytes in a topic that ends the node."""
    node = _node(Act(kind="mqtt", target="stop/{label.machine}"))
    _hot(node, "x" * 70_000)
    assert (_figures(node).wanted, _figures(node).failed) == (1, 1)
    assert node.parts.broker.publish("a/#", b"", START, node.draft) == []
    assert node.parts.broker.counters.own_refused == 1


def test_what_was_not_done_is_counted_by_its_rule_told_north_and_an_alarm_when_it_begins() -> None:
    """Kills: an actuation that is too late, and nobody ever hears of it."""
    node = _node(Act(kind="http", target="http://plc/stop"))
    (first,) = [one for one in _hot(node) if isinstance(one, ev.Actuate)]
    assert first.actuation.not_after_ns == START.monotonic_ns + 10_000_000_000
    said = node.handle(ev.Acted(first.actuation, Outcome.LATE, "1 s"), START)
    assert [one.event for one in said if isinstance(one, ev.Say)] == ["actuation_not_done", "actuation"]
    said = node.handle(ev.Acted(first.actuation, Outcome.DROPPED), START)
    assert [one.event for one in said if isinstance(one, ev.Say)] == ["actuation_not_done"]
    node.handle(ev.Acted(first.actuation, Outcome.DONE), START)
    said = node.handle(ev.Acted(first.actuation, Outcome.FAILED, "answered 500"), START)
    assert [one.event for one in said if isinstance(one, ev.Say)] == ["actuation_not_done", "actuation"]
    assert _figures(node) == Acts(wanted=1, done=1, failed=1, late=1, dropped=1)
    assert [(one["rule"], one["late"], one["value"], one["since"]) for one in _not_done(node)] == [
        ("hot", True, "late: 1 s", START.wall_ns),
        ("hot", False, "dropped", START.wall_ns),
        ("hot", False, "failed: answered 500", START.wall_ns),
    ]
    flags = node.draft.rows(RowClass.CRITICAL).flags or []
    assert sum(flag & RowFlag.LATE > 0 for flag in flags) == 1
    assert len(node.alarms) == 2
    assert node.parts.ledger.check() == []
