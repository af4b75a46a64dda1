"""gmqtt against the broker on a loopback socket: a client that shares no code with paho."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from tests.mqtt.loopback import Loopback

from headland.mqtt import MqttConfig
from headland.mqtt.packets import V5, V311

gmqtt = pytest.importorskip("gmqtt", reason="gmqtt is not installed")
from tests.mqtt.second_client import Gmqtt  # noqa: E402
from tests.node.clients import Paho  # noqa: E402

VERSIONS = [pytest.param(V5, id="5"), pytest.param(V311, id="3.1.1")]


@pytest.fixture
def node() -> Iterator[Loopback]:
    with Loopback() as running:
        yield running


@pytest.mark.parametrize("version", VERSIONS)
def test_gmqtt_publishes_at_every_qos_and_hears_that_it_is_stored(node: Loopback, version: int) -> None:
    with Gmqtt(node.port, "device", version) as client:
        for at in range(300):
            client.publish(f"plant/{at % 3}", b"%d" % at, qos=at % 3)
        client.settle()
    for qos in range(3):
        got = [payload for _, _, payload, level in node.accepted if level == qos]
        assert got == [b"%d" % at for at in range(qos, 300, 3)]
    assert node.broker.counters.protocol_errors == 0


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("qos", [0, 1, 2])
def test_gmqtt_receives_what_gmqtt_publishes(node: Loopback, version: int, qos: int) -> None:
    with Gmqtt(node.port, "s", version) as subscriber, Gmqtt(node.port, "p", version) as publisher:
        assert subscriber.subscribe(gmqtt.Subscription("a/#", qos=qos)) == [qos]
        for number in range(50):
            publisher.publish(f"a/{number}", b"%d" % number, qos=qos)
        got = subscriber.take(50)
    assert [(one.topic, one.payload, one.qos) for one in got] == [
        (f"a/{number}", b"%d" % number, qos) for number in range(50)
    ]


@pytest.mark.parametrize("version", VERSIONS)
def test_gmqtt_gets_retained_messages_and_wills(node: Loopback, version: int) -> None:
    publisher = Gmqtt(node.port, "p", version, will=("state/p", b"lost")).connect()
    publisher.publish("state/p", b"here", retain=True)
    publisher.settle()
    with Gmqtt(node.port, "s", version) as subscriber:
        assert subscriber.subscribe(gmqtt.Subscription("state/+", qos=1)) == [1]
        (first,) = subscriber.take(1)
        assert (first.payload, first.properties["retain"]) == (b"here", 1)
        publisher.vanish()
        (second,) = subscriber.take(1)
        assert (second.payload, second.properties["retain"]) == (b"lost", 0)


@pytest.mark.parametrize("version", VERSIONS)
def test_gmqtt_finds_its_session_again(node: Loopback, version: int) -> None:
    with Gmqtt(node.port, "s", version, lasting=True) as client:
        assert not client.present
        client.subscribe(gmqtt.Subscription("q", qos=1), gmqtt.Subscription("other", qos=1))
        client.unsubscribe("other")
    with Gmqtt(node.port, "p", version) as publisher:
        for number in range(20):
            publisher.publish("q", b"%d" % number)
        publisher.publish("other", b"no")
        publisher.settle()
    with Gmqtt(node.port, "s", version, lasting=True) as again:
        assert [one.payload for one in again.take(20)] == [b"%d" % number for number in range(20)]
        assert again.present
        assert again.messages.empty()


def test_gmqtt_of_mqtt_5_passes_properties_identifiers_and_options(node: Loopback) -> None:
    with (
        Gmqtt(node.port, "s", topic_alias_maximum=5) as subscriber,
        Gmqtt(node.port, "p") as publisher,
    ):
        assert publisher.told["receive_maximum"] == [MqttConfig().receive_maximum]
        wanted = gmqtt.Subscription("t", qos=1, retain_as_published=True)
        subscriber.subscribe(wanted, subscription_identifier=77)
        sent = {
            "user_property": [("k", "v"), ("k", "w")],
            "content_type": "text/plain",
            "message_expiry_interval": 100,
            "response_topic": "answers",
            "correlation_data": b"id",
        }
        for _ in range(2):
            publisher.publish("t", b"1", retain=True, **sent)
        publisher.settle()
        for got in subscriber.take(2):
            # The second comes by its alias, which gmqtt resolves.
            assert (got.topic, got.payload, got.properties["retain"]) == ("t", b"1", 1)
            assert got.properties["user_property"] == [("k", "v"), ("k", "w")]
            assert got.properties["content_type"] == ["text/plain"]
            assert 98 <= got.properties["message_expiry_interval"][0] <= 100
            assert got.properties["response_topic"] == ["answers"]
            assert got.properties["correlation_data"] == [b"id"]
            assert got.properties["subscription_identifier"] == [77]
            assert got.properties["topic_alias"] == [1]
        refused = publisher.subscribe(
            gmqtt.Subscription("forbidden/x", qos=1), gmqtt.Subscription("fine", qos=2)
        )
        assert refused == [0x87, 2]


@pytest.mark.parametrize("version", VERSIONS)
def test_gmqtt_is_told_why_it_is_refused(node: Loopback, version: int) -> None:
    stranger = Gmqtt(node.port, "x", version, user=("nobody", "x"))
    with pytest.raises(gmqtt.MQTTConnectError, match="134" if version == V5 else "code 4"):
        stranger.connect()
    stranger.stop()


@pytest.mark.parametrize("version", VERSIONS)
def test_gmqtt_and_paho_understand_each_other(node: Loopback, version: int) -> None:
    """Two strangers on one topic, each way."""

    with Gmqtt(node.port, "g", version) as one, Paho(node.port, "h", version) as two:
        one.subscribe(gmqtt.Subscription("from/h", qos=2))
        assert two.subscribe("from/g", 2) == [2]
        for qos in (0, 1, 2):
            one.publish("from/g", b"g%d" % qos, qos=qos)
            two.publish("from/h", b"h%d" % qos, qos)
        assert {(m.payload, m.qos) for m in one.take(3)} == {(b"h0", 0), (b"h1", 1), (b"h2", 2)}
        assert {(m.payload, m.qos) for m in two.take(3)} == {(b"g0", 0), (b"g1", 1), (b"g2", 2)}
