"""Who gets a message, how, and how much of it."""

from __future__ import annotations

import pytest
from tests.mqtt.client import Client, World, connected

from headland.mqtt import MqttConfig, Properties, Reason
from headland.mqtt.encoding import encode
from headland.mqtt.packets import (
    V5,
    V311,
    Ack,
    Disconnect,
    Packet,
    PacketType,
    Publish,
    Suback,
    Subscribe,
    Subscription,
    Unsubscribe,
    Will,
)

TEN_MINUTES = {"clean": False, "session_expiry_s": 600}


def payloads(packets: list[Packet]) -> list[bytes]:
    return [packet.payload for packet in packets if isinstance(packet, Publish)]


def publish_of(packet: Packet) -> Publish:
    assert isinstance(packet, Publish)
    return packet


@pytest.mark.parametrize("published", [0, 1, 2])
@pytest.mark.parametrize("granted", [0, 1, 2])
@pytest.mark.parametrize("version", [V5, V311])
def test_a_message_comes_at_the_lower_of_the_two_qos(published: int, granted: int, version: int) -> None:
    """MQTT-3.8.4-8; MQTT-3.8.4-6 of 3.1.1."""
    world = World()
    subscriber = connected(world, "s", version)
    assert subscriber.subscribe(Subscription("t", granted)) == [Suback(PacketType.SUBACK, 7, [granted])]
    connected(world, "p").publish("t", b"1", qos=published)
    got = publish_of(subscriber.one())
    assert got.qos == min(published, granted)
    assert bool(got.packet_id) == bool(got.qos)
    assert not got.retain


def test_a_publisher_gets_its_own_message_unless_it_asked_not_to() -> None:
    """MQTT-3.8.3-3."""
    world = World()
    client = connected(world, "c")
    client.subscribe(Subscription("a"), Subscription("b", no_local=True))
    client.publish("a", b"1")
    client.publish("b", b"2")
    assert payloads(client.read()) == [b"1"]
    connected(world, "d").publish("b", b"3")
    assert payloads(client.read()) == [b"3"]


def test_overlapping_subscriptions_give_one_copy_at_the_highest_qos_with_all_identifiers() -> None:
    """MQTT-3.3.4-2, MQTT-3.3.4-3, MQTT-3.3.4-4."""
    world = World()
    client = connected(world, "c")
    client.subscribe(Subscription("t/#", 0), identifier=5)
    client.subscribe(Subscription("t/+", 1), identifier=200_000)
    client.subscribe(Subscription("t/x", 0))
    connected(world, "p").publish("t/x", b"1", qos=2)
    got = publish_of(client.one())
    assert got.qos == 1
    assert got.properties is not None
    assert sorted(got.properties.subscription_ids or []) == [5, 200_000]


def test_subscribing_again_replaces_the_options() -> None:
    """MQTT-3.8.4-3."""
    world = World()
    client = connected(world, "c")
    client.subscribe(Subscription("t", 0))
    client.subscribe(Subscription("t", 1), identifier=3)
    connected(world, "p").publish("t", b"1", qos=1)
    got = publish_of(client.one())
    assert got.qos == 1
    assert got.properties == Properties(subscription_ids=[3])
    assert world.broker.sizes()["subscriptions"] == 1


def test_unsubscribing_ends_the_messages() -> None:
    """MQTT-3.10.4-1, MQTT-3.11.3-1."""
    world = World()
    client = connected(world, "c")
    client.subscribe(Subscription("a"), Subscription("b"))
    client.send(Unsubscribe(9, ["a", "x"]))
    assert client.one() == Suback(PacketType.UNSUBACK, 9, [0, Reason.NO_SUBSCRIPTION_EXISTED])
    publisher = connected(world, "p")
    publisher.publish("a")
    publisher.publish("b", b"2")
    assert payloads(client.read()) == [b"2"]
    old = connected(world, "d", V311)
    old.send(Unsubscribe(9, ["a"]))
    assert old.one() == Suback(PacketType.UNSUBACK, 9, [])


def test_each_filter_is_judged_for_itself() -> None:
    """MQTT-3.8.4-5, MQTT-3.9.3-1; MQTT-3.8.4-4, MQTT-3.9.3-1 of 3.1.1."""
    world = World(MqttConfig(subscriptions_per_session_max=2, topic_levels_max=3))
    wanted = [Subscription(text, 1) for text in ("a", "forbidden/x", "b/#/c", "a/b/c/d", "b", "c")]
    client = connected(world, "c")
    reasons = [
        1,
        Reason.NOT_AUTHORIZED,
        Reason.TOPIC_FILTER_INVALID,
        Reason.TOPIC_FILTER_INVALID,
        1,
        Reason.QUOTA_EXCEEDED,
    ]
    assert client.subscribe(*wanted) == [Suback(PacketType.SUBACK, 7, list(map(int, reasons)))]
    old = connected(world, "d", V311)
    del wanted[2]
    assert old.subscribe(*wanted) == [Suback(PacketType.SUBACK, 7, [1, 0x80, 0x80, 1, 0x80])]
    old.subscribe(Subscription("b/#/c"))
    assert old.closed == "topic_filter_invalid"


def test_properties_pass_through_and_the_expiry_is_what_is_left() -> None:
    """MQTT-3.3.2-4, -6, -15, -16, -17, -18, -20."""
    world = World()
    client = connected(world, "c", **TEN_MINUTES)
    client.subscribe(Subscription("t", 1))
    client.drop()
    sent = Properties(
        payload_format=1,
        content_type="text/plain",
        response_topic="answers",
        correlation_data=b"\x01\x02",
        user=[("a", "1"), ("a", "2")],
        message_expiry_s=100,
    )
    publisher = connected(world, "p")
    publisher.publish("t", b"1", qos=1, properties=sent)
    world.pass_time(40)
    got = publish_of(connected(world, "c", **TEN_MINUTES).one())
    sent.message_expiry_s = 60
    assert got.properties == sent


def test_a_message_whose_expiry_has_passed_is_not_delivered() -> None:
    """MQTT-3.3.2-5."""
    world = World()
    connected(world, "c", **TEN_MINUTES).subscribe(Subscription("t", 1))
    for client in list(world.clients.values()):
        client.drop()
    publisher = connected(world, "p")
    publisher.publish("t", b"1", qos=1, properties=Properties(message_expiry_s=10))
    publisher.publish("t", b"2", qos=1)
    world.pass_time(11)
    assert payloads(connected(world, "c", **TEN_MINUTES).read()) == [b"2"]
    assert world.broker.counters.dropped_expired == 1


@pytest.mark.parametrize("qos", [0, 1])
def test_a_retained_message_whose_expiry_has_passed_is_not_delivered(qos: int) -> None:
    """MQTT-3.3.2-5, MQTT-3.3.2-6: also what a new subscription gets has what is left of its expiry."""
    world = World()
    publisher = connected(world, "p")
    publisher.publish("t", b"1", qos=1, retain=True, properties=Properties(message_expiry_s=10))
    world.pass_time(4)
    message = publish_of(connected(world, "c").subscribe(Subscription("t", qos))[1])
    assert message.properties == Properties(message_expiry_s=6)
    world.pass_time(7)
    assert len(connected(world, "c").subscribe(Subscription("t", qos))) == 1


def test_a_client_that_wants_nothing_of_its_own_does_not_get_its_will() -> None:
    """MQTT-3.8.3-3: a will is its client's message, too."""
    world = World()
    will = Will("w", b"gone", 1)
    client = connected(world, "c", will=will, **TEN_MINUTES)
    client.subscribe(Subscription("w", 1, no_local=True), Subscription("v", 1))
    client.drop()
    assert world.broker.counters.wills_published == 1
    connected(world, "p").publish("v", b"1", qos=1)
    assert payloads(connected(world, "c", **TEN_MINUTES).read()) == [b"1"]


# Retained messages


def test_a_new_subscription_gets_the_retained_message_marked_as_such() -> None:
    """MQTT-3.3.1-5, -6, -8, -9."""
    world = World()
    publisher = connected(world, "p")
    publisher.publish("a", b"old", retain=True)
    publisher.publish("a", b"new", qos=1, retain=True)
    publisher.publish("b", b"unkept", qos=1)
    client = connected(world, "c")
    suback, message = client.subscribe(Subscription("#", 1), identifier=4)
    assert isinstance(suback, Suback)
    message = publish_of(message)
    assert (message.payload, message.retain, message.qos) == (b"new", True, 1)
    assert message.properties == Properties(subscription_ids=[4])


def test_an_empty_payload_clears_the_retained_message_and_is_delivered() -> None:
    """MQTT-3.3.1-6, MQTT-3.3.1-7."""
    world = World()
    watcher = connected(world, "w")
    watcher.subscribe(Subscription("a"))
    publisher = connected(world, "p")
    publisher.publish("a", b"1", retain=True)
    publisher.publish("a", b"", retain=True)
    assert payloads(watcher.read()) == [b"1", b""]
    assert len(connected(world, "c").subscribe(Subscription("a"))) == 1
    assert world.broker.sizes()["retained_messages"] == 0


def test_retain_handling_decides_whether_retained_messages_are_sent() -> None:
    """MQTT-3.3.1-10, MQTT-3.3.1-11."""
    world = World()
    connected(world, "p").publish("a", b"1", retain=True)
    client = connected(world, "c")

    def asks(handling: int) -> int:
        return len(payloads(client.subscribe(Subscription("a", retain_handling=handling))))

    assert [asks(2), asks(1), asks(0)] == [0, 0, 1]
    client.send(Unsubscribe(1, ["a"]))
    client.read()
    assert asks(1) == 1


def test_retain_as_published_keeps_the_flag() -> None:
    """MQTT-3.3.1-12, MQTT-3.3.1-13."""
    world = World()
    client = connected(world, "c")
    client.subscribe(Subscription("a", retain_as_published=True), Subscription("b"))
    publisher = connected(world, "p")
    publisher.publish("a", b"1", retain=True)
    publisher.publish("b", b"2", retain=True)
    assert [publish_of(packet).retain for packet in client.read()] == [True, False]
    publisher.publish("a", b"3")
    assert [publish_of(packet).retain for packet in client.read()] == [False]


def test_a_shared_subscription_gets_no_retained_messages() -> None:
    """Section 4.8.2."""
    world = World()
    connected(world, "p").publish("a", b"1", retain=True)
    assert len(connected(world, "c").subscribe(Subscription("$share/g/a", 1))) == 1


@pytest.mark.parametrize("checkpointed", [False, True])
def test_retained_messages_survive_a_restart(checkpointed: bool) -> None:
    world = World()
    publisher = connected(world, "p")
    publisher.publish(
        "a", b"1", qos=1, retain=True, properties=Properties(content_type="x", message_expiry_s=100)
    )
    publisher.publish("b", b"2", qos=1, retain=True)
    publisher.publish("b", b"", qos=1, retain=True)
    publisher.publish("c", b"3", qos=1, retain=True, properties=Properties(message_expiry_s=10))
    if checkpointed:
        world.take_checkpoint()
    world.crash(off_s=20)
    got = publish_of(connected(world, "c").subscribe(Subscription("#"))[1])
    assert (got.topic, got.payload) == ("a", b"1")
    assert got.properties == Properties(content_type="x", message_expiry_s=80)


def test_retained_messages_are_bounded_in_number_and_bytes_and_expired_ones_make_room() -> None:
    world = World(MqttConfig(retained_max=2, retained_bytes_max=2_000))
    publisher = connected(world, "p")
    publisher.publish("a", b"1", retain=True, properties=Properties(message_expiry_s=10))
    publisher.publish("b", b"2", retain=True)
    publisher.publish("c", b"3", retain=True)
    assert world.broker.counters.retained_refused == 1
    world.pass_time(11)
    publisher.publish("c", b"3", retain=True)
    assert world.broker.counters.retained_refused == 1
    publisher.publish("c", b"x" * 2_000, retain=True)
    assert world.broker.counters.retained_refused == 2
    kept = connected(world, "s").subscribe(Subscription("#"))[1:]
    assert {publish_of(packet).payload for packet in kept} == {b"2"}


@pytest.mark.parametrize("crashes", [False, True])
def test_a_retained_message_that_finds_no_room_leaves_none_that_is_out_of_date(crashes: bool) -> None:
    """MQTT-3.3.1-5; MQTT-3.3.1-5, -7 of 3.1.1 as far as they can be: the old one is replaced by none."""
    world = World(MqttConfig(retained_bytes_max=2_000))
    publisher = connected(world, "p")
    publisher.publish("valve", b"open", qos=1, retain=True)
    publisher.publish("valve", b"shut" + b" " * 2_000, qos=1, retain=True)
    if crashes:
        world.crash()
    assert len(connected(world, "s").subscribe(Subscription("valve", 1))) == 1


def test_many_retained_messages_do_not_close_a_slow_subscriber() -> None:
    """They are fed as the transport takes them."""
    config = MqttConfig(send_budget_bytes=4_096, connection_queue_bytes_max=4_096, inflight_max=20)
    for qos in (0, 1):
        world = World(config)
        publisher = connected(world, "p")
        for number in range(200):
            publisher.publish(f"a/{number}", b"x" * 200, qos=1, retain=True)
        client = connected(world, "c")
        client.send(Subscribe(1, [Subscription("a/#", qos), Subscription("b"), Subscription("a/+", qos)]))
        seen: list[str] = []
        for _ in range(200):
            for packet in client.read():
                if isinstance(packet, Publish):
                    seen.append(packet.topic)
                    if packet.qos:
                        client.send(Ack(PacketType.PUBACK, packet.packet_id))
        assert not client.closed
        assert len(seen) == 400
        assert set(seen) == {f"a/{number}" for number in range(200)}
        assert world.broker.counters.dropped_slow == 0


def test_a_lasting_session_keeps_retained_messages_it_had_no_time_to_get() -> None:
    world = World(MqttConfig(inflight_max=2))
    publisher = connected(world, "p")
    for number in range(6):
        publisher.publish(f"a/{number}", b"%d" % number, qos=1, retain=True)
    client = connected(world, "c", **TEN_MINUTES)
    assert len(client.subscribe(Subscription("a/#", 1))) == 3
    client.drop()
    world.crash()
    again = connected(world, "c", **TEN_MINUTES)
    seen: set[bytes] = set()
    for _ in range(8):
        for packet in again.read():
            seen.add(publish_of(packet).payload)
            again.send(Ack(PacketType.PUBACK, publish_of(packet).packet_id))
    assert seen == {b"%d" % number for number in range(6)}


# Shared subscriptions


def test_the_members_of_a_group_take_turns() -> None:
    """Section 4.8.2."""
    world = World()
    members = [connected(world, name) for name in "abc"]
    for member in members:
        member.subscribe(Subscription("$share/g/t/#", 1))
    other = connected(world, "o")
    other.subscribe(Subscription("$share/h/t/#", 1), Subscription("t/1"))
    publisher = connected(world, "p")
    for number in range(6):
        publisher.publish("t/1", b"%d" % number, qos=1)
    assert [len(payloads(member.read())) for member in members] == [2, 2, 2]
    assert len(payloads(other.read())) == 12


def test_a_member_that_is_away_is_passed_over() -> None:
    """Section 4.8.2: a lasting member gets the message only when no member is there."""
    world = World()
    away = connected(world, "a", **TEN_MINUTES)
    away.subscribe(Subscription("$share/g/t", 1))
    here = connected(world, "b")
    here.subscribe(Subscription("$share/g/t", 1))
    away.drop()
    publisher = connected(world, "p")
    for _ in range(4):
        publisher.publish("t", b"1", qos=1)
    assert len(payloads(here.read())) == 4
    here.drop()
    publisher.publish("t", b"2", qos=1)
    assert payloads(connected(world, "a", **TEN_MINUTES).read()) == [b"2"]


# Bounds of subscribers


def test_the_window_of_the_client_is_kept() -> None:
    """MQTT-3.3.4-9, MQTT-4.9.0-1, -2."""
    world = World()
    client = connected(world, "c", receive_maximum=2)
    client.subscribe(Subscription("t", 2))
    publisher = connected(world, "p")
    for number in range(5):
        publisher.publish("t", b"%d" % number, qos=1 + number % 2, packet_id=number + 1)
    first, second = client.read()
    client.send(Ack(PacketType.PUBREC, publish_of(second).packet_id))
    assert client.read() == [Ack(PacketType.PUBREL, publish_of(second).packet_id)]
    client.send(Ack(PacketType.PUBCOMP, publish_of(second).packet_id))
    assert payloads(client.read()) == [b"2"]
    client.send(Ack(PacketType.PUBACK, publish_of(first).packet_id))
    assert payloads(client.read()) == [b"3"]


def test_a_subscriber_that_refuses_a_message_frees_its_place() -> None:
    """MQTT 5.0 section 4.9: PUBACK or PUBREC with a reason of 0x80 and above."""
    world = World()
    client = connected(world, "c", receive_maximum=1)
    client.subscribe(Subscription("t", 2))
    publisher = connected(world, "p")
    for qos in (1, 2, 1):
        publisher.publish("t", b"%d" % qos, qos=qos)
    client.send(Ack(PacketType.PUBACK, publish_of(client.one()).packet_id, Reason.QUOTA_EXCEEDED))
    client.send(Ack(PacketType.PUBREC, publish_of(client.one()).packet_id, Reason.UNSPECIFIED))
    assert payloads(client.read()) == [b"1"]


def test_an_acknowledgement_of_something_unknown_changes_nothing() -> None:
    """MQTT 5.0 section 4.3.3: an unknown PUBREC is answered with packet identifier not found."""
    world = World()
    client = connected(world, "c")
    client.send(Ack(PacketType.PUBACK, 5), Ack(PacketType.PUBCOMP, 5), Ack(PacketType.PUBREC, 5))
    assert client.one() == Ack(PacketType.PUBREL, 5, Reason.PACKET_IDENTIFIER_NOT_FOUND)
    assert not client.closed


def test_an_acknowledgement_of_another_qos_breaks_the_protocol() -> None:
    world = World()
    client = connected(world, "c")
    client.subscribe(Subscription("t", 1))
    connected(world, "p").publish("t", qos=1)
    client.send(Ack(PacketType.PUBREC, publish_of(client.one()).packet_id))
    assert client.closed == "protocol_error"


def test_a_message_over_the_clients_packet_size_is_not_sent() -> None:
    """MQTT-3.1.2-24, MQTT-3.1.2-25."""
    world = World()
    client = connected(world, "c", maximum_packet_bytes=50, topic_alias_maximum=5)
    client.subscribe(Subscription("#", 1))
    publisher = connected(world, "p")
    publisher.publish("a", b"x" * 50)
    publisher.publish("a", b"x" * 50, qos=1)
    publisher.publish("a", b"ok", qos=1)
    got = publish_of(client.one())
    assert (got.topic, got.payload) == ("a", b"ok")
    assert world.broker.counters.dropped_too_large == 2


def test_topic_aliases_of_the_server_stay_within_what_the_client_allows() -> None:
    """MQTT-3.1.2-26, MQTT-3.3.2-10, -11."""
    world = World()
    client = connected(world, "c", topic_alias_maximum=2)
    client.subscribe(Subscription("#", 1))
    publisher = connected(world, "p")
    for topic in ("a", "b", "c", "a", "b", "c"):
        publisher.publish(topic, b"x", qos=1)
    got = [publish_of(packet) for packet in client.read()]
    assert [packet.topic for packet in got] == ["a", "b", "c", "", "", "c"]
    aliases = [packet.properties.topic_alias if packet.properties else None for packet in got]
    assert aliases == [1, 2, None, 1, 2, None]


def test_qos_0_for_a_slow_subscriber_is_dropped_and_counted() -> None:
    world = World(MqttConfig(send_budget_bytes=1_024))
    client = connected(world, "c")
    client.subscribe(Subscription("t"))
    publisher = connected(world, "p")
    world.perform(world.broker.buffered(client.number, 2_000, world.now))
    publisher.publish("t", b"1")
    assert client.read() == []
    assert world.broker.counters.dropped_slow == 1
    world.perform(world.broker.buffered(client.number, 0, world.now))
    publisher.publish("t", b"2")
    assert payloads(client.read()) == [b"2"]


def test_a_chunk_cannot_flood_a_subscriber_beyond_its_budget() -> None:
    world = World(MqttConfig(send_budget_bytes=10_000))
    client = connected(world, "c")
    client.subscribe(Subscription("t"))
    publisher = connected(world, "p")
    publisher.send_bytes(b"".join(encode(Publish("t", b"x" * 1_000), V5) for _ in range(100)))
    assert len(client.read()) == 10
    assert world.broker.counters.dropped_slow == 90


def test_a_slow_subscriber_of_qos_1_is_closed_at_its_bound() -> None:
    world = World(MqttConfig(connection_queue_bytes_max=5_000, send_budget_bytes=1_024))
    client = connected(world, "c")
    client.subscribe(Subscription("t", 1))
    publisher = connected(world, "p")
    world.perform(world.broker.buffered(client.number, 2_000, world.now))
    for number in range(30):
        publisher.publish("t", b"x" * 200, qos=1, packet_id=number + 1)
    assert client.closed == "quota"
    assert client.got[-1] == Disconnect(
        Reason.QUOTA_EXCEEDED, Properties(reason_string="too slow for its subscriptions")
    )
    assert not publisher.closed
    assert world.broker.counters.closed_by_quota == 1
    assert world.broker.sizes()["sessions"] == 1


def test_a_client_that_reads_nothing_is_closed_at_the_transports_bound() -> None:
    world = World(MqttConfig(send_bytes_max=5_000))
    client = connected(world, "c")
    world.perform(world.broker.buffered(client.number, 5_001, world.now))
    world.settle()
    assert client.closed == "quota"
    assert world.broker.sizes()["connections"] == 0


def test_what_waited_for_the_transport_goes_on_when_it_is_free() -> None:
    world = World(MqttConfig(send_budget_bytes=1_024))
    client = connected(world, "c")
    client.subscribe(Subscription("t", 1))
    publisher = connected(world, "p")
    world.perform(world.broker.buffered(client.number, 2_000, world.now))
    for number in range(20):
        publisher.publish("t", b"%d" % number, qos=1, packet_id=number + 1)
    assert client.read() == []
    world.perform(world.broker.buffered(client.number, 0, world.now))
    world.settle()
    assert payloads(client.read()) == [b"%d" % number for number in range(20)]


def test_the_oldest_message_makes_room_in_the_queue_of_a_session() -> None:
    """Delivery contract, rule 2.8."""
    world = World(MqttConfig(session_queue_bytes_max=5_000))
    connected(world, "c", **TEN_MINUTES).subscribe(Subscription("t", 1))
    world.clients[1].drop()
    publisher = connected(world, "p")
    for number in range(30):
        publisher.publish("t", b"%03d" % number + b"x" * 100, qos=1, packet_id=number + 1)
    dropped = world.broker.counters.dropped_queue_full
    assert dropped > 0
    world.crash()
    got = [payload[:3] for payload in payloads(connected(world, "c", **TEN_MINUTES).read())]
    assert got == [b"%03d" % number for number in range(dropped, 30)]


@pytest.mark.parametrize("checkpointed", [False, True])
def test_the_oldest_message_makes_room_in_all_queues_together(checkpointed: bool) -> None:
    world = World(MqttConfig(queue_bytes_max=5_000))
    names = ["c", "d"]
    for name in names:
        connected(world, name, **TEN_MINUTES).subscribe(Subscription("t", 1))
    for client in list(world.clients.values()):
        client.drop()
    publisher = connected(world, "p")
    for number in range(30):
        publisher.publish("t", b"%03d" % number + b"x" * 100, qos=1, packet_id=number + 1)
    sizes = world.broker.sizes()
    assert sizes["queued_bytes"] <= 5_000
    assert world.broker.counters.dropped_queue_full == 2 * (30 - sizes["queued_messages"])
    if checkpointed:
        world.take_checkpoint()
    world.crash()
    for name in names:
        got = payloads(connected(world, name, **TEN_MINUTES).read())
        assert [int(payload[:3]) for payload in got] == list(range(30 - sizes["queued_messages"], 30))


def test_a_message_for_many_sessions_is_written_once() -> None:
    """Delivery contract, rule 2.7: a raw row with several keepers is written once."""
    world = World()
    for number in range(20):
        connected(world, f"c{number}", **TEN_MINUTES).subscribe(Subscription("t", 1))
    before = len(world.durable)
    connected(world, "p").publish("t", b"x" * 10_000, qos=1)
    written = sum(len(section) for _, sections in world.durable[before:] for section in sections)
    assert 10_000 < written < 11_000
    assert world.broker.sizes()["queued_messages"] == 1


# Outgoing QoS 2 and crashes


def test_an_outgoing_qos_2_message_keeps_its_identifier_across_a_crash() -> None:
    """MQTT-4.3.3-2, -3, -5: whatever stage it had reached, the subscriber sees it once."""
    for stage in ("sent", "received"):
        world = World()
        client = connected(world, "c", **TEN_MINUTES)
        client.subscribe(Subscription("t", 2))
        connected(world, "p").publish("t", b"1", qos=2)
        first = publish_of(client.one())
        if stage == "received":
            client.send(Ack(PacketType.PUBREC, first.packet_id))
            assert client.one() == Ack(PacketType.PUBREL, first.packet_id)
        world.crash()
        again = connected(world, "c", **TEN_MINUTES)
        packet = again.one()
        if stage == "received":
            assert packet == Ack(PacketType.PUBREL, first.packet_id)
        else:
            repeat = publish_of(packet)
            assert (repeat.packet_id, repeat.dup, repeat.payload) == (first.packet_id, True, b"1")
            again.send(Ack(PacketType.PUBREC, first.packet_id))
            assert again.one() == Ack(PacketType.PUBREL, first.packet_id)
        again.send(Ack(PacketType.PUBCOMP, first.packet_id))
        world.crash()
        assert connected(world, "c", **TEN_MINUTES).read() == []


def test_an_outgoing_qos_2_message_and_its_release_wait_for_their_commits() -> None:
    world = World()
    client = connected(world, "c", **TEN_MINUTES)
    client.subscribe(Subscription("t", 2))
    publisher = connected(world, "p")
    world.automatic = False
    publisher.publish("t", b"1", qos=2)
    assert client.read() == []
    world.commit()
    packet_id = publish_of(client.one()).packet_id
    client.send(Ack(PacketType.PUBREC, packet_id))
    assert client.read() == []
    world.commit()
    assert client.one() == Ack(PacketType.PUBREL, packet_id)


# The node's own publishes


def test_the_node_publishes_to_subscribers_and_not_to_the_line() -> None:
    world = World()
    client = connected(world, "c")
    client.subscribe(Subscription("actuators/#", 1))
    world.perform(
        world.broker.publish("actuators/valve", b"shut", world.now, world.draft, qos=1, retain=True)
    )
    world.settle()
    got = publish_of(client.one())
    assert (got.topic, got.payload, got.qos) == ("actuators/valve", b"shut", 1)
    assert world.accepted == []
    assert len(connected(world, "d").subscribe(Subscription("actuators/#"))) == 2


def test_new_access_rules_hold_for_the_next_publish() -> None:
    world = World()
    client = connected(world, "c")
    client.publish("t", b"1", qos=1)

    world.door.forbidden = ("t",)
    world.judge_again()
    client.read()
    client.publish("t", b"2", qos=1)
    assert client.one() == Ack(PacketType.PUBACK, 1, Reason.NOT_AUTHORIZED)


def test_a_broken_peer_does_not_touch_the_others() -> None:
    """MQTT-4.13.1-1; MQTT-4.8.0-1 of 3.1.1."""
    world = World()
    good: list[Client] = [connected(world, name) for name in "abc"]
    for text in ("ff 00", "30 ff ff ff ff 01", "c0 01 00", "36 06 0001 74 0001 00", "10 00", "00 00"):
        bad = connected(world, "x")
        bad.send_bytes(bytes.fromhex(text))
        assert bad.closed
        last = bad.got[-1]
        assert isinstance(last, Disconnect)
        assert last.reason in (Reason.MALFORMED_PACKET, Reason.PROTOCOL_ERROR, Reason.PACKET_TOO_LARGE)
        old = connected(world, "y", V311)
        old.send_bytes(bytes.fromhex(text))
        assert old.closed
        assert old.got == []
    for client in good:
        client.publish("t", b"1", qos=1)
        assert client.one() == Ack(PacketType.PUBACK, 1)
    assert world.broker.sizes()["connections"] == 3


def test_a_checkpoint_that_already_holds_what_the_next_commit_repeats_is_replayed_once() -> None:
    """A call without a draft (a commit's end, a free transport) leaves changes for the next commit."""
    world = World(MqttConfig(send_budget_bytes=1_024))
    client = connected(world, "c", **TEN_MINUTES)
    client.subscribe(Subscription("t", 2))
    publisher = connected(world, "p")
    world.perform(world.broker.buffered(client.number, 2_000, world.now))
    for number in range(4):
        expiring = Properties(message_expiry_s=1) if number < 2 else None
        publisher.publish("t", b"%d" % number, qos=2 - number % 2, packet_id=number + 1, properties=expiring)
    world.pass_time(2)
    world.perform(world.broker.buffered(client.number, 0, world.now))
    world.take_checkpoint()
    world.settle()
    world.crash()
    got = [publish_of(packet) for packet in connected(world, "c", **TEN_MINUTES).read()]
    assert sorted(packet.payload for packet in got) == [b"2", b"3"]
    assert world.broker.sizes()["queued_messages"] == 2


def test_the_beginnings_of_packets_are_bounded_for_all_connections_together() -> None:
    world = World(MqttConfig(partial_bytes_max=3_000))
    clients = [connected(world, name) for name in "abcd"]
    beginning = encode(Publish("t", b"x" * 5_000, 1, packet_id=1), V5)[:1_000]
    for client in clients:
        client.send_bytes(beginning)
    assert [client.closed for client in clients] == ["", "", "", "partial_bytes_max"]
    clients[0].drop()
    connected(world, "e").send_bytes(beginning)
    rest = encode(Publish("t", b"x" * 5_000, 1, packet_id=1), V5)[1_000:]
    clients[1].send_bytes(rest)
    assert clients[1].one() == Ack(PacketType.PUBACK, 1)
    assert world.broker._state.partial_bytes == 2_000


def test_long_topics_are_refused() -> None:
    world = World(MqttConfig(topic_characters_max=10))
    client = connected(world, "c")
    assert client.subscribe(Subscription("x" * 11)) == [
        Suback(PacketType.SUBACK, 7, [Reason.TOPIC_FILTER_INVALID])
    ]
    client.publish("x" * 10, qos=1)
    assert client.one() == Ack(PacketType.PUBACK, 1)
    client.publish("x" * 11)
    assert client.closed == "topic_name_invalid"
