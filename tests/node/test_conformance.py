"""Normative statements of MQTT that depend on real commits, sockets and clocks, at a real node."""

from __future__ import annotations

import time
from collections.abc import Callable
from uuid import uuid4

import pytest
from tests.mqtt.client import packets_of
from tests.node.clients import V5, V311, Paho, Raw, RawWeb
from tests.node.running import RunningNode

from headland.mqtt import Properties, Reason
from headland.mqtt.encoding import encode
from headland.mqtt.packets import (
    Ack,
    Connack,
    Connect,
    Disconnect,
    Packet,
    PacketType,
    Ping,
    Publish,
    Subscribe,
    Subscription,
    Will,
)

VERSIONS = [pytest.param(V5, id="5"), pytest.param(V311, id="3.1.1")]


def name() -> str:
    """One that no other test uses."""
    return f"t-{uuid4().hex[:12]}"


def hello(client: str, version: int, keep_alive_s: int = 60, will: Will | None = None) -> Connect:
    """CONNECT of a session that outlives its connection: its CONNACK waits for a commit."""
    found = Properties(session_expiry_s=600) if version == V5 else None
    return Connect(client, version, False, keep_alive_s, will=will, properties=found)


def say(wire: Raw, version: int, *packets: Packet) -> None:
    wire.send(b"".join(encode(packet, version) for packet in packets))


def hear(wire: Raw, version: int) -> list[Packet]:
    """Everything until the node closes."""
    return packets_of(wire.rest(), version)


def doors(node: RunningNode) -> list[Callable[[], Raw]]:
    return [lambda: Raw(node.ports["mqtt:mqtt"]), lambda: RawWeb(node.ports["ws:web"])]


@pytest.mark.parametrize("door", [0, 1], ids=["tcp", "ws"])
@pytest.mark.parametrize("version", VERSIONS)
def test_connack_is_the_first_word_however_soon_the_client_speaks(
    node: RunningNode, version: int, door: int
) -> None:
    """MQTT-3.2.0-1, MQTT-3.12.4-1; MQTT-3.2.0-1, MQTT-3.12.4-1 of 3.1.1."""
    topic = name()
    with doors(node)[door]() as wire:
        say(
            wire,
            version,
            hello(name(), version),
            Ping(PacketType.PINGREQ),
            Subscribe(1, [Subscription(topic, 1)]),
            Publish(topic, b"1", 1, packet_id=2),
        )
        first, *rest = [_take_one(wire, version) for _ in range(5)]
        say(wire, version, Disconnect())
    assert isinstance(first, Connack)
    assert first.reason == 0
    assert Ping(PacketType.PINGRESP) in rest


@pytest.mark.parametrize("version", VERSIONS)
def test_who_is_taken_over_before_its_connack_hears_nothing_before_it(
    node: RunningNode, version: int
) -> None:
    """MQTT-3.14.0-1, MQTT-3.1.4-3; MQTT-3.1.4-2 of 3.1.1: twenty connections of one client at once."""
    client, port = name(), node.ports["mqtt:mqtt"]
    wires = [Raw(port) for _ in range(20)]
    for wire in wires:
        say(wire, version, hello(client, version))
    for wire in wires[:-1]:
        heard = hear(wire, version)
        assert [type(packet) for packet in heard] in (
            [],
            [Connack],
            [Connack, Disconnect],
        ), heard
        wire.socket.close()
    assert isinstance(_take_one(wires[-1], version), Connack)
    say(wires[-1], version, Disconnect())
    wires[-1].socket.close()


@pytest.mark.parametrize("version", VERSIONS)
def test_the_acknowledgements_of_a_burst_bear_its_identifiers_in_its_order(
    node: RunningNode, version: int
) -> None:
    """MQTT-2.2.1-5, MQTT-4.6.0-2, MQTT-4.6.0-3; MQTT-2.3.1-6 of 3.1.1: over many commits."""
    topic = name()
    sent = [Publish(topic, b"%d" % at, 1 + at % 2, packet_id=1 + at) for at in range(600)]
    with Raw(node.ports["mqtt:mqtt"]) as wire:
        say(wire, version, Connect(name(), version))
        for packet in sent:
            say(wire, version, packet)
        _take_one(wire, version)
        heard = packets_of(wire.read(4 * len(sent)), version)
        say(wire, version, Disconnect())
    assert heard == [
        Ack(PacketType.PUBACK if packet.qos == 1 else PacketType.PUBREC, packet.packet_id) for packet in sent
    ]


@pytest.mark.parametrize("version", VERSIONS)
def test_a_client_that_falls_silent_is_closed_and_its_will_published(node: RunningNode, version: int) -> None:
    """MQTT-3.1.2-22, MQTT-3.1.2-8; MQTT-3.1.2-24, -8 of 3.1.1, on a real clock."""
    topic = name()
    with Paho(node.ports["mqtt:mqtt"], name()) as watcher, Raw(node.ports["mqtt:mqtt"]) as wire:
        watcher.subscribe(topic)
        begun = time.monotonic()
        will = Will(topic, b"7", 1)
        say(wire, version, Connect(name(), version, True, 1, will=will))
        heard = hear(wire, version)
        lasted_s = time.monotonic() - begun
        assert 1.4 < lasted_s < 10
        assert isinstance(heard[0], Connack)
        assert heard[1:] == ([Disconnect(Reason.KEEP_ALIVE_TIMEOUT)] if version == V5 else [])
        (got,) = watcher.take(1)
        assert got.payload == b"7"


@pytest.mark.parametrize("version", VERSIONS)
def test_what_was_not_acknowledged_comes_again_on_the_next_connection(
    node: RunningNode, version: int
) -> None:
    """MQTT-4.4.0-1, MQTT-3.3.1-1, MQTT-4.6.0-1; MQTT-4.4.0-1, MQTT-3.3.1-1, MQTT-4.6.0-1 of 3.1.1."""
    topic, client, port = name(), name(), node.ports["mqtt:mqtt"]
    with Raw(port) as wire, Paho(port, name()) as publisher:
        say(wire, version, hello(client, version), Subscribe(1, [Subscription(topic, 2)]))
        _take_one(wire, version)
        _take_one(wire, version)
        publisher.settle(*(publisher.publish(topic, b"%d" % at, 1 + at % 2) for at in range(6)))
        first = _take(wire, version, 6)
    with Raw(port) as wire:
        say(wire, version, hello(client, version))
        _take_one(wire, version)
        again = _take(wire, version, 6)
        say(wire, version, Disconnect())
    for qos in (1, 2):
        before = [(one.packet_id, one.payload) for one in first if one.qos == qos and not one.dup]
        assert len(before) == 3
        assert [(one.packet_id, one.payload) for one in again if one.qos == qos and one.dup] == before
    with Raw(port) as wire:
        say(wire, version, Connect(client, version), Disconnect())
        hear(wire, version)


def _take_one(wire: Raw, version: int) -> Packet:
    """The next packet, a short one."""
    head = wire.read(2)
    (packet,) = packets_of(head + wire.read(head[1]), version)
    return packet


def _take(wire: Raw, version: int, count: int) -> list[Publish]:
    """The next packets, all of them PUBLISHes."""
    found = [_take_one(wire, version) for _ in range(count)]
    return [packet for packet in found if isinstance(packet, Publish)]
