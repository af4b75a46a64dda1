"""Other people's clients against the broker on a loopback socket: paho-mqtt, mosquitto's where installed."""

from __future__ import annotations

import queue
import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from tests.mqtt.loopback import Loopback

from headland.mqtt import MqttConfig
from headland.mqtt.codec import body_start, frame_end
from headland.mqtt.decoding import decode
from headland.mqtt.encoding import encode
from headland.mqtt.packets import (
    V5,
    V311,
    Ack,
    Connect,
    Disconnect,
    Packet,
    Publish,
    Subscribe,
    Subscription,
    Unsubscribe,
    Will,
)

paho = pytest.importorskip("paho.mqtt.client", reason="paho-mqtt is not installed")
from paho.mqtt.packettypes import PacketTypes  # noqa: E402
from paho.mqtt.properties import Properties as PahoProperties  # noqa: E402
from paho.mqtt.subscribeoptions import SubscribeOptions  # noqa: E402

MOSQUITTO = shutil.which("mosquitto_pub") and shutil.which("mosquitto_sub")
needs_mosquitto = pytest.mark.skipif(
    not MOSQUITTO, reason="mosquitto_pub and mosquitto_sub are not installed"
)
VERSIONS = [pytest.param(V5, id="5"), pytest.param(V311, id="3.1.1")]


def eventually(holds: Callable[[], object], seconds: float = 10.0) -> None:
    until = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < until, "it did not happen in time"
        time.sleep(0.005)


@pytest.fixture
def node() -> Iterator[Loopback]:
    with Loopback() as running:
        yield running


class Client:
    """paho in a thread of its own, its callbacks as queues."""

    def __init__(self, node: Loopback, name: str, version: int, **options: Any) -> None:
        self.version = version
        protocol = paho.MQTTv5 if version == V5 else paho.MQTTv311
        if version == V311:
            options.setdefault("clean_session", True)
        start = options.pop("start", {})
        self.paho = paho.Client(
            paho.CallbackAPIVersion.VERSION2, client_id=name, protocol=protocol, **options
        )
        self.messages: queue.Queue[Any] = queue.Queue()
        self.ended: queue.Queue[Any] = queue.Queue()
        self.connected: queue.Queue[Any] = queue.Queue()
        self.subscribed: queue.Queue[Any] = queue.Queue()
        self.paho.on_message = lambda _c, _u, message: self.messages.put(message)
        self.paho.on_disconnect = lambda _c, _u, _f, reason, _p: self.ended.put(reason)
        self.paho.on_connect = lambda _c, _u, flags, reason, properties: self.connected.put(
            (flags, reason, properties)
        )
        self.paho.on_subscribe = lambda _c, _u, _m, reasons, _p: self.subscribed.put(reasons)
        self.node = node
        self.start_options = start

    def start(self) -> Any:
        self.paho.connect("127.0.0.1", self.node.port, **self.start_options)
        self.paho.loop_start()
        return self.connected.get(timeout=10)

    def subscribe(self, *arguments: Any, **options: Any) -> Any:
        self.paho.subscribe(*arguments, **options)
        return self.subscribed.get(timeout=10)

    def stop(self) -> None:
        self.paho.disconnect()
        self.paho.loop_stop()


@pytest.mark.parametrize("version", VERSIONS)
def test_paho_publishes_at_every_qos_and_hears_that_it_is_stored(node: Loopback, version: int) -> None:
    client = Client(node, "device", version)
    assert client.start()[1] == 0
    infos = [client.paho.publish(f"plant/{at % 3}", b"%d" % at, qos=at % 3) for at in range(300)]
    for info in infos:
        info.wait_for_publish(10)
    client.stop()
    for qos in range(3):
        got = [payload for _, _, payload, level in node.accepted if level == qos]
        assert got == [b"%d" % at for at in range(qos, 300, 3)]
    assert node.broker.counters.protocol_errors == 0


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("qos", [0, 1, 2])
def test_paho_receives_what_paho_publishes(node: Loopback, version: int, qos: int) -> None:
    subscriber, publisher = Client(node, "s", version), Client(node, "p", version)
    subscriber.start()
    publisher.start()
    subscriber.subscribe("a/#", qos=qos)
    for number in range(100):
        publisher.paho.publish(f"a/{number}", b"%d" % number, qos=qos)
    got = [subscriber.messages.get(timeout=10) for _ in range(100)]
    assert [(message.topic, message.payload, message.qos) for message in got] == [
        (f"a/{number}", b"%d" % number, qos) for number in range(100)
    ]
    for client in (subscriber, publisher):
        client.stop()


@pytest.mark.parametrize("version", VERSIONS)
def test_paho_gets_retained_messages_and_wills(node: Loopback, version: int) -> None:
    publisher = Client(node, "p", version)
    publisher.paho.will_set("state/p", b"lost", qos=1, retain=True)
    publisher.start()
    publisher.paho.publish("state/p", b"here", qos=1, retain=True).wait_for_publish(10)
    subscriber = Client(node, "s", version)
    subscriber.start()
    subscriber.subscribe("state/+", qos=1)
    first = subscriber.messages.get(timeout=10)
    assert (first.payload, first.retain) == (b"here", True)
    publisher.paho.loop_stop()
    publisher.paho.socket().close()
    second = subscriber.messages.get(timeout=10)
    assert (second.payload, bool(second.retain)) == (b"lost", False)
    subscriber.stop()


@pytest.mark.parametrize("version", VERSIONS)
def test_paho_finds_its_session_again(node: Loopback, version: int) -> None:
    options: dict[str, Any] = {}
    if version == V5:
        expiry = PahoProperties(PacketTypes.CONNECT)
        expiry.SessionExpiryInterval = 600
        options["start"] = {"clean_start": False, "properties": expiry}
    else:
        options["clean_session"] = False
    client = Client(node, "s", version, **options)
    client.start()
    client.subscribe("q", qos=1)
    client.stop()
    publisher = Client(node, "p", version)
    publisher.start()
    for number in range(50):
        publisher.paho.publish("q", b"%d" % number, qos=1).wait_for_publish(10)
    publisher.stop()
    again = Client(node, "s", version, **options)
    flags, _, _ = again.start()
    assert flags.session_present
    got = [again.messages.get(timeout=10).payload for _ in range(50)]
    assert got == [b"%d" % number for number in range(50)]
    eventually(lambda: node.broker.sizes()["queued_messages"] == 0)
    again.stop()


def test_paho_of_mqtt_5_passes_properties_identifiers_and_options(node: Loopback) -> None:
    subscriber, publisher = Client(node, "s", V5), Client(node, "p", V5)
    subscriber.start()
    told = publisher.start()[2]
    assert told.ReceiveMaximum == MqttConfig().receive_maximum
    identified = PahoProperties(PacketTypes.SUBSCRIBE)
    identified.SubscriptionIdentifier = 77
    subscriber.subscribe("t", options=SubscribeOptions(qos=1, retainAsPublished=True), properties=identified)
    sent = PahoProperties(PacketTypes.PUBLISH)
    sent.UserProperty = [("k", "v")]
    sent.ContentType = "text/plain"
    sent.MessageExpiryInterval = 100
    sent.ResponseTopic = "answers"
    sent.CorrelationData = b"id"
    sent.TopicAlias = 1
    publisher.paho.publish("t", b"1", qos=1, retain=True, properties=sent).wait_for_publish(10)
    got = subscriber.messages.get(timeout=10)
    assert got.retain
    assert got.properties.UserProperty == [("k", "v")]
    assert got.properties.ContentType == "text/plain"
    assert 98 <= got.properties.MessageExpiryInterval <= 100
    assert (got.properties.ResponseTopic, got.properties.CorrelationData) == ("answers", b"id")
    assert got.properties.SubscriptionIdentifier == [77]
    refused = publisher.subscribe(
        [("forbidden/x", SubscribeOptions(qos=1)), ("fine", SubscribeOptions(qos=2))]
    )
    assert [reason.value for reason in refused] == [0x87, 2]
    for client in (subscriber, publisher):
        client.stop()


@pytest.mark.parametrize("version", VERSIONS)
def test_paho_is_told_why_it_is_refused_or_replaced(node: Loopback, version: int) -> None:
    stranger = Client(node, "x", version)
    stranger.paho.username_pw_set("nobody", "x")
    assert stranger.start()[1].is_failure
    stranger.stop()
    first, second = Client(node, "same", version), Client(node, "same", version)
    first.paho.reconnect_delay_set(60, 60)
    first.start()
    second.start()
    reason = first.ended.get(timeout=10)
    if version == V5:
        assert reason.value == 0x8E
    first.stop()
    second.stop()


def test_paho_publishes_large_messages_in_many_reads(node: Loopback) -> None:
    client = Client(node, "s", V5)
    client.start()
    client.subscribe("big", qos=1)
    payload = bytes(range(256)) * 3_000
    client.paho.publish("big", payload, qos=1).wait_for_publish(10)
    assert client.messages.get(timeout=10).payload == payload
    client.stop()


# Bytes of paho


class Recorder:
    """A socket that paho talks to: it keeps what is written and answers CONNECT."""

    def __init__(self, version: int) -> None:
        self.version = version
        self.data = b""
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        peer, _ = self._listener.accept()
        with peer, self._listener:
            peer.settimeout(10)
            while chunk := peer.recv(65_536):
                if not self.data:
                    peer.sendall(b"\x20\x03\x00\x00\x00" if self.version == V5 else b"\x20\x02\x00\x00")
                self.data += chunk

    def packets(self) -> list[Packet]:
        self._thread.join(10)
        found: list[Packet] = []
        at = 0
        while at < len(self.data):
            stop = frame_end(self.data, at, 1 << 28, True)
            found.append(decode(self.data[at], self.data, body_start(self.data, at), stop, self.version))
            at = stop
        return found


@pytest.mark.parametrize("version", VERSIONS)
def test_the_bytes_of_paho_are_our_bytes(version: int) -> None:
    """Decoding what paho wrote and encoding it again gives its bytes exactly."""
    recorder = Recorder(version)
    client = paho.Client(
        paho.CallbackAPIVersion.VERSION2,
        client_id="device-1",
        protocol=paho.MQTTv5 if version == V5 else paho.MQTTv311,
    )
    client.username_pw_set("user", "secret")
    client.will_set("state", b"gone", qos=1, retain=True)
    client.connect("127.0.0.1", recorder.port, keepalive=30)
    client.loop_start()
    eventually(client.is_connected)
    client.subscribe([("a/b", 1), ("c/#", 2)])
    client.publish("t/é", b"payload", qos=0)
    client.publish("t/1", b"x" * 300, qos=1, retain=True)
    client.publish("t/2", b"", qos=2)
    client.unsubscribe(["a/b"])
    eventually(lambda: recorder.data.count(b"a/b") == 2)
    client.disconnect()
    client.loop_stop()
    found = recorder.packets()
    assert b"".join(encode(packet, version) for packet in found) == recorder.data
    assert found[0] == Connect(
        "device-1", version, True, 30, "user", b"secret", Will("state", b"gone", 1, True)
    )
    kinds = {type(packet) for packet in found}
    assert kinds == {Connect, Subscribe, Publish, Unsubscribe, Disconnect}
    subscribed = next(packet for packet in found if isinstance(packet, Subscribe))
    assert subscribed.subscriptions == [Subscription("a/b", 1), Subscription("c/#", 2)]
    published = [packet for packet in found if isinstance(packet, Publish)]
    assert [(one.topic, one.payload, one.qos, one.retain) for one in published] == [
        ("t/é", b"payload", 0, False),
        ("t/1", b"x" * 300, 1, True),
        ("t/2", b"", 2, False),
    ]
    assert not any(isinstance(packet, Ack) for packet in found)


# mosquitto's clients


@needs_mosquitto
@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("qos", [0, 1, 2])
def test_mosquitto_publishes_to_mosquitto(node: Loopback, version: int, qos: int) -> None:
    common = ["-h", "127.0.0.1", "-p", str(node.port), "-V", "5" if version == V5 else "311", "-q", str(qos)]
    subscriber = subprocess.Popen(
        ["mosquitto_sub", *common, "-t", "m/+", "-C", "20", "-F", "%t %q %p"],
        stdout=subprocess.PIPE,
        text=True,
    )
    eventually(lambda: node.broker.sizes()["subscriptions"] == 1)
    lines = "".join(f"{number}\n" for number in range(20))
    subprocess.run(
        ["mosquitto_pub", *common, "-t", "m/x", "-l"], input=lines, text=True, check=True, timeout=20
    )
    output, _ = subscriber.communicate(timeout=20)
    assert output.splitlines() == [f"m/x {qos} {number}" for number in range(20)]
    assert [payload for _, _, payload, _ in node.accepted] == [b"%d" % number for number in range(20)]


@needs_mosquitto
def test_mosquitto_of_mqtt_5_requests_and_answers(node: Loopback) -> None:
    common = ["-h", "127.0.0.1", "-p", str(node.port), "-V", "5"]
    watcher = subprocess.Popen(
        ["mosquitto_sub", *common, "-t", "$share/g/req", "-C", "1", "-F", "%R %D %P %p", "-D", "subscribe",
         "subscription-identifier", "3"],
        stdout=subprocess.PIPE,
        text=True,
    )  # fmt: skip
    eventually(lambda: node.broker.sizes()["subscriptions"] == 1)
    subprocess.run(
        ["mosquitto_pub", *common, "-t", "req", "-m", "hi", "-q", "1",
         "-D", "publish", "response-topic", "ans", "-D", "publish",
         "correlation-data", "42", "-D", "publish", "user-property", "k", "v"],
        check=True,
        timeout=20,
    )  # fmt: skip
    output, _ = watcher.communicate(timeout=20)
    assert output.split() == ["ans", "42", "k:v", "hi"]


@needs_mosquitto
def test_mosquitto_is_refused_with_a_reason(node: Loopback) -> None:
    done = subprocess.run(
        ["mosquitto_pub", "-p", str(node.port), "-V", "mqttv31", "-t", "t", "-m", "x"],
        capture_output=True,
        text=True,
        timeout=20,
    )
    assert done.returncode != 0
    assert "protocol version" in done.stderr
