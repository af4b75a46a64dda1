"""A small tree of nodes for the benches: a local node, its parent, and a wire that can be cut."""

from __future__ import annotations

import asyncio
import contextlib
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

from benches.servers import Node, free_port
from headland.demo.proxies import LinkProxy


class Wire:
    """A counted, cuttable wire on an event loop in a thread of its own."""

    def __init__(self, target: int) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        self.proxy = LinkProxy(target)
        asyncio.run_coroutine_threadsafe(self.proxy.start(), self._loop).result(10)

    def cut(self) -> None:
        """Drop the connection and refuse others."""
        self._loop.call_soon_threadsafe(self.proxy.cut)

    def restore(self) -> None:
        """Carry again."""
        self._loop.call_soon_threadsafe(self.proxy.restore)

    def close(self) -> None:
        """End the thread."""
        asyncio.run_coroutine_threadsafe(self.proxy.close(), self._loop).result(10)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()


def made(directory: Path, name: str, tier: str, more: str, parent: tuple[int, str] | None) -> dict[str, int]:
    """`headland init` with free ports and our additions; the ports."""
    ports = {"mqtt": free_port(), "http": free_port(), "link": free_port()}
    arguments = [sys.executable, "-m", "headland", "init", str(directory / name), "--tier", tier]
    arguments += ["--name", name, "--site", "bench", "--ca", str(directory / "authority")]
    for kind, port in ports.items():
        arguments += [f"--{kind}-port", str(port)]
    if parent is not None:
        arguments += ["--parent", f"127.0.0.1:{parent[0]}", "--parent-name", f"bench/{parent[1]}"]
    subprocess.run(arguments, check=True, stdout=subprocess.DEVNULL)
    with (directory / name / "node.toml").open("a") as file:
        file.write(f"\n{more}")
    return ports


@contextlib.contextmanager
def running(directory: Path, name: str, ports: dict[str, int]) -> Iterator[Node]:
    """A made node, running."""
    home = directory / name
    with (home / "node.log").open("ab") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "headland", "run", str(home / "node.toml")], stderr=log
        )
    node = Node(process, ports["mqtt"], ports["http"], home / "node.log")
    try:
        node.await_open()
        yield node
    finally:
        node.stop()


@contextlib.contextmanager
def pair(directory: Path, more: str) -> Iterator[tuple[Node, Node, Wire]]:
    """(child, parent, wire between them); the child is a local node, the parent a cloud.

    Only the child may be real-time: of two nodes that share a machine the one under test is.
    """
    directory.mkdir(parents=True)
    parent_ports = made(directory, "cloud", "cloud", "[decide]\nreal_time = false\n", None)
    wire = Wire(parent_ports["link"])
    try:
        child_ports = made(directory, "local", "local", more, (wire.proxy.port, "cloud"))
        with (
            running(directory, "cloud", parent_ports) as parent,
            running(directory, "local", child_ports) as child,
        ):
            yield child, parent, wire
    finally:
        wire.close()
