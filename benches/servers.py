"""Servers under measurement: mosquitto with persistence, and a headland node; each in its own directory."""

from __future__ import annotations

import compileall
import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import headland as product

START_S = 20.0
STOP_S = 20.0


class Unavailable(RuntimeError):
    """What a measurement needs is not on this machine; says what to do."""


def as_installed() -> None:
    """Have our modules as byte code, as an installer leaves them: a checkout need not have them, and may not
    write them (PYTHONDONTWRITEBYTECODE); each start of a node would then compile them all anew."""
    compileall.compile_dir(Path(product.__file__).parent, quiet=2)


def free_port() -> int:
    """A loopback port that nobody listens on now."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        port: int = one.getsockname()[1]
        return port


class Server:
    """A process that listens on `port`."""

    def __init__(self, process: subprocess.Popen[bytes], port: int, log: Path | None = None) -> None:
        self.process = process
        self.port = port
        self.log = log

    def await_open(self) -> None:
        """Return when it accepts connections."""
        until = time.monotonic() + START_S
        while time.monotonic() < until:
            if self.process.poll() is not None:
                raise RuntimeError(
                    f"{self.process.args!r} ended with {self.process.returncode}: {self.said()}"
                )
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port), 1):
                return
            time.sleep(0.005)
        raise RuntimeError(f"{self.process.args!r} does not listen on {self.port} after {START_S:g} s")

    def said(self) -> str:
        """The end of its log."""
        if self.log is None or not self.log.exists():
            return "(no log)"
        return self.log.read_text(errors="replace")[-1500:]

    def cpu_s(self) -> float:
        """Processor time used so far by all threads that still run, nanosecond resolution."""
        tasks = Path(f"/proc/{self.process.pid}/task").iterdir()
        return sum(int((task / "schedstat").read_text().split()[0]) for task in tasks) / 1e9

    def write_bytes(self) -> int:
        """Bytes it caused to be written to storage (`write_bytes` of /proc/PID/io)."""
        for line in Path(f"/proc/{self.process.pid}/io").read_text().splitlines():
            if line.startswith("write_bytes:"):
                return int(line.split()[1])
        raise Unavailable("/proc/PID/io has no write_bytes here")

    def pss_mb(self) -> float:
        """Proportional set size, 10^6 bytes."""
        for line in Path(f"/proc/{self.process.pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1]) * 1024 / 1e6
        raise Unavailable("/proc/PID/smaps_rollup has no Pss here")

    def stop(self) -> None:
        """SIGTERM, and SIGKILL if that takes too long."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(STOP_S)
            except subprocess.TimeoutExpired:
                self.process.kill()
        self.process.wait()


@contextlib.contextmanager
def mosquitto(directory: Path) -> Iterator[Server]:
    """Mosquitto 2 with persistence, everything else as it comes.

    Raises:
        Unavailable: It is not installed.
    """
    binary = shutil.which("mosquitto") or shutil.which("/usr/sbin/mosquitto")
    if binary is None:
        raise Unavailable("mosquitto is not installed (on Debian: apt install mosquitto)")
    directory.mkdir(parents=True)
    # Left to itself it gives up root for a user who cannot write where it is to save.
    user = "user root\n" if os.getuid() == 0 else ""
    port = free_port()
    config = directory / "mosquitto.conf"
    config.write_text(
        f"listener {port} 127.0.0.1\nallow_anonymous true\npersistence true\n"
        f"persistence_location {directory}/\nlog_type error\n{user}"
    )
    server = Server(subprocess.Popen([binary, "-c", str(config)], stderr=subprocess.DEVNULL), port)
    try:
        server.await_open()
        yield server
    finally:
        server.stop()


class Node(Server):
    """A running headland node."""

    def __init__(self, process: subprocess.Popen[bytes], port: int, http_port: int, log: Path) -> None:
        super().__init__(process, port, log)
        self.http_port = http_port

    def status(self) -> Any:
        """Its JSON status."""
        return self._ask("/v1/status")

    def share(self, account: str) -> float:
        """Readings of an account as a share of those offered."""
        accounts = self.status()["accounts"]
        offered: int = accounts["offered"]["readings"]
        readings: int = accounts.get(account, {"readings": 0})["readings"]
        return readings / offered

    def query(self, series: str, order: str = "time") -> list[dict[str, Any]]:
        """Rows of a series at this node."""
        path = f"/v1/query?series={quote(series, safe='')}&order={order}"
        found: list[dict[str, Any]] = self._ask(path)["rows"]
        return found

    def _ask(self, path: str) -> Any:
        with urllib.request.urlopen(f"http://127.0.0.1:{self.http_port}{path}", timeout=60) as answer:
            return json.loads(answer.read())


@contextlib.contextmanager
def headland(directory: Path, more: str = "", *, tier: str = "local", keep: bool = False) -> Iterator[Node]:
    """A node of one tier without a parent unless `more` gives it one.

    Args:
        directory: Its own; an existing one is started again as it is.
        more: TOML appended to the configuration.
        tier: Row of defaults.
        keep: Leave configuration and ports of an existing directory alone.
    """
    config = directory / "node.toml"
    ports = directory / "ports.json"
    if not (keep and config.exists()):
        directory.mkdir(parents=True, exist_ok=True)
        port, http_port = free_port(), free_port()
        ports.write_text(json.dumps([port, http_port]))
        config.write_text(
            f'[node]\nname = "bench"\nsite = "bench"\ntier = "{tier}"\ndata_dir = "data"\n\n'
            f"[[listen]]\nport = {port}\nanonymous = true\n\n[http]\nport = {http_port}\n\n"
            f'[log]\nlevel = "warning"\n\n{more}'
        )
    port, http_port = json.loads(ports.read_text())
    with (directory / "node.log").open("ab") as log:
        process = subprocess.Popen([sys.executable, "-m", "headland", "run", str(config)], stderr=log)
    node = Node(process, port, http_port, directory / "node.log")
    try:
        node.await_open()
        yield node
    finally:
        node.stop()


KEEP_ALL = '[default]\nname = "default"\nfilter = { kind = "keep" }\n'
"""Every reading goes north."""
