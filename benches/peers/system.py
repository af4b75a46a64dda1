"""What a system under comparison is to the trials: an edge server, a server north of it, a wire between."""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys
from abc import ABC, abstractmethod
from pathlib import Path

from benches.servers import Server, Unavailable
from benches.tree import Wire

Arrival = tuple[str, int, str]
"""Topic, the number that the client gave the reading, and the lane it came on ("" where there is one)."""


class System(ABC):
    """One peer, in one configuration.

    Attributes:
        name: In the tables.
        how: Its configuration, in a few words.
        durable: Whether its makers say that an acknowledgement is on disk.
        protocol: How clients speak to it in the trial of losses: "mqtt" or "nats".
    """

    name: str
    how: str
    durable: bool
    protocol = "mqtt"

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        directory.mkdir(parents=True)
        self.wire: Wire
        self.edge: Server
        self.north: Server

    @abstractmethod
    def start(self) -> None:
        """Both servers run and the wire between them carries."""

    @abstractmethod
    def run_edge(self) -> None:
        """Start the edge server on the data it has."""

    @property
    def port(self) -> int:
        """Where MQTT clients call."""
        return self.edge.port

    @property
    def client_port(self) -> int:
        """Where the clients of the trial of losses call."""
        return self.port

    @abstractmethod
    def arrived(self) -> list[Arrival]:
        """What is north, in the order in which it came."""

    def settled(self) -> bool:
        """Whether nothing waits at the edge, as far as the system can be asked."""
        return True

    def kill_edge(self) -> None:
        """SIGKILL, and start again at once."""
        self.edge.process.send_signal(signal.SIGKILL)
        self.edge.process.wait(10)
        self.run_edge()

    def stop(self) -> None:
        """End everything that `start` began, as far as it came."""
        for server in (getattr(self, "edge", None), getattr(self, "north", None)):
            if server is not None:
                server.stop()
        wire = getattr(self, "wire", None)
        if wire is not None:
            wire.close()

    def spawn(self, command: list[str], log: str, port: int) -> Server:
        """Run a server and wait until it listens."""
        path = self.directory / log
        with path.open("ab") as file:
            process = subprocess.Popen(command, stdout=file, stderr=file, start_new_session=True)
        server = Server(process, port, path)
        server.await_open()
        return server


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
