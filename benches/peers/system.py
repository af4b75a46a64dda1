"""What a system under comparison is to the trials: an edge server, a server north of it, a wire between."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from abc import ABC, abstractmethod
from pathlib import Path
from typing import Any, NamedTuple

from benches import generator
from benches.servers import Server, Unavailable
from benches.tree import Wire

BULK = 100_000
"""Readings of the trial of costs, for a system that keeps up with them."""


class Arrival(NamedTuple):
    """A reading that came north.

    Attributes:
        topic: As its client published it.
        number: That its client gave it.
        lane: It came on, "" where there is one only.
        made_ms: Its device time, UTC milliseconds since 1970.
        arrived_ms: When it was north, the same.
    """

    topic: str
    number: int
    lane: str = ""
    made_ms: float = 0.0
    arrived_ms: float = 0.0


class System(ABC):
    """One peer, in one configuration.

    Attributes:
        name: In the tables.
        how: Its configuration, in a few words.
        durable: Whether its makers say that an acknowledgement is on disk.
        bulk: Readings that it can carry in the trial of costs.
        stamp: Key of the device time in the payloads of its clients.
        hello_bytes: Once more has gone north since the uplink is back, readings go.
        edge: The process that is measured and killed.
    """

    name: str
    how: str
    durable: bool
    bulk = BULK
    stamp = "t"
    hello_bytes = 1_000

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        directory.mkdir(parents=True)
        self.wire: Wire
        self.edge: Server
        self.north: Server
        self._servers: list[Server] = []

    @abstractmethod
    def start(self) -> None:
        """Both servers run, the wire between them carries, and a reading would arrive."""

    @abstractmethod
    def run_edge(self) -> None:
        """Start the edge server on the data it has."""

    @property
    def port(self) -> int:
        """Where clients call."""
        return self.edge.port

    def clients(self, plan: Path) -> list[str]:
        """The process that is the clients of the trial of losses."""
        devices = Path(__file__).with_name("devices.py")
        return [sys.executable, "-P", str(devices), str(self.port), str(plan)]

    def loading(self, **options: object) -> subprocess.Popen[bytes]:
        """A load generator, begun; `generator.finished` reads what it found."""
        return generator.started("load", self.port, stamp=self.stamp, **options)

    @abstractmethod
    def watch(self, prefix: str) -> None:
        """From now on write down what comes north whose topic begins so."""

    @abstractmethod
    def arrived(self) -> list[Arrival]:
        """What is north of what is watched, in the order in which it came."""

    @abstractmethod
    def kept(self) -> int:
        """How many readings are north, watched or not."""

    def kill_edge(self) -> None:
        """SIGKILL, and start again at once."""
        self.edge.process.send_signal(signal.SIGKILL)
        self.edge.process.wait(10)
        self.run_edge()

    def stop(self) -> None:
        """End everything that `start` began, as far as it came."""
        for server in reversed(self._servers):
            server.process.kill()
            server.process.wait()
        wire = getattr(self, "wire", None)
        if wire is not None:
            wire.close()

    def spawn(self, command: list[str], log: str, port: int, *, listens: bool = True, **more: str) -> Server:
        """Run a server and wait until it listens.

        It stays in this process group: whoever ends a trial that hangs ends its servers with it.
        """
        path = self.directory / log
        with path.open("ab") as file:
            process = subprocess.Popen(
                command, stdout=file, stderr=file, cwd=self.directory, env={**os.environ, **more}
            )
        server = Server(process, port, path)
        self._servers.append(server)
        if listens:
            server.await_open()
        return server


def numbers(payload: bytes) -> tuple[int, float] | None:
    """(number, device time in ms) of a payload of our clients; None for whatever else comes by."""
    try:
        document: Any = json.loads(payload)
        return int(document.get("s", document["v"])), milliseconds(document.get("t", document.get("ts")))
    except (ValueError, TypeError, KeyError, AttributeError):
        return None


def milliseconds(stamp: float | str) -> float:
    """A device time in ms; the generator's are in ns."""
    value = float(stamp)
    return value / 1e6 if value > 1e15 else value


def found(program: str, hint: str) -> str:
    """Where a program is.

    Raises:
        Unavailable: It is not installed.
    """
    for place in (program, f"/usr/sbin/{program}", str(Path(sys.executable).parent / program)):
        binary = shutil.which(place)
        if binary:
            return binary
    raise Unavailable(f"{program} is not installed ({hint})")
