"""The demo's nodes as running processes: started, killed, asked."""

from __future__ import annotations

import asyncio
import re
import time
from typing import Any

import msgspec

from headland.demo.local_http import NoAnswer, get
from headland.demo.processes import Child, ProcessGroup
from headland.demo.site import NodePlan, Site
from headland.demo.view import NodeView
from headland.vocabulary import HeadlandError

READY_S = 30.0
STATUS_PATH = "/v1/status"
READY_PATH = "/readyz"
METRICS_PATH = "/metrics"


class NodeCommand(msgspec.Struct, frozen=True):
    """How a node is started: `python -m ARGUMENTS node.toml`, with these environment variables.

    The demo is tried against nodes that lie, too.
    """

    arguments: tuple[str, ...] = ("headland", "run")
    environment: dict[str, str] = {}


class Amount(msgspec.Struct, frozen=True):
    """Readings and payload bytes of one account."""

    readings: int = 0
    bytes: int = 0


class DecideStage(msgspec.Struct, frozen=True):
    """Durations of decisions, milliseconds, and how many took longer than the tier's budget."""

    p50_ms: float = 0.0
    p99_ms: float = 0.0
    p99_9_ms: float = 0.0
    max_ms: float = 0.0
    misses: int = 0


_QUANTILE = re.compile(r'headland_stage_quantile_seconds\{stage="decide",quantile="([\d.]+)"\} (\S+)')
_MISSES = re.compile(r'headland_stage_misses_total\{stage="decide",cause="\w+"\} (\d+)')


def decide_stage(metrics: str) -> DecideStage:
    """The deciding stage in a node's metrics (Prometheus text format)."""
    found = {quantile: float(value) for quantile, value in _QUANTILE.findall(metrics)}
    p50, p99, p99_9, most = (
        round(found.get(quantile, 0.0) * 1000, 3) for quantile in ("0.5", "0.99", "0.999", "1")
    )
    return DecideStage(p50, p99, p99_9, most, sum(map(int, _MISSES.findall(metrics))))


class Status(msgspec.Struct, frozen=True):
    """The part of a node's JSON status that the demo looks at."""

    name: str
    balanced: bool
    link: str = ""
    pending_readings: int = 0
    unsealed_rows: int = 0
    accounts: dict[str, Amount] = {}

    def readings(self, account: str) -> int:
        """Readings of an account, 0 when it was never used."""
        return self.accounts.get(account, Amount()).readings

    def payload_bytes(self, account: str) -> int:
        """Payload bytes of an account."""
        return self.accounts.get(account, Amount()).bytes


class DemoNode:
    """One node of the site.

    Attributes:
        plan: Who it is.
        state: starting, running, killed or ended.
        status: The newest answer, possibly of before a restart.
        starts: How often it was started.
    """

    def __init__(self, plan: NodePlan, site: Site, processes: ProcessGroup, command: NodeCommand) -> None:
        self._command = command
        self.plan = plan
        self.state = "starting"
        self.status: Status | None = None
        self.starts = 0
        self._site = site
        self._processes = processes
        self._child: Child | None = None

    async def start(self) -> None:
        """Start it and wait until it is ready.

        Raises:
            HeadlandError: It ended or was not ready in time; the message holds its last words.
        """
        directory = self._site.directory(self.plan.name)
        arguments = [*self._command.arguments, str(directory / "node.toml")]
        self.state = "starting"
        self._child = await self._processes.start(
            self.plan.name, arguments, directory / "node.log", self._command.environment
        )
        self.starts += 1
        until = time.monotonic() + READY_S
        while time.monotonic() < until and self._child.running:
            try:
                await get(self._site.http[self.plan.name], READY_PATH, 1.0)
            except NoAnswer:
                await asyncio.sleep(0.02)
            else:
                self.state = "running"
                return
        self.state = "ended"
        raise HeadlandError(f"{self.plan.name} is not ready; its last words:\n{self._child.last_words()}")

    async def kill(self) -> None:
        """SIGKILL."""
        assert self._child is not None
        self.state = "killed"
        await self._child.kill()

    async def ask(self, path: str, within_s: float = 5.0) -> Any:
        """The JSON answer to a question.

        Raises:
            NoAnswer: There is none.
        """
        return msgspec.json.decode(await get(self._site.http[self.plan.name], path, within_s))

    async def look(self) -> Status | None:
        """Its status now, or None when it does not answer. An unexpected end is noticed here."""
        if self.state == "running" and self._child is not None and not self._child.running:
            self.state = "ended"
        if self.state != "running":
            return None
        try:
            body = await get(self._site.http[self.plan.name], STATUS_PATH, 3.0)
        except NoAnswer:
            return None
        self.status = msgspec.json.decode(body, type=Status)
        return self.status

    async def decisions(self) -> DecideStage:
        """Its deciding stage since its last start; nothing if it does not answer."""
        try:
            return decide_stage((await get(self._site.http[self.plan.name], METRICS_PATH)).decode())
        except NoAnswer:
            return DecideStage()

    @property
    def view(self) -> NodeView:
        """For the picture."""
        view = NodeView(self.plan.name, self.plan.tier, self.plan.parent, self.state)
        if self.status is not None:
            view.link = self.status.link if self.plan.parent else ""
            view.offered = self.status.readings("offered")
            view.kept = self.status.readings("kept") + self.status.readings("derived")
            view.dropped = self.status.readings("dropped") + self.status.readings("folded")
            view.waiting = self.status.pending_readings
            view.balanced = self.status.balanced if self.state == "running" else None
        return view

    @property
    def last_words(self) -> str:
        """The end of its log."""
        return self._child.last_words() if self._child is not None else ""
