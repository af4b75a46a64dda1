"""The two wires the demo can lay hands on: between a client and its node, and between two nodes.

`LinkProxy` carries bytes it does not understand (TLS), counts them in both directions, and can be cut.

`ClientProxy` carries MQTT, which it reads along. It can hold back what the node answers: then
acknowledgements that the node has released, and so has on disk, never reach their clients. When the node is
killed at that moment, the publishes concerned must be sent again *after their commit*, and the proxy
recognises them as they come by: same client, same packet identifier, same payload, DUP set.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Iterator
from hashlib import blake2b

CHUNK = 64 * 1024
MORE_S = 0.05
HELD_BYTES_MAX = 4 * 1024 * 1024
PACKET_BYTES_MAX = 16 * 1024 * 1024

CONNECT, PUBLISH, PUBACK = 1, 3, 4


class Packets:
    """Cuts a stream of MQTT control packets; keeps at most one incomplete packet."""

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, data: bytes) -> Iterator[tuple[int, bytes]]:
        """Complete packets: (first byte, variable header and payload)."""
        data = self._rest + data
        at = 0
        while True:
            found = _remaining(data, at)
            if found is None or found[0] + found[1] > len(data):
                break
            body, length = found
            yield data[at], data[body : body + length]
            at = body + length
        self._rest = data[at:]


def _remaining(data: bytes, at: int) -> tuple[int, int] | None:
    """(where the body starts, its length), or None when the fixed header is incomplete (MQTT 5.0, 2.1.4)."""
    length = shift = 0
    for index in range(at + 1, min(at + 5, len(data))):
        length |= (data[index] & 127) << shift
        shift += 7
        if not data[index] & 128:
            if length > PACKET_BYTES_MAX:
                raise ValueError(f"a packet of {length} bytes")
            return index + 1, length
    return None


def client_id(connect: bytes) -> str:
    """The client identifier of a CONNECT body, 3.1.1 or 5."""
    name = int.from_bytes(connect[:2], "big")
    version = connect[2 + name]
    at = 2 + name + 4
    if version >= 5:
        found = _remaining(b"\0" + connect[at : at + 4], 0)
        if found is not None:
            at += found[0] - 1 + found[1]
    length = int.from_bytes(connect[at : at + 2], "big")
    return connect[at + 2 : at + 2 + length].decode("utf-8", "replace")


class Seen:
    """Publishes and acknowledgements of one node's clients, as they pass.

    Attributes:
        withheld: (client, packet id) -> payload digest of publishes whose acknowledgement was held back.
        resent_after_commit: How many of those have come by again.
    """

    def __init__(self) -> None:
        self.withheld: dict[tuple[str, int], bytes] = {}
        self.resent_after_commit = 0
        self._in_flight: dict[tuple[str, int], bytes] = {}

    @property
    def in_flight(self) -> int:
        """Publishes that passed and were not acknowledged."""
        return len(self._in_flight)

    def published(self, client: str, first: int, body: bytes) -> None:
        """A PUBLISH passes northward."""
        if not first & 0x06:
            return
        topic = int.from_bytes(body[:2], "big")
        packet = int.from_bytes(body[2 + topic : 4 + topic], "big")
        digest = blake2b(body[: 2 + topic] + body[4 + topic :], digest_size=16).digest()
        self._in_flight[client, packet] = digest
        if first & 0x08 and self.withheld.pop((client, packet), None) == digest:
            self.resent_after_commit += 1

    def acknowledged(self, client: str, body: bytes, *, withheld: bool) -> None:
        """A PUBACK passes southward, or would have."""
        packet = int.from_bytes(body[:2], "big")
        digest = self._in_flight.pop((client, packet), None)
        if digest is not None and withheld:
            self.withheld[client, packet] = digest


class _Pair:
    """One client's connection and the one made for it."""

    def __init__(self, south: asyncio.StreamWriter, north: asyncio.StreamWriter) -> None:
        self.south = south
        self.north = north

    def abort(self) -> None:
        for writer in (self.south, self.north):
            with contextlib.suppress(RuntimeError):
                writer.transport.abort()


class Proxy:
    """Listens on a loopback port and carries every connection to another.

    Attributes:
        port: Where it listens; known after `start`.
        bytes_north: Payload of TCP carried from the caller to the target.
        bytes_south: The other way.
        bytes_lost: Swallowed by a silent cut.
        connections: Calls accepted so far.
    """

    def __init__(self, target_port: int) -> None:
        self.target_port = target_port
        self.port = 0
        self.bytes_north = 0
        self.bytes_south = 0
        self.bytes_lost = 0
        self.connections = 0
        self._open = True
        self._pairs: set[_Pair] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None

    async def start(self) -> None:
        """Bind a free port."""
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]

    async def close(self) -> None:
        """Drop everything."""
        if self._server is not None:
            self._server.close()
        self._open = False
        while self._tasks:
            self.drop()
            await asyncio.wait(self._tasks, timeout=0.05)
        await asyncio.sleep(0)  # aborted transports say goodbye in the next turn of the loop

    def cut(self, *, silent: bool = False) -> None:
        """Carry nothing until `restore`, and refuse new connections.

        Args:
            silent: Open connections stay open and what is sent on them vanishes, as when a cable is pulled;
                otherwise they are closed, as when a router restarts.
        """
        self._open = False
        if not silent:
            self.drop()

    def restore(self) -> None:
        """Carry connections again; what was open when the cut came has missed bytes and is closed."""
        if not self._open:
            self.drop()
        self._open = True

    def drop(self) -> None:
        """Reset all open connections."""
        for pair in list(self._pairs):
            pair.abort()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        if not self._open:
            writer.transport.abort()
            return
        self.connections += 1
        try:
            north_reader, north_writer = await asyncio.open_connection("127.0.0.1", self.target_port)
        except OSError:
            writer.transport.abort()
            return
        pair = _Pair(writer, north_writer)
        self._pairs.add(pair)
        north, south = self._wires(pair)
        ways = [
            asyncio.create_task(self._carry(reader, north_writer, north)),
            asyncio.create_task(self._carry(north_reader, writer, south)),
        ]
        try:
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        finally:
            self._pairs.discard(pair)
            pair.abort()
            await asyncio.gather(*ways, return_exceptions=True)

    async def _carry(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, passing: Callable[[bytes], bytes]
    ) -> None:
        while data := await reader.read(CHUNK):
            if not self._open:
                self.bytes_lost += len(data)
                continue
            data = passing(data)
            if data:
                writer.write(data)
                await writer.drain()

    def _wires(self, pair: _Pair) -> tuple[Callable[[bytes], bytes], Callable[[bytes], bytes]]:
        """What is done to a chunk going north, and to one going south."""

        def north(data: bytes) -> bytes:
            self.bytes_north += len(data)
            return data

        def south(data: bytes) -> bytes:
            self.bytes_south += len(data)
            return data

        return north, south


class LinkProxy(Proxy):
    """Between a child and its parent."""


class ClientProxy(Proxy):
    """Between clients and their node.

    Attributes:
        seen: What passed, over all connections.
        holding: Whether answers are held back now.
    """

    def __init__(self, target_port: int) -> None:
        super().__init__(target_port)
        self.seen = Seen()
        self.holding = False
        self._held: dict[_Pair, bytearray] = {}
        self._caught = 0
        self._catch = asyncio.Event()

    def hold_answers(self) -> None:
        """From now on nothing that the node says reaches a client."""
        self.holding = True
        self._caught = 0
        self._catch.clear()

    async def caught(self, within_s: float, more_s: float = MORE_S) -> int:
        """Wait for the first acknowledgement that is held back, and a moment for more; how many there are."""
        try:
            async with asyncio.timeout(within_s):
                await self._catch.wait()
        except TimeoutError:
            return 0
        await asyncio.sleep(more_s)
        return self._caught

    def release(self) -> None:
        """Let answers pass again, those that were held first."""
        self.holding = False
        for pair, held in self._held.items():
            if not pair.south.transport.is_closing():
                pair.south.write(bytes(held))
        self._held.clear()

    def forget_held(self) -> None:
        """Throw the held answers away with their connections: they are lost on the way."""
        self.drop()
        self._held.clear()
        self.holding = False

    def _wires(self, pair: _Pair) -> tuple[Callable[[bytes], bytes], Callable[[bytes], bytes]]:
        up, down = Packets(), Packets()
        name = ""

        def north(data: bytes) -> bytes:
            nonlocal name
            self.bytes_north += len(data)
            for first, body in up.feed(data):
                if first >> 4 == CONNECT:
                    name = client_id(body)
                elif first >> 4 == PUBLISH:
                    self.seen.published(name, first, body)
            return data

        def south(data: bytes) -> bytes:
            self.bytes_south += len(data)
            for first, body in down.feed(data):
                if first >> 4 == PUBACK:
                    self.seen.acknowledged(name, body, withheld=self.holding)
                    if self.holding:
                        self._caught += 1
                        self._catch.set()
            if not self.holding:
                return data
            held = self._held.setdefault(pair, bytearray())
            held += data
            if len(held) > HELD_BYTES_MAX:
                raise ValueError("more answers held back than the demo allows")
            return b""

        return north, south
