"""The clients: processes of their own that write down what was acknowledged to them."""

from __future__ import annotations

import asyncio
import base64
import os
import time
from pathlib import Path

import msgspec

from campaign.chain import SITE, Site, client_plans
from campaign.nodes import PYTHON
from headland.demo.acklog import AckedLine, AckLog, LoggedReading, PublishedLine, ResentLine
from headland.demo.device import DevicesPlan
from headland.demo.processes import Child, ProcessGroup
from headland.vocabulary import HeadlandError

SETTLE_S = 25.0
FIRST_S = 15.0
POST_S = 5.0


class Load:
    """One process of clients at a time; each start is a new phase with new clients.

    Attributes:
        nodes: Whose clients are started.
        unanswered: Whether clients of any phase ended with publishes that nobody acknowledged.
    """

    def __init__(self, site: Site, processes: ProcessGroup, seed: int) -> None:
        self.nodes: tuple[str, ...] = ("device", "local")
        self.unanswered = False
        self._site = site
        self._processes = processes
        self._seed = seed
        self._phase = 0
        self._child: Child | None = None

    async def start(self) -> None:
        """Start clients, and return when something was acknowledged.

        Raises:
            HeadlandError: Nothing was.
        """
        self._phase += 1
        plan = DevicesPlan(
            client_plans(self._site, self._phase, self.nodes), self._seed + self._phase, "", SETTLE_S
        )
        file = self._site.root / f"clients-{self._phase}.json"
        file.write_bytes(msgspec.json.encode(plan))
        log = self._site.root / f"clients-{self._phase}.log"
        self._child = await self._processes.start("clients", ["headland.demo.device", str(file)], log, PYTHON)
        paths = [Path(client.log) for client in plan.clients]
        for _ in range(int(FIRST_S / 0.05)):
            if any(path.exists() and b'"acked"' in path.read_bytes() for path in paths):
                return
            await asyncio.sleep(0.05)
        raise HeadlandError(f"nothing was acknowledged in {FIRST_S:g} s:\n{self._child.last_words()}")

    async def stop(self) -> bool:
        """Let the clients stop measuring and wait for their answers; whether all came."""
        child, self._child = self._child, None
        if child is None:
            return True
        code = await child.stop(SETTLE_S + 10)
        if code not in (0, 1):
            raise HeadlandError(f"the clients ended with {code}:\n{child.last_words()}")
        self.unanswered |= code == 1
        return code == 0

    @property
    def running(self) -> bool:
        """Whether clients are measuring."""
        return self._child is not None and self._child.running


class Blobs:
    """Large readings by HTTP, written down like those of any client."""

    def __init__(
        self, site: Site, name: str, node: str = "device", *, port: int = 0, logged: bool = True
    ) -> None:
        self.busy = 0
        """Requests that were answered 503."""
        self._client = f"bulk-{name}"
        self._origin = f"{SITE}/{node}"
        self._port = port or site.ports.http[node]
        self._log = AckLog((site.logs if logged else site.root) / f"{self._client}.jsonl")
        self._next = 0

    async def push(self, count: int, size: int, *, pause_s: float = 0.0, tries: int = 40) -> int:
        """Push readings of so many characters, one a request; how many were acknowledged.

        A request without an answer is sent again, with the same key, up to `tries` times.
        """
        taken = 0
        for _ in range(count):
            value = base64.b64encode(os.urandom(size * 3 // 4)).decode()
            self._next += 1
            reading = LoggedReading(f"{self._client}/blob", value, time.time_ns(), self._next)
            body = msgspec.json.encode(
                [{"series": reading.series, "ts": reading.ts, "seq": reading.seq, "value": value}]
            )
            self._log.write(
                PublishedLine(self._client, self._next, time.time_ns(), self._origin, len(body), [reading])
            )
            for attempt in range(tries):
                status = await self._post(body)
                if status in (200, 202, 204):
                    self._log.write(AckedLine(self._next, time.time_ns()))
                    taken += 1
                    break
                self.busy += status == 503
                if attempt + 1 < tries:
                    self._log.write(ResentLine(self._next, time.time_ns()))
                    await asyncio.sleep(0.25)
            await asyncio.sleep(pause_s)
        return taken

    async def _post(self, body: bytes) -> int:
        """Status of one attempt; 0 without an answer."""
        head = (
            "POST /v1/readings?precision=ns HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
            f"Idempotency-Key: {self._client}-{self._next}\r\nContent-Length: {len(body)}\r\n"
            "Connection: close\r\n\r\n"
        )
        writer: asyncio.StreamWriter | None = None
        try:
            async with asyncio.timeout(POST_S):
                reader, writer = await asyncio.open_connection("127.0.0.1", self._port)
                writer.write(head.encode() + body)
                await writer.drain()
                return int((await reader.readline()).split()[1])
        except (OSError, TimeoutError, IndexError, ValueError):
            return 0
        finally:
            if writer is not None:
                writer.transport.abort()
