"""Mosquitto with a bridge at QoS 1 to another mosquitto, with persistence at three settings."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion

from benches.peers.system import Arrival, System, found
from benches.servers import free_port
from benches.tree import Wire


class Collector:
    """Subscribes to everything at a broker and writes down what comes, in order."""

    def __init__(self, port: int) -> None:
        self.arrivals: list[Arrival] = []
        self._ready = threading.Event()
        self._client = paho.Client(CallbackAPIVersion.VERSION2, client_id="collector", clean_session=False)
        self._client.on_connect = lambda client, *_: client.subscribe("bench/#", qos=1)
        self._client.on_subscribe = lambda *_: self._ready.set()
        self._client.on_message = lambda _client, _data, message: self._take(message)
        self._client.connect("127.0.0.1", port)
        self._client.loop_start()
        if not self._ready.wait(10):
            raise RuntimeError("the northern broker does not answer a subscription")

    def _take(self, message: paho.MQTTMessage) -> None:
        number = number_of(bytes(message.payload))
        if number is not None:
            self.arrivals.append((message.topic, number, ""))

    def close(self) -> None:
        """Say goodbye."""
        self._client.disconnect()
        self._client.loop_stop()


def number_of(payload: bytes) -> int | None:
    """The client's number in a payload of the trial of losses, its last value; others have none."""
    text = payload.rsplit(b":", 1)[-1].rstrip(b"}")
    return int(text) if text.isdigit() else None


class MosquittoBridge(System):
    """Edge broker, bridge, northern broker; queues without a bound, or it would drop by design."""

    durable = False

    def __init__(self, directory: Path, saving: str, settings: str) -> None:
        self.name = f"mosquitto bridge, {saving}"
        self.how = (
            f"persistence true, {settings or 'autosave_interval 1800 (default)'}, max_queued_messages 0"
        )
        self._settings = settings
        super().__init__(directory)
        self._port = free_port()

    def start(self) -> None:
        binary = found("mosquitto", "on Debian: apt install mosquitto")
        for part in ("edge", "north"):
            (self.directory / part).mkdir()
            if os.getuid() == 0:
                (self.directory / part).chmod(0o777)  # it gives up root for its own user
        port = free_port()
        common = "allow_anonymous true\nmax_queued_messages 0\nmax_inflight_messages 0\nlog_type error\n"
        north = self.directory / "north.conf"
        north.write_text(f"listener {port} 127.0.0.1\n{common}persistence false\n")
        self.north = self.spawn([binary, "-c", str(north)], "north.log", port)
        self.wire = Wire(port)
        settings = "\n".join(self._settings.split(", ")) + "\n" if self._settings else ""
        (self.directory / "edge.conf").write_text(
            f"listener {self._port} 127.0.0.1\n{common}persistence true\n"
            f"persistence_location {self.directory}/edge/\n{settings}"
            f"connection north\naddress 127.0.0.1:{self.wire.proxy.port}\ntopic bench/# out 1\n"
            "cleansession false\nrestart_timeout 1\nbridge_attempt_unsubscribe false\n"
        )
        self._collector = Collector(port)
        self.run_edge()

    def run_edge(self) -> None:
        binary = found("mosquitto", "on Debian: apt install mosquitto")
        self.edge = self.spawn([binary, "-c", str(self.directory / "edge.conf")], "edge.log", self._port)

    def arrived(self) -> list[Arrival]:
        return list(self._collector.arrivals)

    def stop(self) -> None:
        if hasattr(self, "_collector"):
            self._collector.close()
        super().stop()
