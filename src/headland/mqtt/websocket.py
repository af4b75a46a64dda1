"""MQTT over WebSocket (MQTT 5.0 section 6, RFC 6455): the server's layer between a transport and the broker.

Bytes of the transport go in, bytes for the broker and bytes for the transport come out. The broker sees a
stream: frames and packets need not coincide (MQTT-6.0.0-2). Nothing is buffered beyond the opening handshake
(16 KiB) and one frame's header; extensions (compression) are declined. The wire itself is wsproto's, which is
imported by whoever serves WebSocket and by nobody else.
"""

from __future__ import annotations

import re
from urllib.parse import urlsplit

import msgspec
from wsproto import ConnectionType, WSConnection
from wsproto.connection import ConnectionState
from wsproto.events import (
    AcceptConnection,
    BytesMessage,
    CloseConnection,
    Ping,
    RejectConnection,
    Request,
    TextMessage,
)
from wsproto.utilities import (
    LocalProtocolError,
    RemoteProtocolError,
)

SUBPROTOCOL = "mqtt"
"""The name of the subprotocol, for 3.1.1 and 5.0 alike (MQTT-6.0.0-3, MQTT-6.0.0-4)."""

HANDSHAKE_BYTES_MAX = 16_384
"""h11 has the same bound for one that comes in pieces."""

NORMAL, GOING_AWAY, PROTOCOL_ERROR, UNSUPPORTED_DATA = 1000, 1001, 1002, 1003


class Taken(msgspec.Struct, frozen=True):
    """What came of some bytes.

    Attributes:
        data: Bytes for the broker.
        reply: Bytes to write to the transport now.
        ended: Whether the transport shall be closed when the reply has left.
    """

    data: bytes = b""
    reply: bytes = b""
    ended: bool = False


class WebSocket:
    """One connection.

    Attributes:
        opened: Whether the handshake is done and no end said or heard: only then may bytes be wrapped.
    """

    def __init__(self, paths: tuple[str, ...] = ("/mqtt", "/"), origins: tuple[str, ...] = ()) -> None:
        """Begin to wait for the handshake.

        Args:
            paths: Request paths that are served.
            origins: Values of the Origin header that are accepted beside pages of the host that is asked, "*"
                for any. A page of any site can make a browser connect, also to loopback and with the
                browser's own certificate (RFC 6455 section 10.2). What sends no Origin is no browser.
        """
        self.opened = False
        self._paths = paths
        self._origins = origins
        self._tail = b""
        self._wire = WSConnection(ConnectionType.SERVER)

    def received(self, data: bytes) -> Taken:
        """Take bytes of the transport. What breaks RFC 6455 or MQTT section 6 ends the connection."""
        if self.opened or not data:
            return self._take(data) if data else Taken()
        # wsproto forgets what follows a handshake in the same read, so it is given apart.
        seen = self._tail + data
        blank = _END.search(seen)
        if blank is None:
            self._tail = seen[-2:]
            return self._take(data)
        end = blank.end()
        if end > HANDSHAKE_BYTES_MAX:
            return Taken(b"", _BAD_REQUEST, True)
        first = self._take(seen[len(self._tail) : end])
        self._tail = b""
        if first.ended or end == len(seen):
            return first
        second = self._take(seen[end:])
        return Taken(second.data, first.reply + second.reply, second.ended)

    def _take(self, data: bytes) -> Taken:
        payload: list[bytes] = []
        reply: list[bytes] = []
        ended = False
        try:
            self._wire.receive_data(data)
            for event in self._wire.events():
                if isinstance(event, BytesMessage):
                    payload.append(bytes(event.data))
                elif isinstance(event, Request):
                    reply.append(self._open(event))
                    ended = not self.opened
                elif isinstance(event, Ping):
                    reply.append(self._wire.send(event.response()))
                elif isinstance(event, CloseConnection):
                    # The peer's farewell, which is returned; or what wsproto says of a frame that is none.
                    left = self._wire.state is ConnectionState.REMOTE_CLOSING
                    reply.append(self._wire.send(event.response()) if left else self.close(event.code))
                    ended = True
                    break
                elif isinstance(event, TextMessage):
                    # MQTT-6.0.0-1: control packets travel in binary frames.
                    reply.append(self.close(UNSUPPORTED_DATA))
                    ended = True
                    break
        except (RemoteProtocolError, UnicodeDecodeError):
            # wsproto takes the headers of the handshake for ASCII without asking.
            reply.append(self.close(PROTOCOL_ERROR) if self.opened else _BAD_REQUEST)
            ended = True
        except LocalProtocolError:
            # Bytes after the closing frame.
            ended = True
        if ended:
            self.opened = False
        return Taken(b"".join(payload), b"".join(reply), ended)

    def _open(self, request: Request) -> bytes:
        path = request.target.partition("?")[0]
        origins = [
            value.decode("latin-1") for name, value in request.extra_headers if name.lower() == b"origin"
        ]
        status = 0
        if path not in self._paths:
            status = 404
        elif SUBPROTOCOL not in request.subprotocols:
            status = 400
        elif not all(self._welcome(origin, request.host) for origin in origins):
            status = 403
        if status:
            return bytes(self._wire.send(RejectConnection(status_code=status)))
        self.opened = True
        return bytes(self._wire.send(AcceptConnection(subprotocol=SUBPROTOCOL)))

    def _welcome(self, origin: str, host: str) -> bool:
        return "*" in self._origins or origin in self._origins or _host_of(origin) == _host_of(f"//{host}")

    def wrap(self, data: bytes) -> bytes:
        """Bytes of the broker as one binary frame."""
        return bytes(self._wire.send(BytesMessage(data=data)))

    def close(self, code: int = NORMAL) -> bytes:
        """The closing frame, after which nothing is wrapped; empty when nobody is there to hear it."""
        self.opened = False
        try:
            return bytes(self._wire.send(CloseConnection(code=code)))
        except LocalProtocolError:
            return b""


def _host_of(url: str) -> str:
    """Its host without the port; a name that no host has when there is none."""
    try:
        return urlsplit(url).hostname or f"none in {url}"
    except ValueError:
        return f"none in {url}"


_END = re.compile(rb"\n\r?\n")
"""Where h11 sees the end of a handshake: it takes a bare line feed for the end of a line."""
_BAD_REQUEST = b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"
