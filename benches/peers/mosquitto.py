"""Mosquitto with a bridge at QoS 1 to another mosquitto, with persistence at three settings."""

from __future__ import annotations

from pathlib import Path

from benches.peers.brokers import MqttNorth
from benches.servers import free_port


class MosquittoBridge(MqttNorth):
    """Edge broker, bridge, northern broker; queues without a bound, or it would drop by design."""

    durable = False

    def __init__(self, directory: Path, saving: str, settings: str) -> None:
        self.name = f"mosquitto bridge, {saving}"
        self.how = (
            f"persistence true, {settings or 'autosave_interval 1800 (default)'}, queues without a bound"
        )
        self._settings = "\n".join(settings.split(", ")) + "\n" if settings else ""
        super().__init__(directory)
        self._port = free_port()

    def start(self) -> None:
        self.start_north()
        (self.directory / "edge").mkdir()
        self.run_edge()

    def run_edge(self) -> None:
        self.edge = self.broker(
            "edge",
            self._port,
            f"persistence true\npersistence_location {self.directory}/edge/\n{self._settings}"
            f"connection north\naddress 127.0.0.1:{self.wire.proxy.port}\ntopic bench/# out 1\n"
            "cleansession false\nrestart_timeout 1\nbridge_attempt_unsubscribe false\n",
        )
