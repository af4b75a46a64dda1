"""Whatever bytes come, from whomever, and whatever stands on the disk: no exception but the declared ones."""

from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.mqtt.client import World, connected
from tests.mqtt.loopback import OpenDoor

from headland.mqtt import Broker, MqttConfig, Properties, Reason
from headland.mqtt.encoding import encode
from headland.mqtt.packets import (
    V5,
    V311,
    Ack,
    Connect,
    Disconnect,
    Packet,
    PacketType,
    Ping,
    Publish,
    Subscribe,
    Subscription,
    Unsubscribe,
    Will,
)
from headland.vocabulary import StorageDamage

TEN_MINUTES = {"clean": False, "session_expiry_s": 600}

ids = st.integers(1, 4)
topics = st.sampled_from(["a", "a/b", "forbidden/x", "$SYS/x", "é"])
filters = st.sampled_from(["a", "a/#", "+/b", "#", "$share/g/a", "$share/g/#", "bad/#/x", "forbidden/x"])
expiry = st.sampled_from([None, 0, 1, 600, 0xFFFF_FFFF])
wills = st.none() | st.builds(
    Will,
    topics,
    st.binary(max_size=3),
    st.integers(0, 2),
    st.booleans(),
    st.builds(Properties, will_delay_s=expiry),
)


@st.composite
def publishes(draw: st.DrawFn) -> Publish:
    qos = draw(st.integers(0, 2))
    found = draw(st.none() | st.builds(Properties, message_expiry_s=expiry, topic_alias=st.none() | ids))
    topic = draw(topics)
    return Publish(
        "" if found is not None and found.topic_alias and draw(st.booleans()) else topic,
        draw(st.binary(max_size=4)),
        qos,
        draw(st.booleans()),
        bool(qos) and draw(st.booleans()),
        draw(ids) if qos else 0,
        found,
    )


packets = st.one_of(
    publishes(),
    publishes(),
    st.builds(Ack, st.integers(4, 7), ids, st.sampled_from([0, 0, 0, 0x92])),
    st.builds(
        Subscribe,
        ids,
        st.lists(
            st.builds(
                Subscription, filters, st.integers(0, 2), st.just(False), st.booleans(), st.integers(0, 2)
            ),
            min_size=1,
            max_size=3,
        ),
    ),
    st.builds(Unsubscribe, ids, st.lists(filters, min_size=1, max_size=2)),
    st.just(Ping(PacketType.PINGREQ)),
    st.builds(
        Disconnect, st.sampled_from([0, 4]), st.none() | st.builds(Properties, session_expiry_s=expiry)
    ),
)
connects = st.builds(
    Connect,
    st.sampled_from(["x", "y", ""]),
    st.just(V5),
    st.booleans(),
    st.integers(0, 5),
    will=wills,
    properties=st.none()
    | st.builds(
        Properties,
        session_expiry_s=expiry,
        receive_maximum=st.none() | ids,
        topic_alias_maximum=st.none() | ids,
    ),
)
who = st.integers(0, 2)
steps = st.lists(
    st.one_of(
        st.tuples(who, connects),
        st.tuples(who, st.lists(packets, min_size=1, max_size=6)),
        st.tuples(who, st.lists(packets, min_size=1, max_size=6)),
        st.tuples(who, st.binary(max_size=12)),
        st.tuples(who, st.sampled_from(["drop", "commit", "commit", "time", "crash", "slow", "fast"])),
    ),
    min_size=10,
    max_size=50,
)


@settings(max_examples=100, deadline=None)
@given(steps)
def test_no_sequence_of_events_raises(found: list[tuple[int, Connect | list[Packet] | bytes | str]]) -> None:
    world = World(
        MqttConfig(
            receive_maximum=3,
            inflight_max=2,
            sessions_max=2,
            send_budget_bytes=1_024,
            session_queue_bytes_max=1_024,
            queue_bytes_max=2_048,
            retained_max=2,
            connection_queue_bytes_max=2_048,
        ),
        automatic=False,
    )
    clients = {number: world.client("") for number in range(3)}
    for number, step in found:
        client = clients[number]
        if client.closed:
            client = clients[number] = world.client("")
        match step:
            case Connect():
                client.send(step)
            case list():
                client.send_bytes(b"".join(encode(packet, V5) for packet in step))
            case bytes():
                client.send_bytes(step)
            case "drop":
                client.drop()
                client.closed = "dropped"
            case "commit":
                for run in world.runs:
                    world.perform(world.broker.rest_on(run, world.draft.n, world.now))
                world.runs.clear()
                world.commit()
                world.settle()
            case "time":
                world.pass_time(2)
            case "crash":
                world.crash(off_s=0.5)
            case _:
                waiting = 2_000 if step == "slow" else 0
                world.perform(world.broker.buffered(client.number, waiting, world.now))
                world.settle()
    sizes = world.broker.sizes()
    assert sizes["sessions"] <= 2
    assert sizes["retained_messages"] <= 2
    assert sizes["queued_bytes"] <= 2_048
    holders = sum(message.holders for message in world.broker._state.store.queued.values())
    assert holders >= sizes["queued_messages"]


@given(st.binary(max_size=60))
def test_what_is_not_a_record_is_storage_damage(data: bytes) -> None:
    for recover in (Broker(MqttConfig(), OpenDoor()).restore, Broker(MqttConfig(), OpenDoor()).replay):
        with suppress(StorageDamage):
            recover(data)


def test_a_snapshot_of_another_layout_is_storage_damage() -> None:
    with pytest.raises(StorageDamage):
        Broker(MqttConfig(), OpenDoor()).restore(b"\x93\x01\x02\x03")


@pytest.mark.parametrize("checkpointed", [False, True])
def test_everything_a_session_had_is_there_after_a_restart(checkpointed: bool) -> None:
    world = World()
    client = connected(
        world, "c", **TEN_MINUTES, will=Will("w", b"gone", 1, False, Properties(will_delay_s=30))
    )
    client.subscribe(Subscription("a", 1), Subscription("b", 2), identifier=9)
    client.send(Unsubscribe(3, ["b"]))
    client.publish("t", qos=2, packet_id=4)
    client.drop()
    if checkpointed:
        world.take_checkpoint()
    world.crash(off_s=10)
    world.perform(world.broker.wake(world.now, world.draft))
    store = world.broker._state.store
    session = store.sessions["c"]
    assert list(session.subscriptions) == ["a"]
    assert session.subscriptions["a"].identifier == 9
    assert list(session.received) == [4]
    assert session.will is not None
    watcher = connected(world, "watcher")
    watcher.subscribe(Subscription("w", 1))
    world.pass_time(19)
    assert watcher.read() == []
    world.pass_time(2)
    assert len(watcher.read()) == 1


def test_a_session_that_is_not_to_last_any_more_is_forgotten_on_disk() -> None:
    world = World()
    connected(world, "c", **TEN_MINUTES).subscribe(Subscription("t", 1))
    world.clients[1].drop()
    publisher = connected(world, "p")
    publisher.publish("t", b"1", qos=1)
    again = world.client("c")
    assert again.connect(False).session_present
    assert len(again.got) == 1
    publisher.publish("t", b"2", qos=1)
    assert len(again.read()) == 2
    world.crash()
    assert world.broker.sizes()["sessions"] == 0
    assert world.broker.sizes()["queued_messages"] == 0


def test_an_evicted_message_in_flight_is_not_sent_again() -> None:
    world = World(MqttConfig(queue_bytes_max=1_024))
    client = connected(world, "c", **TEN_MINUTES)
    client.subscribe(Subscription("t", 2))
    publisher = connected(world, "p")
    for number in range(6):
        publisher.publish("t", b"x" * 200, qos=1 + number % 2, packet_id=number + 1)
    assert len(client.read()) == 6
    client.drop()
    again = connected(world, "c", **TEN_MINUTES)
    assert len(again.read()) == world.broker.sizes()["queued_messages"] == 2


def test_what_a_client_may_not_say_ends_its_connection() -> None:
    """MQTT-3.3.4-6; a SUBSCRIBE identifier belongs to the server's publishes."""
    world = World()
    client = connected(world, "c")
    client.send(Publish("t", b"", 0, properties=Properties(subscription_ids=[1])))
    assert client.closed == "protocol_error"
    assert world.client("x" * 300).connect().reason == Reason.CLIENT_IDENTIFIER_NOT_VALID
    assert world.client("d").connect(will=Will("/".join("w" * 80), b"")).reason == Reason.TOPIC_NAME_INVALID
    assert world.client("x" * 300, V311).connect().reason == 2


def test_a_second_connect_is_a_protocol_error_whatever_it_says() -> None:
    """MQTT-3.1.0-2; a DISCONNECT has no reason that would fit another protocol or version."""
    world = World()
    client = connected(world, "c")
    client.send_bytes(encode(Connect("c"), V5).replace(b"MQTT", b"QTTT"))
    assert client.one() == Disconnect(Reason.PROTOCOL_ERROR, Properties(reason_string="a second CONNECT"))
    assert client.closed == "protocol_error"


def test_more_topics_than_are_remembered_are_all_served() -> None:
    world = World(MqttConfig(topics_cached_max=3, matches_cached_max=3))
    client = connected(world, "c")
    client.subscribe(Subscription("#"))
    for number in range(20):
        client.publish(f"t/{number % 7}", b"%d" % number, qos=0)
    assert [packet.payload for packet in client.read() if isinstance(packet, Publish)] == [
        b"%d" % number for number in range(20)
    ]
