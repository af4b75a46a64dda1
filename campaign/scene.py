"""What a round plays with: nodes, wires, doors and clients of one copy of the site."""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import random
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec

from campaign.chain import CHAIN, NODES, PLANS, Site
from campaign.disks import FileDisk, SmallDisk, unmount
from campaign.load import Load
from campaign.nodes import Node, Status
from campaign.wire import Wire
from headland.demo.local_http import NoAnswer, get
from headland.demo.processes import ProcessGroup
from headland.demo.proxies import PUBACK, ClientProxy, _Pair

REVIVE_S = 0.2


class Proof(msgspec.Struct):
    """What a fault did.

    Attributes:
        fault: Its name.
        effective: Whether it hurt anything.
        text: What shows it, in words.
        figures: The same in numbers.
    """

    fault: str
    effective: bool
    text: str
    figures: dict[str, float] = {}


class Door(ClientProxy):
    """Between clients and their node: can wait for the next acknowledgement that goes through."""

    def __init__(self, target_port: int, port: int) -> None:
        super().__init__(target_port)
        self.port = port
        self._answered = asyncio.Event()

    async def answer(self, within_s: float) -> None:
        """Return at the next acknowledgement, or after so many seconds."""
        self._answered.clear()
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._answered.wait(), within_s)

    def _wires(self, pair: _Pair) -> tuple[Callable[[bytes], bytes], Callable[[bytes], bytes]]:
        north, south = super()._wires(pair)

        def answered(data: bytes) -> bytes:
            if data and data[0] >> 4 == PUBACK:
                self._answered.set()
            return south(data)

        return north, answered


class Scene:
    """One round's world.

    Attributes:
        site: Its directory.
        chance: Every choice of the round.
        nodes: By name; `spare` does not run unless a fault wants it.
        wires: By the name of the child.
        doors: By the name of the node.
        load: The clients.
        excused: (origin, series, sequence) of readings that a restored disk lost and both nodes told of.
        uneven: Why the two sides of a hop need not agree at the end; "" if they have to.
        preferred: Node that faults with a choice hurt; "" to leave it to chance.
        two_roads: Whether readings of one lane came by two roads, between which there is no order.
        findings: What a fault itself saw go wrong.
        disks: Of the harness, each with the node that has it.
        stepped: Node whose clock can be stepped, and the file that steps it.
        certified: Node whose certificate ends, and when (time of the loop, s).
    """

    def __init__(self, site: Site, processes: ProcessGroup, seed: int) -> None:
        ports = site.ports
        self.site = site
        self.chance = random.Random(seed)
        self.processes = processes
        self.nodes = {
            plan.name: Node(plan.name, site.file(plan.name), ports.http[plan.name], processes)
            for plan in NODES
        }
        self.wires = {
            plan.name: Wire(ports.wire[plan.name], ports.link[plan.parent], random.Random(seed + number))
            for number, plan in enumerate(NODES)
            if plan.parent
        }
        self.doors = {name: Door(ports.mqtt[name], port) for name, port in ports.door.items()}
        self.load = Load(site, processes, seed)
        self.excused: set[tuple[str, str, int]] = set()
        self.uneven = ""
        self.preferred = ""
        self.two_roads = False
        self.findings: list[str] = []
        self.disks: dict[str, tuple[str, SmallDisk | FileDisk]] = {}
        self.stepped = ("", Path())
        self.certified = ("", 0.0)
        self.began = time.monotonic()

    async def open(self) -> None:
        """Wires, doors, nodes, clients."""
        for proxy in self.wires.values():
            await proxy.open()
        for door in self.doors.values():
            await door.start()
        await asyncio.gather(*(self.nodes[name].start() for name in CHAIN))
        await self.load.start()
        self.began = time.monotonic()

    async def close(self) -> None:
        """End everything that this made."""
        await self.load.stop() if self.load.running else None
        for node in self.nodes.values():
            await node.kill()
        for _, disk in self.disks.values():
            await unmount(disk.place)
        for door in self.doors.values():
            await door.close()
        for wire in self.wires.values():
            await wire.close()

    @asynccontextmanager
    async def supervised(self) -> AsyncIterator[None]:
        """Meanwhile nodes that end by themselves are started again, as a service manager does."""

        async def supervise() -> None:
            while True:
                for node in self.nodes.values():
                    if not node.hands.locked():
                        await node.revive()
                await asyncio.sleep(REVIVE_S)

        task = asyncio.create_task(supervise())
        try:
            yield
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    def pick(self, *names: str) -> str:
        """Who is hurt: by chance, or the one that was asked for where it is among them."""
        return self.preferred if self.preferred in names else self.chance.choice(names)

    def parent_of(self, name: str) -> Node:
        """The node above another."""
        return self.nodes[PLANS[name].parent]

    async def pending(self, name: str) -> int:
        """Readings that wait for a node's parent; 0 if it does not answer."""
        status = await self.nodes[name].look()
        return status.pending_readings if status is not None else 0

    async def drained(self, within_s: float, names: tuple[str, ...] = ("device", "local")) -> bool:
        """Wait until nothing waits at these nodes; whether that came true."""
        quiet = 0

        async def still() -> bool:
            nonlocal quiet
            statuses = [await self.nodes[name].look() for name in names]
            empty = all(
                one is not None and not (one.pending_readings or one.unsealed_rows or one.readings("held"))
                for one in statuses
            )
            quiet = quiet + 1 if empty else 0
            return quiet >= 3

        return await eventually(still, within_s)

    async def note(self) -> None:
        """Write down what every node says of itself, beside its directory, for whoever looks at it later."""
        for name, node in self.nodes.items():
            for what in ("status", "queue", "children", "gaps"):
                with contextlib.suppress(NoAnswer):
                    said = await get(node.http, f"/v1/{what}", 3.0)
                    (self.site.root / f"{name}-{what}.json").write_bytes(said)

    async def released(self, name: str) -> int:
        """As an operator: let streams go on that stopped because the node went back; how many."""
        queue = await self.nodes[name].ask("/v1/queue")
        stopped = [one for one in queue["streams"] if one["stopped"]]
        for one in stopped:
            stream = f"{one['epoch'][:8]}/{one['row_class']}/{one['lane']}"
            path = f"/v1/queue/release?stream={stream}&as=waiting"
            if await asyncio.to_thread(_post, self.nodes[name].http, path) != 200:
                self.findings.append(f"{name} does not release {stream}")
        return len(stopped)

    async def statuses(self) -> dict[str, Status]:
        """Of every node that answers."""
        found = {}
        for name, node in self.nodes.items():
            status = await node.look(5.0)
            if status is not None:
                found[name] = status
        return found


def _post(port: int, path: str) -> int:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        connection.request("POST", path)
        return connection.getresponse().status
    finally:
        connection.close()


async def eventually(holds: Callable[[], Awaitable[bool]], within_s: float, every_s: float = 0.05) -> bool:
    """Wait for a condition; whether it came true in time."""
    until = time.monotonic() + within_s
    while True:
        if await holds():
            return True
        if time.monotonic() >= until:
            return False
        await asyncio.sleep(every_s)
