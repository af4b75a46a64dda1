"""What the network tells, what it is told, and the bounds of a connection."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Callable, Mapping
from enum import StrEnum
from typing import Any

import msgspec

from headland.vocabulary import TrustError


class Cause(StrEnum):
    """Why a connection ended, was refused or did not come to be."""

    PEER = "peer closed"
    RESET = "connection lost"
    LOCAL = "closed here"
    IDLE = "nothing received in time"
    ESTABLISH = "handshake not finished in time"
    OVERFLOW = "peer does not read what is sent"
    TOO_MANY = "too many connections"
    TRUST = "certificate refused"
    EXPIRED = "certificate has expired since"
    TLS = "TLS failed"
    REFUSED = "connection refused"
    UNREACHABLE = "unreachable"
    NAME = "name not found"
    TIMEOUT = "timed out"


class Opened(msgspec.Struct, frozen=True, gc=False):
    """A connection is there, with TLS done.

    Attributes:
        connection: Its number, never used again in this process.
        endpoint: Name of the listener, or of the dial.
        peer: Address of the other side, `host:port`.
        principal: What `identify` made of the peer's certificate; "" without one.
        certificate: The peer's certificate (DER), b"" without one.
        outbound: Whether this side dialled.
        tls: Whether it is encrypted.
    """

    connection: int
    endpoint: str
    peer: str
    principal: str = ""
    certificate: bytes = b""
    outbound: bool = False
    tls: bool = False


class Received(msgspec.Struct, frozen=True, gc=False):
    """Bytes arrived."""

    connection: int
    data: bytes


class Closed(msgspec.Struct, frozen=True, gc=False):
    """The connection is gone, whoever ended it."""

    connection: int
    cause: Cause
    detail: str = ""


class Full(msgspec.Struct, frozen=True, gc=False):
    """More than `write_high_bytes` wait to be written."""

    connection: int


class Drained(msgspec.Struct, frozen=True, gc=False):
    """After `Full`: a quarter of `write_high_bytes` or less is left."""

    connection: int


class Refused(msgspec.Struct, frozen=True, gc=False):
    """Somebody knocked at a listener and was not let in.

    Attributes:
        endpoint: Name of the listener.
        peer: Who it was, `host:port`.
        cause: Why.
        detail: More about it, "" for nothing.
        untold: Refusals since the last event that made none: only so many a second are told, all are counted.
    """

    endpoint: str
    peer: str
    cause: Cause
    detail: str = ""
    untold: int = 0


class DialFailed(msgspec.Struct, frozen=True, gc=False):
    """A dial came to nothing."""

    connection: int
    endpoint: str
    cause: Cause
    detail: str = ""


NetworkEvent = Opened | Received | Closed | Full | Drained | Refused | DialFailed
OnEvent = Callable[[NetworkEvent], None]

Identify = Callable[[Mapping[str, Any]], str]
"""Makes a principal of a peer's certificate, as `ssl.SSLSocket.getpeercert()` gives it ({} for none); raises
TrustError with the reason to refuse it."""


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """Bounds of one listener or dial.

    Attributes:
        max_connections: Of this listener at once; the next is accepted and closed.
        max_per_address: Of one source address at once; 0 for no such bound.
        write_high_bytes: Waiting to be written when the connection counts as full.
        write_max_bytes: Waiting to be written when it is cut.
        tls_s: Seconds for the TLS handshake (and, of a dial, for the connect before it).
        establish_s: Seconds until `established` must be called; 0 for no such bound.
        idle_s: Seconds without a byte received until it is cut; 0 for no such bound.
        linger_s: Seconds that a closing connection gets to write what waits.
        read_while_full: Whether a full connection is still read. Never reading could lock two ends that both
            send much; always reading lets a client that takes no answers ask for ever more of them.
    """

    max_connections: int = 10_000
    max_per_address: int = 0
    write_high_bytes: int = 256 * 1024
    write_max_bytes: int = 8 * 1024 * 1024
    tls_s: float = 10.0
    establish_s: float = 10.0
    idle_s: float = 0.0
    linger_s: float = 5.0
    read_while_full: bool = False


class Listener(msgspec.Struct, frozen=True, kw_only=True):
    """Where to listen. `tls` makes it a TLS listener; `identify` is asked about each client's certificate."""

    name: str
    address: str
    port: int
    tls: ssl.SSLContext | None = None
    identify: Identify | None = None
    limits: Limits = Limits()


class Dial(msgspec.Struct, frozen=True, kw_only=True):
    """Whom to call. `server_name` is what the certificate is checked for, where the context checks names."""

    name: str
    host: str
    port: int
    tls: ssl.SSLContext | None = None
    server_name: str = ""
    identify: Identify | None = None
    limits: Limits = Limits()


def classify(error: BaseException) -> tuple[Cause, str]:
    """Whose fault a failed connection is, and what to tell."""
    match error:
        case TrustError():
            return Cause.TRUST, str(error)
        case ssl.SSLCertVerificationError():
            return Cause.TRUST, error.verify_message or str(error)
        case ssl.SSLError():
            reason = (error.reason or str(error)).replace("_", " ").lower()
            words = ("certificate", "unknown ca", "access denied")
            return (Cause.TRUST if any(word in reason for word in words) else Cause.TLS), reason
        case TimeoutError():
            return Cause.TIMEOUT, str(error)
        case ConnectionRefusedError():
            return Cause.REFUSED, str(error)
        case ConnectionResetError() | BrokenPipeError() | ConnectionAbortedError():
            return Cause.RESET, str(error)
        case socket.gaierror():
            return Cause.NAME, str(error)
        case _:
            return Cause.UNREACHABLE, str(error)
