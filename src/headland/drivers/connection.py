"""One connection of the network driver."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
import time
from collections.abc import Mapping
from typing import Any, Protocol, cast

from headland.drivers.network_events import (
    Cause,
    Closed,
    Drained,
    Full,
    Identify,
    Limits,
    NetworkEvent,
    Opened,
    classify,
)
from headland.drivers.tls import Tls
from headland.vocabulary import HeadlandError


class Owner(Protocol):
    """What a connection asks of its network."""

    bytes_in: int
    loop: asyncio.AbstractEventLoop

    def admit(self, endpoint: str, address: str, limits: Limits) -> bool:
        """Count a new inbound connection, unless a bound is reached."""
        ...

    def release(self, endpoint: str, address: str) -> None:
        """Uncount an inbound connection."""
        ...

    def number(self) -> int:
        """A connection number never given before."""
        ...

    def add(self, conn: Connection) -> None:
        """A connection is open."""
        ...

    def remove(self, conn: Connection) -> None:
        """A connection is gone."""
        ...

    def refuse(self, endpoint: str, peer: str, cause: Cause, detail: str = "") -> None:
        """Somebody was not let in."""
        ...

    def shaking(self, conn: Connection, *, on: bool) -> None:
        """A handshake begins, or is over."""
        ...

    def on_event(self, event: NetworkEvent, /) -> None:
        """Tell the one above."""
        ...

    def on_received(self, connection: int, data: bytes, /) -> None:
        """Tell the one above that bytes arrived."""
        ...


class Connection(asyncio.Protocol):
    """One connection: raw first, then (with TLS) encrypted, then open, then closing, then gone."""

    __slots__ = (
        "address",
        "admitted",
        "cause",
        "closing_at",
        "detail",
        "endpoint",
        "established",
        "expires_at",
        "full",
        "heard",
        "heard_at",
        "identify",
        "idle_s",
        "is_open",
        "limits",
        "lost",
        "network",
        "number",
        "opened_at",
        "outbound",
        "paused",
        "peer",
        "principal",
        "reading",
        "ready",
        "secure",
        "server_name",
        "swept",
        "timer",
        "tls",
        "transport",
    )

    transport: asyncio.Transport

    def __init__(
        self,
        network: Owner,
        endpoint: str,
        limits: Limits,
        *,
        tls: ssl.SSLContext | None,
        identify: Identify | None,
        number: int = 0,
        server_name: str = "",
    ) -> None:
        self.network = network
        self.endpoint = endpoint
        self.limits = limits
        self.tls = tls
        self.identify = identify
        self.number = number
        self.outbound = number != 0
        self.server_name = server_name
        self.secure: Tls | None = None
        self.timer: asyncio.TimerHandle | None = None
        self.ready: asyncio.Future[None] | None = network.loop.create_future() if number else None
        """Of a dial: done when it has opened, failed with the reason when it has not."""
        self.peer = ""
        self.principal = ""
        self.address = ""
        self.admitted = False
        self.is_open = False
        self.lost = False
        self.cause: Cause | None = None
        """Why it is being closed from this side; None while it is not."""
        self.detail = ""
        self.full = False
        self.paused = False
        self.reading = True
        self.established = False
        self.idle_s = limits.idle_s
        self.expires_at: float | None = None
        self.opened_at = 0.0
        self.heard_at = 0.0
        self.closing_at = 0.0
        self.heard = 0
        self.swept = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """asyncio: a transport is there, without TLS yet."""
        self.transport = transport = cast(
            "asyncio.Transport", transport
        )  # uvloop's is one in all but descent
        name = transport.get_extra_info("peername") or ("?", 0)
        self.address = str(name[0])
        self.peer = f"[{name[0]}]:{name[1]}" if ":" in self.address else f"{name[0]}:{name[1]}"
        sock = transport.get_extra_info("socket")
        if sock is not None:
            _keep_alive(sock)
        if not self.outbound:
            if not self.network.admit(self.endpoint, self.address, self.limits):
                self.lost = True
                transport.abort()
                self.network.refuse(self.endpoint, self.peer, Cause.TOO_MANY)
                return
            self.admitted = True
        if self.tls is None:
            self.opened()
            return
        self.network.shaking(self, on=True)
        self.timer = self.network.loop.call_later(
            self.limits.tls_s, self._fail, TimeoutError("TLS handshake")
        )
        self.secure = Tls(self.tls, server_side=not self.outbound, server_name=self.server_name)
        if self.outbound:
            self.secure.shake()
            self._flush()

    def _shake(self, data: bytes) -> None:
        """Bytes of the handshake, and perhaps the first ones after it."""
        assert self.secure is not None
        try:
            plain = self.secure.received(data)
            if not self.secure.done:
                self._flush()
                return
            self._look(self.secure.peer())
        except (ssl.SSLError, HeadlandError, ValueError) as error:
            self._fail(error)
            return
        self._flush()
        self._settled()
        self.opened()
        self._deliver(plain)

    def _look(self, shown: Mapping[str, Any]) -> None:
        """Who is it, and until when."""
        if "notAfter" in shown:
            left_s = ssl.cert_time_to_seconds(shown["notAfter"]) - time.time()
            self.expires_at = self.network.loop.time() + left_s
        if self.identify is not None:
            self.principal = self.identify(shown)

    def _fail(self, error: Exception) -> None:
        """It does not come to open; an alert that says why leaves first."""
        if self.lost or self.is_open:
            return
        self.lost = True
        self._flush()
        self._settled()
        self._release()
        self.transport.close()
        if self.ready is not None:
            if not self.ready.done():
                self.ready.set_exception(error)
        else:
            cause, detail = classify(error)
            self.network.refuse(self.endpoint, self.peer, cause, detail)

    def _settled(self) -> None:
        self.network.shaking(self, on=False)
        if self.timer is not None:
            self.timer.cancel()
            self.timer = None

    def _flush(self) -> None:
        if self.secure is not None:
            data = self.secure.outgoing()
            if data and not self.transport.is_closing():
                self.transport.write(data)

    def opened(self) -> None:
        """Ready for the protocol above."""
        if self.lost:
            return
        if not self.number:
            self.number = self.network.number()
        self.is_open = True
        self.opened_at = self.heard_at = self.network.loop.time()
        high = self.limits.write_high_bytes
        self.transport.set_write_buffer_limits(high=high, low=high // 4)
        self.network.add(self)
        if self.ready is not None and not self.ready.done():
            self.ready.set_result(None)
        self.network.on_event(
            Opened(
                self.number,
                self.endpoint,
                self.peer,
                self.principal,
                self.secure.certificate() if self.secure is not None else b"",
                self.outbound,
                self.tls is not None,
            )
        )

    def data_received(self, data: bytes) -> None:
        """asyncio: bytes arrived."""
        self.heard += len(data)
        if self.secure is None:
            if self.is_open and self.cause is None:
                self.network.bytes_in += len(data)
                self.network.on_received(self.number, data)
        elif not self.is_open:
            if not self.lost:
                self._shake(data)
        elif self.cause is None:
            try:
                plain = self.secure.received(data)
            except ssl.SSLError as error:
                # Under TLS 1.3 this is how a client learns that its certificate was refused.
                self._flush()
                self._end(*classify(error))
                return
            self._flush()
            self._deliver(plain)
            if self.secure.ended and self.cause is None:
                self._end(Cause.PEER, "")

    def _deliver(self, data: bytes) -> None:
        if data and self.cause is None and self.is_open:
            self.network.bytes_in += len(data)
            self.network.on_received(self.number, data)

    def _end(self, cause: Cause, detail: str) -> None:
        """Close because of what the peer said."""
        self.detail = detail
        self.close(cause)

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Send all of `data`."""
        if self.secure is None:
            self.transport.write(data)
            return
        try:
            self.secure.send(data)
        except ssl.SSLError as error:
            self._end(*classify(error))
        else:
            self._flush()

    def pause_writing(self) -> None:
        """asyncio: `write_high_bytes` are waiting."""
        self.full = True
        self.apply_reading()
        if self.is_open and self.cause is None:
            self.network.on_event(Full(self.number))

    def resume_writing(self) -> None:
        """asyncio: a quarter of that is left."""
        self.full = False
        self.apply_reading()
        if self.is_open and self.cause is None:
            self.network.on_event(Drained(self.number))

    def apply_reading(self) -> None:
        """Read, or not, as `paused` and `full` say."""
        wanted = not self.paused and (not self.full or self.limits.read_while_full)
        if wanted != self.reading and not self.transport.is_closing():
            self.reading = wanted
            if wanted:
                self.transport.resume_reading()
            else:
                self.transport.pause_reading()

    def eof_received(self) -> bool:
        """asyncio: the peer will send no more; so this end closes, after what waits is written."""
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        """asyncio: the transport is gone."""
        first = not self.lost
        if not self.is_open:
            if first and self.tls is not None:
                self._fail(exc or ConnectionResetError("closed during the handshake"))
            return
        self.lost = True
        self._release()
        self.is_open = False
        self.network.remove(self)
        if self.cause is not None:
            self.network.on_event(Closed(self.number, self.cause, self.detail))
        elif exc is None:
            self.network.on_event(Closed(self.number, Cause.PEER))
        else:
            cause, detail = classify(exc)
            self.network.on_event(Closed(self.number, cause, detail))

    def close(self, cause: Cause) -> None:
        """End after what waits is written, at most `linger_s` later."""
        if self.cause is None:
            self.cause = cause
            self.closing_at = self.network.loop.time()
            if self.secure is not None:
                self.secure.close()
                self._flush()
            self.transport.close()

    def cut(self, cause: Cause) -> None:
        """End now."""
        if self.cause is None:
            self.cause = cause
            self.closing_at = self.network.loop.time()
        self.transport.abort()

    def abandon(self) -> None:
        """Drop a connection that never opened."""
        self.lost = True
        self._settled()
        self._release()
        transport = getattr(self, "transport", None)
        if transport is not None:
            transport.abort()

    def _release(self) -> None:
        if self.admitted:
            self.admitted = False
            self.network.release(self.endpoint, self.address)

    def check(self, now: float) -> None:
        """Once a second: cut what stayed too long."""
        if self.heard != self.swept:
            self.swept = self.heard
            self.heard_at = now
        if self.cause is not None:
            if now - self.closing_at > self.limits.linger_s:
                self.transport.abort()
        elif self.expires_at is not None and now > self.expires_at:
            self.cut(Cause.EXPIRED)
        elif not self.established and 0 < self.limits.establish_s < now - self.opened_at:
            self.cut(Cause.ESTABLISH)
        elif self.idle_s and self.reading and now - self.heard_at > self.idle_s:
            self.cut(Cause.IDLE)


def _keep_alive(sock: socket.socket) -> None:
    """TCP finds a dead peer in about a minute even where the protocol above is silent."""
    with contextlib.suppress(OSError):
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, 30)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, 10)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT, 3)
