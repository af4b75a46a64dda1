"""A node of the chain as a running process, which is ended, frozen, asked, and started again when it ends."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import time
from pathlib import Path
from typing import Any

import msgspec

from headland.demo.local_http import NoAnswer, get
from headland.demo.nodes import Amount
from headland.demo.processes import Child, ProcessGroup
from headland.vocabulary import HeadlandError

READY_S = 30.0
ROOT = Path(__file__).resolve().parent.parent
PYTHON = {"PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'src'}"}
"""Children find this package, and the product beside it."""


class Status(msgspec.Struct, frozen=True):
    """The part of a node's JSON status that the campaign looks at."""

    name: str
    balanced: bool
    durable_n: int = 0
    disk_full: bool = False
    refusing: str = ""
    link: str = ""
    link_trouble: str = ""
    pending_readings: int = 0
    unsealed_rows: int = 0
    certificate_s_left: float | None = None
    accounts: dict[str, Amount] = {}
    alarms: list[tuple[int, str, str]] = []

    def readings(self, account: str) -> int:
        """Readings of an account, 0 when it was never used."""
        return self.accounts.get(account, Amount()).readings


class Node:
    """One node.

    Attributes:
        name: Of the node.
        file: Its configuration.
        http: Its HTTP port.
        environment: Of its process.
        patched: What `campaign.patched` changes in it; none for the product as it is.
        wanted: Whether it should run: it is started again when it ends by itself.
        excused: Why it may end by itself now; "" when it may not.
        ended: What it said when it ended without an excuse.
        starts: How often it was started.
    """

    def __init__(self, name: str, file: Path, http: int, processes: ProcessGroup) -> None:
        self.name = name
        self.file = file
        self.http = http
        self.environment: dict[str, str] = dict(PYTHON)
        self.patched: list[str] = []
        self.wanted = False
        self.excused = ""
        self.ended: list[str] = []
        self.starts = 0
        self.hands = asyncio.Lock()
        """Held by a fault while it changes the process, so that two do not at once."""
        self._processes = processes
        self._child: Child | None = None

    @property
    def log(self) -> Path:
        """What it says."""
        return self.file.parent / "node.log"

    @property
    def running(self) -> bool:
        """Whether there is a process."""
        return self._child is not None and self._child.running

    @property
    def pid(self) -> int:
        """Of its process.

        Raises:
            HeadlandError: There is none.
        """
        if self._child is None or not self._child.running:
            raise HeadlandError(f"{self.name} does not run")
        return self._child.process.pid

    @property
    def code(self) -> int | None:
        """What its last process ended with."""
        return self._child.process.returncode if self._child is not None else None

    async def launch(self) -> None:
        """Start its process, and wait for nothing."""
        if self.patched:
            self.environment["HEADLAND_PURE"] = "1"  # what is compiled cannot be changed
        module = ["campaign.patched", *self.patched] if self.patched else ["headland"]
        self._child = await self._processes.start(
            self.name, [*module, "run", str(self.file)], self.log, self.environment
        )
        self.starts += 1
        self.wanted = True

    async def start(self, within_s: float = READY_S) -> None:
        """Start it and wait until it is ready.

        Raises:
            HeadlandError: It ended or was not ready in time; the message holds its last words.
        """
        await self.launch()
        await self.ready(within_s)

    async def ready(self, within_s: float = READY_S) -> None:
        """Wait until it is ready.

        Raises:
            HeadlandError: It ended or was not ready in time; the message holds its last words.
        """
        until = time.monotonic() + within_s
        while time.monotonic() < until and (self.running or self.excused):
            with contextlib.suppress(NoAnswer):
                await get(self.http, "/readyz", 1.0)
                return
            await asyncio.sleep(0.02)
        raise HeadlandError(f"{self.name} is not ready; its last words:\n{self.last_words}")

    async def kill(self) -> None:
        """SIGKILL, and wait for its end."""
        self.wanted = False
        if self._child is not None:
            await self._child.kill()

    async def stop(self) -> int:
        """SIGTERM, and wait for its end; the exit code."""
        self.wanted = False
        return await self._child.stop() if self._child is not None else 0

    def signal(self, number: signal.Signals) -> None:
        """Send a signal, if it runs."""
        if self.running:
            os.kill(self.pid, number)

    async def revive(self) -> None:
        """Start it again if it has ended by itself."""
        if not self.wanted or self.running or self._child is None:
            return
        if not self.excused:
            code = self._child.process.returncode
            self.ended.append(f"{self.name} ended by itself with {code}:\n{self.last_words}")
        await self.launch()

    async def ask(self, path: str, within_s: float = 5.0) -> Any:
        """The JSON answer to a question.

        Raises:
            NoAnswer: There is none.
        """
        return msgspec.json.decode(await get(self.http, path, within_s))

    async def look(self, within_s: float = 2.0) -> Status | None:
        """Its status now, or None when it does not answer."""
        if not self.running:
            return None
        try:
            return msgspec.json.decode(await get(self.http, "/v1/status", within_s), type=Status)
        except NoAnswer:
            return None

    def said(self, event: str) -> list[dict[str, Any]]:
        """Lines of its log of one kind, of all its starts."""
        found = []
        if not self.log.exists():
            return []
        for line in self.log.read_text(encoding="utf-8", errors="replace").splitlines():
            with contextlib.suppress(ValueError):
                parsed = json.loads(line)
                if isinstance(parsed, dict) and parsed.get("event") == event:
                    found.append(parsed)
        return found

    @property
    def last_words(self) -> str:
        """The end of its log."""
        return self._child.last_words() if self._child is not None else ""
