"""An acknowledgement means that it is on disk, and leaves in its turn."""

from __future__ import annotations

from tests.mqtt.client import World, connected

from headland.mqtt import MqttConfig, Reason
from headland.mqtt.encoding import encode
from headland.mqtt.packets import (
    V5,
    V311,
    Ack,
    Connack,
    Connect,
    Disconnect,
    PacketType,
    Ping,
    Properties,
    Publish,
    Suback,
    Subscribe,
    Subscription,
)


def puback(packet_id: int, reason: int = 0) -> Ack:
    return Ack(PacketType.PUBACK, packet_id, reason)


def test_a_publish_is_acknowledged_when_its_commit_is_durable_and_not_before() -> None:
    """MQTT-4.3.2-4; the delivery contract's first rule."""
    world = World(automatic=False)
    client = connected(world, "c")
    client.publish("t", b"1", qos=1, packet_id=5)
    assert client.got == []
    run, *_ = world.runs
    world.perform(world.broker.rest_on(run, world.draft.n, world.now))
    assert client.got == []
    world.commit()
    assert client.one() == puback(5)


def test_a_publish_that_rests_on_a_durable_commit_is_acknowledged_at_once() -> None:
    world = World(automatic=False)
    client = connected(world, "c")
    world.commit()
    client.publish("t", qos=1, packet_id=5)
    run = world.runs.pop()
    world.perform(world.broker.rest_on(run, 1, world.now))
    assert client.one() == puback(5)


def test_acknowledgements_leave_in_the_order_of_arrival() -> None:
    """MQTT-4.6.0-2: an older publish that rests on a later commit holds back the younger ones."""
    world = World(automatic=False)
    client = connected(world, "c")
    for number, needs in enumerate((1, 3, 0, 2, 3), 1):
        client.publish("t", qos=1, packet_id=number)
        world.perform(world.broker.rest_on(world.runs.pop(), needs, world.now))
    world.commit()
    assert client.read() == [puback(1)]
    world.commit()
    assert client.read() == []
    world.commit()
    assert client.read() == [puback(2), puback(3), puback(4), puback(5)]


def test_a_run_judged_early_waits_for_the_run_before_it() -> None:
    """MQTT-4.6.0-2."""
    world = World(automatic=False)
    client = connected(world, "c")
    client.publish("t", qos=1, packet_id=1)
    client.publish("t", qos=1, packet_id=2)
    first, second = world.runs
    world.perform(world.broker.rest_on(second, 0, world.now))
    assert client.read() == []
    world.perform(world.broker.rest_on(first, 0, world.now))
    assert client.read() == [puback(1), puback(2)]


def test_one_commit_releases_one_send_a_connection() -> None:
    world = World(automatic=False)
    clients = [connected(world, name) for name in "abc"]
    for client in clients:
        client.publish("t", qos=1, packet_id=1)
        client.publish("t", qos=1, packet_id=2)
    for run in world.runs:
        world.perform(world.broker.rest_on(run, 1, world.now))
    actions = world.broker.committed(1, world.now)
    assert len(actions) == 3
    world.perform(actions)
    for client in clients:
        assert client.read() == [puback(1), puback(2)]


def test_a_chunk_becomes_one_run_in_order_whatever_it_holds() -> None:
    world = World()
    client = connected(world, "c")
    client.send(
        Publish("a", b"1", 0),
        Publish("a", b"2", 1, packet_id=1),
        Publish("b", b"3", 2, packet_id=2),
        Publish("a", b"4", 1, packet_id=3, properties=Properties(content_type="x")),
        Publish("a", b"5", 1, packet_id=4),
    )
    assert [row[2] for row in world.accepted] == [b"1", b"2", b"3", b"4", b"5"]
    assert client.read() == [puback(1), Ack(PacketType.PUBREC, 2), puback(3), puback(4)]


def test_the_properties_of_a_run_are_aligned_with_its_messages() -> None:
    world = World(automatic=False)
    client = connected(world, "c")
    client.publish("a", qos=1, packet_id=9)
    told = Properties(content_type="x", user=[("k", "v")], message_expiry_s=5)
    client.send(
        Publish("a", b"1", 1, packet_id=1),
        Publish("a", b"2", 1, packet_id=2, properties=told),
        Publish("a", b"3", 1, packet_id=3),
        Publish("b", b"4", 0),
    )
    run = world.runs[-1]
    assert run.properties == [None, told, None, None]
    assert run.packet_ids == [1, 2, 3, 0]
    assert world.runs[0].properties is None


def test_packets_cut_anywhere_are_the_same_packets() -> None:
    whole = b"".join(
        encode(packet, V5)
        for packet in (
            Publish("topic/one", b"x" * 300, 1, packet_id=1),
            Publish("topic/one", b"y", 1, packet_id=2),
            Publish("topic/two", b"z", 2, packet_id=3),
            Ping(PacketType.PINGREQ),
            Publish("topic/one", b"w", 1, packet_id=4),
        )
    )
    for size in (1, 2, 3, 7, 50, 299):
        world = World()
        client = connected(world, "c")
        for at in range(0, len(whole), size):
            client.send_bytes(whole[at : at + size])
        assert [row[2] for row in world.accepted] == [b"x" * 300, b"y", b"z", b"w"]
        kinds = [packet.type for packet in client.read() if isinstance(packet, Ack | Ping)]
        assert sorted(kinds) == [4, 4, 4, 5, 13]


def test_a_ping_is_answered_though_acknowledgements_wait() -> None:
    """MQTT-3.12.4-1."""
    world = World(automatic=False)
    client = connected(world, "c")
    client.publish("t", qos=1, packet_id=1)
    client.send(Ping(PacketType.PINGREQ))
    assert client.one() == Ping(PacketType.PINGRESP)


def test_while_the_disk_is_full_everything_is_handed_over_and_nothing_acknowledged() -> None:
    """Kills: an answer, or a note of an identifier, for what nobody keeps.

    MQTT-4.8.0-2 of 3.1.1: the connection of whoever was turned away ends when there is room, so that it sends
    again; until then what it says is decided on.
    """
    world = World(automatic=False)
    client, early = connected(world, "c"), connected(world, "early")
    early.publish("t", qos=1, packet_id=7)
    world.broker.turn_away()
    client.publish("t", qos=1, packet_id=1)
    client.publish("t", qos=2, packet_id=2)
    client.publish("t", qos=2, packet_id=2)
    early.publish("t", qos=0)
    assert [run.turned_away for run in world.runs] == [False, True, True, True, True]
    assert world.draft.sections == []
    world.perform(world.broker.rest_on(world.runs[0], 1, world.now))
    world.commit()
    assert client.read() == []
    assert early.read() == [puback(7)]
    assert len(world.accepted) == 5
    client.send(Ping(PacketType.PINGREQ))
    assert client.one() == Ping(PacketType.PINGRESP)
    world.perform(world.broker.take_again(world.now))
    assert client.closed == "turned_away"
    assert client.read() == [
        Disconnect(Reason.QUOTA_EXCEEDED, Properties(reason_string="no room was left: send again"))
    ]
    assert early.closed == ""
    assert world.broker.counters.publishes_turned_away == 3


def test_what_was_turned_away_is_taken_like_anything_new_when_it_is_sent_again() -> None:
    """Kills: a QoS 2 identifier that is taken for a repeat of a message that nobody has."""
    world = World(automatic=False)
    for version in (V311, V5):
        client = connected(world, f"c{version}", version)
        world.broker.turn_away()
        client.publish("t", qos=2, packet_id=2)
        world.perform(world.broker.take_again(world.now))
        world.runs.clear()
        again = connected(world, f"c{version}", version)
        again.publish("t", qos=2, packet_id=2, dup=True)
        run = world.runs.pop()
        assert not run.turned_away
        world.perform(world.broker.rest_on(run, world.draft.n, world.now))
        world.commit()
        assert again.read() == [Ack(PacketType.PUBREC, 2)]


def test_while_the_disk_is_full_subscribers_are_served_from_memory_and_nothing_is_kept_for_them() -> None:
    """Kills: retained messages and queues that grow while nothing may be stored."""
    world = World()
    reader, away, client = (
        connected(world, "r"),
        connected(world, "a", session_expiry_s=60),
        connected(world, "c"),
    )
    for one in (reader, away):
        one.send(Subscribe(1, [Subscription("t", 1)]))
        one.read()
    away.drop()
    world.broker.turn_away()
    world.automatic = False
    client.publish("t", b"0", qos=0, retain=True)
    client.publish("t", b"1", qos=1, packet_id=1, retain=True)
    assert [packet.payload for packet in reader.read() if isinstance(packet, Publish)] == [b"0"]
    sizes = world.broker.sizes()
    assert (sizes["retained_messages"], sizes["queued_messages"]) == (0, 0)


def test_what_must_be_durable_is_in_the_commit_that_its_answer_rests_on() -> None:
    """Subscriptions, sessions, retained messages and QoS 2 identifiers of the delivery contract, rule 2.8."""
    world = World(automatic=False)
    client = world.client("c")
    client.send(Connect("c", V5, False, properties=Properties(session_expiry_s=60)))
    assert client.got == []
    assert world.draft.sections
    world.commit()
    assert isinstance(client.one(), Connack)
    client.send(Subscribe(3, [Subscription("t", 1)]))
    assert client.got == []
    assert world.draft.sections
    world.commit()
    assert client.one() == Suback(PacketType.SUBACK, 3, [1])
    for packet in (Publish("r", b"x", 1, retain=True, packet_id=1), Publish("s", b"x", 2, packet_id=2)):
        client.send(packet)
        assert world.draft.sections
        run = world.runs.pop()
        world.perform(world.broker.rest_on(run, 0, world.now))
        assert client.got == []
        world.commit()
        assert len(client.read()) == 1
    client.send(Ack(PacketType.PUBREL, 2))
    assert client.got == []
    world.commit()
    assert client.one() == Ack(PacketType.PUBCOMP, 2)


def test_a_session_that_ends_with_its_connection_writes_nothing() -> None:
    world = World()
    client = connected(world, "c")
    client.subscribe(Subscription("t", 2))
    other = connected(world, "d", V311)
    other.publish("t", qos=2, packet_id=1)
    other.send(Ack(PacketType.PUBREL, 1))
    client.drop()
    assert all(not sections for _, sections in world.durable)
    assert not world.draft.sections


# QoS 2 of publishers


def test_a_repeated_qos_2_publish_is_acknowledged_and_not_handed_over_again() -> None:
    """MQTT-4.3.3-10."""
    world = World()
    client = connected(world, "c")
    client.publish("t", b"1", qos=2, packet_id=7)
    client.publish("t", b"1", qos=2, packet_id=7, dup=True)
    assert client.read() == [Ack(PacketType.PUBREC, 7)] * 2
    assert len(world.accepted) == 1
    client.send(Ack(PacketType.PUBREL, 7))
    assert client.one() == Ack(PacketType.PUBCOMP, 7)
    client.publish("t", b"2", qos=2, packet_id=7)
    assert len(world.accepted) == 2


def test_a_repeat_in_the_same_chunk_is_recognised() -> None:
    world = World()
    client = connected(world, "c")
    client.send(Publish("t", b"1", 2, packet_id=7), Publish("t", b"1", 2, dup=True, packet_id=7))
    assert client.read() == [Ack(PacketType.PUBREC, 7)] * 2
    assert len(world.accepted) == 1


def test_a_repeat_is_not_acknowledged_before_the_first_is_judged_and_durable() -> None:
    world = World(automatic=False)
    client = world.client("c")
    client.send(Connect("c", V5, False, properties=Properties(session_expiry_s=60)))
    world.commit()
    client.publish("t", b"1", qos=2, packet_id=7)
    client.drop()
    again = world.client("c")
    again.send(Connect("c", V5, False, properties=Properties(session_expiry_s=60)))
    world.commit()
    assert len(again.read()) == 1
    again.publish("t", b"1", qos=2, packet_id=7, dup=True)
    assert again.read() == []
    (run,) = world.runs
    world.perform(world.broker.rest_on(run, world.draft.n, world.now))
    assert again.read() == []
    world.commit()
    assert again.one() == Ack(PacketType.PUBREC, 7)


def test_a_release_of_an_unknown_identifier_is_answered() -> None:
    """MQTT 5.0 section 3.7.2.1: packet identifier not found; 3.1.1 has no word for it."""
    world = World()
    client = connected(world, "c")
    client.send(Ack(PacketType.PUBREL, 9))
    assert client.one() == Ack(PacketType.PUBCOMP, 9, Reason.PACKET_IDENTIFIER_NOT_FOUND)
    old = connected(world, "d", V311)
    old.send(Ack(PacketType.PUBREL, 9))
    assert old.one() == Ack(PacketType.PUBCOMP, 9)


def test_qos_2_is_handed_over_once_across_a_restart() -> None:
    """MQTT-4.3.3-10 with the session durable; also after a checkpoint."""
    for checkpointed in (False, True):
        world = World()
        client = connected(world, "c", clean=False, session_expiry_s=600)
        client.publish("t", b"1", qos=2, packet_id=7)
        assert client.read() == [Ack(PacketType.PUBREC, 7)]
        if checkpointed:
            world.take_checkpoint()
        world.crash()
        again = world.client("c")
        assert again.connect(False, session_expiry_s=600).session_present
        again.publish("t", b"1", qos=2, packet_id=7, dup=True)
        assert again.one() == Ack(PacketType.PUBREC, 7)
        assert len(world.accepted) == 1
        again.send(Ack(PacketType.PUBREL, 7))
        assert again.one() == Ack(PacketType.PUBCOMP, 7)
        world.crash()
        last = connected(world, "c", clean=False, session_expiry_s=600)
        last.publish("t", b"2", qos=2, packet_id=7)
        assert len(world.accepted) == 2


# Limits


def test_more_than_the_receive_maximum_closes_a_connection_of_mqtt_5() -> None:
    """MQTT-3.3.4-7 seen from the server."""
    world = World(MqttConfig(receive_maximum=3), automatic=False)
    client = connected(world, "c")
    client.send(*(Publish("t", b"x", 1, packet_id=number) for number in (1, 2, 3)))
    assert not client.closed
    client.publish("t", qos=1, packet_id=4)
    assert client.closed == "receive_maximum_exceeded"
    last = client.got[-1]
    assert isinstance(last, Disconnect)
    assert last.reason == Reason.RECEIVE_MAXIMUM_EXCEEDED


def test_a_client_of_3_1_1_is_not_read_beyond_the_receive_maximum() -> None:
    world = World(MqttConfig(receive_maximum=4), automatic=False)
    client = connected(world, "c", V311)
    client.send(*(Publish("t", b"x", 1, packet_id=number) for number in range(1, 5)))
    client.send(*(Publish("t", b"x", 1, packet_id=number) for number in range(5, 8)))
    assert client.paused
    assert not client.closed
    for needs, run in enumerate(world.runs, 1):
        world.perform(world.broker.rest_on(run, needs, world.now))
    world.commit()
    assert client.paused
    world.commit()
    assert not client.paused
    assert len(client.read()) == 7


def test_repeats_while_nothing_is_committed_are_not_read_without_bound() -> None:
    """Kills: an answer in memory for every eight bytes that a client sends again while the disk is full."""
    world = World(MqttConfig(receive_maximum=4), automatic=False)
    client = world.client("c")
    client.send(Connect("c", V5, False, properties=Properties(session_expiry_s=60)))
    world.commit()
    client.publish("t", b"1", qos=2, packet_id=7)
    for _ in range(4):
        assert not client.paused
        client.publish("t", b"1", qos=2, packet_id=7, dup=True)
    assert client.paused
    run = world.runs.pop()
    world.perform(world.broker.rest_on(run, [2], world.now))
    world.commit()
    assert not client.paused


def test_topic_aliases_of_a_client_are_resolved_and_bounded() -> None:
    """MQTT-3.3.2-7, -8, -9, -12."""
    world = World()
    client = connected(world, "c")
    client.send(Publish("long/topic", b"1", 1, packet_id=1, properties=Properties(topic_alias=2)))
    client.send(Publish("", b"2", 1, packet_id=2, properties=Properties(topic_alias=2)))
    client.send(Publish("other", b"3", 0, properties=Properties(topic_alias=2)))
    client.send(Publish("", b"4", 0, properties=Properties(topic_alias=2)))
    assert [row[1] for row in world.accepted] == ["long/topic", "long/topic", "other", "other"]
    for topic, alias, word in (("", 9, "protocol_error"), ("t", 65, "topic_alias_invalid")):
        client = connected(world, "d")
        client.send(Publish(topic, b"", 0, properties=Properties(topic_alias=alias)))
        assert client.closed == word


def test_a_forbidden_publish_is_refused_in_its_turn() -> None:
    """MQTT-3.3.5-2 of 3.1.1. MQTT 5 has a reason code, 3.1.1 is closed; QoS 0 is dropped and counted."""
    world = World()
    client = connected(world, "c")
    client.send(
        Publish("t", b"1", 1, packet_id=1),
        Publish("forbidden/x", b"2", 1, packet_id=2),
        Publish("$SYS/x", b"2", 2, packet_id=3),
        Publish("forbidden/x", b"2", 0),
        Publish("t", b"3", 1, packet_id=4),
    )
    assert client.read() == [
        puback(1),
        puback(2, Reason.NOT_AUTHORIZED),
        Ack(PacketType.PUBREC, 3, Reason.NOT_AUTHORIZED),
        puback(4),
    ]
    assert [row[2] for row in world.accepted] == [b"1", b"3"]
    assert world.broker.counters.publishes_not_authorised == 3
    old = connected(world, "d", V311)
    old.publish("forbidden/x", qos=1, packet_id=1)
    assert old.closed == "not_authorized"
