"""The watcher of `tests/mqtt/watching.py` sees what a server may not do, and nothing in what it may.

Every test of this room that drives the broker through `tests.mqtt.client` is watched; the random ones too.
"""

from __future__ import annotations

import pytest
from tests.mqtt.client import World, connected
from tests.mqtt.watching import Watcher

from headland.mqtt import Properties, Reason
from headland.mqtt.encoding import encode
from headland.mqtt.packets import (
    V5,
    V311,
    Ack,
    Auth,
    Connack,
    Connect,
    Disconnect,
    Packet,
    PacketType,
    Ping,
    Publish,
    Suback,
    Subscribe,
    Subscription,
    Unsubscribe,
)

HELLO: list[Packet] = [Connect("c", V5)]
LET_IN: list[Packet] = [Connack(False, 0)]
ONE = Publish("t", b"1", 1, packet_id=1)
TWO = Publish("t", b"2", 2, packet_id=2)


def asking(**properties: object) -> list[Packet]:
    return [Connect("c", V5, properties=Properties(**properties))]  # type: ignore[arg-type]


UNLAWFUL: list[tuple[str, int, list[Packet], list[Packet]]] = [
    ("MQTT-3.2.0-1: a PINGRESP before CONNACK", V5, HELLO, [Ping(PacketType.PINGRESP)]),
    ("MQTT-3.2.0-1 of 3.1.1: a PUBLISH before CONNACK", V311, HELLO, [Publish("t", b"")]),
    ("MQTT-3.14.0-1: DISCONNECT before CONNACK", V5, HELLO, [Disconnect(0x8E)]),
    ("MQTT-3.2.0-2: a second CONNACK", V5, HELLO, LET_IN * 2),
    ("MQTT-3.2.2-6: session present beside a refusal", V5, HELLO, [Connack(True, 0x87)]),
    ("MQTT-3.2.2-8: an unknown reason in CONNACK", V5, HELLO, [Connack(False, 0x8E)]),
    ("a return code over 5 in 3.1.1", V311, HELLO, [Connack(False, 6)]),
    ("MQTT-4.13.2-1: a word after a refusal", V5, HELLO, [Connack(False, 0x87), Disconnect(0x87)]),
    ("MQTT-3.14.4-1: a word after DISCONNECT", V5, HELLO, [*LET_IN, Disconnect(0x8E), Publish("t", b"")]),
    ("MQTT-3.14.2-1: a client's reason", V5, HELLO, [*LET_IN, Disconnect(0x04)]),
    (
        "MQTT-3.14.2-2: session expiry in DISCONNECT",
        V5,
        HELLO,
        [*LET_IN, Disconnect(0x8B, Properties(session_expiry_s=1))],
    ),
    ("a DISCONNECT in 3.1.1", V311, HELLO, [*LET_IN, Disconnect()]),
    ("MQTT-4.12.0-6: an AUTH nobody asked for", V5, HELLO, [*LET_IN, Auth(0x18)]),
    (
        "MQTT-4.12.0-6: a method in CONNACK",
        V5,
        HELLO,
        [Connack(False, 0, Properties(authentication_method="m"))],
    ),
    (
        "MQTT-3.1.2-28: response information unasked",
        V5,
        HELLO,
        [Connack(False, 0, Properties(response_information="r"))],
    ),
    ("MQTT-3.1.2-24: too long", V5, asking(maximum_packet_bytes=20), [*LET_IN, Publish("t", b"x" * 20)]),
    (
        "MQTT-3.1.2-27: an alias nobody allowed",
        V5,
        HELLO,
        [*LET_IN, Publish("t", b"", properties=Properties(topic_alias=1))],
    ),
    (
        "MQTT-3.1.2-26, MQTT-3.3.2-11: an alias above the maximum",
        V5,
        asking(topic_alias_maximum=1),
        [*LET_IN, Publish("t", b"", properties=Properties(topic_alias=2))],
    ),
    (
        "MQTT-3.3.2-7: an alias of another connection",
        V5,
        asking(topic_alias_maximum=1),
        [*LET_IN, Publish("", b"", properties=Properties(topic_alias=1))],
    ),
    ("MQTT-2.2.1-4: an identifier in use", V5, HELLO, [*LET_IN, ONE, ONE]),
    ("MQTT-4.4.0-1: sent again on the same connection", V5, HELLO, [*LET_IN, TWO, TWO]),
    ("MQTT-2.3.1-4 of 3.1.1: an identifier in use", V311, HELLO, [*LET_IN, ONE, ONE]),
    ("MQTT-3.3.4-9, MQTT-4.9.0-2: a full window", V5, asking(receive_maximum=1), [*LET_IN, ONE, TWO]),
    ("MQTT-2.2.1-5: an answer to nothing", V5, HELLO, [*LET_IN, Ack(PacketType.PUBACK, 1)]),
    ("a PUBREC for QoS 1", V5, [*HELLO, ONE], [*LET_IN, Ack(PacketType.PUBREC, 1)]),
    ("two answers to one", V5, [*HELLO, ONE], [*LET_IN, *[Ack(PacketType.PUBACK, 1)] * 2]),
    (
        "MQTT-4.6.0-2, MQTT-4.6.0-3; MQTT-4.6.0-2, MQTT-4.6.0-3 of 3.1.1: answers in another order",
        V5,
        [*HELLO, ONE, TWO],
        [*LET_IN, Ack(PacketType.PUBREC, 2)],
    ),
    ("MQTT-4.3.3-4: PUBREL before PUBREC", V5, HELLO, [*LET_IN, TWO, Ack(PacketType.PUBREL, 2)]),
    (
        "MQTT-2.2.1-6: a SUBACK of another identifier",
        V5,
        [*HELLO, Subscribe(1, [Subscription("t")])],
        [*LET_IN, Suback(PacketType.SUBACK, 2, [0])],
    ),
    (
        "MQTT-3.8.4-6: a reason too many",
        V5,
        [*HELLO, Subscribe(1, [Subscription("t")])],
        [*LET_IN, Suback(PacketType.SUBACK, 1, [0, 0])],
    ),
    (
        "MQTT-3.9.3-2 of 3.1.1: an unknown return code",
        V311,
        [*HELLO, Subscribe(1, [Subscription("t")])],
        [*LET_IN, Suback(PacketType.SUBACK, 1, [0x87])],
    ),
    (
        "reasons in an UNSUBACK of 3.1.1",
        V311,
        [*HELLO, Unsubscribe(1, ["t"])],
        [*LET_IN, Suback(PacketType.UNSUBACK, 1, [0])],
    ),
    (
        "MQTT-3.1.2-29: words for who declined them",
        V5,
        [*asking(request_problem_information=0), Ack(PacketType.PUBREL, 1)],
        [*LET_IN, Ack(PacketType.PUBCOMP, 1, 0x92, Properties(reason_string="no"))],
    ),
    ("a client's packet", V5, HELLO, [*LET_IN, Ping(PacketType.PINGREQ)]),
]


@pytest.mark.parametrize(
    ("version", "said", "came"), [row[1:] for row in UNLAWFUL], ids=[row[0] for row in UNLAWFUL]
)
def test_what_a_server_may_not_send_is_seen(version: int, said: list[Packet], came: list[Packet]) -> None:
    """The normative statements stand in the names of the rows."""
    watcher = Watcher(version)
    for packet in said:
        watcher.said(packet)
    for packet in came[:-1]:
        watcher.came(packet, 10)
    with pytest.raises(AssertionError):
        watcher.came(came[-1], len(encode(came[-1], version)))


@pytest.mark.parametrize("version", [V5, V311])
def test_an_ordinary_conversation_is_lawful(version: int) -> None:
    """Kills: a watcher that finds fault with everything."""
    watcher = Watcher(version)
    talk: list[tuple[str, Packet]] = [
        ("said", Connect("c", version)),
        ("came", Connack(True, 0)),
        ("came", Ack(PacketType.PUBREL, 9)),
        ("said", Ack(PacketType.PUBCOMP, 9)),
        ("said", Publish("t", b"1", 1, packet_id=1)),
        ("said", Publish("t", b"2", 2, packet_id=2)),
        ("came", Ack(PacketType.PUBACK, 1)),
        ("came", Ack(PacketType.PUBREC, 2)),
        ("came", Publish("t", b"2", 2, packet_id=9)),
        ("said", Ack(PacketType.PUBREC, 9)),
        ("said", Ack(PacketType.PUBREL, 2)),
        ("came", Ack(PacketType.PUBREL, 9)),
        ("said", Ack(PacketType.PUBCOMP, 9)),
        ("came", Ack(PacketType.PUBCOMP, 2)),
        ("came", Publish("t", b"3", 1, packet_id=9)),
    ]
    for way, packet in talk:
        if way == "said":
            watcher.heard(encode(packet, version))
        else:
            watcher.came(packet, 10)


# What it found first


@pytest.mark.parametrize("version", [V5, V311])
def test_nothing_is_sent_while_connack_waits_for_its_commit(version: int) -> None:
    """MQTT-3.2.0-1; MQTT-3.2.0-1 of 3.1.1. A client need not wait for CONNACK before it speaks."""
    world = World(automatic=False)
    client = world.client("c", version)
    found = Properties(session_expiry_s=600) if version == V5 else None
    client.send(
        Connect("c", version, False, properties=found),
        Ping(PacketType.PINGREQ),
        Ack(PacketType.PUBREC, 7),
        Ping(PacketType.PINGREQ),
    )
    assert client.read() == []
    world.commit()
    connack, *rest = client.read()
    assert isinstance(connack, Connack)
    unknown = Reason.PACKET_IDENTIFIER_NOT_FOUND if version == V5 else 0
    assert rest == [
        Ping(PacketType.PINGRESP),
        Ack(PacketType.PUBREL, 7, unknown),
        Ping(PacketType.PINGRESP),
    ]
    client.send(Ping(PacketType.PINGREQ))
    assert client.one() == Ping(PacketType.PINGRESP)


@pytest.mark.parametrize("ends", ["taken over", "broken", "silent", "stopped"])
def test_a_client_whose_connack_has_not_left_is_closed_without_a_word(ends: str) -> None:
    """MQTT-3.14.0-1."""
    world = World(automatic=False)
    client = world.client("c")
    expiring = Properties(session_expiry_s=600)
    client.send(Connect("c", V5, False, 10, properties=expiring))
    match ends:
        case "taken over":
            world.client("c").send(Connect("c", V5, False, 10, properties=expiring))
        case "broken":
            client.send_bytes(b"\x00\x00")
        case "silent":
            world.pass_time(16)
        case _:
            world.perform(world.broker.stop(world.now, world.draft))
    assert client.closed
    world.commit()
    assert client.read() == []


def test_a_client_that_was_greeted_hears_why_it_is_closed() -> None:
    """Kills: a farewell that nobody hears."""
    client = connected(World(), "c", clean=False, session_expiry_s=600)
    client.send_bytes(b"\x00\x00")
    last = client.one()
    assert isinstance(last, Disconnect)
    assert last.reason == Reason.MALFORMED_PACKET
