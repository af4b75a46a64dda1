"""Node-RED with its stock MQTT nodes: `mqtt in` at a broker in front of it, `mqtt out` to the one north."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

from benches.peers import environments
from benches.peers.brokers import BehindBroker
from benches.servers import Unavailable


class NodeRed(BehindBroker):
    """Two nodes and a wire, QoS 1 at both ends, sessions that survive; what waits, waits in memory."""

    bulk = 40_000

    def __init__(self, directory: Path) -> None:
        self.name = "Node-RED, mqtt in, mqtt out"
        self.how = "4.1.15, stock flow at a mosquitto in front (not counted), QoS 1, sessions survive"
        super().__init__(directory)

    def prepare(self) -> None:
        self._home = environments.node_red()
        node = shutil.which("node")
        if node is None:
            raise Unavailable("node is not installed (on Debian: apt install nodejs)")
        self._node = node
        (self.directory / "settings.js").write_text(
            "module.exports = { flowFile: 'flows.json', httpAdminRoot: false, disableEditor: true,"
            " telemetry: { enabled: false }, logging: { console: { level: 'warn' } },"
            " credentialSecret: false }\n"
        )
        (self.directory / "flows.json").write_text(json.dumps(self._flow()))

    def _flow(self) -> list[dict[str, object]]:
        def broker(name: str, port: int) -> dict[str, object]:
            return {
                "id": f"broker-{name}",
                "type": "mqtt-broker",
                "name": name,
                "broker": "127.0.0.1",
                "port": str(port),
                "clientid": f"node-red-{name}",
                "autoConnect": True,
                "usetls": False,
                "protocolVersion": "4",
                "keepalive": "60",
                "cleansession": False,
            }

        return [
            {"id": "flow", "type": "tab", "label": "forward"},
            broker("south", self.front.port),
            broker("north", self.wire.proxy.port),
            {
                "id": "mqtt-in",
                "type": "mqtt in",
                "z": "flow",
                "topic": "bench/#",
                "qos": "1",
                "datatype": "buffer",
                "broker": "broker-south",
                "inputs": 0,
                "wires": [["mqtt-out"]],
            },
            # Topic and the rest are the message's.
            {
                "id": "mqtt-out",
                "type": "mqtt out",
                "z": "flow",
                "qos": "1",
                "broker": "broker-north",
                "wires": [],
            },
        ]

    def run_edge(self) -> None:
        program = self._home / "node_modules" / "node-red" / "red.js"
        command = [self._node, str(program), "--userDir", str(self.directory), "--port", "0"]
        settings = ["--settings", str(self.directory / "settings.js")]
        self.edge = self.spawn([*command, *settings], "edge.log", self.front.port, listens=False)
