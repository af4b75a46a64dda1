"""thingsboard-gateway, with its file and its SQLite storage, between two mosquittos.

South its MQTT connector subscribes at a broker; north it publishes `v1/gateway/telemetry` at QoS 1 to what it
takes for a ThingsBoard server, which is a broker and a subscriber here.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from benches.peers import environments
from benches.peers.brokers import BehindBroker, Collector
from benches.peers.system import Arrival, milliseconds

TELEMETRY = "v1/gateway/telemetry"
REQUESTS = "v1/devices/me/rpc/request/"
ANSWERS = "v1/devices/me/rpc/response/"
LIMITS = {"maxPayloadSize": 65536, "maxInflightMessages": 100, "rateLimits": {}, "gatewayRateLimits": {}}
"""What a server says to `getSessionLimits`, without which a gateway sends nothing: no rate limits."""
STORAGE: dict[str, dict[str, object]] = {
    "file": {
        "type": "file",
        "data_folder_path": "./data/",
        "max_file_count": 1000,
        "max_read_records_count": 1000,
        "max_records_per_file": 10000,
    },
    "SQLite": {
        "type": "sqlite",
        "data_file_path": "./data/data.db",
        "messages_ttl_check_in_hours": 1,
        "messages_ttl_in_days": 7,
        "max_read_records_count": 1000,
    },
}
"""Room for more than the trials bring: `max_file_count` as shipped holds 100,000 and drops the rest."""
NOWHERE = "http://127.0.0.1:9"
"""It asks its makers for a newer version; not from here."""


class Server(Collector):
    """Reads the packs of a gateway, and tells it the limits it asks for when it connects."""

    def __init__(self, port: int) -> None:
        super().__init__(port)
        self.subscribe(f"{REQUESTS}+")
        self.subscribe(TELEMETRY)

    def take(self, topic: str, payload: bytes, now_ms: float) -> None:
        if topic.startswith(REQUESTS):
            self.publish(ANSWERS + topic.removeprefix(REQUESTS), json.dumps(LIMITS))
        if topic != TELEMETRY:
            return
        packs: dict[str, list[Any]] = json.loads(payload)
        for device, entries in packs.items():
            for entry in entries:
                if "ts" in entry and "v" in entry["values"]:
                    number, made_ms = int(float(entry["values"]["v"])), milliseconds(entry["ts"])
                    self.arrivals.append(Arrival(device, number, "", made_ms, now_ms))


class ThingsBoardGateway(BehindBroker):
    """Settings as shipped, but: a session that survives, no statistics, no remote configuration."""

    collector_kind = Server
    stamp = "ts"  # a key that it knows; without one it stamps, and readings of one millisecond become one
    bulk = 20_000

    def __init__(self, directory: Path, storage: str) -> None:
        self.name = f"thingsboard-gateway, {storage}"
        self.how = f"3.8.5, {storage} storage, MQTT connector at a mosquitto in front (not counted), QoS 1"
        self._storage = storage
        super().__init__(directory)

    def prepare(self) -> None:
        self._bin = environments.python()
        for name in ("config", "data", "logs"):
            (self.directory / name).mkdir()
        shipped = next(self._bin.parent.glob("lib/python*/site-packages/thingsboard_gateway/config"))
        config = self.directory / "config"
        (config / "logs.json").write_text((shipped / "logs.json").read_text())
        general = json.loads((shipped / "tb_gateway.json").read_text())
        general["thingsboard"] |= {
            "host": "127.0.0.1",
            "port": self.wire.proxy.port,
            "remoteConfiguration": False,
            "statistics": {"enable": False},
            "security": {"type": "accessToken", "accessToken": "bench"},
        }
        general["storage"] = STORAGE[self._storage]
        general["connectors"] = [{"type": "mqtt", "name": "south", "configuration": "mqtt.json"}]
        (config / "tb_gateway.json").write_text(json.dumps(general))
        (config / "mqtt.json").write_text(json.dumps(self._connector()))

    def _connector(self) -> dict[str, object]:
        return {
            "broker": {
                "host": "127.0.0.1",
                "port": self.front.port,
                "clientId": "gateway",
                "version": 5,
                "maxMessageNumberPerWorker": 10,
                "maxNumberOfWorkers": 100,
                "cleanSession": False,
                "cleanStart": False,
                "sessionExpiryInterval": 3600,
                "security": {"type": "anonymous"},
            },
            "mapping": [
                {
                    "topicFilter": "bench/#",
                    "subscriptionQos": 1,
                    "converter": {
                        "type": "json",
                        "deviceInfo": {
                            "deviceNameExpressionSource": "topic",
                            "deviceNameExpression": "(.+)",
                            "deviceProfileExpressionSource": "constant",
                            "deviceProfileExpression": "default",
                        },
                        "timeout": 60000,
                        "attributes": [],
                        "timeseries": [{"type": "raw", "key": "v", "value": "${v}"}],
                    },
                }
            ],
        }

    def run_edge(self) -> None:
        self.edge = self.spawn(
            [str(self._bin / "thingsboard-gateway")],
            "edge.log",
            self.front.port,
            listens=False,
            TB_GW_CONFIG_DIR=str(self.directory / "config"),
            HTTPS_PROXY=NOWHERE,
            https_proxy=NOWHERE,
        )

    def watch(self, prefix: str) -> None:
        self._prefix = prefix

    def kept(self) -> int:
        return len(self.collector.arrivals)
