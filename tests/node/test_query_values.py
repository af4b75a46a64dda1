"""What an answer says of values that JSON has no form for: not what it says of a missing one, or a text."""

from __future__ import annotations

import random

import msgspec

from headland.line.filtering.keep import Keep
from headland.line.rules import LineRules, SeriesRule
from headland.node import events as ev
from headland.node.opening import open_node
from headland.node.query import Question, answer, in_json, plan
from headland.node.settings import NodeSettings
from headland.simulation.disk import SimulatedDisk
from headland.simulation.world import Everybody
from headland.vocabulary import Instant

NOW = Instant(1_000_000_000, 1_767_225_600_000_000_000)
CONNECT = b"\x10\x0e\x00\x04MQTT\x04\x02\x00\x00\x00\x02me"


def test_not_a_number_and_the_infinities_are_told_from_a_text_and_from_nothing() -> None:
    """Kills: a NaN that is null in the answer, or the text that spells it."""
    disk = SimulatedDisk()
    rules = LineRules(default=SeriesRule(name="all", filter=Keep()))
    opening = open_node(
        disk, NodeSettings(name="s/n", has_parent=False, line=rules), Everybody(), random.Random(1), NOW
    )
    node = opening.node
    node.start(NOW)
    node.handle(ev.Opened(1, "mqtt", "here"), NOW)
    node.handle(ev.Received([(1, CONNECT)]), NOW)
    for payload in (b"nan", b"Infinity", b"-inf", b'{"value": "NaN"}', b"1.5"):
        node.handle(ev.Received([(1, bytes((0x30, 3 + len(payload))) + b"\x00\x01t" + payload)]), NOW)
    for second in range(1, 4):
        for action in node.handle(ev.Tick(), NOW.later(second)):
            if isinstance(action, ev.Commit):
                for op in action.ops:
                    disk.apply(op)
                node.handle(ev.Committed(action.n), NOW.later(second))
    where = plan(node)
    assert where is not None
    rows = msgspec.json.decode(answer(disk, where, node.parts.names, Question(series="t*")))["rows"]
    assert [row["value"] for row in rows] == [
        {"number": "NaN"},
        {"number": "Infinity"},
        {"number": "-Infinity"},
        "NaN",
        1.5,
    ]


def test_the_same_holds_inside_windows_and_events() -> None:
    value = {"min": float("-inf"), "bins": [1.0, float("nan")], "name": "inf", "none": None}
    assert in_json(value) == {
        "min": {"number": "-Infinity"},
        "bins": [1.0, {"number": "NaN"}],
        "name": "inf",
        "none": None,
    }
