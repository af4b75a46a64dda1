"""A NATS leaf node with JetStream, and a hub whose stream fetches from the leaf's."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from benches.peers.system import Arrival, System
from benches.servers import Unavailable, free_port
from benches.tree import Wire

LOCK = Path(__file__).parents[2] / "requirements" / "peers.txt"
TALK = Path(__file__).with_name("nats_talk.py")


def environment() -> Path:
    """The environment of the peers, made once for each lock; its `bin`.

    Raises:
        Unavailable: It cannot be made here.
    """
    digest = hashlib.blake2b(LOCK.read_bytes(), digest_size=6).hexdigest()
    cache = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "headland"
    home = cache / f"peers-{digest}"
    if (home / "ready").exists():
        return home / "bin"
    install = ["-m", "pip", "install", "--quiet", "--require-hashes", "-r", str(LOCK)]
    try:
        subprocess.run([sys.executable, "-m", "venv", "--clear", str(home)], check=True)
        subprocess.run([str(home / "bin" / "python"), *install], check=True, timeout=300)
    except (subprocess.SubprocessError, OSError) as problem:
        raise Unavailable(f"the peers' environment cannot be made: {problem}") from None
    (home / "ready").touch()
    return home / "bin"


class NatsLeaf(System):
    """By default `sync_interval` is two minutes: what came since is in the page cache only."""

    protocol = "nats"

    def __init__(self, directory: Path, sync: str) -> None:
        self.name = f"NATS leaf, sync {sync}"
        self.how = f"JetStream file store, sync_interval {sync}; clients publish with Nats-Msg-Id"
        self.durable = sync == "always"
        self._sync = sync
        super().__init__(directory)
        self._edge_port, self._mqtt_port, self._north_port = free_port(), free_port(), free_port()

    def start(self) -> None:
        self._bin = environment()
        leaf_port = free_port()
        (self.directory / "north.conf").write_text(
            f'server_name: north\nlisten: "127.0.0.1:{self._north_port}"\n'
            f'jetstream {{ store_dir: "{self.directory}/north", domain: hub }}\n'
            f'leafnodes {{ listen: "127.0.0.1:{leaf_port}" }}\n'
        )
        self.north = self.spawn(self._server("north.conf"), "north.log", self._north_port)
        self.wire = Wire(leaf_port)
        wire = self.wire.proxy.port
        sync = "" if self._sync == "default" else f", sync_interval: {self._sync}"
        (self.directory / "edge.conf").write_text(
            f'server_name: edge\nlisten: "127.0.0.1:{self._edge_port}"\n'
            f'jetstream {{ store_dir: "{self.directory}/edge", domain: leaf{sync} }}\n'
            f'mqtt {{ listen: "127.0.0.1:{self._mqtt_port}" }}\n'
            f'leafnodes {{ reconnect: 1, remotes: [ {{ url: "nats-leaf://127.0.0.1:{wire}" }} ] }}\n'
        )
        self.run_edge()
        self.talk("streams", self._edge_url, self._north_url)

    def run_edge(self) -> None:
        self.edge = self.spawn(self._server("edge.conf"), "edge.log", self._mqtt_port)

    def _server(self, config: str) -> list[str]:
        return [str(self._bin / "nats-server"), "-c", str(self.directory / config)]

    @property
    def _edge_url(self) -> str:
        return f"nats://127.0.0.1:{self._edge_port}"

    @property
    def _north_url(self) -> str:
        return f"nats://127.0.0.1:{self._north_port}"

    @property
    def client_port(self) -> int:
        return self._edge_port

    def talk(self, *words: str) -> Any:
        """Run `nats_talk`; what it printed."""
        done = subprocess.run(
            [str(self._bin / "python"), "-P", str(TALK), *words],
            capture_output=True,
            timeout=120,
            check=False,
        )
        if done.returncode:
            raise RuntimeError(f"nats_talk {words[0]}: {done.stderr.decode()[-500:]}")
        return json.loads(done.stdout) if done.stdout.strip() else None

    def load_command(self, plan: Path) -> list[str]:
        """The process that is the clients."""
        return [str(self._bin / "python"), "-P", str(TALK), "load", self._edge_url, str(plan)]

    def arrived(self) -> list[Arrival]:
        return [(str(topic), int(number), "") for topic, number in self.talk("read", self._north_url)]
