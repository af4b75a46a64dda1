"""A mosquitto north that remembers nothing, and one in front of an edge that has no broker of its own."""

from __future__ import annotations

import json
import os
import threading
import time
from pathlib import Path

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion

from benches.peers.system import Arrival, System, found, numbers
from benches.servers import Server, free_port
from benches.tree import Wire

RECEIVED = "$SYS/broker/publish/messages/received"
START_S = 40.0
BROKER = (
    "allow_anonymous true\nmax_queued_messages 0\nmax_queued_bytes 0\nmax_inflight_messages 0\n"
    "log_type error\nsys_interval 1\n"
)
"""Queues without a bound, or it would drop by design."""


class Collector:
    """Subscribes at a broker and writes down what comes, in order.

    Attributes:
        received: Publishes that the broker says it has taken, at most a second ago.
    """

    def __init__(self, port: int) -> None:
        self.arrivals: list[Arrival] = []
        self.received = 0
        self._answered = threading.Event()
        self._client = paho.Client(CallbackAPIVersion.VERSION2, client_id="collector", clean_session=False)
        self._client.on_connect = lambda *_: self._answered.set()
        self._client.on_subscribe = lambda *_: self._answered.set()
        self._client.on_message = lambda _client, _data, message: self._came(message)
        self._client.connect("127.0.0.1", port, keepalive=600)
        self._client.loop_start()
        self._await("a connection")
        self.subscribe(RECEIVED)

    def subscribe(self, topic: str) -> None:
        """Whatever comes there from now on."""
        self._answered.clear()
        self._client.subscribe(topic, qos=1)
        self._await("a subscription")

    def _await(self, what: str) -> None:
        if not self._answered.wait(10):
            raise RuntimeError(f"the northern broker does not answer {what}")

    def _came(self, message: paho.MQTTMessage) -> None:
        if message.topic == RECEIVED:
            self.received = int(message.payload)
        else:
            self.take(message.topic, bytes(message.payload), time.time() * 1000)

    def take(self, topic: str, payload: bytes, now_ms: float) -> None:
        """One publish."""
        read = numbers(payload)
        if read is not None:
            self.arrivals.append(Arrival(topic, read[0], "", read[1], now_ms))

    def publish(self, topic: str, payload: str) -> None:
        """Say something, not waiting for an answer: also from within `take`."""
        self._client.publish(topic, payload, qos=1)

    def close(self) -> None:
        """Say goodbye."""
        self._client.disconnect()
        self._client.loop_stop()


class MqttNorth(System):
    """North is a mosquitto and a subscriber."""

    collector_kind: type[Collector] = Collector
    _prefix = "bench"

    def start_north(self) -> None:
        """The northern broker, its subscriber, the wire to it."""
        self.north = self.broker("north", free_port(), "persistence false\n")
        self.wire = Wire(self.north.port)
        self.collector = self.collector_kind(self.north.port)

    def broker(self, name: str, port: int, more: str) -> Server:
        """A mosquitto of our own."""
        binary = found("mosquitto", "on Debian: apt install mosquitto")
        config = self.directory / f"{name}.conf"
        # Or it gives up root for a user who may not write where it runs, and saves nothing.
        user = "user root\n" if os.getuid() == 0 else ""
        config.write_text(f"listener {port} 127.0.0.1\n{user}{BROKER}{more}")
        return self.spawn([binary, "-c", str(config)], f"{name}.log", port)

    def watch(self, prefix: str) -> None:
        self._prefix = prefix
        self.collector.subscribe(f"{prefix}/#")

    def arrived(self) -> list[Arrival]:
        return [one for one in self.collector.arrivals if one.topic.startswith(f"{self._prefix}/")]

    def kept(self) -> int:
        """What the broker says each second, or what has been seen since."""
        return max(self.collector.received, len(self.collector.arrivals))

    def stop(self) -> None:
        if hasattr(self, "collector"):
            self.collector.close()
        super().stop()


class BehindBroker(MqttNorth):
    """An edge that subscribes at a broker in front of it, which acknowledges to the devices.

    That broker is not killed, and keeps what the edge has not taken (a session that survives): what is lost
    is lost by the edge. Its processor time, memory and writes are not counted.
    """

    durable = False

    def __init__(self, directory: Path) -> None:
        super().__init__(directory)
        self.front: Server

    @property
    def port(self) -> int:
        return self.front.port

    def start(self) -> None:
        self.start_north()
        self.front = self.broker("front", free_port(), "persistence false\n")
        self.prepare()
        self.run_edge()
        self._await_path()

    def prepare(self) -> None:
        """Write its configuration."""

    def _await_path(self) -> None:
        """A first reading that goes all the way."""
        self.watch("bench/hello")
        client = paho.Client(CallbackAPIVersion.VERSION2, client_id="hello")
        client.connect("127.0.0.1", self.front.port)
        client.loop_start()
        until, number = time.monotonic() + START_S, 0
        try:
            while not self.collector.arrivals:
                if time.monotonic() > until or self.edge.process.poll() is not None:
                    raise RuntimeError(f"{self.name} carries nothing: {self.edge.said()}")
                number += 1
                payload = json.dumps({self.stamp: int(time.time() * 1000), "v": number})
                client.publish("bench/hello", payload, qos=1)
                time.sleep(0.25)
            time.sleep(1.0)
        finally:
            client.disconnect()
            client.loop_stop()
