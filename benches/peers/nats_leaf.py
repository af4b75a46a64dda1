"""A NATS leaf node with JetStream, and a hub whose stream fetches from the leaf's."""

from __future__ import annotations

import json
import socket
import subprocess
from pathlib import Path
from typing import Any

from benches import generator
from benches.peers import environments
from benches.peers.system import Arrival, System, numbers
from benches.servers import free_port
from benches.tree import Wire

TALK = Path(__file__).with_name("nats_talk.py")
LOAD = Path(__file__).with_name("nats_load.c")
TALK_S = 60.0


class NatsLeaf(System):
    """By default `sync_interval` is two minutes: what came since is in the page cache only.

    Clients speak NATS, and the answer of the stream is the acknowledgement. Its MQTT would not do: what it
    acknowledges there is not yet in a stream that anybody fetches.
    """

    hello_bytes = 20_000

    def __init__(self, directory: Path, sync: str) -> None:
        self.name = f"NATS leaf, sync {sync}"
        self.how = f"JetStream file store, sync_interval {sync}, clients publish to the stream"
        self.durable = sync == "always"
        self._sync = sync
        self._prefix = "bench"
        super().__init__(directory)
        self._edge_port, self._north_port = free_port(), free_port()

    def start(self) -> None:
        self._bin = environments.python()
        leaf_port = free_port()
        (self.directory / "north.conf").write_text(
            f'server_name: north\nlisten: "127.0.0.1:{self._north_port}"\n'
            f'jetstream {{ store_dir: "{self.directory}/north", domain: hub }}\n'
            # Or the leaf learns where its hub listens, and goes around the wire.
            f'leafnodes {{ listen: "127.0.0.1:{leaf_port}", no_advertise: true }}\n'
        )
        self.north = self.spawn(self._server("north.conf"), "north.log", self._north_port)
        self.wire = Wire(leaf_port)
        wire = self.wire.proxy.port
        sync = "" if self._sync == "default" else f", sync_interval: {self._sync}"
        (self.directory / "edge.conf").write_text(
            f'server_name: edge\nlisten: "127.0.0.1:{self._edge_port}"\n'
            f'jetstream {{ store_dir: "{self.directory}/edge", domain: leaf{sync} }}\n'
            f'leafnodes {{ reconnect: 1, remotes: [ {{ url: "nats-leaf://127.0.0.1:{wire}" }} ] }}\n'
        )
        self.run_edge()
        self._talk("streams", self._edge_url, self._north_url)

    def run_edge(self) -> None:
        self.edge = self.spawn(self._server("edge.conf"), "edge.log", self._edge_port)

    def _server(self, config: str) -> list[str]:
        return [str(self._bin / "nats-server"), "-c", str(self.directory / config)]

    @property
    def _edge_url(self) -> str:
        return f"nats://127.0.0.1:{self._edge_port}"

    @property
    def _north_url(self) -> str:
        return f"nats://127.0.0.1:{self._north_port}"

    def _talk(self, *words: str) -> Any:
        done = subprocess.run(
            [str(self._bin / "python"), "-P", str(TALK), *words],
            capture_output=True,
            timeout=TALK_S,
            check=False,
        )
        if done.returncode:
            raise RuntimeError(f"nats_talk {words[0]}: {done.stderr.decode()[-500:]}")
        return json.loads(done.stdout) if done.stdout.strip() else None

    def clients(self, plan: Path) -> list[str]:
        return [str(self._bin / "python"), "-P", str(TALK), "load", self._edge_url, str(plan)]

    def loading(self, **options: object) -> subprocess.Popen[bytes]:
        options["prefix"] = str(options.get("prefix", "bench")).replace("/", ".")
        line = [str(generator.program(LOAD)), "load", "--port", str(self._edge_port)]
        for name, value in options.items():
            line += [f"--{name}", str(value)]
        return subprocess.Popen(line, stdout=subprocess.PIPE)

    def watch(self, prefix: str) -> None:
        self._prefix = prefix

    def arrived(self) -> list[Arrival]:
        rows = self._talk("read", self._north_url, self._prefix.replace("/", ".") + ".>")
        found = []
        for subject, payload, arrived_ms in rows:
            read = numbers(payload.encode())
            if read is not None:
                found.append(Arrival(subject.replace(".", "/"), read[0], "", read[1], arrived_ms))
        return found

    def kept(self) -> int:
        """Asked over a connection of its own, as any client may ask."""
        with socket.create_connection(("127.0.0.1", self._north_port), 5) as line:
            file = line.makefile("rwb")
            file.readline()  # INFO
            file.write(
                b'CONNECT {"verbose":false,"pedantic":false}\r\nSUB here 1\r\n'
                b"PUB $JS.API.STREAM.INFO.ALL here 0\r\n\r\n"
            )
            file.flush()
            while not (said := file.readline()).startswith(b"MSG"):
                if not said:
                    raise RuntimeError("the northern NATS has closed")
            answer = json.loads(file.read(int(said.rsplit(b" ", 1)[1])))
        return int(answer["state"]["messages"])
