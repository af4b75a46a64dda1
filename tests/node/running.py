"""A real node as a process, for tests: made by `headland init`, asked over HTTP, stopped or killed."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any, Self

READY_S = 30.0
KEEP_ALL = """
[[series]]
name = "all"
match = "**"
priority = "critical"
filter = { kind = "keep" }

[decide]
real_time = false
"""


def eventually(holds: Callable[[], object], seconds: float = 30.0) -> None:
    """Wait for a condition, with a deadline."""
    until = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < until, "it did not happen in time"
        time.sleep(0.01)


def headland(*arguments: str, environment: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    """Run a command to its end."""
    return subprocess.run(
        [sys.executable, "-m", "headland", *arguments],
        capture_output=True,
        text=True,
        timeout=60,
        env={**os.environ, **(environment or {})},
    )


class RunningNode:
    """One node's directory, and its process while there is one.

    Attributes:
        directory: Where `node.toml` is.
        ports: Port of each listener ("mqtt:NAME", "ws:NAME", "link", "http") since the last start.
    """

    def __init__(
        self,
        directory: Path,
        more: str = KEEP_ALL,
        tier: str = "cloud",
        environment: dict[str, str] | None = None,
        arguments: tuple[str, ...] = (),
    ) -> None:
        self.directory = directory
        self.ports: dict[str, int] = {}
        self._environment = environment or {}
        self._process: subprocess.Popen[bytes] | None = None
        self._log = directory.parent / f"{directory.name}.log"
        self._log_from = 0
        ports = ("--mqtt-port", "0", "--http-port", "0", "--link-port", "0")
        made = headland("init", str(directory), "--tier", tier, *ports, *arguments)
        assert made.returncode == 0, made.stderr
        with self.file.open("a") as file:
            file.write(more)

    @property
    def file(self) -> Path:
        return self.directory / "node.toml"

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self.kill()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()

    def launch(self) -> None:
        """Start it, and wait for nothing."""
        self.ports = {}
        self._log_from = self._log.stat().st_size if self._log.exists() else 0
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "headland", "run", str(self.file)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env={**os.environ, **self._environment},
            )

    def start(self) -> None:
        """Start it, and return when it is ready."""
        self.launch()
        assert self._process is not None
        until = time.monotonic() + READY_S
        while True:
            assert self._process.poll() is None, f"ended with {self._process.returncode}:\n{self.said}"
            assert time.monotonic() < until, f"not ready in {READY_S:g} s:\n{self.said}"
            self.ports = {line["listener"]: line["port"] for line in self.events("listening")}
            with contextlib.suppress(OSError):
                if "http" in self.ports and self.text("/readyz") == "ready\n":
                    return
            time.sleep(0.02)

    @property
    def said(self) -> str:
        """Its log since the last start."""
        return self._log.read_bytes()[self._log_from :].decode(errors="replace")

    def events(self, name: str) -> list[dict[str, Any]]:
        """Lines of its log of one kind, since the last start."""
        found = []
        for line in self.said.splitlines():
            with contextlib.suppress(ValueError):
                parsed = json.loads(line)
                if parsed["event"] == name:
                    found.append(parsed)
        return found

    def kill(self) -> None:
        """SIGKILL; nothing if it does not run."""
        if self._process is not None:
            self._process.kill()
            self._process.wait(20)
            self._process = None

    def reload(self) -> None:
        """SIGHUP; return when its log says what became of a reading of the files that began later."""
        assert self._process is not None
        before = len(self.events("reload"))
        self._process.send_signal(signal.SIGHUP)
        eventually(lambda: len(self.events("reload")) > before)

    def stop(self, within_s: float = 20.0) -> int:
        """SIGTERM; its exit code."""
        assert self._process is not None
        self._process.send_signal(signal.SIGTERM)
        code = self._process.wait(within_s)
        self._process = None
        return code

    def text(self, path: str) -> str:
        """What it answers to a GET.

        Raises:
            OSError: nothing, or an error.
        """
        with urllib.request.urlopen(f"http://127.0.0.1:{self.ports['http']}{path}", timeout=10) as answer:
            return str(answer.read().decode())

    def ask(self, path: str) -> Any:
        """The same as JSON."""
        return json.loads(self.text(path))

    def values(self, series: str) -> list[Any]:
        """What `/v1/query` knows of a series, in order of arrival."""
        return [row["value"] for row in self.ask(f"/v1/query?order=arrival&series={series}")["rows"]]

    def books(self, account: str) -> int:
        """Readings of an account; the books must balance."""
        status = self.ask("/v1/status")
        assert status["balanced"]
        return int(status["accounts"].get(account, {"readings": 0})["readings"])
