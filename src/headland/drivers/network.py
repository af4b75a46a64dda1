"""The network for a core that touches none: listeners, a dialler, and every connection's bytes.

Laws:

* One read makes one `Received`, as large as the kernel gave it (at most 256 KiB). No task per message.
* `Opened` comes first and `Closed` last, each once, for every connection that opened; nothing follows it.
* An inbound connection whose TLS handshake fails makes at most one `Refused` and no other event.
* A dial ends in exactly one of `Opened` and `DialFailed`, unless it is given up with `close` before.
* What waits to be written is bounded: above `write_high_bytes` the connection is `Full` (and not read until
  it is `Drained`, unless its limits say otherwise); above `write_max_bytes` it is cut.
* No connection lives long for nothing: TLS must be done in `tls_s`, `established` must be called in
  `establish_s`, something must arrive every `idle_s`, a closing one is gone `linger_s` later. The last three
  are checked once a second.
* No connection outlives the certificate that its peer has shown.
"""

from __future__ import annotations

import asyncio
import errno
import os
from collections.abc import Callable

from headland.drivers.connection import Connection
from headland.drivers.network_events import (
    Cause,
    Closed,
    Dial,
    DialFailed,
    Drained,
    Full,
    Identify,
    Limits,
    Listener,
    NetworkEvent,
    OnEvent,
    Opened,
    Received,
    Refused,
    classify,
)
from headland.vocabulary import ConfigurationError, HeadlandError

__all__ = [
    "Cause",
    "Closed",
    "Dial",
    "DialFailed",
    "Drained",
    "Full",
    "Identify",
    "Limits",
    "Listener",
    "Network",
    "NetworkEvent",
    "Opened",
    "Received",
    "Refused",
]

_SWEEP_S = 1.0
_BACKLOG = 1024
_POLL_S = 0.01
_TOLD_PER_S = 2.0
_TOLD_BURST = 20.0
"""Refusals told: a hostile client must not be able to fill the log."""


class Network:
    """Listeners, dials and connections of one event loop; tells everything to one callback.

    `on_received(connection, data)`, where given, is called in place of `on_event(Received(...))`. Callbacks
    must not raise: what they raise goes to the loop's exception handler and costs the connection.

    Attributes:
        refused: How many were not let in, by cause.
        bytes_in, bytes_out: Payload of all connections (without TLS), for metrics.
    """

    def __init__(
        self,
        on_event: OnEvent,
        loop: asyncio.AbstractEventLoop | None = None,
        *,
        on_received: Callable[[int, bytes], None] | None = None,
    ) -> None:
        self.loop = loop or asyncio.get_running_loop()
        self.on_event = on_event
        self.on_received = on_received or (lambda connection, data: on_event(Received(connection, data)))
        self.refused: dict[Cause, int] = dict.fromkeys(Cause, 0)
        self.bytes_in = 0
        self.bytes_out = 0
        self._connections: dict[int, Connection] = {}
        self._dials: dict[int, asyncio.Task[None]] = {}
        self._servers: dict[str, asyncio.Server] = {}
        self._counts: dict[str, int] = {}
        self._addresses: dict[tuple[str, str], int] = {}
        self._shaking: set[Connection] = set()
        self._last = 0
        self._may_tell = _TOLD_BURST
        self._told_at = self.loop.time()
        self._untold = 0
        self._sweeper: asyncio.TimerHandle | None = None
        self._closing = False

    async def listen(self, listener: Listener) -> int:
        """Open a listener; returns the port it got (the asked one, or a free one for 0).

        Raises:
            ConfigurationError: the address cannot be had.
        """
        try:
            server = await self.loop.create_server(
                lambda: Connection(
                    self, listener.name, listener.limits, tls=listener.tls, identify=listener.identify
                ),
                listener.address,
                listener.port,
                backlog=_BACKLOG,
                reuse_address=True,
            )
        except OSError as error:
            reason = os.strerror(error.errno) if error.errno and error.errno > 0 else str(error)
            raise ConfigurationError(
                f"cannot listen on {listener.address}:{listener.port}: {reason}",
                path=listener.name,
                hint="another process may have the port" if error.errno == errno.EADDRINUSE else "",
            ) from None
        self._servers[listener.name] = server
        self._counts.setdefault(listener.name, 0)
        port: int = server.sockets[0].getsockname()[1]
        return port

    def unlisten(self, name: str) -> None:
        """Close one listener; its connections stay."""
        server = self._servers.pop(name, None)
        if server is not None:
            server.close()

    def dial(self, dial: Dial) -> int:
        """Start to call; returns the number the connection will have."""
        self._last += 1
        number = self._last
        task = self.loop.create_task(self._dial(number, dial))
        self._dials[number] = task
        task.add_done_callback(lambda _: self._dials.pop(number, None))
        return number

    def send(self, connection: int, data: bytes | bytearray | memoryview) -> bool:
        """Write; False when the connection is gone or closing (its `Closed` has come or will)."""
        conn = self._connections.get(connection)
        if conn is None or conn.cause is not None:
            return False
        self.bytes_out += len(data)
        if conn.secure is None:
            conn.transport.write(data)
        else:
            conn.write(data)
        if conn.full and conn.transport.get_write_buffer_size() > conn.limits.write_max_bytes:
            conn.cut(Cause.OVERFLOW)
            return False
        return True

    def close(self, connection: int, *, flush: bool = True) -> None:
        """End a connection, after what waits is written (bounded) or at once; or give up a dial."""
        conn = self._connections.get(connection)
        if conn is None:
            task = self._dials.pop(connection, None)
            if task is not None:
                task.cancel()
        elif flush:
            conn.close(Cause.LOCAL)
        else:
            conn.cut(Cause.LOCAL)

    def established(self, connection: int, *, idle_s: float | None = None) -> None:
        """The protocol above is satisfied: `establish_s` ends, `idle_s` may be set anew (0 for none)."""
        conn = self._connections.get(connection)
        if conn is not None:
            conn.established = True
            if idle_s is not None:
                conn.idle_s = idle_s

    def pause(self, connection: int) -> None:
        """Stop reading: the peer feels it through TCP."""
        conn = self._connections.get(connection)
        if conn is not None:
            conn.paused = True
            conn.apply_reading()

    def resume(self, connection: int) -> None:
        """Read again."""
        conn = self._connections.get(connection)
        if conn is not None:
            conn.paused = False
            conn.apply_reading()

    def unwritten(self, connection: int) -> int:
        """Bytes that wait to be written on one connection."""
        conn = self._connections.get(connection)
        return conn.transport.get_write_buffer_size() if conn is not None else 0

    def count(self, endpoint: str) -> int:
        """Open connections of one listener."""
        return self._counts.get(endpoint, 0)

    async def shutdown(self, within_s: float = 5.0) -> None:
        """Stop listening, close every connection, wait until they are gone or the time is over, then cut."""
        self._closing = True
        for name in list(self._servers):
            self.unlisten(name)
        for task in list(self._dials.values()):
            task.cancel()
        for conn in list(self._shaking):
            conn.abandon()
        for conn in list(self._connections.values()):
            conn.close(Cause.LOCAL)
        await self._gone(within_s)
        for conn in list(self._connections.values()):
            conn.cut(Cause.LOCAL)
        await self._gone(1.0)
        if self._sweeper is not None:
            self._sweeper.cancel()
            self._sweeper = None

    # What connections ask of their network.

    def admit(self, endpoint: str, address: str, limits: Limits) -> bool:
        """Count a new inbound connection, unless a bound is reached."""
        count = self._counts.get(endpoint, 0)
        mine = self._addresses.get((endpoint, address), 0)
        too_many = count >= limits.max_connections or 0 < limits.max_per_address <= mine
        if too_many or self._closing:
            return False
        self._counts[endpoint] = count + 1
        self._addresses[endpoint, address] = mine + 1
        return True

    def release(self, endpoint: str, address: str) -> None:
        """Uncount an inbound connection."""
        self._counts[endpoint] -= 1
        left = self._addresses[endpoint, address] - 1
        if left:
            self._addresses[endpoint, address] = left
        else:
            del self._addresses[endpoint, address]

    def number(self) -> int:
        """A connection number never given before."""
        self._last += 1
        return self._last

    def add(self, conn: Connection) -> None:
        """A connection is open."""
        self._connections[conn.number] = conn
        if self._sweeper is None:
            self._sweeper = self.loop.call_later(_SWEEP_S, self._sweep)

    def remove(self, conn: Connection) -> None:
        """A connection is gone."""
        self._connections.pop(conn.number, None)

    def refuse(self, endpoint: str, peer: str, cause: Cause, detail: str = "") -> None:
        """Count and tell that somebody was not let in."""
        self.refused[cause] += 1
        now = self.loop.time()
        self._may_tell = min(_TOLD_BURST, self._may_tell + (now - self._told_at) * _TOLD_PER_S)
        self._told_at = now
        if self._may_tell < 1:
            self._untold += 1
            return
        self._may_tell -= 1
        untold, self._untold = self._untold, 0
        self.on_event(Refused(endpoint, peer, cause, detail, untold))

    def shaking(self, conn: Connection, *, on: bool) -> None:
        """A handshake begins, or is over."""
        if on:
            self._shaking.add(conn)
        else:
            self._shaking.discard(conn)

    async def _dial(self, number: int, dial: Dial) -> None:
        conn = Connection(
            self,
            dial.name,
            dial.limits,
            tls=dial.tls,
            identify=dial.identify,
            number=number,
            server_name=dial.server_name or dial.host,
        )
        assert conn.ready is not None
        try:
            async with asyncio.timeout(dial.limits.tls_s):
                await self.loop.create_connection(lambda: conn, dial.host, dial.port)
                await conn.ready
        except (OSError, HeadlandError, ValueError) as error:
            if conn.is_open:
                return
            cause, detail = classify(error)
            conn.abandon()
            self.on_event(DialFailed(number, dial.name, cause, detail))
        except asyncio.CancelledError:
            if not conn.is_open:
                conn.abandon()
            raise

    def _sweep(self) -> None:
        now = self.loop.time()
        for conn in list(self._connections.values()):
            conn.check(now)
        self._sweeper = self.loop.call_later(_SWEEP_S, self._sweep) if self._connections else None

    async def _gone(self, within_s: float) -> None:
        deadline = self.loop.time() + within_s
        while self._connections and self.loop.time() < deadline:  # noqa: ASYNC110 - a few times, at the end
            await asyncio.sleep(_POLL_S)
