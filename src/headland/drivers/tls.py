"""TLS over bytes: OpenSSL between two memory buffers, so that it runs the same over any transport.

Not the event loops' own: theirs tell nobody why a handshake failed, cut a connection before its alert left,
and (uvloop) hold 256 KiB a connection. Records are at most 16 KiB (RFC 8446, 5.1), and so is each read.
"""

from __future__ import annotations

import contextlib
import ssl
from collections.abc import Mapping
from typing import Any

_RECORD = 16_384


class Tls:
    """One end of one TLS connection.

    Attributes:
        done: Whether the handshake is complete on this side.
        ended: Whether the peer has said that it sends no more (close_notify).
    """

    __slots__ = ("_incoming", "_object", "_outgoing", "done", "ended")

    def __init__(self, context: ssl.SSLContext, *, server_side: bool, server_name: str) -> None:
        self._incoming = ssl.MemoryBIO()
        self._outgoing = ssl.MemoryBIO()
        self._object = context.wrap_bio(
            self._incoming,
            self._outgoing,
            server_side=server_side,
            server_hostname=None if server_side else server_name,
        )
        self.done = False
        self.ended = False

    def shake(self) -> None:
        """Go on with the handshake as far as the bytes go.

        Raises:
            ssl.SSLError: it failed; `outgoing` may hold the alert that says so.
        """
        with contextlib.suppress(ssl.SSLWantReadError):
            self._object.do_handshake()
            self.done = True

    def received(self, data: bytes) -> bytes:
        """Take bytes of the transport; returns what they say, decrypted (often nothing).

        Raises:
            ssl.SSLError: the handshake failed, the peer sent an alert, or the bytes are not TLS.
        """
        self._incoming.write(data)
        if not self.done:
            self.shake()
            if not self.done:
                return b""
        parts = []
        while not self.ended:
            try:
                part = self._object.read(_RECORD)
            except ssl.SSLWantReadError:
                break
            except ssl.SSLZeroReturnError:
                part = b""
            if part:
                parts.append(part)
            else:
                self.ended = True
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def send(self, data: bytes | bytearray | memoryview) -> None:
        """Encrypt all of `data` into `outgoing`."""
        view = memoryview(data)
        while view:
            view = view[self._object.write(view) :]

    def close(self) -> None:
        """Say that nothing more will be sent."""
        with contextlib.suppress(ssl.SSLError):
            self._object.unwrap()

    def outgoing(self) -> bytes:
        """What the transport has to write, taken out."""
        return self._outgoing.read()

    def peer(self) -> Mapping[str, Any]:
        """The peer's certificate as `getpeercert` tells it; {} for none."""
        return self._object.getpeercert() or {}

    def certificate(self) -> bytes:
        """The peer's certificate (DER); b"" for none."""
        return self._object.getpeercert(binary_form=True) or b""
