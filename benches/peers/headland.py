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
    how = "as `headland init` writes it, filters off"
    durable = True

    def __init__(self, directory: Path) -> None:
        super().__init__(directory)
        self._ports: dict[str, int] = {}

    def start(self) -> None:
        cloud = tree.made(self.directory, "cloud", "cloud", "[decide]\nreal_time = false\n", None)
        self.north = self._run("cloud", cloud)
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

    def arrived(self) -> list[Arrival]:
        north = self.north
        assert isinstance(north, Node)
        return [
            (one["name"], int(one["value"]), str(one["_lane"])) for one in north.query("bench/*", "arrival")
        ]

    def settled(self) -> bool:
        """Whether nothing waits at the edge."""
        edge = self.edge
        assert isinstance(edge, Node)
        return bool(edge.status()["pending_readings"] == 0)
