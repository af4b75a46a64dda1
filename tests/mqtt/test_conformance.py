"""Normative statements of both specifications that the other tests of this room do not come by.

Each test names its statements; `tools/mqtt_conformance.py` makes the table of them all.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from tests.mqtt.client import Client, World, connected

from headland.mqtt import MqttConfig, Properties, Reason
from headland.mqtt.connecting import CONNACK_BYTES_MAX
from headland.mqtt.encoding import encode
from headland.mqtt.packets import (
    V5,
    V311,
    Ack,
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
    Will,
)

TEN_MINUTES = {"clean": False, "session_expiry_s": 600}
both = pytest.mark.parametrize("version", [pytest.param(V5, id="5"), pytest.param(V311, id="3.1.1")])


def lasting(version: int) -> dict[str, object]:
    """Options of a session that outlives its connection."""
    return TEN_MINUTES if version == V5 else {"clean": False}


def publishes(packets: list[Packet]) -> Iterator[Publish]:
    return (packet for packet in packets if isinstance(packet, Publish))


# CONNECT and CONNACK


@both
def test_session_present_says_whether_there_was_a_session(version: int) -> None:
    """MQTT-3.1.2-6, MQTT-3.1.4-4, MQTT-3.1.4-5, MQTT-3.2.2-2, -3.

    MQTT-3.1.2-4, -6, MQTT-3.1.4-3, -4, MQTT-3.2.2-1, -2, -3 of 3.1.1.
    """
    world = World()
    assert connected(world, "c", version, **lasting(version)).version == version
    for clean, present in ((False, True), (True, False), (False, False), (False, True)):
        for client in list(world.clients.values()):
            if not client.closed:
                client.drop()
        options = {**lasting(version), "clean": clean} if not clean else {"clean": True}
        answer = world.client("c", version).connect(**options)  # type: ignore[arg-type]
        assert (answer.reason, answer.session_present) == (0, present)


@both
def test_a_refused_client_is_told_once_closed_and_not_heard_any_more(version: int) -> None:
    """MQTT-3.1.4-6, MQTT-3.2.2-6, MQTT-3.2.2-7, MQTT-3.2.2-8, MQTT-3.14.0-1, MQTT-4.13.2-1.

    MQTT-3.1.4-5, MQTT-3.2.2-4, -5 of 3.1.1.
    """
    world = World()
    client = world.client("c", version)
    client.send(
        Connect("c", version, username="nobody"),
        Publish("t", b"1", 1, packet_id=1),
        Subscribe(2, [Subscription("t", 1)]),
    )
    (answer,) = client.read()
    assert isinstance(answer, Connack)
    assert not answer.session_present
    assert answer.reason == (Reason.BAD_USER_NAME_OR_PASSWORD if version == V5 else 4)
    assert client.closed
    assert world.accepted == []
    assert world.broker.sizes()["subscriptions"] == 0


@pytest.mark.parametrize(
    ("reason", "return_code", "options"),
    [
        (Reason.BAD_USER_NAME_OR_PASSWORD, 4, {"username": "nobody"}),
        (Reason.CLIENT_IDENTIFIER_NOT_VALID, 2, {"name": "c" * 257}),
        (Reason.CLIENT_IDENTIFIER_NOT_VALID, 2, {"name": "taken", "username": "mallory"}),
        (Reason.NOT_AUTHORIZED, 5, {"will": Will("forbidden/x", b"")}),
        (Reason.TOPIC_NAME_INVALID, 3, {"will": Will("/".join("x" * 99), b"")}),
        (Reason.QUOTA_EXCEEDED, 3, {"name": "one too many"}),
        (Reason.BAD_AUTHENTICATION_METHOD, None, {"authentication_method": "SCRAM"}),
        (Reason.PACKET_TOO_LARGE, None, {"maximum_packet_bytes": 20}),
    ],
)
def test_every_refusal_uses_a_code_of_the_list(
    reason: Reason, return_code: int | None, options: dict[str, object]
) -> None:
    """MQTT-3.2.2-8, MQTT-3.2.2-7, MQTT-3.1.4-2; MQTT-3.2.2-5 of 3.1.1: table 3.1 has five codes."""
    for version, code in ((V5, reason), (V311, return_code)):
        if code is None:
            continue
        world = World(MqttConfig(sessions_max=1))
        connected(world, "taken", username="alice")
        wanted = dict(options)
        client = world.client(
            str(wanted.pop("name", "taken" if reason is not Reason.QUOTA_EXCEEDED else "")), version
        )
        wanted.setdefault("username", "alice")
        assert client.connect(**wanted).reason == code  # type: ignore[arg-type]
        assert client.closed


@both
def test_the_first_packet_and_only_the_first_is_connack(version: int) -> None:
    """MQTT-3.2.0-1, MQTT-3.2.0-2, MQTT-4.12.0-6; MQTT-3.2.0-1 of 3.1.1."""
    world = World()
    connected(world, "p").publish("t", b"kept", qos=1, retain=True)
    client = world.client("c", version)
    client.send(Connect("c", version), Subscribe(1, [Subscription("t", 1)]), Ping(PacketType.PINGREQ))
    got = client.read()
    assert isinstance(got[0], Connack)
    assert got[0].properties is None or got[0].properties.authentication_method is None
    assert not any(isinstance(packet, Connack) for packet in got[1:])
    assert len(got) == 4


@both
def test_every_client_identifier_that_must_be_allowed_is_allowed(version: int) -> None:
    """MQTT-3.1.3-2, MQTT-3.1.3-5; the same of 3.1.1: MQTT-3.1.3-2, -5 of 3.1.1."""
    letters = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
    world = World()
    for name in [*letters, letters[:23], letters[23:46], letters[-23:]]:
        assert world.client(name, version).connect().reason == 0
    assert world.broker.sizes()["sessions"] == len(letters) + 3


@both
def test_a_connect_that_is_malformed_is_closed(version: int) -> None:
    """MQTT-3.1.3-1, -3, -4, -11, -12, MQTT-3.1.4-1, MQTT-3.1.2-9, -16, -17, -18, -19.

    MQTT-3.1.2-9, -11, -18, -19, -20, -21, MQTT-3.1.3-1, -3, -4, -10, -11, MQTT-3.1.4-1 of 3.1.1.
    """
    full = encode(Connect("id", version, username="user", password=b"pw", will=Will("w", b"m", 1)), version)
    bad = [
        full[:1] + bytes([size - 2]) + full[2:size] for size in range(4, len(full))
    ]  # each a whole packet that ends too early
    bad += [full.replace(text, b"\xff" * len(text)) for text in (b"id", b"user", b"\x01w")]
    flags = full.index(b"MQTT") + 5
    bad += [full[:flags] + bytes([full[flags] ^ bit]) + full[flags + 1 :] for bit in (0x80, 0x40, 0x04)]
    for data in bad:
        client = World().client("c", version)
        client.send_bytes(data)
        assert client.closed, data
        assert not any(getattr(packet, "reason", 0) == 0 for packet in client.got)
        if version == V311:
            assert client.got == []


def test_a_client_that_declines_explanations_gets_none() -> None:
    """MQTT-3.1.2-28, MQTT-3.1.2-29."""
    world = World()
    client = connected(world, "c", request_problem_information=0)
    client.send(
        Subscribe(1, [Subscription("forbidden/x"), Subscription("b/#/c")]),
        Unsubscribe(2, ["nothing"]),
        Publish("forbidden/x", b"", 1, packet_id=3),
        Publish("forbidden/x", b"", 2, packet_id=4),
        Ack(PacketType.PUBREL, 5),
    )
    got = client.read()
    assert len(got) == 5
    assert all(packet.properties is None for packet in got)  # type: ignore[union-attr]
    answer = world.client("d").connect(request_response_information=0)
    assert answer.properties is not None
    assert answer.properties.response_information is None


@pytest.mark.parametrize("size", range(4, 60, 4))
def test_no_packet_exceeds_what_the_client_takes_for_the_sake_of_an_explanation(size: int) -> None:
    """MQTT-3.1.2-24, MQTT-3.2.2-19, -20, MQTT-3.14.2-3, -4, MQTT-3.4.2-2, -3, MQTT-3.5.2-2, -3.

    MQTT-3.6.2-2, -3, MQTT-3.7.2-2, -3, MQTT-3.9.2-1, -2, MQTT-3.11.2-1, -2.
    """
    world = World()

    def fits(client: Client) -> bool:
        return all(len(encode(packet, V5)) <= size for packet in client.read())

    refused = world.client("c")
    refused.send(Connect("c", username="nobody", properties=Properties(maximum_packet_bytes=size)))
    assert fits(refused)
    broken = world.client("d")
    broken.send(
        Connect("d", V5, False, 0, properties=Properties(maximum_packet_bytes=size, session_expiry_s=1 << 31))
    )
    assert bool(broken.closed) == (size < CONNACK_BYTES_MAX)
    assert fits(broken)
    broken.send(
        Subscribe(1, [Subscription("forbidden/x")]),
        Unsubscribe(2, ["nothing"]),
        Publish("forbidden/x", b"", 1, packet_id=3),
        Publish("forbidden/x", b"", 2, packet_id=4),
        Ack(PacketType.PUBREL, 5),
        Connect("d"),
    )
    assert broken.closed
    assert fits(broken)


def test_an_answer_longer_than_the_client_takes_ends_its_connection() -> None:
    """MQTT-3.1.2-24."""
    client = connected(World(), "c", maximum_packet_bytes=30)
    client.send(Subscribe(1, [Subscription(f"t/{number}") for number in range(40)]))
    assert client.one() == Disconnect(Reason.PACKET_TOO_LARGE)
    assert client.closed


@both
@pytest.mark.parametrize("retain", [False, True])
def test_a_will_is_retained_as_it_asks(version: int, retain: bool) -> None:
    """MQTT-3.1.2-7, MQTT-3.1.2-14, MQTT-3.1.2-15; MQTT-3.1.2-8, -16, -17 of 3.1.1."""
    world = World()
    connected(world, "c", version, will=Will("w", b"gone", 1, retain)).drop()
    kept = connected(world, "d", version).subscribe(Subscription("w", 1))[1:]
    assert [packet.payload for packet in publishes(kept)] == [b"gone"] * retain


@both
def test_without_a_will_nothing_is_published(version: int) -> None:
    """MQTT-3.1.2-12 of 3.1.1."""
    world = World()
    watcher = connected(world, "w", version)
    watcher.subscribe(Subscription("#", 1))
    connected(world, "c", version).drop()
    assert watcher.read() == []


def test_the_properties_of_a_will_come_with_it_in_their_order() -> None:
    """MQTT-3.1.3-10."""
    world = World()
    watcher = connected(world, "w")
    watcher.subscribe(Subscription("w", 1))
    found = Properties(user=[("b", "1"), ("a", "2"), ("b", "3")], content_type="x")
    connected(world, "c", will=Will("w", b"gone", 1, False, found)).drop()
    (got,) = publishes(watcher.read())
    assert got.properties == found


@both
def test_retained_messages_outlive_every_session(version: int) -> None:
    """MQTT-3.1.2-7 of 3.1.1, which writes it MQTT-3.1.2.7."""
    world = World()
    publisher = connected(world, "p", version, clean=True)
    publisher.publish("t", b"1", qos=1, retain=True)
    publisher.disconnect()
    world.pass_time(1_000)
    assert len(connected(world, "c", version).subscribe(Subscription("t", 1))) == 2


@both
def test_a_connection_begins_with_connect_and_has_one(version: int) -> None:
    """MQTT-3.1.0-1, -2; MQTT-3.1.0-1, -2 of 3.1.1."""
    world = World()
    client = world.client("c", version)
    client.publish("t", b"1")
    assert client.closed
    assert (client.got, world.accepted) == ([], [])
    client = connected(world, "c", version)
    client.send(Connect("c", version), Publish("t", b"2"))
    assert client.closed
    assert world.accepted == []


@both
def test_an_identifier_that_is_too_long_is_refused(version: int) -> None:
    """MQTT-3.1.3-8; MQTT-3.1.3-9 of 3.1.1."""
    client = World(MqttConfig(client_id_bytes_max=23)).client("x" * 24, version)
    reason = client.connect().reason
    assert reason == (Reason.CLIENT_IDENTIFIER_NOT_VALID if version == V5 else 2)
    assert client.closed


@both
def test_silence_ends_a_connection_and_a_second_one_takes_over(version: int) -> None:
    """MQTT-3.1.2-22, MQTT-3.1.4-3; MQTT-3.1.2-24, MQTT-3.1.4-2 of 3.1.1."""
    world = World()
    old = connected(world, "c", version, keep_alive_s=10)
    world.pass_time(14)
    assert not old.closed
    new = connected(world, "c", version, keep_alive_s=10)
    assert old.closed == "taken_over"
    world.pass_time(16)
    assert new.closed == "keep_alive_timeout"


@both
def test_a_goodbye_gives_up_the_will(version: int) -> None:
    """MQTT-3.1.2-10, MQTT-3.14.4-3; MQTT-3.1.2-10, MQTT-3.14.4-3 of 3.1.1."""
    world = World()
    watcher = connected(world, "w", version)
    watcher.subscribe(Subscription("w", 1))
    for ends in ("disconnect", "drop"):
        client = connected(world, "c", version, will=Will("w", b"gone", 1))
        getattr(client, ends)()
        world.pass_time(1_000)
    assert [one.payload for one in publishes(watcher.read())] == [b"gone"]


# PUBLISH


@both
def test_retained_messages_come_and_go(version: int) -> None:
    """MQTT-3.3.1-5, -6, -7, -8, -12; MQTT-3.3.1-5, -6, -7, -8, -9, -10, -11, -12 of 3.1.1."""
    world = World()
    watcher = connected(world, "w", version)
    watcher.subscribe(Subscription("t", 1))
    publisher = connected(world, "p", version)

    def kept() -> list[tuple[bytes, int, bool]]:
        got = connected(world, "c", version).subscribe(Subscription("t", 2))[1:]
        return [(one.payload, one.qos, one.retain) for one in publishes(got)]

    publisher.publish("t", b"1", qos=1, retain=True)
    assert kept() == [(b"1", 1, True)]
    publisher.publish("t", b"2", qos=1)
    publisher.publish("t", b"")
    assert kept() == [(b"1", 1, True)]
    publisher.publish("t", b"3", retain=True)
    assert kept() == [(b"3", 0, True)]
    publisher.publish("t", b"", retain=True)
    assert kept() == []
    assert [(one.payload, one.retain) for one in publishes(watcher.read())] == [
        (payload, False) for payload in (b"1", b"2", b"", b"3", b"")
    ]


@both
def test_overlapping_subscriptions_get_the_highest_qos(version: int) -> None:
    """MQTT-3.3.4-2; MQTT-3.3.5-1 of 3.1.1."""
    world = World()
    client = connected(world, "c", version)
    client.subscribe(Subscription("t/#", 0), Subscription("t/+", 2), Subscription("t/x", 1))
    connected(world, "p").publish("t/x", b"1", qos=2)
    assert [one.qos for one in publishes(client.read())] == [2]


@both
def test_only_a_repetition_is_marked_as_one(version: int) -> None:
    """MQTT-3.3.1-3, MQTT-4.3.1-1, MQTT-4.3.2-2, MQTT-4.3.3-2; MQTT-3.3.1-1, -2, -3 of 3.1.1.

    MQTT-4.3.1-1, MQTT-4.3.2-1, MQTT-4.3.3-1 of 3.1.1.
    """
    world = World()
    client = connected(world, "c", version, **lasting(version))
    client.subscribe(Subscription("t", 2))
    publisher = connected(world, "p")
    publisher.publish("t", b"0")
    publisher.publish("t", b"1", qos=1, packet_id=1, dup=True)
    publisher.publish("t", b"2", qos=2, packet_id=2, dup=True)
    got = list(publishes(client.read()))
    assert [(one.qos, one.dup, bool(one.packet_id)) for one in got] == [
        (0, False, False), (1, False, True), (2, False, True),
    ]  # fmt: skip
    client.drop()
    again = connected(world, "c", version, **lasting(version))
    assert [(one.qos, one.dup) for one in publishes(again.read())] == [(1, True), (2, True)]


@both
def test_identifiers_of_messages_on_their_way_differ_and_are_not_zero(version: int) -> None:
    """MQTT-2.2.1-2, MQTT-2.2.1-4, MQTT-4.3.2-1, MQTT-4.3.3-1; MQTT-2.3.1-4, -5 of 3.1.1."""
    world = World(MqttConfig(inflight_max=65_535, receive_maximum=65_535))
    client = connected(world, "c", version)
    client.subscribe(Subscription("t", 2))
    publisher = connected(world, "p")
    for number in range(300):
        publisher.publish("t", b"x", qos=1 + number % 2, packet_id=1 + number)
    got = [one.packet_id for one in publishes(client.read())]
    assert len(set(got)) == 300
    assert 0 not in got


@both
def test_answers_bear_the_identifier_of_what_they_answer(version: int) -> None:
    """MQTT-2.2.1-5, MQTT-2.2.1-6, MQTT-3.3.4-1, MQTT-3.4.2-1, MQTT-3.5.2-1, MQTT-3.6.2-1, MQTT-3.7.2-1.

    MQTT-3.8.4-1, -2, -6, -7, MQTT-3.9.3-2, MQTT-3.10.4-4, -5, MQTT-3.11.3-2, MQTT-4.3.3-4, -8, -11.
    MQTT-2.3.1-6, -7, MQTT-3.3.4-1, MQTT-3.8.4-1, -2, -5, MQTT-3.9.3-2, MQTT-3.10.4-4, -5, MQTT-4.3.2-2,
    MQTT-4.3.3-2 of 3.1.1.
    """
    world = World()
    client = connected(world, "c", version)
    client.send(
        Publish("t", b"0"),
        Publish("t", b"1", 1, packet_id=11),
        Publish("t", b"2", 2, packet_id=12),
        Ack(PacketType.PUBREL, 12),
        Subscribe(13, [Subscription("t", 0), Subscription("t", 1), Subscription("t", 2)]),
        Unsubscribe(14, ["t"]),
        Unsubscribe(15, ["never"]),
    )
    gone = [0] if version == V5 else []
    never = [int(Reason.NO_SUBSCRIPTION_EXISTED)] if version == V5 else []
    assert client.read() == [
        Ack(PacketType.PUBACK, 11),
        Ack(PacketType.PUBREC, 12),
        Ack(PacketType.PUBCOMP, 12),
        Suback(PacketType.SUBACK, 13, [0, 1, 2]),
        Suback(PacketType.UNSUBACK, 14, gone),
        Suback(PacketType.UNSUBACK, 15, never),
    ]
    client.subscribe(Subscription("t", 2))
    connected(world, "p").publish("t", b"3", qos=2)
    (got,) = publishes(client.read())
    client.send(Ack(PacketType.PUBREC, got.packet_id))
    assert client.one() == Ack(PacketType.PUBREL, got.packet_id)


@both
def test_an_identifier_is_free_again_after_its_acknowledgement(version: int) -> None:
    """MQTT-4.3.2-5, MQTT-4.3.3-12; the broker hands DUP over and the line decides what it makes of it.

    MQTT-4.3.2-2, MQTT-4.3.3-2 of 3.1.1.
    """
    world = World()
    client = connected(world, "c", version)
    for payload in (b"1", b"2"):
        client.publish("t", payload, qos=1, packet_id=5, dup=payload == b"2")
        assert client.one() == Ack(PacketType.PUBACK, 5)
    for payload in (b"3", b"4"):
        client.publish("t", payload, qos=2, packet_id=6)
        client.send(Ack(PacketType.PUBREL, 6))
        assert client.read() == [Ack(PacketType.PUBREC, 6), Ack(PacketType.PUBCOMP, 6)]
    assert [payload for _, _, payload, _ in world.accepted] == [b"1", b"2", b"3", b"4"]


def test_an_identifier_whose_publish_was_refused_is_free_again() -> None:
    """MQTT-4.3.3-9."""
    world = World()
    client = connected(world, "c")
    client.publish("forbidden/x", b"1", qos=2, packet_id=5)
    assert client.one() == Ack(PacketType.PUBREC, 5, Reason.NOT_AUTHORIZED)
    client.publish("t", b"2", qos=2, packet_id=5)
    assert client.one() == Ack(PacketType.PUBREC, 5)
    assert [payload for _, _, payload, _ in world.accepted] == [b"2"]


def test_what_has_begun_is_not_ended_by_its_expiry() -> None:
    """MQTT-4.3.3-7, MQTT-4.3.3-13."""
    world = World()
    client = connected(world, "c", **TEN_MINUTES)
    client.subscribe(Subscription("t", 2))
    publisher = connected(world, "p", **TEN_MINUTES)
    publisher.publish("t", b"1", qos=2, packet_id=5, properties=Properties(message_expiry_s=10))
    (first,) = publishes(client.read())
    client.drop()
    world.pass_time(20)
    again = connected(world, "c", **TEN_MINUTES)
    (second,) = publishes(again.read())
    assert (second.packet_id, second.dup) == (first.packet_id, True)
    again.send(Ack(PacketType.PUBREC, second.packet_id))
    assert again.one() == Ack(PacketType.PUBREL, second.packet_id)
    publisher.read()
    publisher.send(Ack(PacketType.PUBREL, 5))
    assert publisher.one() == Ack(PacketType.PUBCOMP, 5)


@both
def test_nothing_is_sent_again_while_the_connection_lasts(version: int) -> None:
    """MQTT-4.4.0-1, MQTT-4.3.2-3, MQTT-4.3.3-3, -5, -6; MQTT-3.12.4-1, MQTT-4.4.0-1 of 3.1.1."""
    world = World()
    client = connected(world, "c", version)
    client.subscribe(Subscription("t", 2))
    publisher = connected(world, "p")
    for qos in (1, 2):
        publisher.publish("t", b"x", qos=qos, packet_id=qos)
    assert len(client.read()) == 2
    for _ in range(30):
        world.pass_time(30)
        client.send(Ping(PacketType.PINGREQ))
    assert client.read() == [Ping(PacketType.PINGRESP)] * 30


def test_a_message_that_its_subscriber_refused_is_not_sent_again() -> None:
    """MQTT-4.4.0-2, MQTT-4.8.2-6."""
    world = World()
    one, two = connected(world, "a", **TEN_MINUTES), connected(world, "b", **TEN_MINUTES)
    publisher = connected(world, "p")
    for client in (one, two):
        client.subscribe(Subscription("$share/g/t", 2))
    for qos in (1, 2):
        publisher.publish("t", b"x", qos=qos, packet_id=qos)
    for client in (one, two):
        for got in publishes(client.read()):
            answer = PacketType.PUBACK if got.qos == 1 else PacketType.PUBREC
            client.send(Ack(answer, got.packet_id, Reason.UNSPECIFIED))
        client.drop()
    for name in ("a", "b"):
        assert connected(world, name, **TEN_MINUTES).read() == []


@both
def test_messages_of_one_client_reach_a_subscriber_in_their_order(version: int) -> None:
    """MQTT-4.5.0-1, MQTT-4.6.0-5, MQTT-4.6.0-6, MQTT-3.3.2-3.

    MQTT-4.5.0-1, MQTT-4.6.0-1, -5, -6, MQTT-3.1.2-5, MQTT-3.3.2-3 of 3.1.1.
    """
    world = World(MqttConfig(inflight_max=3))
    client = connected(world, "c", version, **lasting(version))
    client.subscribe(Subscription("t/+", 2))
    publisher = connected(world, "p")
    for number in range(10):
        publisher.publish(f"t/{number % 2}", b"%d" % number, qos=1, packet_id=number + 1)
    client.drop()
    for number in range(10, 20):
        publisher.publish(f"t/{number % 2}", b"%d" % number, qos=1, packet_id=number + 1)
    client = connected(world, "c", version, **lasting(version))
    seen: list[bytes] = []
    while got := list(publishes(client.read())):
        seen += [one.payload for one in got]
        client.send(*(Ack(PacketType.PUBACK, one.packet_id) for one in got))
    assert seen == [b"%d" % number for number in range(20)]


@both
def test_a_full_window_delays_nothing_but_publishes(version: int) -> None:
    """MQTT-3.3.4-10, MQTT-4.9.0-2, MQTT-4.9.0-3."""
    world = World(MqttConfig(inflight_max=1))
    client = connected(world, "c", version)
    client.subscribe(Subscription("t", 1))
    publisher = connected(world, "p")
    for number in range(3):
        publisher.publish("t", b"x", qos=1, packet_id=number + 1)
    assert len(client.read()) == 1
    client.send(
        Ping(PacketType.PINGREQ),
        Subscribe(8, [Subscription("u", 1)]),
        Publish("v", b"", 1, packet_id=9),
        Unsubscribe(10, ["u"]),
    )
    assert [type(packet).__name__ for packet in client.read()] == ["Ping", "Suback", "Ack", "Suback"]


def test_without_a_topic_alias_maximum_no_alias_is_sent() -> None:
    """MQTT-3.1.2-27."""
    world = World()
    for options in ({}, {"topic_alias_maximum": 0}):
        client = connected(world, "c", **options)
        client.subscribe(Subscription("t"))
        connected(world, "p").publish("t")
        (got,) = publishes(client.read())
        assert got.topic == "t"
        assert got.properties is None


def test_a_topic_alias_ends_with_its_connection() -> None:
    """MQTT-3.3.2-7: in both directions, though the session goes on."""
    world = World()
    for _ in range(2):
        client = connected(world, "c", topic_alias_maximum=1, **TEN_MINUTES)
        client.publish("t", b"1", properties=Properties(topic_alias=1))
        client.drop()
    client = connected(world, "c", topic_alias_maximum=1, **TEN_MINUTES)
    client.subscribe(Subscription("t", 0))
    connected(world, "p").publish("t", b"2")
    (got,) = publishes(client.read())
    assert (got.topic, got.properties) == ("t", Properties(topic_alias=1))
    client.publish("", b"3", properties=Properties(topic_alias=1))
    assert client.closed == "protocol_error"


@pytest.mark.parametrize("most", [0, 3])
def test_every_topic_alias_that_was_allowed_is_taken_and_none_above(most: int) -> None:
    """MQTT-3.3.2-12; MQTT-3.2.2-17, MQTT-3.2.2-18, MQTT-3.3.2-9."""
    world = World(MqttConfig(topic_aliases_max=most))
    answer = (client := world.client("c")).connect()
    assert answer.properties is not None
    assert (answer.properties.topic_alias_maximum or 0) == most
    for alias in range(1, most + 1):
        client.publish(f"t/{alias}", b"", properties=Properties(topic_alias=alias))
    for alias in range(1, most + 1):
        client.publish("", b"again", properties=Properties(topic_alias=alias))
    assert [topic for _, topic, _, _ in world.accepted] == [f"t/{n}" for n in range(1, most + 1)] * 2
    client.publish("t", b"", properties=Properties(topic_alias=most + 1))
    assert client.closed == "topic_alias_invalid"
    assert client.one() == Disconnect(
        Reason.TOPIC_ALIAS_INVALID, Properties(reason_string=f"topic alias {most + 1}")
    )


# SUBSCRIBE and UNSUBSCRIBE


@both
@pytest.mark.parametrize("text", ["", "a#", "#/a", "a+", "$share/g", "$share/g/", "$share//a", "$share/g+/a"])
def test_a_malformed_filter_is_refused_in_subscribe_and_unsubscribe_alike(version: int, text: str) -> None:
    """MQTT-4.7.3-1, MQTT-4.7.1-1, -2, MQTT-4.8.2-1, -2; MQTT-4.7.3-1, MQTT-4.7.1-2, -3 of 3.1.1."""
    for packet in (Subscribe(3, [Subscription(text, 1)]), Unsubscribe(3, [text])):
        client = connected(World(), "c", version)
        client.send(packet)
        if version == V5:
            kind = PacketType.SUBACK if isinstance(packet, Subscribe) else PacketType.UNSUBACK
            assert client.one() == Suback(kind, 3, [Reason.TOPIC_FILTER_INVALID])
        else:
            assert client.closed == "topic_filter_invalid"
            assert client.got == []


def test_a_subscription_can_be_given_up_though_its_filter_is_too_deep_by_now() -> None:
    """Kills: a bound that was lowered over a restart, and a subscription nobody can end."""
    world = World(MqttConfig(topic_levels_max=3))
    connected(world, "c", **TEN_MINUTES).subscribe(Subscription("a/b/c", 1))
    world.config = MqttConfig(topic_levels_max=2)
    world.crash()
    client = connected(world, "c", **TEN_MINUTES)
    client.send(Unsubscribe(3, ["a/b/c", "x/y/z"]))
    assert client.one() == Suback(PacketType.UNSUBACK, 3, [0, Reason.TOPIC_FILTER_INVALID])
    assert world.broker.sizes()["subscriptions"] == 0


@both
def test_subscribing_again_sends_the_retained_message_again_and_loses_nothing(version: int) -> None:
    """MQTT-3.8.4-3, MQTT-3.8.4-4; MQTT-3.3.1-6, -8, MQTT-3.8.4-3 of 3.1.1."""
    world = World(automatic=True)
    publisher = connected(world, "p")
    publisher.publish("t", b"kept", qos=1, retain=True)
    client = connected(world, "c", version)
    for granted in (1, 0, 2):
        (kept,) = publishes(client.subscribe(Subscription("t", granted)))
        assert (kept.payload, kept.retain, kept.qos) == (b"kept", True, min(granted, 1))
        publisher.publish("t", b"live", qos=2)
        publisher.send(Ack(PacketType.PUBREL, 1))
        (live,) = publishes(client.read())
        assert (live.payload, live.retain, live.qos) == (b"live", False, granted)


@both
def test_what_is_on_its_way_is_finished_after_unsubscribing(version: int) -> None:
    """MQTT-3.10.4-2, MQTT-3.10.4-3, MQTT-3.10.4-6; the same of 3.1.1: MQTT-3.10.4-1, -2, -3, -6 of 3.1.1."""
    world = World()
    client = connected(world, "c", version, **lasting(version))
    client.subscribe(Subscription("t", 2), Subscription("u", 2), Subscription("t/x", 1))
    publisher = connected(world, "p")
    publisher.publish("t", b"1", qos=2)
    (first,) = publishes(client.read())
    client.send(Unsubscribe(9, ["t", "u"]))
    assert client.one() == Suback(PacketType.UNSUBACK, 9, [0, 0] if version == V5 else [])
    publisher.publish("u", b"2", qos=1, packet_id=2)
    publisher.publish("t/x", b"3", qos=1, packet_id=3)
    assert [one.payload for one in publishes(client.read())] == [b"3"]
    client.drop()
    client = connected(world, "c", version, **lasting(version))
    (second, _) = publishes(client.read())
    assert (second.packet_id, second.payload) == (first.packet_id, b"1")
    client.send(Ack(PacketType.PUBREC, second.packet_id))
    assert client.one() == Ack(PacketType.PUBREL, second.packet_id)


@both
def test_topic_names_are_compared_as_they_are(version: int) -> None:
    """MQTT-1.5.4-3, MQTT-4.7.3-4; MQTT-1.5.3-3, MQTT-4.7.3-4 of 3.1.1."""
    world = World()
    client = connected(world, "c", version)
    client.subscribe(Subscription("é"), Subscription("\ufeffa"), Subscription("A"))
    publisher = connected(world, "p")
    for topic in ("e\u0301", "a", "é", "\ufeffa", "A", "/A"):
        publisher.publish(topic, topic.encode())
    assert [one.topic for one in publishes(client.read())] == ["é", "\ufeffa", "A"]


@both
def test_a_shared_message_respects_the_granted_level(version: int) -> None:
    """MQTT-4.8.2-3."""
    world = World()
    client = connected(world, "c", version)
    client.subscribe(Subscription("$share/g/t", 1))
    connected(world, "p").publish("t", b"1", qos=2)
    assert [one.qos for one in publishes(client.read())] == [1]


def test_a_shared_message_of_qos_2_is_finished_with_its_member_or_with_nobody() -> None:
    """MQTT-4.8.2-4, MQTT-4.8.2-5."""
    for returns in (True, False):
        world = World()
        member = connected(world, "a", clean=False, session_expiry_s=100)
        member.subscribe(Subscription("$share/g/t", 2))
        connected(world, "p").publish("t", b"1", qos=2)
        (first,) = publishes(member.read())
        member.drop()
        other = connected(world, "b")
        other.subscribe(Subscription("$share/g/t", 2))
        if returns:
            world.pass_time(50)
            again = connected(world, "a", clean=False, session_expiry_s=100)
            (second,) = publishes(again.read())
            assert second.packet_id == first.packet_id
        world.pass_time(200)
        assert list(publishes(other.read())) == []


# DISCONNECT, AUTH and errors


def test_the_farewell_of_the_node_has_no_session_expiry_and_is_the_last_word() -> None:
    """MQTT-3.14.2-1, MQTT-3.14.2-2, MQTT-3.14.4-1, MQTT-3.14.4-2."""
    world = World()
    client = connected(world, "c", **TEN_MINUTES)
    client.subscribe(Subscription("t", 1))
    client.send_bytes(b"\x00\x00" + encode(Publish("t", b"1", 1, packet_id=1), V5))
    got = client.one()
    assert isinstance(got, Disconnect)
    assert got.reason == Reason.MALFORMED_PACKET
    assert got.properties is None or got.properties.session_expiry_s is None
    assert client.closed
    connected(world, "p").publish("t", b"1")
    assert client.read() == []


@both
@pytest.mark.parametrize("first", [0xE1, 0xF1, 0xF8, 0xC2, 0x31 | 0x08], ids=hex)
def test_reserved_bits_of_the_first_byte_are_malformed(version: int, first: int) -> None:
    """MQTT-2.1.3-1, MQTT-3.14.1-1, MQTT-3.15.1-1; MQTT-2.2.2-1, -2, MQTT-3.14.1-1, MQTT-4.8.0-1 of 3.1.1."""
    world = World()
    client = connected(world, "c", version)
    client.send_bytes(bytes([first, 4]) + b"\x00\x01ab" if first & 0xF0 == 0x30 else bytes([first, 0]))
    assert client.closed
    if version == V5:
        last = client.one()
        assert isinstance(last, Disconnect)
        assert last.reason == Reason.MALFORMED_PACKET
    else:
        assert client.got == []


@both
def test_a_session_is_kept_as_long_as_its_connection_whatever_its_expiry(version: int) -> None:
    """MQTT-4.1.0-1, MQTT-4.1.0-2; the same of 3.1.1: MQTT-4.1.0-1, -2 of 3.1.1."""
    world = World()
    options = {"clean": False, "session_expiry_s": 10} if version == V5 else {"clean": False}
    client = connected(world, "c", version, **options)
    client.subscribe(Subscription("t", 1))
    world.pass_time(1_000)
    connected(world, "p").publish("t", b"1", qos=1)
    assert len(client.read()) == 1
    client.drop()
    if version == V5:
        world.pass_time(11)
        assert world.broker.sizes()["sessions"] == 1
        assert not world.client("c").connect(**options).session_present


@pytest.mark.parametrize("at", [0, 1])
def test_both_strings_of_a_pair_are_text(at: int) -> None:
    """MQTT-1.5.7-1."""
    world = World()
    pair = [b"\x00\x01k", b"\x00\x01v"]
    pair[at] = b"\x00\x01\xff"
    body = b"\x00\x01t" + b"\x07\x26" + b"".join(pair)
    client = connected(world, "c")
    client.send_bytes(bytes([0x30, len(body)]) + body)
    assert client.closed == "malformed_packet"
