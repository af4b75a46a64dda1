"""The wire between a child and its parent, as a proxy that can do to TCP what networks do.

It carries bytes that it does not understand (TLS), counts them, and on request refuses calls, swallows what
is sent, resets connections in the middle of a frame, keeps to recorded rates, stalls as TCP does after a
loss, or swaps chunks, which TLS has to notice. Packets cannot be lost in here: what the two ends see of a
lost or overtaken packet is the wait for it, and that is what is done.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import socket
import struct
import time
from collections.abc import Callable

import msgspec

CHUNK = 16 * 1024
LOSS_RTO_S = 0.2
"""Smallest wait for a packet that is sent again (RFC 6298 says a second, Linux 200 ms)."""


class Counts(msgspec.Struct):
    """What the wire did.

    Attributes:
        north, south: Bytes carried.
        swallowed: Bytes that vanished in a black hole.
        cut: Bytes that a reset threw away.
        calls: Connections carried.
        dropped: Connections closed by a fault.
        resets: Of these, in the middle of what was being carried.
        waits: Chunks that waited.
        waited_s: How long, in all.
        stalls: Chunks that were "lost" and sent again.
        swapped: Chunks that changed places.
    """

    north: int = 0
    south: int = 0
    swallowed: int = 0
    cut: int = 0
    calls: int = 0
    dropped: int = 0
    resets: int = 0
    waits: int = 0
    waited_s: float = 0.0
    stalls: int = 0
    swapped: int = 0


class Pair:
    """A call and the one made for it."""

    def __init__(self, south: asyncio.StreamWriter, north: asyncio.StreamWriter) -> None:
        self.ends = (south, north)

    def abort(self) -> None:
        """Reset both."""
        for writer in self.ends:
            with contextlib.suppress(RuntimeError, OSError):
                one = writer.get_extra_info("socket")
                if one is not None:
                    one.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                writer.transport.abort()


Delay = Callable[[int], float]
"""Bytes of a chunk to the wait before it is carried, s."""


class Wire:
    """Listens on one loopback port and carries calls to another.

    Attributes:
        port: Where it listens.
        target: Where it carries to.
        counts: What it did since it was made.
        delay: Wait for a chunk; None for none.
        loss: Share of chunks that are sent again.
        swap: Share of chunks that change places with the next.
        hole: Whether everything vanishes.
        hands: Held by a fault while it changes the wire, so that two do not at once.
    """

    def __init__(self, port: int, target: int, chance: random.Random) -> None:
        self.port = port
        self.target = target
        self.counts = Counts()
        self.delay: Delay | None = None
        self.loss = 0.0
        self.swap = 0.0
        self.hole = False
        self.hands = asyncio.Lock()
        self._chance = chance
        self._reset_at: int | None = None
        self._pairs: set[Pair] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None

    async def open(self) -> None:
        """Listen."""
        if self._server is None:
            self._server = await asyncio.start_server(self._accept, "127.0.0.1", self.port, limit=CHUNK)

    async def refuse(self) -> None:
        """Stop listening, so that calls are refused by the kernel, and reset what is open."""
        if self._server is not None:
            self._server.close()
            self._server = None
        self.drop()

    async def close(self) -> None:
        """End everything."""
        await self.refuse()
        while self._tasks:
            self.drop()
            for task in self._tasks:
                task.cancel()
            await asyncio.wait(self._tasks, timeout=0.1)
        await asyncio.sleep(0)

    async def heal(self) -> None:
        """Carry everything again; what was open while bytes vanished is reset."""
        if self.hole:
            self.drop()
        self.hole = False
        self.delay = None
        self.loss = self.swap = 0.0
        self._reset_at = None
        await self.open()

    def drop(self) -> int:
        """Reset all open connections; how many."""
        pairs = list(self._pairs)
        for pair in pairs:
            pair.abort()
        self.counts.dropped += len(pairs)
        return len(pairs)

    def reset_after(self, size: int) -> None:
        """Reset the connection that carries the byte this far north from now, in the middle of a chunk."""
        self._reset_at = self.counts.north + size

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        try:
            with contextlib.suppress(OSError, asyncio.CancelledError):
                await self._call(reader, writer)
        finally:
            writer.transport.abort()

    async def _call(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while self.hole:
            data = await reader.read(CHUNK)
            if not data:
                return
            self.counts.swallowed += len(data)
        north_reader, north_writer = await asyncio.open_connection("127.0.0.1", self.target, limit=CHUNK)
        self.counts.calls += 1
        pair = Pair(writer, north_writer)
        self._pairs.add(pair)
        ways = [
            asyncio.create_task(self._carry(pair, reader, north_writer, north=True)),
            asyncio.create_task(self._carry(pair, north_reader, writer, north=False)),
        ]
        try:
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        finally:
            self._pairs.discard(pair)
            pair.abort()
            for way in ways:
                way.cancel()
            await asyncio.gather(*ways, return_exceptions=True)

    async def _carry(
        self, pair: Pair, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, north: bool
    ) -> None:
        counts = self.counts
        while data := await reader.read(CHUNK):
            await self._wait(len(data))
            if self.hole:
                counts.swallowed += len(data)
                continue
            if north and self._reset_at is not None and counts.north + len(data) > self._reset_at:
                half = max(1, min(len(data) - 1, self._reset_at - counts.north))
                writer.write(data[:half])
                await asyncio.sleep(0.002)
                counts.north += half
                counts.cut += len(data) - half
                counts.resets += 1
                counts.dropped += 1
                self._reset_at = None
                pair.abort()
                return
            if self.swap and self._chance.random() < self.swap:
                half = len(data) // 2
                if half:
                    data = data[half:] + data[:half]
                    counts.swapped += 1
            if north:
                counts.north += len(data)
            else:
                counts.south += len(data)
            writer.write(data)
            await writer.drain()

    async def _wait(self, size: int) -> None:
        wait_s = self.delay(size) if self.delay is not None else 0.0
        if self.loss:
            tries = 0
            while tries < 3 and self._chance.random() < self.loss:
                wait_s += LOSS_RTO_S * 2**tries
                tries += 1
            self.counts.stalls += tries
        if wait_s > 0:
            began = time.monotonic()
            await asyncio.sleep(wait_s)
            self.counts.waits += 1
            self.counts.waited_s += time.monotonic() - began
