"""gmqtt against a real node: what it was told is stored can be asked for, and its session waits for it."""

from __future__ import annotations

from uuid import uuid4

import pytest
from tests.node.running import RunningNode, eventually

gmqtt = pytest.importorskip("gmqtt", reason="gmqtt is not installed")
from tests.mqtt.second_client import V5, V311, Gmqtt  # noqa: E402

VERSIONS = [pytest.param(V5, id="5"), pytest.param(V311, id="3.1.1")]


def name() -> str:
    """One that no other test uses."""
    return f"t-{uuid4().hex[:12]}"


@pytest.mark.parametrize("version", VERSIONS)
def test_what_gmqtt_publishes_is_stored_and_reaches_subscribers(node: RunningNode, version: int) -> None:
    """MQTT-4.2-1; MQTT-7.0.0-2, MQTT-7.1.1-1 of 3.1.1."""
    topic, port = name(), node.ports["mqtt:mqtt"]
    with Gmqtt(port, name(), version) as subscriber, Gmqtt(port, name(), version) as publisher:
        assert subscriber.subscribe(gmqtt.Subscription(f"{topic}/+", qos=2)) == [2]
        for at in range(60):
            publisher.publish(f"{topic}/{at % 3}", b"%d" % at, qos=at % 3)
        publisher.settle()
        got = subscriber.take(60)
    for qos in range(3):
        assert [int(one.payload) for one in got if one.qos == qos] == list(range(qos, 60, 3))
        eventually(lambda qos=qos: node.values(f"{topic}/{qos}") == list(range(qos, 60, 3)))


@pytest.mark.parametrize("version", VERSIONS)
def test_the_session_of_gmqtt_waits_for_it_at_a_real_node(node: RunningNode, version: int) -> None:
    """MQTT-3.1.2-5, MQTT-3.2.2-3; MQTT-3.1.2-4, -5, MQTT-3.2.2-2 of 3.1.1."""
    topic, client, port = name(), name(), node.ports["mqtt:mqtt"]
    with Gmqtt(port, client, version, lasting=True) as first:
        first.subscribe(gmqtt.Subscription(topic, qos=2))
    with Gmqtt(port, name(), version) as publisher:
        for at in range(20):
            publisher.publish(topic, b"%d" % at, qos=1 + at % 2)
        publisher.settle()
    with Gmqtt(port, client, version, lasting=True) as again:
        got = again.take(20)
        assert again.present
    # In order per topic and QoS: a release of QoS 2 waits for its commit, QoS 1 does not wait for it.
    for qos in (1, 2):
        assert [int(one.payload) for one in got if one.qos == qos] == list(range(qos - 1, 20, 2))
    with Gmqtt(port, client, version):
        pass  # a clean one leaves nothing behind
