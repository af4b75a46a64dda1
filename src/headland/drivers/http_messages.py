"""Requests and answers of the HTTP server, its bounds, and what it needs of the network."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Protocol

import msgspec


class Request(msgspec.Struct, frozen=True, gc=False):
    """One request, whole.

    Attributes:
        number: For `answer`; never used again in this process.
        connection: Which connection it came by.
        method: Upper case.
        path: Decoded, without the query.
        raw_path: The same, as it was sent.
        query: As it was sent, without "?".
        headers: By lower-case name; values of a repeated name joined by ", ".
        body: All of it.
        peer: The client's address.
        principal: What the network made of the client's certificate, "" for none.
        bearer: The token of `Authorization: Bearer` (or `Token`, as InfluxDB's clients say), "" for none.
    """

    number: int
    connection: int
    method: str
    path: str
    raw_path: str
    query: str
    headers: dict[str, str]
    body: bytes
    peer: str
    principal: str
    bearer: str

    def __repr__(self) -> str:
        return f"Request({self.number}, {self.method} {self.path}, {len(self.body)} B)"


class Response(msgspec.Struct, frozen=True, gc=False):
    """An answer. `headers` are further ones; length, date and connection are added."""

    status: int = 200
    body: bytes = b""
    content_type: str = "application/json"
    headers: tuple[tuple[str, str], ...] = ()


Handler = Callable[[Request], Response | None]
Gate = Callable[[Request], Response | None]
"""Asked with the head of a request before a large body of it is read: its refusal, or None to read on."""


class HttpLimits(msgspec.Struct, frozen=True, kw_only=True):
    """Bounds.

    Attributes:
        body_bytes_max: Largest body.
        bodies_bytes_max: Bytes of the bodies of all requests that are not answered; beyond it 503.
        request_s: From a request's first byte to its last.
        keep_alive_s: An idle connection is closed after this.
        answer_s: A request without an answer after this gets 503.
    """

    body_bytes_max: int = 4 * 1024 * 1024
    bodies_bytes_max: int = 64 * 1024 * 1024
    request_s: float = 30.0
    keep_alive_s: float = 75.0
    answer_s: float = 60.0


class Wire(Protocol):
    """What the server needs of the network."""

    def send(self, connection: int, data: bytes) -> bool:
        """Write."""
        ...

    def close(self, connection: int, *, flush: bool = True) -> None:
        """End."""
        ...

    def established(self, connection: int) -> None:
        """From here on the server's own time limits rule."""
        ...

    def pause(self, connection: int) -> None:
        """Stop reading."""
        ...

    def resume(self, connection: int) -> None:
        """Read on."""
        ...


_DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


def date_of(utc_s: int) -> str:
    """A moment (seconds since 1970) as HTTP writes it (RFC 9110, 5.6.7), whatever the locale.

    `email.utils` does the same, and takes a megabyte of memory.
    """
    at = time.gmtime(utc_s)
    return (
        f"{_DAYS[at.tm_wday]}, {at.tm_mday:02} {_MONTHS[at.tm_mon - 1]} {at.tm_year:04} "
        f"{at.tm_hour:02}:{at.tm_min:02}:{at.tm_sec:02} GMT"
    )
