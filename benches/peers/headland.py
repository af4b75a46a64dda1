"""A local node and the cloud node north of it, every reading kept."""

from __future__ import annotations

import sys
from pathlib import Path

from benches import tree
from benches.peers.system import Arrival, System
from benches.servers import KEEP_ALL, Node
from benches.tree import Wire


class Headland(System):
    """Ours. Settings as `headland init` writes them, filters off."""

    name = "headland"
    how = "as `headland init` writes it, filters off, link under TLS 1.3"
    durable = True

    def __init__(self, directory: Path) -> None:
        super().__init__(directory)
        self._ports: dict[str, int] = {}
        self._prefix = "bench"

    def start(self) -> None:
        cloud = tree.made(self.directory, "cloud", "cloud", "[decide]\nreal_time = false\n", None)
        self.north = self._cloud = self._run("cloud", cloud)
        self.wire = Wire(cloud["link"])
        self._ports = tree.made(self.directory, "local", "local", KEEP_ALL, (self.wire.proxy.port, "cloud"))
        self.run_edge()

    def run_edge(self) -> None:
        self.edge = self._run("local", self._ports)

    def _run(self, name: str, ports: dict[str, int]) -> Node:
        home = self.directory / name
        server = self.spawn(
            [sys.executable, "-m", "headland", "run", str(home / "node.toml")], f"{name}.log", ports["mqtt"]
        )
        return Node(server.process, ports["mqtt"], ports["http"], self.directory / f"{name}.log")

    def watch(self, prefix: str) -> None:
        self._prefix = prefix

    def arrived(self) -> list[Arrival]:
        return [
            Arrival(
                one["name"],
                int(one["value"]),
                str(one["_lane"]),
                one["ts"] / 1e6,
                one["_arrived_ns"] / 1e6,
            )
            for one in self._cloud.query(f"{self._prefix}/*", "arrival")
        ]

    def kept(self) -> int:
        accounts = self._cloud.status()["accounts"]
        applied: int = accounts.get("applied", {"readings": 0})["readings"]
        return applied
