"""The load: the benches' generator in C as a process that reports as it goes."""

from __future__ import annotations

import asyncio
import contextlib

import msgspec
from benches.generator import arguments

from headland.vocabulary import HeadlandError
from soak.site import PREFIX

WINDOW = 50
"""Publishes that a connection may have in flight: more than a paced load needs."""
DRAIN_S = 15.0


class Shape(msgspec.Struct, frozen=True):
    """The load.

    Attributes:
        rate: Readings a second, over all connections.
        readings: Readings in one publish: a JSON array of objects with time, sequence and value.
        connections: Clients, each with a series of its own.
        seconds: How long.
        report_s: Between two reports.
    """

    rate: float = 50_000.0
    readings: int = 100
    connections: int = 50
    seconds: float = 3_600.0
    report_s: float = 5.0


class Report(msgspec.Struct, frozen=True):
    """What came since the report before; times in µs from the write of a publish to its acknowledgement.

    Attributes:
        at: Since the begin, s.
        sent, acked: Publishes, from the begin on.
        in_flight: Publishes without an answer.
        failed: Connections that the node closed.
    """

    at: float = 0.0
    sent: int = 0
    acked: int = 0
    in_flight: int = 0
    p50_us: float = 0.0
    p99_us: float = 0.0
    max_us: float = 0.0
    failed: int = 0


class Total(msgspec.Struct, frozen=True):
    """What it says at its end; publishes, except where it says otherwise.

    Attributes:
        payload_bytes: Of everything that was sent.
        acked_by_connection: In the order of the series.
        cpu_share, idle_share: Processor time, and time spent waiting, of wall time.
    """

    total_sent: int
    total_acked: int
    failed: int
    cpu_share: float
    idle_share: float
    acked_by_connection: list[int]
    total_payload_bytes: int


class Generator:
    """One run of it.

    Attributes:
        newest: Its newest report.
    """

    def __init__(self, port: int, shape: Shape) -> None:
        self.newest = Report()
        self._shape = shape
        self._port = port
        self._process: asyncio.subprocess.Process | None = None
        self._reading: asyncio.Task[bytes] | None = None

    async def start(self) -> None:
        """Begin.

        Raises:
            NoCompiler: It cannot be made on this machine.
        """
        shape = self._shape
        line = arguments(
            "load",
            {
                "port": self._port,
                "connections": shape.connections,
                "window": WINDOW,
                "readings": shape.readings,
                "rate": shape.rate,
                "seconds": shape.seconds,
                "warmup": 0,
                "prefix": PREFIX,
                "report": shape.report_s,
            },
        )
        self._process = await asyncio.create_subprocess_exec(
            *line, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE, limit=1 << 20
        )
        self._reading = asyncio.create_task(self._read(self._process))

    @property
    def running(self) -> bool:
        """Whether it has not ended."""
        return self._process is not None and self._process.returncode is None

    async def total(self) -> Total:
        """Wait for its end, and what it says then.

        Raises:
            HeadlandError: It does not end, or failed; the message holds what it said.
        """
        assert self._process is not None
        assert self._reading is not None
        try:
            last = await asyncio.wait_for(asyncio.shield(self._reading), DRAIN_S)
            return msgspec.json.decode(last, type=Total)
        except (TimeoutError, msgspec.DecodeError):
            await self.end()
            stderr = self._process.stderr
            said = await stderr.read() if stderr is not None else b""
            raise HeadlandError(f"the load generator failed: {said.decode(errors='replace')}") from None

    async def end(self) -> None:
        """End it, if it still runs."""
        if self._process is not None:
            if self._process.returncode is None:
                with contextlib.suppress(ProcessLookupError):
                    self._process.kill()
            await self._process.wait()
        if self._reading is not None:
            await asyncio.gather(self._reading, return_exceptions=True)

    async def _read(self, process: asyncio.subprocess.Process) -> bytes:
        """Its last line; the others are reports."""
        assert process.stdout is not None
        last = b""
        async for line in process.stdout:
            if line.startswith(b'{"at"'):
                self.newest = msgspec.json.decode(line, type=Report)
            else:
                last = line
        await process.wait()
        return last
