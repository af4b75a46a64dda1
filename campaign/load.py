"""The clients: processes of their own that write down what was acknowledged to them."""

from __future__ import annotations

import asyncio
from pathlib import Path

import msgspec

from campaign.chain import Site, client_plans
from campaign.nodes import PYTHON
from headland.demo.device import DevicesPlan
from headland.demo.processes import Child, ProcessGroup
from headland.vocabulary import HeadlandError

SETTLE_S = 25.0
FIRST_S = 15.0


class Load:
    """One process of clients at a time; each start is a new phase with new clients.

    Attributes:
        unanswered: Whether clients of any phase ended with publishes that nobody acknowledged.
    """

    def __init__(self, site: Site, processes: ProcessGroup, seed: int) -> None:
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
        plan = DevicesPlan(client_plans(self._site, self._phase), self._seed + self._phase, "", SETTLE_S)
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
