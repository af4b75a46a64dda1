"""Sessions: their beginning, takeover, loss, end, and what they remember."""

from __future__ import annotations

import pytest
from tests.mqtt.client import Client, World, connected

from headland.mqtt import MqttConfig, Properties, Reason
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
    Subscription,
    Will,
)
from headland.mqtt.session import Message

TEN_MINUTES = {"clean": False, "session_expiry_s": 600}


def payloads(packets: list[Packet]) -> list[bytes]:
    return [packet.payload for packet in packets if isinstance(packet, Publish)]


# CONNECT


def test_mqtt_5_is_told_the_limits() -> None:
    """MQTT-3.2.2-15 and following."""
    world = World(MqttConfig(receive_maximum=9, packet_bytes_max=5_000, topic_aliases_max=3))
    answer = world.client("c").connect()
    assert answer == Connack(
        False,
        0,
        Properties(
            receive_maximum=9, maximum_packet_bytes=5_000, topic_alias_maximum=3, server_keep_alive_s=3_600
        ),
    )
    assert world.client("d", V311).connect() == Connack(False, 0)


def test_a_client_without_identifier_is_given_one() -> None:
    """MQTT-3.1.3-6, MQTT-3.1.3-7, MQTT-3.2.2-16; MQTT-3.1.3-6 of 3.1.1."""
    world = World()
    first, second = world.client("").connect(), world.client("").connect()
    assert first.properties is not None
    assert second.properties is not None
    assert first.properties.assigned_client_id
    assert first.properties.assigned_client_id != second.properties.assigned_client_id
    assert world.client("", V311).connect().reason == 0


def test_3_1_1_may_not_resume_a_session_without_identifier() -> None:
    """MQTT-3.1.3-7, -8 of 3.1.1."""
    world = World()
    client = world.client("", V311)
    assert client.connect(False).reason == 2
    assert client.closed


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("10 10 0006 4d5149736470 03 02 000a 0002 6162", "20 02 00 01"),
        ("10 0d 0004 4d515454 03 02 000a 0001 61", "20 02 00 01"),
        ("10 0d 0004 4d515454 06 02 000a 0001 61", "20 03 00 84 00"),
    ],
    ids=["3.1", "level 3", "version 6"],
)
def test_versions_that_are_not_served_are_refused_in_their_own_words(text: str, answer: str) -> None:
    """MQTT-3.1.2-2; MQTT-3.1.2-2 of 3.1.1."""
    world = World()
    client = world.client("c", V5 if answer.endswith("84 00") else V311)
    client.send_bytes(bytes.fromhex(text))
    packet = client.one()
    assert encode(packet, client.version) == bytes.fromhex(answer)
    assert client.closed == "unsupported_protocol_version"


@pytest.mark.parametrize("version", [V5, V311])
def test_a_stranger_is_refused(version: int) -> None:
    """MQTT-3.1.4-2."""
    world = World()
    client = world.client("c", version)
    assert client.connect(username="nobody").reason == (
        Reason.BAD_USER_NAME_OR_PASSWORD if version == V5 else 4
    )
    assert client.closed
    assert not world.broker.sizes()["connections"]
    assert world.broker.counters.connects_refused == 1


def test_extended_authentication_is_refused() -> None:
    """MQTT-4.12.0-1, MQTT-4.12.0-4."""
    client = World().client("c")
    assert client.connect(authentication_method="SCRAM").reason == Reason.BAD_AUTHENTICATION_METHOD


def test_an_auth_packet_ends_the_connection() -> None:
    """MQTT-4.12.0-7: no method was agreed on."""
    client = connected(World(), "c")
    client.send(Auth(0x19, Properties(authentication_method="x")))
    assert client.closed == "protocol_error"


def test_the_first_packet_is_connect_and_only_the_first() -> None:
    """MQTT-3.1.0-1, MQTT-3.1.0-2."""
    world = World()
    client = world.client("c")
    client.send(Ping(PacketType.PINGREQ))
    assert client.closed
    assert client.got == []
    client = connected(world, "c")
    client.send(Connect("c"))
    assert client.closed == "protocol_error"


def test_a_connection_that_says_nothing_is_closed() -> None:
    world = World(MqttConfig(connect_timeout_s=10))
    client = world.client("c")
    world.pass_time(9.9)
    assert not client.closed
    world.pass_time(0.2)
    assert client.closed == "connect_timeout"
    assert not world.broker.sizes()["connections"]


def test_connections_and_sessions_are_bounded() -> None:
    world = World(MqttConfig(connections_max=2, sessions_max=1))
    connected(world, "c")
    second = world.client("d")
    assert second.connect().reason == Reason.QUOTA_EXCEEDED
    world.client("e")
    assert world.client("f").closed == "connections_max"


def test_a_connect_over_its_bound_is_refused_before_it_has_come() -> None:
    world = World(MqttConfig(connect_bytes_max=128))
    client = world.client("c")
    client.send_bytes(encode(Connect("c" * 500), V5)[:4])
    assert client.closed == "packet_too_large"


# Keep alive


def test_silence_of_one_and_a_half_keep_alives_ends_the_connection() -> None:
    """MQTT-3.1.2-22, MQTT-3.2.2-22."""
    world = World()
    client = connected(world, "c", keep_alive_s=20)
    for _ in range(5):
        world.pass_time(29)
        assert not client.closed
        client.send(Ping(PacketType.PINGREQ))
    world.pass_time(31)
    assert client.closed == "keep_alive_timeout"
    assert client.got[-1] == Disconnect(Reason.KEEP_ALIVE_TIMEOUT)


@pytest.mark.parametrize("opened", [True, False])
def test_a_client_that_is_not_read_is_not_silent(opened: bool) -> None:
    """Kills: counting the silence of a client whose socket the node itself does not read."""
    world = World(MqttConfig(connect_timeout_s=10))
    client = connected(world, "c", keep_alive_s=10) if opened else world.client("c")
    world.broker.unread(client.number, True, world.now)
    world.pass_time(1_000)
    assert not client.closed
    world.broker.unread(client.number, False, world.now)
    world.pass_time(9)
    assert not client.closed
    world.pass_time(7)
    assert client.closed == ("keep_alive_timeout" if opened else "connect_timeout")


def test_a_client_that_the_broker_paused_for_its_unacknowledged_publishes_is_not_silent() -> None:
    """Kills: the same, for a client that had sent all that it may."""
    world = World(MqttConfig(receive_maximum=1), automatic=False)
    client = world.client("c", V311)
    client.send(Connect("c", V311, keep_alive_s=10))
    world.commit()
    for packet_id in (1, 2):
        client.send(Publish("t", b"1", qos=1, packet_id=packet_id))
    assert client.paused
    world.pass_time(100)
    assert not client.closed
    while world.runs:
        run = world.runs.pop(0)
        world.perform(world.broker.rest_on(run, 0, world.now))
    assert not client.paused
    world.pass_time(14)
    assert not client.closed
    world.pass_time(2)
    assert client.closed == "keep_alive_timeout"


def test_no_keep_alive_means_no_limit_in_3_1_1_and_the_servers_in_5() -> None:
    """MQTT-3.1.2-21, MQTT-3.2.2-21."""
    world = World(MqttConfig(keep_alive_max_s=100))
    old, new = connected(world, "c", V311), connected(world, "d")
    world.pass_time(1_000)
    assert not old.closed
    assert new.closed == "keep_alive_timeout"


# Takeover


def test_a_second_connection_of_a_client_takes_over() -> None:
    """MQTT-3.1.4-3: the old one is told, and what it subscribed to goes on."""
    world = World()
    old = connected(world, "c", **TEN_MINUTES)
    old.subscribe(Subscription("t", 1))
    new = world.client("c")
    assert new.connect(**TEN_MINUTES).session_present
    assert old.closed == "taken_over"
    assert old.one() == Disconnect(Reason.SESSION_TAKEN_OVER)
    other = connected(world, "d")
    other.publish("t", b"1")
    assert payloads(new.read()) == [b"1"]
    old.send(Publish("t", b"late"))
    assert new.read() == []
    assert world.broker.counters.takeovers == 1


def test_the_closing_of_a_connection_taken_over_does_not_touch_its_successor() -> None:
    world = World()
    old = connected(world, "c", **TEN_MINUTES, will=Will("w", b"gone"))
    new = connected(world, "c", **TEN_MINUTES)
    old.drop()
    assert not new.closed
    assert world.broker.sizes() | {"sessions": 1, "connections": 1} == world.broker.sizes()


def test_an_identifier_in_use_is_not_given_to_another_principal() -> None:
    world = World()
    old = connected(world, "c", username="alice")
    thief = world.client("c")
    assert thief.connect(username="mallory").reason == Reason.CLIENT_IDENTIFIER_NOT_VALID
    assert not old.closed


@pytest.mark.parametrize("clean", [False, True])
def test_another_principal_neither_inherits_nor_ends_a_session_whose_owner_is_away(clean: bool) -> None:
    """Kills: whoever knows a client identifier deletes its queue while it is offline."""
    world = World()
    old = connected(world, "c", username="alice", **TEN_MINUTES)
    old.subscribe(Subscription("t", 1))
    old.drop()
    connected(world, "p").publish("t", b"for alice", qos=1)
    thief = world.client("c")
    options = {"clean": clean, "session_expiry_s": 600}
    assert thief.connect(username="mallory", **options).reason == Reason.CLIENT_IDENTIFIER_NOT_VALID
    again = world.client("c")
    assert again.connect(username="alice", **TEN_MINUTES).session_present
    assert payloads(again.got) == [b"for alice"]


def test_what_mqtt_5_sends_beside_a_payload_counts_towards_the_bounds() -> None:
    """Kills: retained messages whose content type is a hundred times what is counted."""
    text = "x" * 60_000
    for properties in (
        Properties(content_type=text),
        Properties(response_topic=text),
        Properties(correlation_data=text.encode()),
        Properties(user=[("key", text)]),
    ):
        assert Message("t", b"", properties=properties).size > 60_000
    assert Message("\u00e9" * 1_000, b"").size > 2_000


# What a session remembers


@pytest.mark.parametrize("version", [V5, V311])
@pytest.mark.parametrize("crashes", [False, True])
def test_a_lasting_session_gets_what_came_while_it_was_away(version: int, crashes: bool) -> None:
    """MQTT-3.1.2-5, MQTT-4.4.0-1, also over a restart of the node; MQTT-3.1.2-4, -5 of 3.1.1."""
    options = TEN_MINUTES if version == V5 else {"clean": False}
    world = World()
    subscriber = connected(world, "c", version, **options)
    subscriber.subscribe(Subscription("q/#", 2))
    subscriber.drop()
    publisher = connected(world, "p")
    publisher.publish("q/0", b"zero", qos=0)
    publisher.publish("q/1", b"one", qos=1)
    publisher.publish("q/2", b"two", qos=2)
    if crashes:
        world.crash()
    again = world.client("c", version)
    assert again.connect(**options).session_present
    assert [(packet.topic, packet.qos) for packet in again.got] == [("q/1", 1), ("q/2", 2)]  # type: ignore[union-attr]
    one, two = again.read()
    assert isinstance(one, Publish)
    assert isinstance(two, Publish)
    again.send(Ack(PacketType.PUBACK, one.packet_id), Ack(PacketType.PUBREC, two.packet_id))
    assert again.one() == Ack(PacketType.PUBREL, two.packet_id)
    again.send(Ack(PacketType.PUBCOMP, two.packet_id))
    assert world.broker.sizes()["queued_messages"] == 0
    again.drop()
    last = connected(world, "c", version, **options)
    assert last.read() == []


def test_what_was_not_acknowledged_is_sent_again_in_order_with_its_identifier() -> None:
    """MQTT-4.4.0-1, MQTT-4.6.0-1, MQTT-3.3.1-1."""
    world = World()
    subscriber = connected(world, "c", **TEN_MINUTES)
    subscriber.subscribe(Subscription("t", 1))
    publisher = connected(world, "p")
    for number in range(4):
        publisher.publish("t", b"%d" % number, qos=1)
    first = subscriber.read()
    assert payloads(first) == [b"0", b"1", b"2", b"3"]
    subscriber.send(Ack(PacketType.PUBACK, first[1].packet_id))  # type: ignore[union-attr]
    subscriber.drop()
    again = connected(world, "c", **TEN_MINUTES)
    repeats = again.read()
    assert payloads(repeats) == [b"0", b"2", b"3"]
    assert [packet.packet_id for packet in repeats] == [first[at].packet_id for at in (0, 2, 3)]  # type: ignore[union-attr]
    assert all(packet.dup for packet in repeats)  # type: ignore[union-attr]


def test_clean_start_forgets_the_session() -> None:
    """MQTT-3.1.2-4."""
    world = World()
    old = connected(world, "c", **TEN_MINUTES)
    old.subscribe(Subscription("t", 1))
    old.drop()
    connected(world, "p").publish("t", b"1", qos=1)
    new = world.client("c")
    assert not new.connect(True, session_expiry_s=600).session_present
    assert new.read() == []
    assert world.broker.sizes()["subscriptions"] == 0
    assert world.broker.sizes()["queued_messages"] == 0
    world.crash()
    assert world.broker.sizes()["subscriptions"] == 0


def test_a_session_ends_when_its_expiry_has_passed() -> None:
    """MQTT-3.1.2-23; the clock runs from the end of the connection."""
    world = World()
    client = connected(world, "c", clean=False, session_expiry_s=100)
    world.pass_time(200)
    client.drop()
    world.pass_time(99)
    assert world.broker.sizes()["sessions"] == 1
    world.pass_time(2)
    assert world.broker.sizes()["sessions"] == 0
    assert world.broker.counters.sessions_expired == 1
    world.settle()
    world.crash()
    assert world.broker.sizes()["sessions"] == 0


def test_off_time_counts_against_a_session() -> None:
    world = World()
    client = connected(world, "c", clean=False, session_expiry_s=100)
    client.drop()
    world.crash(off_s=101)
    world.pass_time(0.001)
    assert world.broker.sizes()["sessions"] == 0


def test_a_session_connected_at_a_crash_lasts_its_expiry_from_the_restart() -> None:
    world = World()
    connected(world, "c", clean=False, session_expiry_s=100)
    world.crash(off_s=1_000)
    world.pass_time(99)
    assert world.broker.sizes()["sessions"] == 1
    world.pass_time(2)
    assert world.broker.sizes()["sessions"] == 0


def test_the_longest_expiry_is_the_configured_one_and_is_told() -> None:
    """MQTT-3.2.2.3.2: session expiry interval of the server."""
    world = World(MqttConfig(session_expiry_max_s=50))
    answer = world.client("c").connect(session_expiry_s=0xFFFF_FFFF)
    assert answer.properties is not None
    assert answer.properties.session_expiry_s == 50


def test_a_goodbye_may_change_the_expiry_but_not_from_nothing() -> None:
    """Section 3.14.2.2.2."""
    world = World()
    client = connected(world, "c", clean=False, session_expiry_s=100)
    client.subscribe(Subscription("t", 1))
    client.send(Disconnect(0, Properties(session_expiry_s=0)))
    assert world.broker.sizes()["sessions"] == 0
    world.crash()
    assert world.broker.sizes()["sessions"] == 0
    client = connected(world, "d")
    client.send(Disconnect(0, Properties(session_expiry_s=5)))
    assert client.closed == "protocol_error"


def test_a_goodbye_that_breaks_the_protocol_is_no_goodbye() -> None:
    """Section 3.14.2.2.2: it is not treated as a valid DISCONNECT, so the will is published."""
    world = World()
    watcher, client = will_of(world)
    client.send(Disconnect(0, Properties(session_expiry_s=5)))
    assert client.one() == Disconnect(
        Reason.PROTOCOL_ERROR, Properties(reason_string="session expiry where there was none")
    )
    assert payloads(watcher.read()) == [b"gone"]


# Wills


def will_of(world: World, version: int = V5, **options: object) -> tuple[Client, Client]:
    watcher = connected(world, "watcher")
    watcher.subscribe(Subscription("w", 1))
    properties = (
        Properties(will_delay_s=options.pop("delay", None), content_type="x") if version == V5 else None
    )  # type: ignore[arg-type]
    will = Will("w", b"gone", 1, False, properties)
    return watcher, connected(world, "c", version, will=will, **options)


@pytest.mark.parametrize("version", [V5, V311])
def test_a_will_is_published_when_the_connection_is_lost(version: int) -> None:
    """MQTT-3.1.2-8: to subscribers and to the line; MQTT-3.1.2-8 of 3.1.1."""
    world = World()
    watcher, client = will_of(world, version)
    client.drop()
    message = watcher.one()
    assert (message.topic, message.payload, message.qos) == ("w", b"gone", 1)
    assert ("c", "w", b"gone", 1) in world.accepted
    assert world.broker.counters.wills_published == 1


def test_a_will_is_published_when_the_client_breaks_the_protocol_or_falls_silent() -> None:
    """MQTT-3.1.2-8."""
    world = World()
    watcher, client = will_of(world)
    client.send_bytes(b"\x00\x00")
    assert payloads(watcher.read()) == [b"gone"]
    _, client = will_of(world, keep_alive_s=10)
    world.pass_time(16)
    assert world.broker.counters.wills_published == 2


def test_a_goodbye_cancels_the_will_unless_it_asks_for_it() -> None:
    """MQTT-3.1.2-10, MQTT-3.14.4-3."""
    world = World()
    watcher, client = will_of(world)
    client.disconnect()
    assert watcher.read() == []
    _, client = will_of(world)
    client.send(Disconnect(Reason.DISCONNECT_WITH_WILL))
    assert world.broker.counters.wills_published == 1


def test_a_delayed_will_waits_and_a_return_cancels_it() -> None:
    """MQTT-3.1.3-9."""
    world = World()
    watcher, client = will_of(world, delay=30, **TEN_MINUTES)
    client.drop()
    world.pass_time(29)
    assert watcher.read() == []
    again = connected(world, "c", **TEN_MINUTES)
    world.pass_time(60)
    assert watcher.read() == []
    again.drop()
    watcher, client = will_of(world, delay=30, **TEN_MINUTES)
    client.drop()
    world.pass_time(31)
    assert payloads(watcher.read()) == [b"gone"]
    world.pass_time(1_000)
    assert watcher.read() == []


def test_the_end_of_the_session_publishes_a_delayed_will() -> None:
    """MQTT-3.1.2-8 with section 3.1.3.2.2: whichever comes first."""
    world = World()
    watcher, client = will_of(world, delay=1_000, clean=False, session_expiry_s=10)
    client.drop()
    world.pass_time(11)
    assert payloads(watcher.read()) == [b"gone"]


def test_a_takeover_with_clean_start_publishes_the_delayed_will_and_without_cancels_it() -> None:
    """Section 3.1.4, non-normative comment on takeover."""
    world = World()
    watcher, _ = will_of(world, delay=30, **TEN_MINUTES)
    connected(world, "c", **TEN_MINUTES)
    world.pass_time(60)
    assert watcher.read() == []
    watcher, _ = will_of(world, delay=30, **TEN_MINUTES)
    connected(world, "c", clean=True)
    assert payloads(watcher.read()) == [b"gone"]


def test_a_will_survives_a_crash_of_the_node() -> None:
    """The will of a lasting session is part of its state (section 4.1)."""
    world = World()
    watcher = connected(world, "watcher", **TEN_MINUTES)
    watcher.subscribe(Subscription("w", 1))
    connected(world, "c", **TEN_MINUTES, will=Will("w", b"gone", 1))
    world.crash()
    world.pass_time(1)
    again = connected(world, "watcher", **TEN_MINUTES)
    assert payloads(again.read()) == [b"gone"]
    world.crash()
    world.pass_time(1)
    assert world.broker.counters.wills_published == 0


def test_a_will_that_may_not_be_published_is_refused_at_connect() -> None:
    world = World()
    client = world.client("c")
    assert client.connect(will=Will("forbidden/x", b"")).reason == Reason.NOT_AUTHORIZED


def test_a_node_that_stops_tells_its_clients_and_keeps_their_sessions() -> None:
    """MQTT 5.0 section 3.14.2.1: server shutting down."""
    world = World()
    client, old = connected(world, "c", **TEN_MINUTES), connected(world, "d", V311)
    client.subscribe(Subscription("t", 1))
    world.perform(world.broker.stop(world.now, world.draft))
    world.settle()
    assert client.one() == Disconnect(Reason.SERVER_SHUTTING_DOWN)
    assert (client.closed, old.closed) == ("stopping", "stopping")
    assert world.broker.sizes()["connections"] == 0
    world.crash()
    assert world.client("c").connect(**TEN_MINUTES).session_present


# Clients that come and go


def test_clients_that_come_and_go_leave_nothing_behind() -> None:
    world = World()
    for number in range(3_000):
        client = connected(
            world, f"c{number % 7}", keep_alive_s=60_000, clean=False, session_expiry_s=600_000
        )
        client.drop()
        world.clients.clear()
    assert len(world.broker._state.timers) < 1_100
    assert world.broker.sizes()["sessions"] == 7
